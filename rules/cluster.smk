# What only concerns a run on Slurm.

import subprocess

from pipeline import cluster

if workflow.remote_exec:
    # On a node. Only the run that sent the job removes what a failed one leaves: a node that was given up for lost would remove what the retry made.
    workflow.execution_settings.keep_incomplete = True


def on_slurm():
    return bool(workflow.executor_plugin) and workflow.executor_plugin.name == "slurm"


def slurm_refusals():
    """One sentence for each thing that jobs will ask for and the cluster has not."""
    asked = subprocess.run(cluster.QUERY, capture_output=True, text=True)
    if asked.returncode:
        return [f"{' '.join(cluster.QUERY)}: {asked.stderr.strip()}"]
    requests = {asked_of_slurm(job) for job in workflow.dag.needrun_jobs() if not job.is_local}
    return cluster.complaints(sorted(requests - {None}, key=str), cluster.nodes_of(asked.stdout))


def asked_of_slurm(job):
    """What a job's last attempt will ask for, which is the most; None where the plugin chooses among clusters or partitions itself."""
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


def wait_for_slurm():
    """Let the plugin take no answer about its jobs for no news: it would forget them, and wait for ever."""
    import snakemake_executor_plugin_slurm as plugin

    query = plugin.query_job_status

    async def answered(*arguments):
        statuses, seconds = await query(*arguments)
        return ({}, 0.0) if statuses is None else (statuses, seconds)

    plugin.query_job_status = answered
