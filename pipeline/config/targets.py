"""Targets of recipes: the files that `all_<family>`, the summary and the tables need."""

import itertools
from collections.abc import Iterable
from typing import Any

from pipeline.config.artifacts import OUTPUTS, SECTIONS, locate
from pipeline.config.datasets import SPLIT_KEYS
from pipeline.config.workflow import Run, Workflow, sees_rest
from pipeline.errors import InputError


def family_targets(flow: Workflow, family: str) -> list[str]:
    """The results of a family's main recipes, and a grid of every pool that they use. Raises InputError if there are none."""
    runs = flow.families().get(family, [])
    if not runs:
        raise InputError(f"no recipe with `main: true` runs on {family}; give one that does, or add one")
    return sorted({locate("summary", dataset=run.dataset) for run in runs} | _grids(flow, runs) | _copies(flow, runs))


def recipe_targets(flow: Workflow, recipe: str) -> list[str]:
    """The results of one recipe of the config, main or not, and a grid of every pool that it uses."""
    runs = [run for run in flow.runs if run.entry == recipe]
    summaries = {locate("recipe_summary", dataset=run.dataset, recipe=recipe) for run in runs}
    return sorted(summaries | _grids(flow, runs) | _copies(flow, runs))


def folders(flow: Workflow) -> list[str]:
    """Folders, and pictures, of all artifacts that any recipe or comparison makes: results/<dataset or source>/<stage>/<name>."""
    found, compared = set(), flow.parts["comparisons"]
    for dataset in {run.dataset for run in flow.runs} | {name for one in compared.values() for name in one.datasets}:
        runs = [run for run in flow.runs if run.dataset == dataset]
        comparisons = [name for name, one in compared.items() if dataset in one.datasets]
        for section, entries in flow.needed(dataset, runs, comparisons).items():
            stages = SECTIONS[section] if section != "datasets" else ()
            for stage, name in itertools.product(stages, entries):
                here = stage in ("grid", "comparison", "embeddings")  # which have real pictures, too
                place = dataset if here else flow.home(section, name, dataset)
                found.add(next(iter(OUTPUTS[stage].values())).partition("{name}")[0].format(dataset=place) + name)
    return sorted(found)


def main_runs(flow: Workflow, dataset: str) -> list[Run]:
    """The main recipes' runs on a data set. Raises InputError if there are none."""
    runs = [run for runs in flow.families().values() for run in runs if run.dataset == dataset]
    if not runs:
        raise InputError(f"no recipe with `main: true` runs on {dataset}; give one that does, or add one")
    return runs


def runs_over_splits(flow: Workflow, dataset: str) -> list[Run]:
    """The main runs on all splits of the same pictures, for the summary of the first of them; empty if `dataset` is not that."""

    def pictures_of(name: str) -> tuple[str, dict[str, Any]]:
        return flow.family(name), flow.part("datasets", name).model_dump(exclude=set(SPLIT_KEYS))

    runs = [run for run in flow.runs if run.main and pictures_of(run.dataset) == pictures_of(dataset)]
    names: dict[tuple, str] = {}
    for run in runs:
        entry = flow.part("datasets", run.dataset)
        names.setdefault(tuple(getattr(entry, key, None) for key in SPLIT_KEYS), run.dataset)
    splits = list(names.values())
    return [run for run in runs if run.dataset in splits] if len(splits) > 1 and splits[0] == dataset else []


def grid_title(flow: Workflow, dataset: str, pool: str) -> str:
    """Title of a pool's grid, which says if the generator has seen pictures that the long tail left out."""
    sees = sees_rest(flow.on(dataset), ("pools", pool))
    return f"{dataset}, pool {pool}" + (f" ({sees}: has seen pictures that the long tail left out)" if sees else "")


def summary_settings(flow: Workflow, dataset: str) -> dict[str, Any]:
    """Settings of a data set's summary: its main recipes' runs, and those over splits under their common name."""
    splits = [results_of(run) | {"recipe": run.over_splits} for run in runs_over_splits(flow, dataset)]
    return runs_settings(flow, main_runs(flow, dataset)) | {"splits": splits}


def runs_settings(flow: Workflow, runs: list[Run]) -> dict[str, Any]:
    """Settings of a summary of some runs on a data set: these, and the feedback that led the pictures of their pools."""
    pools = {name: pool for run in runs for name, pool in flow.needed(run.dataset, [run]).get("pools", {}).items()}
    feedback = [
        {"pool": name, "guide": pool.guide} | pool.feedback.model_dump(mode="json")
        for name, pool in pools.items()
        if pool.feedback
    ]
    return {"runs": [results_of(run) for run in runs], "feedback": feedback}


def trained_foundations(flow: Workflow, runs: Iterable[Run]) -> list[str]:
    """Tables of the small foundations that some runs use, which say what their CLIP alone reaches."""
    used = {
        name
        for run in runs
        for name, part in flow.needed(run.dataset, [run]).get("foundations", {}).items()
        if part.trains
    }
    return [locate("foundation", name=name) for name in sorted(used)]


def summary_files(flow: Workflow, dataset: str) -> list[str]:
    """All files that a data set's summary reads."""
    found = result_files([*main_runs(flow, dataset), *runs_over_splits(flow, dataset)])
    return list(dict.fromkeys(found))


def recipe_runs(flow: Workflow, recipe: str, dataset: str) -> list[Run]:
    """The runs of one recipe of the config on a data set. Raises InputError if there are none."""
    runs = [run for run in flow.runs if (run.entry, run.dataset) == (recipe, dataset)]
    if not runs:
        datasets = sorted({run.dataset for run in flow.runs if run.entry == recipe})
        raise InputError(f"recipes.{recipe} does not run on {dataset}, but on {', '.join(datasets)}")
    return runs


def results_of(run: Run) -> dict[str, Any]:
    """Paths of a run's figures, and facts about it, as the stages `summary` and `tables` read them."""
    seeded = zip(run.classifiers, run.seeds, strict=True)
    return {
        "recipe": run.recipe,
        "dataset": run.dataset,
        "metrics": [locate("metrics", dataset=run.dataset, name=name, seed=seed) for name, seed in seeded],
        "qualities": [locate("quality", dataset=run.dataset, name=name) for name in run.qualities],
        "seeds_of": ", ".join(run.seeds_of),
        "sees_rest": run.sees_rest,
    }


def result_files(runs: Iterable[Run]) -> list[str]:
    """All files with figures of some runs."""
    found = [results_of(run) for run in runs]
    return [path for run in found for path in run["metrics"]] + [path for run in found for path in run["qualities"]]


def modules_of(flow: Workflow, dataset: str) -> list[str]:
    """The modules of all parts that the main recipes need on a data set, for the stage that times them."""
    parts = flow.needed(dataset, main_runs(flow, dataset))
    return [
        module
        for entries in parts.values()
        for part in entries.values()
        for module in (*part.modules(), *part.read_modules())
    ]


def _grids(flow: Workflow, runs: Iterable[Run]) -> set[str]:
    """A grid of every pool that the runs' classifiers train on."""
    pools = {(run.dataset, pool) for run in runs for name in run.classifiers for pool in flow.pools(name, run.dataset)}
    return {locate("grid", dataset=dataset, name=pool) for dataset, pool in pools}


def _copies(flow: Workflow, runs: Iterable[Run]) -> set[str]:
    """A report of near duplicates for all scores of that kind that the runs use."""
    return {
        locate("copies", dataset=run.dataset, name=name)
        for run in runs
        for name, part in flow.needed(run.dataset, [run]).get("scores", {}).items()
        if part.kind == "copies"
    }
