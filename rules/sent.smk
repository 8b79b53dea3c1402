# On a node of a cluster: the jobs that were sent there, as their run has planned them, and no others.

import itertools

from snakemake.target_jobs import parse_target_jobs_cli_args


def sent_jobs():
    """The plan of each job: its rule, wildcards, inputs, outputs' store, parameters, resources and command."""
    words = sys.argv[sys.argv.index("--target-jobs") + 1 :]
    jobs = parse_target_jobs_cli_args(itertools.takewhile(lambda word: not word.startswith("-"), words))
    try:
        return planned.kept(KEPT, [(job.rulename, job.wildcards_dict) for job in jobs], OWN_FILES)
    except InputError as error:
        raise WorkflowError(str(error))


SENT = sent_jobs()


def of_stage(stage):
    return [job for job in SENT if job["rule"] == stage]


def sent(stage, kind):
    """What the plan of a stage's job has of a kind, by its wildcards."""
    return lambda wildcards: next(job[kind] for job in of_stage(stage) if job["wildcards"] == dict(wildcards.items()))


def sent_inputs(stage):
    def of_job(wildcards):
        found = sent(stage, "input")(wildcards)
        return {name: [storage(path) if is_stored else path for path, is_stored in found[name]] for name in found}

    return of_job


def sent_params(stage):
    def named(name):
        return lambda wildcards: sent(stage, "params")(wildcards)[name]

    return {name: named(name) for name in of_stage(stage)[0]["params"]}
