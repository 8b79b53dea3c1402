"""What runs again after a change: just what the change concerns, and all that follows from it.

Each case makes one change in a copy of a finished run and compares the jobs of a dry run with the expected ones.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from workflow_helpers import bytes_under, planned, snakemake

pytestmark = pytest.mark.slow

TARGET = "all_demo"
KEEP_ALL = "diffult~filter.keep=all"
CLASSIFIERS = ("ce", "ce_long", "diffult", "two_stage", KEEP_ALL)
READS = {  # job of tests/micro.yaml -> jobs whose outputs it reads, each after those
    "subset pictures.parquet": (),
    "store subset": ("subset pictures.parquet",),
    "manifest subset": ("store subset",),
    "generator cbdm": ("manifest subset",),
    "plan cbdm": ("manifest subset",),
    "sample cbdm": ("generator cbdm", "plan cbdm"),
    "grid cbdm": ("manifest subset", "sample cbdm"),
    "classifier ce": ("manifest subset",),
    "features ce": ("manifest subset", "classifier ce"),
    "score by_ce": ("manifest subset", "sample cbdm", "classifier ce", "features ce"),
    "select likely": ("manifest subset", "sample cbdm", "score by_ce"),
    "select likely~keep=all": ("manifest subset", "sample cbdm", "score by_ce"),
    "classifier ce_long": ("manifest subset", "select likely"),
    "classifier diffult": ("manifest subset", "sample cbdm", "select likely"),
    "classifier two_stage": ("manifest subset", "sample cbdm", "select likely", "classifier ce"),
    f"classifier {KEEP_ALL}": ("manifest subset", "sample cbdm", "select likely~keep=all"),
    **{f"evaluate {name}": ("manifest subset", f"classifier {name}") for name in CLASSIFIERS},
    "quality by_ce": ("manifest subset", "sample cbdm", "classifier ce"),
    "summary": ("quality by_ce", *(f"evaluate {name}" for name in CLASSIFIERS)),
}
EVERYTHING = set(READS)
NOTHING: set[str] = set()


def after(*changed: str) -> set[str]:
    """The changed jobs and all that reads, directly or not, what they make."""
    found = set()
    for job, read in READS.items():
        if job in changed or found & set(read):
            found.add(job)
    return found


def new_classifier(name: str) -> set[str]:
    """Jobs of a classifier that was not there before."""
    return {f"classifier {name}", f"evaluate {name}", "summary"}


# Changes: functions of the copy's root.


def setting(path: str, value) -> Callable[[Path], None]:
    """Give a key of the config another value, or add it; None removes nothing and is a value."""

    def change(root: Path) -> None:
        file = root / "workflow_config.yaml"
        whole = entry = yaml.safe_load(file.read_text())
        *parents, key = path.split("/")
        for parent in parents:
            entry = entry.setdefault(parent, {})
        assert entry.get(key, "absent") != value, f"{path} has this value already"
        entry[key] = value
        file.write_text(yaml.safe_dump(whole, sort_keys=False))

    return change


def reorder_config(root: Path) -> None:
    file = root / "workflow_config.yaml"

    def reverse(value):
        return {key: reverse(value[key]) for key in reversed(value)} if isinstance(value, dict) else value

    whole = yaml.safe_load(file.read_text())
    recipes = whole.pop("recipes")  # the order of recipes is that of the summary's lines
    recipes = {name: reverse(recipe) for name, recipe in recipes.items()}
    file.write_text(yaml.safe_dump({"recipes": recipes, **reverse(whole)}, sort_keys=False))


def text(path: str, old: str, new: str) -> Callable[[Path], None]:
    """Replace text in a file."""

    def change(root: Path) -> None:
        before = (root / path).read_text()
        assert old in before, f"{path} has no {old}"
        (root / path).write_text(before.replace(old, new))

    return change


def code(module: str, addition: str = "\nEDITED = True\n") -> Callable[[Path], None]:
    """Add a line of code to a module of the package."""

    def change(root: Path) -> None:
        file = root / "pipeline" / module
        file.write_text(file.read_text() + addition)

    return change


def comment(module: str) -> Callable[[Path], None]:
    return code(module, "\n# a remark\n")


def docstrings(module: str) -> Callable[[Path], None]:
    """Other words in every docstring, the module's and the functions'."""

    def change(root: Path) -> None:
        file = root / "pipeline" / module
        parts = file.read_text().split('"""')
        assert len(parts) >= 5, f"{module} has no docstring but its own"
        file.write_text('"""'.join(part + " (remark)" if i % 2 else part for i, part in enumerate(parts)))

    return change


def code_with_old_time(module: str) -> Callable[[Path], None]:
    """An edit whose time stamp is older than every result, as after `rsync -a` or `cp -p`."""

    def change(root: Path) -> None:
        code(module)(root)
        os.utime(root / "pipeline" / module, (0, 0))

    return change


def touch(*patterns: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for pattern in patterns:
            files = list(root.glob(pattern))
            assert files, pattern
            for file in files:
                os.utime(file)

    return change


def rewrite(path: str) -> Callable[[Path], None]:
    """The same bytes in a new file."""

    def change(root: Path) -> None:
        content = (root / path).read_bytes()
        (root / path).unlink()
        (root / path).write_bytes(content)

    return change


def remove(path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).unlink()


def replace_plan(root: Path) -> None:
    """Other seeds in the plan."""
    file = root / "results/demo/plan/cbdm/plan.parquet"
    plan = pd.read_parquet(file)
    plan.assign(seed=plan["seed"] + 1).to_parquet(file, index=False)


def all_of(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for each in changes:
            each(root)

    return change


SEVEN = "d3_ge_5e-7"
CASES = {
    # the config: each stage sees its own slice
    "imbalance factor": (setting("datasets/demo/imbalance_factor", 20), EVERYTHING),
    "a data set's family, said as it is": (setting("datasets/demo/family", "demo"), NOTHING),
    "raw data moved": (setting("data_root", "elsewhere"), NOTHING),
    "raw data moved below the data root": (setting("datasets/demo/path", "elsewhere"), NOTHING),
    "data set: pictures stored smaller": (setting("datasets/demo/store_side", 6), after("store subset")),
    "data set: shards": (setting("datasets/demo/shards", 3), after("store subset")),
    "data set: most_rejected": (setting("datasets/demo/most_rejected", 0.5), after("manifest subset")),
    "data set: rest": (setting("datasets/demo/rest", False), EVERYTHING),
    "generator: steps": (setting("generators/cbdm/steps", 7), after("generator cbdm")),
    "generator: tau": (setting("generators/cbdm/tau", 0.5), after("generator cbdm")),
    "pool: guidance": (setting("pools/cbdm/draw/guidance", 1.0), after("sample cbdm")),
    "pool: shards": (setting("pools/cbdm/shards", 3), after("sample cbdm")),
    "pool: store": (setting("pools/cbdm/store", {"format": "webp"}), after("sample cbdm")),
    "pool: fill_to": (setting("pools/cbdm/fill_to", 31), after("plan cbdm")),
    "pool: surplus": (setting("pools/cbdm/surplus", 0.3), after("plan cbdm")),
    "scores: fewer metrics": (setting("scores/by_ce/metrics", ["d3"]), after("score by_ce")),
    "scores: metrics in another order": (setting("scores/by_ce/metrics", ["d3", "d1", "d2"]), NOTHING),
    "scores: another judge": (setting("scores/by_ce/scorer_seed", 1), {"features ce"} | after("score by_ce")),
    "filter: keep; the varied value that was the same becomes a part of its own": (
        setting("filters/likely/keep", "d3 >= 1e-6"),
        after("select likely") | {f"select likely~keep={SEVEN}"} | new_classifier(f"diffult~filter.keep={SEVEN}"),
    ),
    "filter: first": (setting("filters/likely/first", 5), after("select likely", "select likely~keep=all")),
    "filter: fill_to": (setting("filters/likely/fill_to", 20), after("select likely", "select likely~keep=all")),
    "classifier: epochs of f0, which all others extend": (
        setting("classifiers/ce/epochs", 3),
        after("classifier ce", "classifier ce_long"),
    ),
    "classifier: epochs": (
        setting("classifiers/diffult/epochs", 3),
        after("classifier diffult", "classifier two_stage", f"classifier {KEEP_ALL}"),
    ),
    "classifier: generated_weight of the last one": (
        setting("classifiers/two_stage/loss", {"generated_weight": 0.5}),
        after("classifier two_stage"),
    ),
    "classifier: loss": (
        setting("classifiers/two_stage/loss", "cross_entropy"),
        after("classifier two_stage"),
    ),
    "classifier: no first stage": (setting("classifiers/two_stage/init", None), after("classifier two_stage")),
    "quality: splits": (setting("qualities/by_ce/splits", 3), after("quality by_ce")),
    "recipe: no longer main": (setting("recipes/ce_long/main", False), {"summary"}),
    "recipe: one more seed": (setting("recipes/two_stage/seeds", [0, 1]), new_classifier("two_stage")),
    "recipe: the seed is the pool's too": (setting("recipes/two_stage/seeds_of", ["classifier", "pool"]), {"summary"}),
    "recipe: one varied value less": (setting("recipes/diffult_filters/vary", {"filter.keep": ["all"]}), {"summary"}),
    "order of keys": (reorder_config, NOTHING),
    "a comment in the config": (text("workflow_config.yaml", "steps: 6\n", "steps: 6 # few\n"), NOTHING),
    "a number written otherwise": (
        text("workflow_config.yaml", "imbalance_factor: 40", "imbalance_factor: 4.0e+1"),
        NOTHING,
    ),
    "a new data set": (setting("datasets/other", {"source": "digits", "imbalance_factor": 10}), NOTHING),
    "new parts and a recipe that is not main": (
        all_of(
            setting("generators/plain", {"extends": "cbdm", "tau": 0}),
            setting("pools/plain", {"extends": "cbdm", "generator": "plain"}),
            setting("recipes/other", {"extends": "ce_long", "main": False, "vary": {"pool.generator": ["plain"]}}),
        ),
        NOTHING,
    ),
    # code: each stage has the modules that it imports, and those of its own kinds
    "code of the raw data": (code("data/digits.py"), EVERYTHING),
    "code of storing": (code("stages/store.py"), after("store subset")),
    "code of the manifest": (code("data/manifest.py"), after("manifest subset")),
    "code of other raw data": (code("data/cifar100.py"), NOTHING),
    "code of the shards": (code("artifacts/shards.py"), EVERYTHING),
    "code of a stage": (code("stages/generator.py"), after("generator cbdm")),
    "code of the generator's loss": (code("generators/cbdm/loss.py"), after("generator cbdm")),
    "code of the U-Net, which trains and samples": (code("generators/cbdm/unet.py"), after("generator cbdm")),
    "code of sampling": (code("generators/cbdm/sample.py"), after("sample cbdm")),
    "code of the plan": (code("generators/plan.py"), after("plan cbdm")),
    "code of a metric": (code("scores/d1.py"), after("score by_ce")),
    "code of selection": (code("scores/selection.py"), after("select likely", "select likely~keep=all")),
    "code of f0's loss": (code("classifiers/losses/cross_entropy.py"), after("classifier ce", "classifier ce_long")),
    "code of the other loss": (
        code("classifiers/losses/weighted_cross_entropy.py"),
        after("classifier diffult", "classifier two_stage", f"classifier {KEEP_ALL}"),
    ),
    "code of the backbone": (code("classifiers/backbones/small.py"), after("classifier ce", "classifier ce_long")),
    "code of another backbone": (code("classifiers/backbones/resnet32.py"), NOTHING),
    "code of accuracy": (
        code("evaluation/accuracy.py"),
        after(*(f"evaluate {name}" for name in CLASSIFIERS)),
    ),
    "code of quality": (code("evaluation/quality.py"), after("quality by_ce")),
    "code of the grid": (code("reporting/grid.py"), {"grid cbdm"}),
    "code of tables of figures": (code("reporting/results.py"), {"summary"}),
    "code of the config, which no stage imports": (code("config/vary.py"), NOTHING),
    "code with an old time stamp": (code_with_old_time("generators/cbdm/loss.py"), after("generator cbdm")),
    "an unrelated new module": (lambda root: (root / "pipeline/scores/d4.py").write_text("NEW = True\n"), NOTHING),
    "comments in code": (all_of(comment("generators/cbdm/loss.py"), comment("artifacts/shards.py")), NOTHING),
    "docstrings": (all_of(docstrings("generators/cbdm/loss.py"), docstrings("generators/plan.py")), NOTHING),
    "words of messages, and how jobs run": (
        all_of(
            text("pipeline/stages/classifier.py", "nothing to train on", "no picture to train on"),
            text("pipeline/artifacts/shards.py", "is missing; say", "is not there; say"),
            code("artifacts/atomic.py"),
            code("jobs/command.py"),
        ),
        NOTHING,
    ),
    "every module touched": (touch("pipeline/**/*.py", "rules/*.smk", "Snakefile"), NOTHING),
    "threads, log and message of a rule": (
        all_of(
            text("rules/sample.smk", "    resources:", "    threads: 2\n    resources:"),
            text("rules/sample.smk", '"logs/sample/', '"logs/drawn/'),
            text("rules/sample.smk", "generate shard", "draw shard"),
        ),
        NOTHING,
    ),
    # files
    "a plan of other content": (replace_plan, after("sample cbdm")),
    "a touched manifest and shard": (
        touch("results/demo/subset/manifest.parquet", "results/demo/sample/cbdm/shard-00000.tar"),
        NOTHING,
    ),
    "a manifest rewritten as it was": (rewrite("results/demo/subset/manifest.parquet"), NOTHING),
    "a summary removed": (remove("results/demo/summary.md"), {"summary"}),
    "logs removed": (lambda root: shutil.rmtree(root / "logs"), NOTHING),
}


def parts(jobs) -> set[str]:
    """`stage name` of planned jobs, whatever their seeds and shards."""
    return {" ".join(job.split()[:2]).removesuffix(".png") for job in jobs}


def test_the_map_of_jobs_is_right(copy):
    assert parts(planned(copy, "--forceall", TARGET)) == EVERYTHING


REPEATED = {
    "data set: rest",
    "data set: pictures stored smaller",
    "generator: tau",
    "pool: store",
    "pool: surplus",
    "scores: fewer metrics",
    "filter: first",
    "filter: fill_to",
    "classifier: epochs",
    "classifier: loss",
    "classifier: no first stage",
    "code of storing",
    "code of selection",
    "code of quality",
    "code of tables of figures",
    *(name for name, (_, expected) in CASES.items() if expected == NOTHING),
}
"""Cases that nightly tests run one by one."""


@pytest.mark.parametrize(
    ("change", "expected"),
    [pytest.param(*CASES[name], id=name, marks=[pytest.mark.nightly] * (name in REPEATED)) for name in CASES],
)
def test_what_runs_again(copy, change, expected):
    change(copy)
    assert parts(planned(copy, TARGET)) == expected


def test_nothing_runs_again_after_all_that_makes_no_difference(copy):
    changes = {name: change for name, (change, expected) in CASES.items() if expected == NOTHING}
    changes["order of keys"] = changes.pop("order of keys")  # the last one, because others look for text in the config
    for change in changes.values():
        change(copy)
    assert planned(copy, TARGET) == {}


def test_only_the_new_seed_runs(copy):
    setting("recipes/two_stage/seeds", [0, 1])(copy)
    assert set(planned(copy, TARGET)) == {"classifier two_stage seed-1", "evaluate two_stage seed-1", "summary"}


def test_another_family_is_another_target_and_no_other_work(copy):
    setting("datasets/demo/family", "digits")(copy)
    assert planned(copy, "all_digits") == {}


def test_an_edit_can_be_accepted(copy):
    """What `make accept` runs after a refactoring: results stay, and count as made by the code as it is now."""
    code("artifacts/shards.py")(copy)
    before = bytes_under(copy / "results")
    accepted = snakemake(copy, "--touch", TARGET)
    assert accepted.returncode == 0, accepted.stdout
    assert planned(copy, TARGET) == {}
    assert bytes_under(copy / "results") == before
