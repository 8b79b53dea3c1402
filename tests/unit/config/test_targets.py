"""How recipes become targets, and what a run does otherwise than a paper."""

import pytest
from examples import EXAMPLE, example, runs

from pipeline.config.differences import differences, published_tables, table_runs
from pipeline.config.targets import (
    family_targets,
    main_runs,
    recipe_runs,
    recipe_targets,
    result_files,
    results_of,
)
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
    message = "no recipe on cifar100_lt is main; give one of them main: true"
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
    }
    assert result_files([run]) == [*metrics, quality]


SETTINGS = """\
key,value,family,recipes,says
generator.tau,1.0,cifar100_lt,,paper
generator.steps,7,,,code
classifier.loss.generated_weight,0.5,,diffult*,paper
classifier.epochs,300,other,,another family
pool.draw.guidance,1.6,,,paper
"""


def test_differences_are_those_of_the_settings_that_a_run_does_not_vary(tmp_path):
    paper = tmp_path / "diffult"
    paper.mkdir()
    (paper / "settings.csv").write_text(SETTINGS)
    (paper / "table_3.csv").write_text(
        "row,dataset,recipe,metric\nA,cifar100_lt,diffult_tau~generator.tau=2,top1\nB,,,top1\n"
    )
    flow, (name, table) = Workflow(EXAMPLE), *published_tables(tmp_path).items()
    assert name == "diffult_3"
    (run,) = table_runs(flow, table)
    assert differences(flow, table, run) == ["generator.steps 300000 (7)", "classifier.loss.generated_weight 0.3 (0.5)"]
    tau = Workflow(example(generators={"cbdm": {"tau": 2}}))
    assert "generator.tau 2.0 (1.0)" in differences(tau, table, runs(tau, "diffult")[0])
    (paper / "table_3.csv").write_text("row,dataset,recipe,metric\nA,cifar100_lt,difult,top1\n")
    with pytest.raises(InputError, match=r"table_3\.csv: no recipe 'difult' runs on cifar100_lt; there are diffult, "):
        table_runs(flow, table)


def test_a_table_without_the_papers_settings_is_reported(tmp_path):
    table = tmp_path / "table_3.csv"
    flow = Workflow(EXAMPLE)
    with pytest.raises(InputError, match=r"table_3\.csv: .*settings\.csv is missing; add it"):
        differences(flow, table, runs(flow, "diffult")[0])
