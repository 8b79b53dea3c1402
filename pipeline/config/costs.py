"""Input of a cost estimate from the config: the parts that some runs need, to be counted or timed."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.config.artifacts import MAIN_OUTPUTS, locate
from pipeline.config.classifiers import Classifier
from pipeline.config.parts import Part
from pipeline.config.searches import searched
from pipeline.config.workflow import Run, Workflow

TIMED = ("generators", "pools", "scores", "classifiers")


def counted(flow: Workflow, dataset: str, runs: Sequence[Run]) -> dict[str, Any]:
    """A data set, its runs, and every part that they need, with all keys and its work."""
    parts = flow.needed(dataset, runs)
    sections = {section: parts.get(section, {}) for section in (*TIMED, "filters", "qualities")}
    return {
        "dataset": dataset,
        "family": flow.family(dataset),
        "others": sorted({run.dataset for run in flow.families()[flow.family(dataset)]} - {dataset}),
        "source": flow.part("datasets", dataset).source,
        "shards": flow.part("datasets", dataset).shards,
        "foundations": {
            name: {"dataset": getattr(part, "dataset", None), "fetched": part.fetched, "trains": part.trains}
            for name, part in parts.get("foundations", {}).items()
        },
        "prompts": {
            name: {
                "foundation": getattr(part, "foundation", None),
                "asked": part.asked,
                "on_gpu": part.on_gpu,
                "shared": flow.is_shared("prompts", name, dataset),
            }
            for name, part in parts.get("prompts", {}).items()
        },
        "runs": [
            {name: getattr(run, name) for name in ("recipe", "classifiers", "qualities", "seeds")} for run in runs
        ],
        **{
            section: {
                name: part.model_dump(mode="json", exclude={"where"})
                | {"work": part.work()}
                | (_of_classifier(name, part) if section == "classifiers" else {})
                | ({"adapted": part.adapted} if section == "generators" else {})
                | (_drawn_from(flow, dataset, name, parts) if section == "pools" else {})
                | ({"reads_features": "features" in (_scorer_of(part) or {})} if section == "scores" else {})
                for name, part in found.items()
                if getattr(part, "trained", True)
            }
            for section, found in sections.items()
        },
    }


def _of_classifier(name: str, part: Classifier) -> dict[str, Any]:
    """What a classifier trains on, and the name under which its speed is measured: that of its search for a trial."""
    return {"splits": part.splits, "filters": part.filters, "timed_as": searched(name)}


def _drawn_from(flow: Workflow, dataset: str, pool: str, parts: Mapping[str, Mapping[str, Part]]) -> dict[str, Any]:
    """A pool's foundations, and whether it needs no more of the data set than its classes."""
    generator = parts["generators"][parts["pools"][pool].generator]
    found = sorted({name for _, section, name in generator.referenced() if section == "foundations"})
    reads_features = "guide_features" in (parts["pools"][pool].inputs_of("guide") or {})
    return {
        "foundations": found,
        "embedded_by": _embedded_by(pool, parts),
        "shared": flow.is_shared("pools", pool, dataset),
        "reads_guide_features": reads_features,
    }


def _scorer_of(scores: Part) -> Mapping[str, str] | None:
    """What scores read of their scorer, if they have one."""
    return scores.inputs_of("scorer") if "scorer" in scores.references else None


def _embedded_by(pool: str, parts: Mapping[str, Mapping[str, Part]]) -> str | None:
    """The foundation whose embeddings of real pictures a pool is drawn from."""
    part = parts["pools"][pool]
    return parts["generators"][part.generator].foundation if part.draw.reads_embeddings else None


def foundations(flow: Workflow, dataset: str, runs: Sequence[Run]) -> list[str]:
    """Tables of the foundations that the runs' generators and classifiers start from, which timing them needs."""
    needed = flow.needed(dataset, runs)
    found = [part for section in ("generators", "classifiers") for part in needed.get(section, {}).values()]
    return sorted({path for part in found for path in _read_by(part).values()})


def timed(flow: Workflow, dataset: str, runs: Sequence[Run]) -> dict[str, Any]:
    """A data set and the parts that its runs need, with the settings that decide their speed."""
    parts, entry = flow.needed(dataset, runs), flow.part("datasets", dataset)
    generators, pools, scores, classifiers = (parts.get(section, {}) for section in TIMED)
    return {
        "dataset": dataset,
        **entry.storing_settings(),
        "generators": {
            name: part.timed_settings() | {"adapted": part.adapted, "reads": _read_by(part)}
            for name, part in generators.items()
            if part.trained
        },
        "pools": {
            name: part.sampling_settings(parts)
            | {
                "drawn_by": part.generator,
                "guide": part.guide,
                "embedded_by": _embedded_by(name, parts),
                "trained": generators[part.generator].trained,
                "adapted": generators[part.generator].adapted,
                "reads": _read_by(generators[part.generator]),
                "side": part.side(entry, parts),
            }
            for name, part in pools.items()
        },
        "scores": {name: part.settings() | {"scorer": getattr(part, "scorer", None)} for name, part in scores.items()},
        "classifiers": {
            name: part.timed_settings() | {"generated": bool(part.filters), "reads": _read_by(part), "round": None}
            for name, part in classifiers.items()
            if searched(name) == name
        },
    }


def _read_by(part: Any) -> dict[str, str]:
    """The foundations of a generator or classifier: name of the input -> path."""
    named = [reference for reference in part.referenced() if reference[1] == "foundations"]
    return {field: locate(MAIN_OUTPUTS[section], name=name) for field, section, name in named}
