"""What an estimate of costs is told of the config: the parts that some runs need, to be counted or to be timed."""

from collections.abc import Sequence
from typing import Any

from pipeline.config.workflow import Run, Workflow

TIMED = ("generators", "samples", "scores", "classifiers")


def counted(flow: Workflow, dataset: str, runs: Sequence[Run]) -> dict[str, Any]:
    """A data set, its runs, and all keys of every part that they need: what says how much there is to do."""
    parts = flow.needed(runs)
    sections = {section: parts.get(section, {}) for section in (*TIMED, "filters", "qualities")}
    return {
        "dataset": dataset,
        "family": flow.family(dataset),
        "others": sorted({run.dataset for run in flow.families()[flow.family(dataset)]} - {dataset}),
        "shards": flow.part("datasets", dataset).shards,
        "runs": [{name: getattr(run, name) for name in ("recipe", "classifier", "quality", "seeds")} for run in runs],
        **{
            section: {name: part.model_dump(mode="json") for name, part in found.items()}
            for section, found in sections.items()
        },
    }


def timed(flow: Workflow, dataset: str, runs: Sequence[Run]) -> dict[str, Any]:
    """A data set and, of the parts that its runs need, what their stages are told: what says how fast they are."""
    generators, samples, scores, classifiers = (flow.needed(runs).get(section, {}) for section in TIMED)
    return {
        "dataset": dataset,
        **flow.part("datasets", dataset).storing_settings(),
        "generators": {name: part.settings() for name, part in generators.items()},
        "samples": {name: part.sampling_settings() | {"generator": part.generator} for name, part in samples.items()},
        "scores": {name: part.settings() | {"by": part.by} for name, part in scores.items()},
        "classifiers": {
            name: part.settings() | {"generated": bool(flow.pools(name))} for name, part in classifiers.items()
        },
    }
