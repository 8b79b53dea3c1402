# For runs on a cluster only.

from pipeline.jobs import cluster


def on_slurm():
    return bool(workflow.executor_plugin) and workflow.executor_plugin.name == "slurm"


def slurm_refusals():
    """One sentence for each request of this run's jobs that the cluster cannot meet; none without Slurm."""
    if not on_slurm():
        return []
    try:
        nodes = cluster.find_nodes()
    except InputError as error:
        return [str(error)]
    requests = {asked_of_slurm(job) for job in workflow.dag.needrun_jobs() if not job.is_local}
    return cluster.complaints(sorted(requests - {None}, key=str), nodes)


def asked_of_slurm(job):
    """Request of a job's last attempt, the largest one; None if the plugin itself chooses among clusters or partitions."""
    job.attempt = 1 + job.restart_times
    asked = job.resources
    job.attempt = 1
    chosen = asked.get("slurm_partition") or not (
        workflow.executor_settings.partition_config or os.getenv("SNAKEMAKE_SLURM_PARTITIONS")
    )
    if any(asked.get(name) for name in ("slurm_cluster", "cluster", "clusters")) or not chosen:
        return None
    kind = asked.get("gpu_model") or ""
    gpus = cluster.gpus_of(asked.get("gres") or "") or {kind: asked.get("gpu") or bool(kind)}
    return cluster.Request(
        stage=job.rule.name,
        partition=asked.get("slurm_partition"),
        cpus=asked.get("cpus_per_task") or job.threads,
        memory_mb=asked.get("mem_mb") or 0,
        minutes=asked.get("runtime"),
        gpus=sum(gpus.values()),
        gpu_type="".join(gpus),
    )


def keep_plans():
    """Keep the plans of this run's jobs on other machines, which wait, run and are retried while people edit files."""
    if workflow.local_exec:
        return
    jobs = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
    planned.keep(KEPT, ((job.rule.name, job.wildcards_dict, plan_of(job)) for job in jobs), OWN_FILES)


def plan_of(job):
    """What rules/node.smk makes a job of."""
    return {
        "rule": job.rule.name,
        "wildcards": job.wildcards_dict,
        "input": {name: list(map(place_of, as_list(job.input[name]))) for name in job.input.keys()},
        "store": FLOW.site.sample_storage,
        "params": dict(job.params.items()),
        "resources": {name: job.resources[name] for name in ("gpu",) if name in job.rule.resources},
        "threads": job.threads,
        "log": str(job.rule.log[0]),
        "shell": job.rule.shellcmd,
    }


def as_list(paths):
    return [paths] if isinstance(paths, str) else paths


def place_of(path):
    """The path of an input, or what names it in a store, and whether it is in one."""
    return (path.storage_object.query, True) if path.is_storage else (path, False)


def prepare_slurm():
    """Correct the pinned version of Slurm's plugin for runs of a week that nobody watches."""
    if not on_slurm():
        return
    import snakemake_executor_plugin_slurm as plugin

    query, arguments = plugin.query_job_status, plugin.Executor.additional_general_args
    known = set()

    async def answered(*given):
        # in each of these cases, the plugin alone would wait for ever
        statuses, seconds = await query(*given)
        if statuses is None:
            return {}, 0.0  # no answer: nothing has changed
        # Slurm forgets jobs some time after their end; their outputs show how they ended
        forgotten = dict.fromkeys(known - statuses.keys(), "UNKNOWN")
        known.update(statuses)
        again = {job: "CANCELLED" for job, status in statuses.items() if status == "PREEMPTED"}
        return forgotten | statuses | again, seconds

    def kept(executor):
        # only this run removes files of failed jobs: a node that returns after it was given up would remove the retry's files
        return f"{arguments(executor)} --keep-incomplete"

    plugin.query_job_status, plugin.Executor.additional_general_args = answered, kept
