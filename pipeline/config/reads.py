"""Inputs, settings and code of a job, all from its part."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.config import artifacts
from pipeline.config.artifacts import MAIN_OUTPUTS, PATHS, SEALED, SECTION_OF, SECTIONS
from pipeline.config.parts import Part, Reference, is_file, on_disk
from pipeline.config.workflow import Workflow
from pipeline.errors import InputError

OF_SOURCES = ("prompts", "plan", "sample")
"""Stages whose outputs the data sets of a source may share."""
Wildcards = Mapping[str, str]
"""dataset, and name, seed and shard if the stage's rule has them."""


def inputs(
    flow: Workflow, stage: str, wildcards: Wildcards, locate: Callable[..., Any] = artifacts.locate
) -> dict[str, list[Any]]:
    """Name of the input -> paths, from the references and files of the job's part.

    Raises InputError for a file that the part names and that does not exist, because Snakemake overlooks it if the job's
    output exists, if the job would not do what its part says, and if its output lies elsewhere, for all data sets of the source.
    """
    section, part = _part(flow, stage, wildcards)
    place = f"{section}.{wildcards.get('name') or wildcards['dataset']}"
    if complaint := part.complaint():
        raise InputError(f"{place}: {complaint}")
    if section == "generators" and stage not in part.stages:
        instead = f"is trained by the stage {part.stages[0]}" if part.stages else "needs no training"
        raise InputError(f"{place} {instead}, so the stage {stage} makes nothing of it; ask for another file")
    if stage in OF_SOURCES:
        _refuse_second_copy(flow, stage, section, wildcards)
    found: dict[str, list[Any]] = {}
    for owner, field, reference in _read(flow, stage, wildcards):
        for name, output in _outputs(owner, field).items():
            for _, _, other in (named for named in owner.referenced() if named[0] == field):
                found.setdefault(name, []).extend(_paths(flow, owner, reference, other, output, wildcards, locate))
    for name, output in _of_sources(flow, part, stage, wildcards).items():
        found[name] = [locate(name, **output)]
    if stage == SECTIONS[section][0]:
        named = {field: path for field in part.files if (path := getattr(part, field)) is not None}
        found |= {field: [_existing(path, f"{place}: {field}")] for field, path in named.items()}
    return found


def classes(flow: Workflow, stage: str, wildcards: Wildcards) -> str:
    """The table with a job's classes: the manifest, or the source's list where its data sets share what the job makes."""
    section, _ = _part(flow, stage, wildcards)
    shared = wildcards["dataset"] in flow.sources() and flow.is_shared(section, wildcards["name"], wildcards["dataset"])
    return artifacts.locate("class_list" if shared else "manifest", dataset=wildcards["dataset"])


def throughput(flow: Workflow, dataset: str) -> str:
    """The table of figures for an estimate: the one that the config names, or the measured one.

    Raises InputError if the config names a file that does not exist.
    """
    given = flow.site.throughput
    return artifacts.locate("throughput", dataset=dataset) if given is None else _existing(given, "throughput")


def _existing(path: str, key: str) -> str:
    """The path of a file that a key of the config names. Raises InputError if there is no such file."""
    path = on_disk(path)
    if {"{", "}"} & set(path):
        raise InputError(f"{key} is '{path}', but Snakemake takes no braces in names of files; rename it")
    if not is_file(Path(path)):
        raise InputError(
            f"{key} is '{path}', but there is no such file; correct the path, which starts in {Path.cwd()} unless it"
            " starts with /, or put the file there"
        )
    return str(Path.cwd() / path) if path.startswith("-") else path  # it is no option


def options(flow: Workflow, stage: str, wildcards: Wildcards) -> list[str]:
    """Names of the inputs that the stage gets as `--name paths`: tables and weights, because tables say where pictures are."""
    read = [_outputs(owner, field) for owner, field, _ in _read(flow, stage, wildcards)]
    read.append({name: name for name in _of_sources(flow, _part(flow, stage, wildcards)[1], stage, wildcards)})
    return list(
        dict.fromkeys(name for outputs in read for name in outputs if not PATHS[outputs[name]].endswith(".tar"))
    )


def settings(flow: Workflow, stage: str, wildcards: Wildcards) -> dict[str, Any] | None:
    """Settings of the job's part for the stage; None for a stage that finds them in what it reads."""
    if stage in ("states", "features", "embeddings", "evaluate"):
        return None
    if stage == "classes":
        return {"source": wildcards["dataset"]}
    _, part = _part(flow, stage, wildcards)
    if stage == "search":
        return flow.part("searches", part.search, wildcards["dataset"]).choosing_settings()
    if stage == "classifier":  # its weights say how to prepare other pictures
        return part.settings() | {"stored": flow.part("datasets", wildcards["dataset"]).storing_settings()}
    if stage == "plan":
        return part.plan_settings()
    if stage == "fetch":
        return part.fetching_settings()
    if stage == "ask":
        return part.asking_settings()
    if stage == "select":
        return part.selecting_settings(flow.on(wildcards["dataset"]))
    if stage == "sample":
        return part.sampling_settings(flow.on(wildcards["dataset"]))
    if stage == "adapt":
        return part.adapting_settings()
    if stage == "store":
        return part.storing_settings()
    if stage == "manifest":
        return part.gathering_settings()
    return part.settings()


def shard(flow: Workflow, stage: str, wildcards: Wildcards) -> str | None:
    """The shard that a job makes, as `0 of 16`; None for a stage that does not say how many shards there are."""
    if stage not in ("store", "adapt", "sample"):
        return None
    return f"{int(wildcards['shard'])} of {_part(flow, stage, wildcards)[1].shards}"


def modules(flow: Workflow, stage: str, wildcards: Wildcards) -> list[str]:
    """Modules that the job runs, without the package's name: its stage, and those of the kinds of its parts."""
    if stage == "classes":
        return ["stages.classes", f"data.{wildcards['dataset']}"]
    section, part = _part(flow, stage, wildcards)
    found = [f"stages.{stage}"]
    if stage == "search":  # it reads figures alone
        return found
    if stage in (SECTIONS[section][0], "adapt"):
        found += part.modules()
        for trial in getattr(part, "trials", ()):  # of a search, whose drawn values the job has, too
            found += flow.part(section, trial, wildcards["dataset"]).modules()
    elif stage in ("store", "features", "evaluate"):  # which read what their own part says, or made
        found += part.read_modules()
    for owner, field, _ in _read(flow, stage, wildcards):
        for _, target, name in (named for named in owner.referenced() if named[0] == field):
            # every stage reads a data set's pictures, and a plan only the table of what a generator kept
            if target != "datasets" and field not in part.also_read(stage):
                found += flow.part(target, name, wildcards.get("dataset")).read_modules()
    return found


def statement(flow: Workflow, path: str) -> tuple[dict[str, Any] | None, list[str], str | None] | None:
    """Settings, modules and shard of the job that makes a sealed artifact; None for another file, or if no part makes it."""
    stage, wildcards = artifacts.job(path) or ("", {})
    if stage not in SEALED or PATHS[SEALED[stage]].format(**wildcards) != path:
        return None
    if stage == "classes" and wildcards["dataset"] not in flow.sources():
        return None
    try:
        kind = {"fetch": "fetched", "ask": "asked"}.get(stage)
        if kind and not getattr(_part(flow, stage, wildcards)[1], kind):  # the part was of another kind then
            return None
        return tuple(of_job(flow, stage, wildcards) for of_job in (settings, modules, shard))
    except KeyError:  # a part that the config no longer has
        return None


def _refuse_second_copy(flow: Workflow, stage: str, section: str, wildcards: Wildcards) -> None:
    """Raise InputError for a job of one data set whose output lies once, for all data sets of its source."""
    dataset, name = wildcards["dataset"], wildcards["name"]
    home = flow.home(section, name, dataset)
    if home != dataset:
        raise InputError(
            f"results/{dataset}/{stage}/{name} would be a second copy: the data sets of {home} share it; ask for the file"
            f" in results/{home}/{stage}/{name} instead"
        )


def _read(flow: Workflow, stage: str, wildcards: Wildcards) -> Iterator[tuple[Part, str, Reference]]:
    """The references that a stage reads: those of the job's part, and those that a generator which it names draws with."""
    section, part = _part(flow, stage, wildcards)
    main = SECTIONS[section][0]
    read = [field for field, reference in part.references.items() if stage == (reference.stage or main)]
    yield from ((part, field, part.references[field]) for field in (*read, *part.also_read(stage)))
    for field, target, name in part.referenced():
        if field in read:
            other = flow.part(target, name, wildcards.get("dataset"))
            yield from ((other, named, other.references[named]) for named in getattr(other, "drawn_with", ()))


def _of_sources(flow: Workflow, part: Part, stage: str, wildcards: Wildcards) -> dict[str, dict[str, str]]:
    """What a job that draws from real pictures reads of them: output -> wildcards.

    It reads pictures through their manifest, because thousands of jobs times all shards are too many inputs.
    """
    if stage != "sample" or not part.draw.reads_sources:
        return {}
    dataset = {"dataset": wildcards["dataset"]}
    if not part.draw.reads_embeddings:
        return {"manifest": dataset}
    foundation = flow.part("generators", part.generator, wildcards["dataset"]).foundation
    return {"manifest": dataset, "embeddings": dataset | {"name": foundation}}


def _outputs(owner: Part, field: str) -> Mapping[str, str]:
    """Name of the input -> output."""
    return owner.inputs_of(field) or {field: MAIN_OUTPUTS[owner.references[field].section]}


def _part(flow: Workflow, stage: str, wildcards: Wildcards) -> tuple[str, Part]:
    """Section and part of a job."""
    section = next(section for section, stages in SECTIONS.items() if stage in stages)
    dataset = wildcards.get("dataset")  # a foundation belongs to none
    return section, flow.part(section, dataset if section == "datasets" else wildcards["name"], dataset)


def _paths(
    flow: Workflow,
    part: Part,
    reference: Reference,
    name: str,
    output: str,
    wildcards: Wildcards,
    locate: Callable[..., Any],
) -> list[Any]:
    """Paths of an output of the part `name`, or of its pool; none for a generator without training."""
    if reference.section == "datasets":
        shards = [{"shard": shard} for shard in range(flow.part("datasets", name).shards)]
        return [locate(output, dataset=name, **shard) for shard in (shards if "{shard}" in PATHS[output] else [{}])]
    if reference.section == "searches":  # what it chose for this part
        return [locate(output, dataset=wildcards["dataset"], name=wildcards["name"])]
    parts = flow.on(wildcards["dataset"])
    target = parts[reference.section][name]
    if not getattr(target, "trained", True):
        return []
    if output == "generator" and target.adapted:
        output = "states"
    if SECTION_OF[output] != reference.section:
        name = target.pool_of(parts)
    place = {"dataset": flow.home(SECTION_OF[output], name, wildcards["dataset"]), "name": name}
    if "{seed}" in PATHS[output]:
        place["seed"] = getattr(part, reference.seed) if reference.seed else wildcards["seed"]
    if "{shard}" not in PATHS[output]:
        return [locate(output, **place)]
    if "shard" in wildcards:  # a job on a shard reads that shard
        return [locate(output, **place, shard=wildcards["shard"])]
    pool = name if SECTION_OF[output] == "pools" else target.pool_of(parts)
    return [locate(output, **place, shard=shard) for shard in range(parts["pools"][pool].shards)]
