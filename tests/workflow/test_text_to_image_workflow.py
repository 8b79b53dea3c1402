"""A pool from a text-to-image model: from prompts through plan, sample, score, select and classifier, killed and continued."""

import json
import os
import re
import shutil
import sys

import pandas as pd
import pytest
import yaml
from local_hub import Hub
from runs import Run
from tiny_models import clip, stable_diffusion
from workflow_helpers import bytes_under, copy_of, copy_with, modules_beside_fingerprints, planned, snakemake, stage

pytestmark = pytest.mark.slow

ADDED = {
    "foundations": {
        "tiny": {"kind": "folder", "path": "models/tiny"},
        "tiny_clip": {"kind": "folder", "path": "models/clip"},
    },
    "prompts": {"plain": {"kind": "templates", "templates": ["A photo of a {class}.", "the digit {class}"]}},
    "generators": {"painter": {"kind": "text_to_image", "foundation": "tiny"}},
    "pools": {
        "painted": {
            "generator": "painter",
            "prompts": "plain",
            "draw": {"kind": "text_to_image", "steps": 2, "guidance_scale": 2.0},
            "store": {"side": 8},
            "fill_to": 30,
            "surplus": 0.5,
            "batch_size": 8,
            "shards": 2,
        }
    },
    "scores": {"painted_by_clip": {"kind": "clip", "pool": "painted", "foundation": "tiny_clip"}},
    "filters": {"painted": {"scores": "painted_by_clip", "keep": "clip_times_classes > 1", "top_up": False}},
    "classifiers": {"painted": {"extends": "ce", "data": ["real", "painted"]}},
    "recipes": {"painted": {"extends": "ce", "classifier": "painted", "seeds": [0]}},
}
TARGET = "recipe_painted"
SHARD = "results/demo/sample/painted/shard-00000.tar"
FOUNDATION = "results/foundations/tiny/foundation.parquet"


@pytest.fixture(scope="module")
def begun(finished, tmp_path_factory):
    """A copy of the micro run, with a text-to-image pool in its config, of which nothing has been made."""
    root = copy_with(finished, tmp_path_factory.mktemp("text") / "micro", ADDED)
    stable_diffusion(root / "models/tiny")
    clip(root / "models/clip")
    return root


@pytest.fixture(scope="module")
def painted(begun):
    ran = snakemake(begun, TARGET)
    assert ran.returncode == 0, ran.stdout
    return begun


@pytest.fixture
def copy(painted, tmp_path):
    return copy_of(painted, tmp_path / "copy")


def test_the_pool_reaches_the_classifier(painted):
    index = pd.concat(pd.read_parquet(path) for path in sorted(painted.glob("results/demo/sample/painted/*.parquet")))
    for row in index.rename(columns={"index": "place"}).itertuples():
        template = ("A photo of a {}.", "the digit {}")[row.place % 2]
        assert row.prompt == template.format(row.class_name)
    tables = sorted(painted.glob("results/demo/score/painted_by_clip/*.parquet"))
    scores = pd.concat(map(pd.read_parquet, tables), ignore_index=True)
    selected = pd.read_parquet(painted / "results/demo/select/painted/selected.parquet")
    assert 0 < len(selected) < len(scores) == len(index)
    asked = index[~index["surplus"]]["class"].value_counts()
    assert ((asked + 1) // 2).to_dict() == index[index["surplus"]]["class"].value_counts().to_dict()
    survivors = scores[scores["clip"] > 1 / 10]
    most = survivors["class"].map(asked)
    assert selected["key"].tolist() == survivors.loc[survivors.groupby("class").cumcount() < most, "key"].tolist()
    assert selected["surplus"].any()
    told = json.loads((painted / "results/demo/select/painted/summary.json").read_text())
    assert told["kept"] == len(selected) == told["asked"] - told["short"] and told["generated"] == len(index)
    assert ("pictures are short" in (painted / "logs/select/demo/painted.log").read_text()) == (told["short"] > 0)
    assert set(index["generator"]) == {"results/foundations/tiny"}
    assert (painted / "results/demo/grid/painted.png").is_file()
    assert (painted / "results/demo/recipe/painted/summary.md").is_file()
    assert planned(painted, TARGET) == {}


def test_every_module_that_its_jobs_load_is_in_their_fingerprints(painted):
    missed = modules_beside_fingerprints(painted)
    assert {"foundation", "prompts", "plan", "sample", "score", "select", "classifier"} <= set(missed)
    assert not any(missed.values())


@pytest.mark.nightly
def test_its_cost_is_estimated(copy):
    ran = snakemake(copy, "cost_demo")
    assert ran.returncode == 0, ran.stdout
    figures = pd.read_csv(copy / "results/demo/cost/throughput.csv")
    assert {"painted", "cbdm"} == set(figures.loc[figures["stage"] == "sample", "part"])


def test_killed_in_the_middle_a_shard_has_the_same_bytes(copy):
    expected = bytes_under(copy / "results")
    for path in copy.glob("results/demo/sample/painted/shard-00000.*"):
        path.unlink()
    run = Run(copy, SHARD)
    assert run.wait_until(lambda: any(copy.glob("results/demo/sample/painted/checkpoints/*/*"))), run.told
    run.kill()
    snakemake(copy, "--unlock")
    again = snakemake(copy, SHARD)
    assert again.returncode == 0, again.stdout
    assert bytes_under(copy / "results") == expected


@pytest.mark.nightly
def test_another_number_of_shards_makes_the_same_pictures(copy):
    def pictures():
        tables = sorted(copy.glob("results/demo/sample/painted/*.parquet"))
        return pd.concat(map(pd.read_parquet, tables)).set_index("key")["crc32"].sort_index()

    before = pictures()
    config = (copy / "workflow_config.yaml").read_text()
    (copy / "workflow_config.yaml").write_text(config.replace("shards: 2\n    store", "shards: 3\n    store"))
    ran = snakemake(copy, "results/demo/select/painted/selected.parquet")
    assert ran.returncode == 0, ran.stdout
    pd.testing.assert_series_equal(pictures(), before)


def test_a_top_up_reaches_the_number_asked(copy):
    config = (copy / "workflow_config.yaml").read_text()
    (copy / "workflow_config.yaml").write_text(config.replace("top_up: false", "top_up: true"))
    ran = snakemake(copy, "results/demo/select/painted/selected.parquet")
    assert ran.returncode == 0 and "pictures are short" not in ran.stdout, ran.stdout
    selected = pd.read_parquet(copy / "results/demo/select/painted/selected.parquet")
    plan = pd.read_parquet(copy / "results/demo/plan/painted/plan.parquet")
    asked = plan[~plan["surplus"]]["class"].value_counts().sort_index()
    assert selected["class"].value_counts().sort_index().to_dict() == asked.to_dict()


@pytest.mark.nightly
def test_a_surplus_leaves_the_pictures_that_were_asked_as_they_are(copy):
    def asked():
        index = pd.concat(map(pd.read_parquet, sorted(copy.glob("results/demo/sample/painted/*.parquet"))))
        index = index[~index["surplus"]] if "surplus" in index else index
        return index.set_index("key")["crc32"].sort_index()

    before = asked()
    config = (copy / "workflow_config.yaml").read_text()
    (copy / "workflow_config.yaml").write_text(config.replace("surplus: 0.5", "surplus: 0.0"))
    ran = snakemake(copy, "results/demo/select/painted/selected.parquet")
    assert ran.returncode == 0, ran.stdout
    pd.testing.assert_series_equal(asked(), before)


@pytest.mark.nightly
def test_a_model_that_changed_is_refused_and_taken_by_the_command_that_is_named(copy):
    config = copy / "models/tiny/unet/config.json"
    config.write_text(config.read_text() + "\n")
    for path in copy.glob("results/demo/sample/painted/shard-00000.*"):
        path.unlink()
    ran = snakemake(copy, SHARD)
    assert (
        ran.returncode == 1 and "unet/config.json is missing or was changed since the model was checked" in ran.stdout
    )
    (named,) = set(re.findall(r"snakemake --profile local (--force \S+)", ran.stdout))
    for arguments in (named.split(), [SHARD]):
        again = snakemake(copy, *arguments)
        assert again.returncode == 0, again.stdout


def test_only_what_follows_from_a_change_is_planned(copy):
    drawn = {"sample painted", "grid painted", "score painted_by_clip", "select painted", "classifier painted"}
    reported = {"evaluate painted", "summary recipe"}

    def jobs_after(old, new):
        config = (copy / "workflow_config.yaml").read_text()
        assert old in config
        (copy / "workflow_config.yaml").write_text(config.replace(old, new))
        jobs = {" ".join(job.split()[:2]).removesuffix(".png") for job in planned(copy, TARGET)}
        (copy / "workflow_config.yaml").write_text(config)
        return jobs

    assert jobs_after("the digit {class}", "number {class}") == {"prompts plain", "plan painted", *drawn, *reported}
    assert jobs_after("guidance_scale: 2.0", "guidance_scale: 1.0") == drawn | reported
    chosen = {"select painted", "classifier painted", *reported}
    assert jobs_after("clip_times_classes > 1", "clip > 0.1") == chosen
    assert jobs_after("top_up: false", "top_up: true") == chosen
    assert jobs_after("surplus: 0.5", "surplus: 1.0") == {"plan painted", *drawn, *reported}


def test_a_model_that_is_not_there_is_told_before_any_job(begun, tmp_path):
    root = copy_of(begun, tmp_path / "copy")
    shutil.rmtree(root / "results/foundations", ignore_errors=True)
    shutil.rmtree(root / "models")
    told = "foundations.tiny: path is 'models/tiny', but this folder has no model_index.json, no open_clip"
    dry = snakemake(root, "-n", FOUNDATION)
    assert dry.returncode == 0 and f"warning: {told}" in dry.stdout
    ran = snakemake(root, FOUNDATION)
    assert ran.returncode == 1 and told in ran.stdout and "Traceback" not in ran.stdout


def refuses_unclip(root):
    """Whether a run refuses the same pool of another kind of generator, and makes nothing before."""
    file = root / "workflow_config.yaml"
    config = yaml.safe_load(file.read_text())
    config["generators"]["painter"]["kind"] = "unclip"
    config["pools"]["painted"]["draw"] = {"kind": "unclip", "steps": 2}
    file.write_text(yaml.safe_dump(config))
    ran = snakemake(root, TARGET)
    told = "generators.painter: foundations.tiny is a StableDiffusionPipeline, but a generator of kind unclip draws with a StableUn"
    assert ran.returncode == 1 and told in ran.stdout and "Traceback" not in ran.stdout
    return not (root / "results/foundations").exists()


def test_a_generator_that_cannot_draw_with_its_model_is_told_before_any_job(begun, tmp_path):
    root = copy_of(begun, tmp_path / "copy")
    shutil.rmtree(root / "results/foundations", ignore_errors=True)
    assert refuses_unclip(root)


def test_a_folder_that_no_generator_draws_with_is_told_before_any_job(begun, tmp_path):
    root = copy_of(begun, tmp_path / "copy")
    file = root / "workflow_config.yaml"
    file.write_text(file.read_text().replace("foundation: tiny\n", "foundation: tiny_clip\n"))
    ran = snakemake(root, TARGET)
    told = "generators.painter: models/clip has no model_index.json, so no generator draws with it; name another foundation"
    assert ran.returncode == 1 and told in ran.stdout and "Traceback" not in ran.stdout


def test_a_score_whose_model_is_no_clip_is_told_before_any_job(begun, tmp_path):
    root = copy_of(begun, tmp_path / "copy")
    file = root / "workflow_config.yaml"
    config = yaml.safe_load(file.read_text())
    config["scores"]["painted_by_clip"]["foundation"] = "tiny"
    file.write_text(yaml.safe_dump(config))
    ran = snakemake(root, TARGET)
    told = (
        "scores.painted_by_clip: models/tiny has no open_clip_config.json, so it is no CLIP of open_clip; name another"
    )
    assert ran.returncode == 1 and told in ran.stdout and "Traceback" not in ran.stdout


def test_a_model_that_lacks_a_vocabulary_is_told_by_its_check(begun, tmp_path):
    root = copy_of(begun, tmp_path / "copy")
    shutil.rmtree(root / "results/foundations", ignore_errors=True)
    (root / "models/tiny/tokenizer/tokenizer.json").unlink()
    ran = snakemake(root, FOUNDATION)
    assert ran.returncode == 1 and "models/tiny/tokenizer knows 2 tokens, but the text encoder" in ran.stdout


@pytest.fixture
def hub():
    one = Hub()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def fetching(begun, hub, tmp_path, monkeypatch):
    """A copy that takes the same model from a hub, of which nothing has been fetched."""
    root = copy_of(begun, tmp_path / "copy")
    hub.models["community/tiny"] = shutil.move(root / "models/tiny", tmp_path / "published")
    shutil.rmtree(root / "results/foundations", ignore_errors=True)
    config = yaml.safe_load((root / "workflow_config.yaml").read_text())
    config["foundations"]["tiny"] = {"kind": "pretrained", "hub": ["owner/withdrawn", "community/tiny"]}
    (root / "workflow_config.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    return root


def test_a_model_is_fetched_once_and_then_needs_no_network(fetching, hub):
    ran = snakemake(fetching, FOUNDATION)
    assert ran.returncode == 0, ran.stdout
    assert modules_beside_fingerprints(fetching) == {"fetch": set(), "foundation": set()}
    assert "GB from community/tiny; " in ran.stdout and "GB are free" in ran.stdout
    hub.models.clear()
    hub.asked.clear()
    ran = snakemake(fetching, SHARD)
    assert ran.returncode == 0, ran.stdout
    assert hub.asked == []


def test_a_model_on_a_hub_that_a_generator_cannot_draw_with_is_not_fetched(fetching):
    assert refuses_unclip(fetching)


@pytest.mark.nightly
def test_a_fetched_file_that_changed_is_fetched_again_by_the_repair_that_is_named(fetching):
    assert snakemake(fetching, FOUNDATION).returncode == 0
    (file,) = (fetching / "results/foundations/tiny").glob("*/unet/config.json")
    text = file.read_text()
    file.write_text(text + "\n")
    (fetching / FOUNDATION).unlink()
    ran = snakemake(fetching, FOUNDATION)
    assert ran.returncode == 1 and "unet/config.json is missing or damaged; say `make repair`" in ran.stdout
    assert verify(fetching, "--repair", REPAIR).returncode == 0 and file.read_text() == text
    assert snakemake(fetching, FOUNDATION).returncode == 0


def test_a_hub_without_the_model_is_told_before_any_job(fetching, hub):
    hub.models.clear()
    ran = snakemake(fetching, FOUNDATION)
    assert ran.returncode == 1 and "Traceback" not in ran.stdout
    assert "foundations.tiny: the hub does not give the model (owner/withdrawn: " in ran.stdout
    assert "community/tiny: " in ran.stdout and "`kind: folder`" in ran.stdout
    assert not (fetching / "logs/fetch").exists()


def flip(path):
    """Change a bit in the middle of a file, whose time stays the same."""
    data, times = path.read_bytes(), path.stat()
    at = len(data) // 2
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return data


def verify(root, *arguments):
    return stage(root, "verify", "--results", "results", *arguments)


REPAIR = f"{sys.executable} -m snakemake --profile local --allowed-rules {{stage}} --"


def test_the_files_of_a_fetched_model_are_verified_and_repaired(fetching):
    assert snakemake(fetching, FOUNDATION).returncode == 0
    whole = verify(fetching)
    assert whole.returncode == 0 and " 0 damaged" in whole.stdout, whole.stdout
    files = [
        fetching / "results/foundations/tiny/files" / name
        for name in ("vae/config.json", "vae/diffusion_pytorch_model.safetensors")
    ]
    data = [flip(file) for file in files]
    assert verify(fetching).stdout.count("damaged: ") == 2
    ran = verify(fetching, "--repair", REPAIR)
    assert ran.returncode == 0 and [file.read_bytes() for file in files] == data, ran.stdout
    assert planned(fetching, FOUNDATION) == {}


@pytest.mark.nightly
def test_the_files_of_a_small_model_are_verified_and_trained_again(begun, tmp_path):
    root = copy_of(begun, tmp_path / "copy")
    config = yaml.safe_load((root / "workflow_config.yaml").read_text())
    few = {name: {"steps": 2} for name in ("vae", "clip", "unet")}
    config["foundations"]["small"] = {"kind": "mini", "dataset": "demo", **few}
    (root / "workflow_config.yaml").write_text(yaml.safe_dump(config))
    table = "results/foundations/small/foundation.parquet"
    ran = snakemake(root, table)
    assert ran.returncode == 0, ran.stdout
    assert not (root / "results/foundations/small/checkpoints").exists()
    assert verify(root).returncode == 0
    file = root / "results/foundations/small/files/unet/diffusion_pytorch_model.safetensors"
    data = flip(file)
    ran = verify(root, "--repair", REPAIR)
    assert ran.returncode == 0 and file.read_bytes() == data, ran.stdout
    assert planned(root, table) == {}
