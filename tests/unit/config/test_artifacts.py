"""Where artifacts lie, and what jobs read."""

import json
from typing import ClassVar

import pytest
from examples import EXAMPLE, example, painted
from hypothesis import given
from hypothesis import strategies as st
from workflow_helpers import REPOSITORY, repository_config

from pipeline.config import costs, reads
from pipeline.config.artifacts import (
    MAIN_OUTPUTS,
    OUTPUTS,
    PATHS,
    READS,
    SECTION_OF,
    SECTIONS,
    implied_by,
    locate,
    made_by,
)
from pipeline.config.parts import Reference
from pipeline.config.pools import Pool
from pipeline.config.resolve import SCHEMA, deep_merge
from pipeline.config.targets import folders
from pipeline.config.workflow import Workflow
from pipeline.errors import InputError

NAME = st.from_regex(r"[a-z0-9][a-z0-9_]{0,5}(~[a-z.]{1,5}=[0-9.]{1,3})?", fullmatch=True)


def test_outputs_have_names_and_paths_of_their_own():
    assert len(PATHS) == sum(map(len, OUTPUTS.values())) == len(set(PATHS.values()))
    assert {stage for stages in SECTIONS.values() for stage in stages} <= OUTPUTS.keys()
    assert all(SECTION_OF[output] == section for section, output in MAIN_OUTPUTS.items())


@given(
    output=st.sampled_from(sorted(PATHS)),
    dataset=NAME,
    name=NAME,
    seed=st.integers(0, 99),
    shard=st.integers(0, 99_999),
)
def test_a_path_tells_the_job_that_made_it(output, dataset, name, seed, shard):
    given_names = {"dataset": dataset, "name": name, "seed": seed, "table": name, "recipe": name}
    path = locate(output, **given_names, **({"shard": shard} if "{shard}" in PATHS[output] else {}))
    stage, outputs = made_by(path)
    assert output in OUTPUTS[stage] and path in outputs and len(outputs) == len(OUTPUTS[stage])
    assert all(made_by(other) == (stage, outputs) for other in outputs)


@pytest.mark.parametrize("path", ["results/d/generator/g/unet/config.json", "results/d/x.csv", "logs/a.log", "results"])
def test_other_files_are_no_jobs_outputs(path):
    assert made_by(path) is None


def test_a_file_implies_its_jobs_other_outputs_and_what_came_before_it():
    assert implied_by("results/d/evaluate/c/seed-3/metrics.json") == [
        *(PATHS[output].format(dataset="d", name="c", seed=3) for output in OUTPUTS["evaluate"]),
        "results/d/subset/manifest.parquet",
        "results/d/classifier/c/seed-3/weights.safetensors",
    ]
    assert "results/d/plan/p/plan.parquet" in implied_by("results/d/sample/p/shard-00004.tar")
    assert "results/d/subset/real/shard-00000.tar" in implied_by("results/d/subset/manifest.parquet")
    assert implied_by("results/d/generator/g/unet/config.json") == []


def test_what_came_before_is_an_input_of_the_stages_rule():
    later = {"grid", "summary", "recipe"}  # which read only what was made from the manifest
    for stage, output in [(reader, read) for reader in READS.keys() - later for read in READS[reader]]:
        inputs = (REPOSITORY / f"rules/{stage}.smk").read_text().split("output:")[0]
        assert f'PATHS["{output}"]' in inputs or (output == "real" and "real_shards" in inputs), (stage, output)
    assert OUTPUTS.keys() - READS.keys() == {
        "subset",
        "fetch",
        "foundation",
        "tables",
        "classes",
        "ask",
        "prompts",
        "plan",
        "search",
        "times",
    }


# What follows from references


def read_by(flow, stage, **wildcards):
    return reads.inputs(flow, stage, {"dataset": "cifar100_lt", **wildcards})


def test_a_score_reads_one_shard_and_its_scorer():
    flow = Workflow(example(scores={"by_ce": {"scorer_seed": 3}}))
    assert read_by(flow, "score", name="by_ce", shard="00007") == {
        "index": ["results/cifar100_lt/sample/cbdm/shard-00007.parquet"],
        "pictures": ["results/cifar100_lt/sample/cbdm/shard-00007.tar"],
        "weights": ["results/cifar100_lt/classifier/ce/seed-3/weights.safetensors"],
        "features": ["results/cifar100_lt/features/ce/seed-3/features.safetensors"],
    }
    assert reads.options(flow, "score", {"dataset": "cifar100_lt", "name": "by_ce"}) == ["index", "weights", "features"]


def test_a_filter_reads_all_shards_of_its_scores_and_of_the_pool_behind_them():
    found = read_by(Workflow(EXAMPLE), "select", name="likely")
    shards = [f"{shard:05d}" for shard in range(16)]
    assert found == {
        "scores": [f"results/cifar100_lt/score/by_ce/shard-{shard}.parquet" for shard in shards],
        "indices": [f"results/cifar100_lt/sample/cbdm/shard-{shard}.parquet" for shard in shards],
    }
    bare = Workflow(example(filters={"bare": {"pool": "cbdm"}}))
    assert read_by(bare, "select", name="bare") == {"indices": found["indices"]}


def test_a_classifier_reads_decisions_pictures_and_its_first_stage():
    raw = example(
        classifiers={"second": {"extends": "diffult", "init": "ce"}, "long": {"extends": "ce", "steps_as": ["likely"]}}
    )
    flow = Workflow(raw)
    found = read_by(flow, "classifier", name="second", seed="2")
    assert found["selected"] == ["results/cifar100_lt/select/likely/selected.parquet"]
    assert found["init"] == ["results/cifar100_lt/classifier/ce/seed-2/weights.safetensors"]
    assert len(found["generated"]) == 16 and found["generated"][0].endswith("sample/cbdm/shard-00000.tar")
    # pictures lie where the table says, so that thousands of paths are no options
    assert reads.options(flow, "classifier", {"dataset": "cifar100_lt", "name": "second"}) == [
        "selected",
        "steps_as",
        "init",
        "continues",
        "foundation",
        "chosen",
    ]
    assert read_by(flow, "classifier", name="long", seed="0") == {"steps_as": found["selected"]}
    assert read_by(flow, "evaluate", name="second", seed="2") == {}


def test_a_pool_from_embeddings_reads_those_of_its_data_set_and_model():
    raw = painted(pools={"painted": {"prompts": None, "draw": "unclip"}})
    raw["generators"]["sd"] = {"kind": "unclip", "foundation": "tiny"}
    flow = Workflow(raw)
    found = read_by(flow, "sample", name="painted", shard="00002")
    assert found["embeddings"] == ["results/cifar100_lt/embeddings/tiny/embeddings.safetensors"]
    assert found["manifest"] == ["results/cifar100_lt/subset/manifest.parquet"]
    where = {"dataset": "cifar100_lt", "name": "painted", "shard": "00002"}
    assert reads.options(flow, "sample", where)[-2:] == ["manifest", "embeddings"]
    whole = costs.counted(flow, "cifar100_lt", flow.runs)
    assert whole["pools"]["painted"]["embedded_by"] == "tiny"


def test_a_pool_of_a_model_that_nothing_trains_reads_the_model():
    flow = Workflow(painted())
    foundation = "results/foundations/tiny/foundation.parquet"
    assert read_by(flow, "sample", name="painted", shard="00002") == {"generator": [], "foundation": [foundation]}
    assert read_by(flow, "plan", name="painted") == {"prompts": ["results/cifar100/prompts/plain/prompts.parquet"]}
    assert reads.inputs(flow, "foundation", {"name": "tiny"}) == {}
    settings = {
        "kind": "folder",
        "path": "models/tiny",
        "variant": None,
        "allow_pickle": False,
        "safety_checker": False,
    }
    assert reads.settings(flow, "foundation", {"name": "tiny"}) == settings
    assert reads.modules(flow, "foundation", {"name": "tiny"}) == ["stages.foundation", "foundations.folder"]
    assert "generators.text_to_image.sample" in reads.modules(
        flow, "sample", {"dataset": "cifar100_lt", "name": "painted"}
    )
    assert "results/foundations/tiny" in folders(flow)


SHARED = {"fill_to": None, "per_class": 500}


def test_a_pool_that_reads_no_subset_is_its_sources():
    flow = Workflow(
        painted(pools={"painted": SHARED}, recipes={"painted": {"datasets": ["cifar100_lt", "cifar100_lt_200"]}})
    )
    shards = [f"results/cifar100/sample/painted/shard-{shard:05d}.parquet" for shard in range(4)]
    for dataset in ("cifar100_lt", "cifar100_lt_200"):
        where = {"dataset": dataset, "name": "painted"}
        assert reads.inputs(flow, "select", where) == {"indices": shards}
    where = {"dataset": "cifar100", "name": "painted"}
    assert reads.inputs(flow, "plan", where) == {"prompts": ["results/cifar100/prompts/plain/prompts.parquet"]}
    assert reads.classes(flow, "plan", where) == "results/cifar100/classes.parquet"
    assert reads.classes(flow, "prompts", where | {"name": "plain"}) == "results/cifar100/classes.parquet"
    assert reads.settings(flow, "plan", where)["per_class"] == 500
    foundation = "results/foundations/tiny/foundation.parquet"
    assert reads.inputs(flow, "sample", where | {"shard": "00001"}) == {"generator": [], "foundation": [foundation]}
    for stage, name in {"prompts": "plain", "plan": "painted", "sample": "painted"}.items():
        asked = {"dataset": "cifar100_lt", "name": name, "shard": "00001"}
        with pytest.raises(
            InputError, match=f"results/cifar100_lt/{stage}/{name} would .*results/cifar100/{stage}/{name}"
        ):
            reads.inputs(flow, stage, asked)
    found = folders(flow)
    assert {
        "results/cifar100/sample/painted",
        "results/cifar100/plan/painted",
        "results/cifar100/prompts/plain",
    } <= set(found)
    assert {"results/cifar100_lt/grid/painted", "results/cifar100_lt_200/select/painted"} <= set(found)
    assert not {"results/cifar100_lt/sample/painted", "results/cifar100/grid/painted"} & set(found)


def test_a_glide_pool_is_shared_too():
    glide = {"kind": "glide", "base": "base.pt", "vocabulary": "vocab.bpe"}
    flow = Workflow(
        painted(
            foundations={"glide": glide},
            generators={"glide": {"kind": "glide", "foundation": "glide"}},
            pools={"painted": {"generator": "glide", "draw": {"kind": "glide"}, **SHARED}},
        )
    )
    assert flow.home("pools", "painted", "cifar100_lt") == "cifar100"


@pytest.mark.parametrize(
    "changed",
    [
        {"pools": {"painted": {"fill_to": 500}}},
        {"pools": {"painted": {**SHARED, "shots": ["few"]}}},
        {"pools": {"painted": {"generator": "cbdm", "prompts": None, "draw": {"kind": "ddpm"}, **SHARED}}},
        {
            "pools": {"painted": SHARED},
            "datasets": {"cifar100_lt": {"source": "image_folder", "path": "birds"}},
            "classifiers": {"painted": {"side": 32}},
        },
        {
            "pools": {"painted": SHARED},
            "datasets": {
                "cifar100": {"source": "cifar100", "imbalance_factor": 1},
                "cifar100_lt": {"path": "elsewhere"},
            },
        },
    ],
    ids=[
        "fill_to",
        "shots",
        "trained generator",
        "own folder",
        "raw data elsewhere",
    ],
)
def test_a_pool_that_reads_a_subset_is_that_data_sets(changed):
    flow = Workflow(painted(**changed))
    assert flow.home("pools", "painted", "cifar100_lt") == "cifar100_lt"
    assert reads.classes(flow, "plan", {"dataset": "cifar100_lt", "name": "painted"}).endswith(
        "_lt/subset/manifest.parquet"
    )
    (index, *_) = reads.inputs(flow, "select", {"dataset": "cifar100_lt", "name": "painted"})["indices"]
    assert index == "results/cifar100_lt/sample/painted/shard-00000.parquet"


@pytest.mark.parametrize(
    "changed",
    [
        {"pools": {"painted": {"where": {"cifar100_lt_200": {"seed": 1}}}}},
        {"generators": {"sd": {"where": {"cifar100_lt_200": {"precision": "bfloat16"}}}}},
        {"prompts": {"plain": {"where": {"cifar100_lt_200": {"templates": ["{class}"]}}}}},
    ],
    ids=["pool", "generator", "prompts"],
)
def test_a_data_set_with_other_values_has_a_pool_of_its_own(changed):
    both = {"recipes": {"painted": {"datasets": ["cifar100_lt", "cifar100_lt_200"]}}}
    flow = Workflow(deep_merge(painted(pools={"painted": SHARED}, **both), changed))
    assert flow.home("pools", "painted", "cifar100_lt") == "cifar100"
    assert flow.home("pools", "painted", "cifar100_lt_200") == "cifar100_lt_200"
    place = {"dataset": "cifar100_lt_200", "name": "painted"}
    assert reads.classes(flow, "plan", place) == "results/cifar100_lt_200/subset/manifest.parquet"


def test_a_family_shares_a_pool_with_values_of_its_own():
    where = {"where": {"cifar100_lt": {"per_class": 50}}}
    flow = Workflow(painted(pools={"painted": SHARED | where}))
    assert [flow.home("pools", "painted", name) for name in ("cifar100_lt", "cifar100_lt_200")] == ["cifar100"] * 2
    assert reads.settings(flow, "plan", {"dataset": "cifar100", "name": "painted"})["per_class"] == 50


def test_a_data_set_called_like_its_source_has_its_sources_pools():
    flow = Workflow(painted(pools={"painted": SHARED}, datasets={"nico": {"source": "nico"}}, classifiers={"painted": {"side": 32}},
                            recipes={"painted": {"datasets": ["nico"]}}))  # fmt: skip
    assert flow.home("pools", "painted", "nico") == "nico"
    assert reads.classes(flow, "plan", {"dataset": "nico", "name": "painted"}) == "results/nico/classes.parquet"
    assert reads.classes(flow, "plan", {"dataset": "nico", "name": "cbdm"}) == "results/nico/subset/manifest.parquet"


def test_a_pool_of_pictures_made_from_real_ones_reads_the_manifest():
    draw = {"kind": "image_to_image", "strength": [0.25, 0.5], "steps": 20}
    raw = painted(
        generators={"sd": {"kind": "image_to_image", "foundation": "tiny"}}, pools={"painted": {"draw": draw}}
    )
    flow = Workflow(raw)
    where = {"dataset": "cifar100_lt", "name": "painted"}
    found = read_by(flow, "sample", name="painted", shard="00002")
    assert found["manifest"] == ["results/cifar100_lt/subset/manifest.parquet"]
    assert reads.options(flow, "sample", where) == ["generator", "guide", "foundation", "manifest"]
    assert "manifest" not in read_by(flow, "plan", name="painted"), "the plan's rule names it"
    assert reads.settings(flow, "plan", where) == {
        **reads.settings(Workflow(painted()), "plan", where),
        "sources": "all",
        "strength": (0.25, 0.5),
    }
    assert "manifest" not in read_by(Workflow(painted()), "sample", name="painted", shard="00002")


def test_files_that_a_part_names_are_inputs(tmp_path):
    weights = tmp_path / "resnet50.pth"
    flow = Workflow(example(classifiers={"ce": {"backbone": "resnet50", "pretrained": str(weights)}}))
    with pytest.raises(
        InputError, match=r"classifiers\.ce: pretrained is '.*50\.pth', but there is no such file; corr"
    ):
        read_by(flow, "classifier", name="ce", seed="0")
    weights.touch()
    assert read_by(flow, "classifier", name="ce", seed="0") == {"pretrained": [str(weights)]}


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("w{1}.pth", "but Snakemake takes no braces in names of files; rename it"),
        ("a" * 300, "but there is no such file"),
    ],
)
def test_names_of_files_that_cannot_be_are_told(path, told):
    flow = Workflow(example(classifiers={"ce": {"backbone": "resnet50", "pretrained": path}}))
    with pytest.raises(InputError, match=told):
        read_by(flow, "classifier", name="ce", seed="0")


@pytest.mark.parametrize("path", ["~/w.pth", "--w.pth"])
def test_names_of_files_may_begin_with_a_home_or_a_dash(path, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / path.removeprefix("~/")).touch()
    flow = Workflow(example(classifiers={"ce": {"backbone": "resnet50", "pretrained": path}}))
    assert read_by(flow, "classifier", name="ce", seed="0") == {"pretrained": [str(tmp_path / path.removeprefix("~/"))]}


@pytest.mark.parametrize("path", ["models/sd/unet", "a" * 300])
def test_a_models_component_and_a_name_that_is_too_long_are_told(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models/sd/unet").mkdir(parents=True)
    (tmp_path / "models/sd/model_index.json").write_text('{"unet": ["diffusers", "UNet2DConditionModel"]}')
    (tmp_path / "models/sd/unet/config.json").write_text("{}")
    told = Workflow(painted(foundations={"tiny": {"path": path}})).part("foundations", "tiny").missing()
    assert (
        "is a component of the model in 'models/sd'; name that folder" if "/" in path else "has no model_index"
    ) in told


def test_figures_for_an_estimate_are_measured_or_in_a_file_that_exists(tmp_path):
    assert reads.throughput(Workflow(EXAMPLE), "cifar100_lt") == "results/cifar100_lt/cost/throughput.csv"
    flow = Workflow(example(throughput=str(tmp_path / "given.csv")))
    with pytest.raises(InputError, match=r"^throughput is '.*given\.csv', but there is no such file"):
        reads.throughput(flow, "cifar100_lt")
    (tmp_path / "given.csv").touch()
    assert reads.throughput(flow, "cifar100_lt") == str(tmp_path / "given.csv")


def test_a_plan_reads_nothing_of_the_generator_that_sampling_reads():
    flow = Workflow(EXAMPLE)
    assert read_by(flow, "plan", name="cbdm") == {}
    assert read_by(flow, "sample", name="cbdm", shard="00000") == {
        "generator": ["results/cifar100_lt/generator/cbdm/history.parquet"]
    }


class GuidedPool(Pool):
    """A pool with one more reference, as later methods will declare them."""

    quota: str | None = None
    references: ClassVar[dict[str, Reference]] = {**Pool.references, "quota": Reference("filters", stage="plan")}


def test_a_new_reference_is_an_input_and_an_option_without_more_words():
    guided = {
        "guide": "ce",
        "guide_seed": 4,
        "draw": {"kind": "ddpm", "feedback": {"criterion": "entropy"}},
        "quota": "whole",
    }
    raw = example(
        pools={"cbdm": guided, "other": {"generator": "cbdm", "per_class": 2}}, filters={"whole": {"pool": "other"}}
    )
    flow = Workflow(raw, {**SCHEMA, "pools": GuidedPool})
    where = {"dataset": "cifar100_lt", "name": "cbdm"}
    found = read_by(flow, "sample", name="cbdm", shard="00000")
    assert found["guide"] == ["results/cifar100_lt/classifier/ce/seed-4/weights.safetensors"]
    assert reads.options(flow, "sample", where) == ["generator", "guide"]
    assert read_by(flow, "plan", name="cbdm") == {"quota": ["results/cifar100_lt/select/whole/selected.parquet"]}
    assert "classifiers.backbones.resnet32" in reads.modules(flow, "sample", where)
    assert "classifiers.backbones.resnet32" not in reads.modules(flow, "plan", where)
    assert "guide" not in json.dumps(reads.settings(flow, "sample", where))


@pytest.mark.parametrize("criterion", ["entropy", "loss", "hardness", "combined"])
def test_hardness_alone_reads_the_real_pictures_features_under_the_guide(criterion):
    raw = example(pools={"cbdm": {"guide": "ce", "draw": {"kind": "ddpm", "feedback": {"criterion": criterion}}}})
    found = read_by(Workflow(raw), "sample", name="cbdm", shard="00000")
    assert found["guide"] == ["results/cifar100_lt/classifier/ce/seed-0/weights.safetensors"]
    features = ["results/cifar100_lt/features/ce/seed-0/features.safetensors"]
    assert found.get("guide_features") == (features if criterion in ("hardness", "combined") else None)
    assert "guidance.feedback" in reads.modules(Workflow(raw), "sample", {"dataset": "cifar100_lt", "name": "cbdm"})


def test_code_of_a_job_is_that_of_its_kinds():
    flow = Workflow(EXAMPLE)
    where = {"dataset": "cifar100_lt"}
    assert reads.modules(flow, "subset", where) == ["stages.subset", "data.cifar100"]
    assert reads.modules(flow, "store", where) == ["stages.store", "data.cifar100"]
    assert reads.modules(flow, "manifest", where) == ["stages.manifest"]
    found = set(reads.modules(flow, "classifier", where | {"name": "diffult"}))
    assert found == {
        "stages.classifier",
        "classifiers.backbones.resnet32",
        "classifiers.schemes.plain",
        "classifiers.losses.weighted_cross_entropy",
    }
    assert set(reads.modules(flow, "evaluate", where | {"name": "diffult"})) == {
        "stages.evaluate",
        "classifiers.backbones.resnet32",
    }
    assert set(reads.modules(flow, "sample", where | {"name": "cbdm"})) == {"stages.sample", "generators.cbdm.sample"}


@pytest.fixture(scope="module")
def repository() -> Workflow:
    return repository_config()


@pytest.mark.parametrize(
    "path",
    [
        "results/foundations/demo_mini/fetched.parquet",
        "results/mnist_5k/prompts/plain/answers.parquet",
        "results/nowhere/classes.parquet",
        "results/demo/plan/gone/plan.parquet",
        "results/gone/plan/demo/plan.parquet",
        "results/demo/summary.md",
        "results/demo/sample/demo/shard-00000.tar",
    ],
)
def test_what_no_part_would_make_has_no_statement(repository, path):
    """As a foundation that was fetched before its kind was changed, or a source that the config no longer has."""
    assert reads.statement(repository, path) is None


def test_what_a_part_makes_has_one(repository):
    settings, modules, shard = reads.statement(repository, "results/demo/sample/demo/shard-00001.parquet")
    assert settings["draw"]["kind"] == "ddpm" and modules[0] == "stages.sample" and shard == "1 of 2"
    assert reads.statement(repository, "results/mnist_5k/classes.parquet")[0] == {"source": "mnist_5k"}
