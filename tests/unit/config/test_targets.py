"""How recipes become targets, and what a run does otherwise than a paper."""

import copy
from pathlib import Path

import pytest
import yaml
from examples import EXAMPLE, example, painted, runs
from workflow_helpers import REPOSITORY

from pipeline.config.differences import compared, differences, published_tables, table_runs
from pipeline.config.presets import Layer, combined, preset_layers
from pipeline.config.targets import (
    family_targets,
    main_runs,
    recipe_runs,
    recipe_targets,
    result_files,
    results_of,
    runs_over_splits,
    summary_files,
    summary_settings,
)
from pipeline.config.times import timed_rows
from pipeline.config.workflow import Workflow
from pipeline.errors import InputError


def test_a_family_is_its_summaries_and_a_grid_of_each_pool():
    assert family_targets(Workflow(EXAMPLE), "cifar100_lt") == [
        "results/cifar100_lt/grid/cbdm.png",
        "results/cifar100_lt/summary.md",
        "results/cifar100_lt_200/grid/cbdm.png",
        "results/cifar100_lt_200/summary.md",
    ]


def test_a_family_without_main_recipes_is_reported():
    flow = Workflow(example(recipes={"diffult": {"main": False}}))
    message = "no recipe with `main: true` runs on cifar100_lt; give one that does, or add one"
    with pytest.raises(InputError, match=message):
        family_targets(flow, "cifar100_lt")
    with pytest.raises(InputError, match=message):
        main_runs(flow, "cifar100_lt")


def test_a_recipe_has_results_of_its_own_main_or_not():
    both = {"classifiers": ["ce", "other"], "datasets": ["cifar100_lt_200"]}
    flow = Workflow(example(classifiers={"other": {"extends": "ce"}}, recipes={"both": both}))
    assert recipe_targets(flow, "diffult_tau") == [
        *(
            f"results/cifar100_lt/grid/cbdm{suffix}.png"
            for suffix in ("", *(f"~generator.tau={n}" for n in (0, 2, 3, 4, 5)))
        ),
        "results/cifar100_lt/recipe/diffult_tau/summary.md",
    ]
    assert recipe_targets(flow, "both")[-1] == "results/cifar100_lt_200/recipe/both/summary.md"
    assert [run.recipe for run in recipe_runs(flow, "both", "cifar100_lt_200")] == ["ce", "other"]
    with pytest.raises(InputError, match=r"recipes\.both does not run on cifar100_lt, but on cifar100_lt_200"):
        recipe_runs(flow, "both", "cifar100_lt")


def test_results_of_a_run_are_a_file_a_seed_and_its_quality():
    raw = example(
        qualities={"q": {"pool": "cbdm", "scorer": "ce"}}, recipes={"diffult": {"quality": "q", "seeds": [0, 5]}}
    )
    flow = Workflow(raw)
    (run,) = main_runs(flow, "cifar100_lt_200")
    metrics = [f"results/cifar100_lt_200/evaluate/diffult/seed-{seed}/metrics.json" for seed in (0, 5)]
    quality = "results/cifar100_lt_200/quality/q/quality.json"
    assert results_of(run) == {
        "recipe": "diffult",
        "dataset": "cifar100_lt_200",
        "metrics": metrics,
        "qualities": [quality],
        "seeds_of": "classifier",
        "sees_rest": "",
    }
    assert result_files([run]) == [*metrics, quality]


COLUMNS = "row,dataset,recipe,metric,published,note"
SETTINGS = """\
key,value,family,recipes,says
generator.tau,1.0,cifar100_lt,,paper
generator.steps,7,,,code
classifier.loss.generated_weight,0.5,,diffult*,paper
classifier.epochs,300,other,,another family
run.epochs,1,,diffult*,its own classifier and not the scorer
pool.draw.guidance,1.6,,,paper
"""


def test_differences_are_those_of_the_settings_that_a_run_does_not_vary(tmp_path):
    paper = tmp_path / "diffult"
    paper.mkdir()
    (paper / "settings.csv").write_text(SETTINGS)
    (paper / "table_3.csv").write_text(f"{COLUMNS}\nA,cifar100_lt,diffult_tau~generator.tau=2,top1,,\nB,,,top1,,\n")
    flow, (name, table) = Workflow(EXAMPLE), *published_tables(tmp_path).items()
    assert name == "diffult_3"
    (run,) = table_runs(flow, table)
    assert differences(flow, table, run) == [
        "generator.steps 300000 (7)", "classifier.loss.generated_weight 0.3 (0.5)", "run.epochs 200 (1)"
    ]  # fmt: skip
    shorter = Workflow(example(classifiers={"diffult": {"epochs": 7}}))
    assert shorter.setting(run, "run.epochs") == [7] and sorted(shorter.setting(run, "classifier.epochs")) == [7, 200]
    tau = Workflow(example(generators={"cbdm": {"tau": 2}}))
    assert "generator.tau 2.0 (1.0)" in differences(tau, table, runs(tau, "diffult")[0])
    (paper / "table_3.csv").write_text(f"{COLUMNS}\nA,cifar100_lt,difult,top1,,\n")
    with pytest.raises(InputError, match=r"table_3\.csv: no recipe 'difult' runs on cifar100_lt; there are diffult, "):
        table_runs(flow, table)


@pytest.mark.parametrize("lacking", ["row", "recipe", "published"])
def test_a_published_table_without_a_column_is_told(tmp_path, lacking):
    table = tmp_path / "table_3.csv"
    table.write_text(COLUMNS.replace(lacking, "other") + "\n")
    with pytest.raises(InputError, match=rf"table_3\.csv: it has no column {lacking}; it needs row, dataset, recipe"):
        table_runs(Workflow(EXAMPLE), table)


def test_a_table_of_times_without_a_column_is_told(tmp_path):
    times = tmp_path / "times_4.csv"
    times.write_text("row,dataset,published,note\nA,cifar100_lt,3.8,\n")
    with pytest.raises(InputError, match=r"times_4\.csv: it has no column pool; it needs row, dataset, pool, "):
        timed_rows(Workflow(EXAMPLE), times)


def test_a_stand_in_runs_where_a_foundation_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.csv").write_text("key,value,family,recipes,says\n")
    table = tmp_path / "table_1.csv"
    table.write_text(
        "row,dataset,recipe,stand_in,metric,published,note\nA,cifar100_lt,painted,diffult,top1,,\nB,cifar100_lt,diffult,,top1,,\n"
    )
    flow = Workflow(painted())

    def ran():
        assert [run.recipe for run in table_runs(flow, table)] == [run["recipe"] for run in compared(flow, table)]
        return {run["recipe"]: (run["stands_for"], run["differs"]) for run in compared(flow, table)}

    reason = "instead of painted, because foundations.tiny is not there"
    assert ran() == {"diffult": (["painted", "diffult"], [reason])}
    own = {"painted": (["painted"], []), "diffult": (["diffult"], [])}
    made = tmp_path / "results/foundations/tiny/foundation.parquet"
    original = tmp_path / "models/tiny/model_index.json"
    for file in (made, original):
        file.parent.mkdir(parents=True)
        file.touch()
        assert ran() == own
        file.unlink()


BIRDS = {
    "datasets": {"birds": {"source": "image_folder", "path": "birds", "folds": 3}},
    "classifiers": {"ce": {"side": 16, "data": ["real"]}},
    "recipes": {
        "ce": {
            "classifiers": ["ce"],
            "datasets": ["birds"],
            "main": True,
            "seeds": [0, 1],
            "vary": {"dataset.fold": [0, 1, 2]},
        }
    },
}


def test_folds_are_data_sets_of_one_family_and_the_first_ones_summary_has_all():
    flow = Workflow(BIRDS)
    names = ["birds", "birds~fold=1", "birds~fold=2"]
    assert [flow.part("datasets", name).fold for name in names] == [0, 1, 2]
    assert family_targets(flow, "birds") == [f"results/{name}/summary.md" for name in names]
    assert [run.dataset for run in runs_over_splits(flow, "birds")] == names
    found = summary_settings(flow, "birds")
    assert [run["recipe"] for run in found["runs"]] == ["ce~dataset.fold=0"]
    assert [(run["recipe"], run["dataset"]) for run in found["splits"]] == [("ce", name) for name in names]
    assert summary_files(flow, "birds") == [
        f"results/{name}/evaluate/ce/seed-{seed}/metrics.json" for name in names for seed in (0, 1)
    ]
    assert summary_settings(flow, "birds~fold=1")["splits"] == []
    assert len(summary_files(flow, "birds~fold=1")) == 2


def test_only_splits_of_the_same_pictures_are_averaged():
    raw = copy.deepcopy(BIRDS)
    raw["recipes"]["ce"]["vary"] = {"dataset.selection_seed": [0, 1], "datasets.birds.smallest_class": [2, 5]}
    flow = Workflow(raw)
    groups = {
        name: [run.dataset for run in runs_over_splits(flow, name)] for name in {run.dataset for run in flow.runs}
    }
    assert sorted(map(len, groups.values())) == [0, 0, 2, 2]
    for first, names in groups.items():
        for name in names:
            entry, other = flow.part("datasets", name), flow.part("datasets", first)
            assert entry.smallest_class == other.smallest_class
    labels = {run.over_splits for run in flow.runs}
    assert labels == {f"ce~datasets.birds.smallest_class={smallest}" for smallest in (2, 5)}


def test_data_sets_of_other_names_with_the_same_split_are_not_averaged():
    raw = copy.deepcopy(BIRDS)
    raw["datasets"]["again"] = {"extends": "birds"}
    raw["datasets"]["seed_1"] = {"extends": "birds", "selection_seed": 1}
    raw["recipes"]["ce"] |= {"vary": {}, "datasets": ["birds", "again"]}
    assert runs_over_splits(Workflow(raw), "birds") == []
    raw["recipes"]["ce"]["datasets"].append("seed_1")
    assert [run.dataset for run in runs_over_splits(Workflow(raw), "birds")] == ["birds", "seed_1"]


def test_the_recipes_of_folds_in_the_docs_resolve():
    text = (REPOSITORY / "docs/data.md").read_text().split("### Folds and repeated splits")[1]
    block = "".join(line[4:] + "\n" for line in text.split("##")[0].splitlines() if line.startswith("    "))
    layers = [*preset_layers(REPOSITORY / "papers"), Layer(Path("own"), yaml.safe_load(block))]
    own = {"classifiers": {"ce": {"where": {name: {"side": 64} for name in ("my_birds", "my_draws")}}}}
    flow = Workflow(combined(layers, own))
    for name in ("my_birds", "my_draws"):
        assert len(runs_over_splits(flow, name)) == len(summary_settings(flow, name)["splits"]) == 5


def test_a_table_without_the_papers_settings_is_reported(tmp_path):
    table = tmp_path / "table_3.csv"
    flow = Workflow(EXAMPLE)
    with pytest.raises(InputError, match=r"table_3\.csv: .*settings\.csv is missing; add it"):
        differences(flow, table, runs(flow, "diffult")[0])
