# Checks before the first job: one sentence for each thing that would fail later.

import functools
import time

from pipeline.config.artifacts import SECTIONS, TRAININGS


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
    return said.get("settings") == json.loads(as_json(reads.settings(FLOW, "subset", {"dataset": dataset})))


def raw_data_refusals():
    """One sentence for each data set with missing raw data that jobs of this run will read."""
    read = {job.wildcards.dataset for job in workflow.dag.needrun_jobs() if job.rule.name in ("subset", "store")}
    listed = {job.wildcards.dataset for job in workflow.dag.needrun_jobs() if job.rule.name == "classes"}
    read |= {FLOW.sources()[source] for source in listed}
    return [complaint for dataset in sorted(read) if (complaint := missing_raw_data(FLOW, dataset))]


def lacking_refusals():
    """One sentence for each part of this run that needs a validation split or groups which its data set turns out not to have."""
    places = {}
    for job in workflow.dag.needrun_jobs():
        section = next((section for section, stages in SECTIONS.items() if job.rule.name in stages), "datasets")
        if (
            section not in ("datasets", "foundations", "comparisons")
            and job.wildcards.dataset in FLOW.parts["datasets"]
        ):
            places.setdefault(job.wildcards.dataset, set()).add((section, job.wildcards.name))
    return [complaint for dataset in sorted(places) for complaint in lacking(FLOW, dataset, sorted(places[dataset]))]


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
        *(raw_data_refusals() or lacking_refusals()),
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
