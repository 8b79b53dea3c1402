# Checks before the first job: one sentence for each thing that would fail later.

import functools
import shutil
import time

from pipeline.config.artifacts import TRAININGS
from pipeline.config.parts import on_disk
from pipeline.foundations import fit, hub

CLIP = "open_clip_config.json"
MODELS = {}  # models on a hub that this run will fetch


def warned_of_raw_data(wildcards):
    """No input, but warnings about raw data: in a dry run about missing ones, without which a real run does not start."""
    warn_of_raw_data(wildcards.dataset)
    return []


@functools.cache  # Snakemake may ask for a job's inputs more than once
def warn_of_raw_data(dataset):
    subset = PATHS["subset"].format(dataset=dataset)
    forced = workflow.dag_settings.forceall or {"subset", subset} & set(workflow.dag_settings.forcerun)
    complaint = None
    if workflow.dryrun and not is_of_these_settings(subset, dataset):
        complaint = missing_raw_data(FLOW, dataset)
    if not forced and not complaint:
        complaint = changed_raw_data(FLOW, dataset)
    if complaint:
        print(f"warning: {as_started(complaint)}", file=sys.stderr)


def is_of_these_settings(subset, dataset):
    """Whether there is a subset, and it was made with the settings that the data set has."""
    said = made.about(Path(subset)).get("made") or {}
    return os.path.exists(subset) and said.get("settings") == json.loads(
        as_json(reads.settings(FLOW, "subset", {"dataset": dataset}))
    )


def raw_data_refusals():
    """One sentence for each data set with missing raw data that jobs of this run will read."""
    read = {job.wildcards.dataset for job in workflow.dag.needrun_jobs() if job.rule.name in ("subset", "store")}
    listed = {job.wildcards.dataset for job in workflow.dag.needrun_jobs() if job.rule.name == "classes"}
    read |= {FLOW.sources()[source] for source in listed}
    return [complaint for dataset in sorted(read) if (complaint := missing_raw_data(FLOW, dataset))]


def warned_of_foundation(wildcards):
    """No input, but a warning about a foundation that cannot be made, without which a real run does not start."""
    made = PATHS["foundation"].format(name=wildcards.name)
    complaint = FLOW.part("foundations", wildcards.name).missing()
    if workflow.dryrun and complaint and not os.path.exists(made):
        print(f"warning: foundations.{wildcards.name}: {complaint}", file=sys.stderr)
    return []


def foundation_refusals():
    """One sentence for each foundation that this run would make and cannot."""
    names = {job.wildcards.name for job in workflow.dag.needrun_jobs() if job.rule.name == "foundation"}
    parts = {name: FLOW.part("foundations", name) for name in sorted(names)}
    missing = {name: part.missing() or space_complaint(name, part.space()) for name, part in parts.items()}
    for job in workflow.dag.needrun_jobs():
        if job.rule.name == "fetch":
            missing[job.wildcards.name] = hub_complaint(job.wildcards.name)
    missing = [f"foundations.{name}: {complaint}" for name, complaint in missing.items() if complaint]
    return missing or misuses()


def misuses():
    """One sentence for each generator of this run that cannot draw with its foundation, as far as the model's files can be seen."""
    of_pools = {
        (job.wildcards.name, job.wildcards.dataset) for job in workflow.dag.needrun_jobs() if job.rule.name == "sample"
    }
    generators = {
        name: FLOW.part("generators", name) for name in {FLOW.part("pools", *pool).generator for pool in of_pools}
    }
    found = {f"generators.{name}": misuse(generator) for name, generator in sorted(generators.items())}
    scores = {
        (job.wildcards.name, job.wildcards.dataset) for job in workflow.dag.needrun_jobs() if job.rule.name == "score"
    }
    found |= {f"scores.{name}": misused_clip(FLOW.part("scores", name, dataset)) for name, dataset in sorted(scores)}
    return [f"{place}: {complaint}" for place, complaint in found.items() if complaint]


def misused_clip(score):
    """Why a score's foundation is no CLIP; None if it is, or if its files come with its job."""
    part = FLOW.part("foundations", score.foundation) if score.kind == "clip" else None
    if part is None or part.kind != "folder" or (Path(on_disk(part.path)) / CLIP).exists():
        return None
    return f"{part.path} has no {CLIP}, so it is no CLIP of open_clip; name another foundation"


def misuse(generator):
    """Why a generator cannot draw with its foundation; None if it can, or if the model's files come with its job."""
    name = getattr(generator, "foundation", None)
    if name is None:
        return None
    part, folder = FLOW.part("foundations", name), Path(PATHS["fetched"].format(name=name)).parent / "files"
    if part.kind == "folder":
        folder = Path(on_disk(part.path))
        if not (folder / fit.INDEX).exists():
            return f"{part.path} has no {fit.INDEX}, so no generator draws with it; name another foundation"
    pipeline = hub.pipeline_of(MODELS[name]) if name in MODELS else None
    if (folder / fit.INDEX).exists() and not pipeline:
        pipeline = fit.pipeline_class(folder)
    return pipeline and fit.misuse(f"foundations.{name}", pipeline, generator.kind)


def hub_complaint(name):
    """Why a foundation cannot be fetched, or None; and its size, for the terminal."""
    settings = FLOW.part("foundations", name).fetching_settings()
    folder = Path(PATHS["fetched"].format(name=name)).parent
    try:
        model = hub.find(*(settings[key] for key in ("hub", "variant", "allow_pickle", "safety_checker")))
    except InputError as error:
        return str(error)
    MODELS[name] = model
    tell_space(name, f"{model.bytes / 1e9:.1f} GB from {model.id}", folder)
    return None


def space_complaint(name, needed):
    """Why the files that a foundation's job writes have no room, or None; and their size, for the terminal."""
    if needed == 0:
        return None
    folder = Path(PATHS["foundation"].format(name=name)).parent
    free = tell_space(name, f"{needed / 1e9:.1f} GB after conversion", folder)
    if needed > free:
        return f"its files take {needed / 1e9:.1f} GB, but the disk of {folder} has {free / 1e9:.1f} GB left; make room"
    return None


def tell_space(name, needed, folder):
    """Bytes that are free on the disk of a foundation's folder, after printing that and what is needed."""
    free = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free
    print(f"foundations.{name}: {needed}; {free / 1e9:.1f} GB are free", file=sys.stderr)
    return free


def endpoint_refusals():
    """One sentence for each endpoint that this run would ask and cannot."""
    names = {job.wildcards.name for job in workflow.dag.needrun_jobs() if job.rule.name == "ask"}
    missing = {name: FLOW.part("prompts", name).missing() for name in sorted(names)}
    return [f"prompts.{name}: {complaint}" for name, complaint in missing.items() if complaint]


def gpu_refusals():
    """One sentence for each classifier that needs more GPUs than this run has: it would start more processes than it leases GPUs."""
    complaints = []
    for job in workflow.dag.needrun_jobs():
        if job.rule.name != "classifier" or job.resources.get("gres"):
            continue
        if job.resources.gpu < (gpus := part("classifiers", job.wildcards).gpus):
            complaints.append(
                f"classifiers.{job.wildcards.name}: gpus is {gpus}, but this run has only {job.resources.gpu}; "
                f"start it with --resources gpu={gpus}, on a machine that has them"
            )
    return complaints


def future_refusals():
    """One sentence if an input of this run's jobs is dated in the future: Snakemake would delete what was made from it."""
    now = time.time() + 60
    read = {str(path) for job in workflow.dag.needrun_jobs() for path in job.input if not path.is_storage}
    late = sorted(path for path in read if os.path.exists(path) and os.stat(path).st_mtime > now)
    if not late:
        return []
    dated = time.strftime("%Y-%m-%d %H:%M", time.localtime(os.stat(late[0]).st_mtime))
    more = f" (and {len(late) - 1} more files)" if late[1:] else ""
    return [f"{late[0]}{more} is dated in the future, {dated}; set the clocks right, or date it now: touch {late[0]}"]


@functools.cache
def damage(path):
    """What to say of a file without the bytes that were written, or None; statements leave out shards, as tables stand for them."""
    try:
        made.checked_digest(Path(path))
    except InputError as error:
        return str(error)


def lost_time_refusals():
    """One sentence if finished work would be done again for the times of files alone, as after a copy without times.

    If an input is newer because it is damaged, the sentence names the damage instead. Snakemake would delete what was made from it.
    """
    kept, changed, damaged = [], set(), []
    needed = [job for level in workflow.dag.toposorted() for job in level if workflow.dag.needrun(job)]
    for job in needed:
        reason = workflow.dag.reason(job)
        other = reason.forced or reason.missing_output or reason.incomplete_output or reason.is_provenance_triggered()
        same = not other and changed.isdisjoint(workflow.dag.dependencies[job]) and is_as_planned(job)
        if same:
            damaged += filter(None, (damage(str(path)) for path in reason.updated_input))
        kept.append(job) if same else changed.add(job)
    if damaged or not kept:
        return list(dict.fromkeys(damaged))
    outputs = [path for job in kept for path in job.output]
    targets = " ".join(map(str, workflow.dag_settings.targets or ()))
    return [
        f"{len(kept)} finished jobs would run again, only because of the times of files, the first for {outputs[0]}; keep"
        f" what is there: make accept TARGETS='{targets}'; or make it again: add --forcerun {kept[0].rule.name}"
    ]


def forget_finished_work(everything=False):
    """Delete checkpoints of trainings, and pieces of shards, whose outputs were accepted."""
    for job in workflow.dag.jobs:
        accepted = job.rule.name in TRAININGS and (not workflow.dag.needrun(job) or workflow.dag.finished(job))
        if job.output and (everything or accepted):
            forget_work(job)


def forget_run():
    """Delete what this run has kept for its jobs."""
    for path in (KEPT, PLANNED):
        path.unlink(missing_ok=True)


onstart:
    complaints = [
        *raw_data_refusals(),
        *foundation_refusals(),
        *endpoint_refusals(),
        *gpu_refusals(),
        *slurm_refusals(),
    ]
    if not workflow.touch:
        complaints += [*future_refusals(), *lost_time_refusals()]
    for name in ("results", "logs"):
        if os.path.lexists(name) and not os.path.isdir(name):
            complaints.append(f"{name} must be a folder, but is a file or a broken link; move it away")
    if os.path.isdir("results") and not os.access("results", os.W_OK):
        complaints.append("results/ cannot be written: its disk is read-only, or it belongs to another user")
    if complaints:
        raise WorkflowError(*map(as_started, complaints))
    prepare_slurm()
    keep_plans()
    keep_statements()
    forget_finished_work()


onsuccess:
    forget_run()
    forget_finished_work(everything=True)


onerror:
    forget_run()
    forget_finished_work()
