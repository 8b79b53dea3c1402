# Checks before the first job: one sentence for each thing that would fail later.


def warned_of_raw_data(wildcards):
    """No input, but in a dry run a warning about missing raw data; a real run does not start without them."""
    made = PATHS["subset"].format(dataset=wildcards.dataset)
    if workflow.dryrun and not os.path.exists(made) and (complaint := missing_raw_data(FLOW, wildcards.dataset)):
        print(f"warning: {complaint}", file=sys.stderr)
    return []


def raw_data_refusals():
    """One sentence for each data set with missing raw data that jobs of this run will read."""
    read = {job.wildcards.dataset for job in workflow.dag.needrun_jobs() if job.rule.name in ("subset", "store")}
    return [complaint for dataset in sorted(read) if (complaint := missing_raw_data(FLOW, dataset))]


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


onstart:
    complaints = [*raw_data_refusals(), *gpu_refusals(), *slurm_refusals()]
    if os.path.exists("results") and not os.access("results", os.W_OK):
        complaints.append("results/ cannot be written: its disk is read-only, or it belongs to another user")
    if complaints:
        raise WorkflowError(*complaints)
    prepare_slurm()
