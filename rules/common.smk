# Shared by all rules: the resolved config, and the part of it that a job gets.

import itertools
import os
import re
import sys
import uuid

from pathlib import Path

from snakemake.target_jobs import parse_target_jobs_cli_args

sys.path.insert(0, str(workflow.basedir))

from pipeline.config import artifacts, costs, presets, reads, targets
from pipeline.config.artifacts import OUTPUTS, PATHS
from pipeline.config.differences import as_json, compared, published_tables, table_runs
from pipeline.config.raw_data import changed_raw_data, missing_raw_data, raw_folder
from pipeline.config.workflow import Workflow
from pipeline.errors import InputError
from pipeline.jobs import RUN
from pipeline.jobs.fingerprint import fingerprint as code_fingerprint
from pipeline.jobs.lease import at_once
from pipeline.jobs.resolved import Resolved, keep, kept

shell.executable("bash")
shell.prefix(
    "set -euo pipefail; "  # Snakemake's own, which a prefix replaces; without it, a job succeeds if `tee` does
    "trap '' INT TERM; "  # `tee` must not end before the stage, which saves its work first
    'logged() {{ tee "$1" || cat > /dev/null; }}; '  # a log that cannot be written fails no job
    "trap '[ $? != 137 ] || echo \"error: the stage was killed, most often because it was out of memory:"
    " give the job more (mem_mb), or lower batch_size\" >&2' EXIT; "
)
os.environ.update(
    PYTHONPATH=str(workflow.basedir),  # stages run from any working directory
    PATH=os.pathsep.join([os.path.dirname(sys.executable), os.getenv("PATH", "")]),  # with the python that runs this
    PYTHONUTF8="1",  # names of classes and files are UTF-8, whatever the locale
    PYTHONUNBUFFERED="1",  # lines reach the log at once
)
if not os.access(os.path.expanduser("~"), os.W_OK):  # as of a service's user: libraries keep their caches there
    os.environ.update(HOME=os.path.abspath(".snakemake/home"))
    os.makedirs(os.path.expanduser("~"), exist_ok=True)
if workflow.is_main_process:
    os.environ[RUN] = str(uuid.uuid4())  # inherited by the run's jobs on other machines

try:
    own_keys = {}
    if workflow.is_main_process:  # first, because Snakemake's errors do not say what is wrong
        own_keys = presets.read(Path("workflow_config.yaml"))
        limits = workflow.resource_settings  # a cluster's profile limits nodes, or jobs, and no cores
        if limits.cores and not limits.nodes and "gpu" not in workflow.global_resources:
            workflow.register_resource("gpu", at_once(limits.cores))
except InputError as error:
    raise WorkflowError(str(error))
if own_keys:  # Snakemake takes no empty file, but here it means the presets alone

    configfile: "workflow_config.yaml"


REPOSITORY = Path(os.path.relpath(workflow.basedir))
PAPERS = REPOSITORY / "papers"
OWN_FILES = [
    REPOSITORY / "Snakefile",
    *sorted(REPOSITORY.glob("rules/*.smk")),
    *sorted(REPOSITORY.glob("pipeline/config/*.py")),
]
KEPT = Path(".snakemake", "counterweight", f"{os.getenv(RUN)}.json")
LAYERS = []
try:
    if workflow.is_main_process:
        PRESETS = presets.preset_layers(PAPERS)
        LAYERS += [*PRESETS, *(presets.Layer(path, presets.read(path)) for path in map(Path, workflow.configfiles))]
        RESOLVED = Resolved(presets.combined(PRESETS, config), {})
    else:
        RESOLVED = kept(KEPT, OWN_FILES)
    FLOW = Workflow(RESOLVED.config)
except InputError as error:
    raise WorkflowError(presets.named_file(error, LAYERS))

TABLES = published_tables(PAPERS)


def one_of(names):
    """A pattern for wildcards, so that names missing in the config are not targets."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


def sent(wildcard, pattern):
    """The pattern of a wildcard; on a node, one that fits only the job that was sent there, so that no other one can run."""
    if workflow.is_main_process:
        return pattern
    words = sys.argv[sys.argv.index("--target-jobs") + 1 :]
    jobs = parse_target_jobs_cli_args(itertools.takewhile(lambda word: not word.startswith("-"), words))
    return one_of({job.wildcards_dict[wildcard] for job in jobs if wildcard in job.wildcards_dict})


def of_sources(*datasets):
    """The pattern of the wildcard `dataset` of jobs for a source, or for one of `datasets`."""
    return sent("dataset", one_of({*datasets, *FLOW.sources()}))


def fingerprint(*modules):
    """Fingerprint of the code of modules of the package, the stage's first."""
    key = " ".join(modules)
    if key not in RESOLVED.code:  # thousands of shards have the same modules
        RESOLVED.code[key] = code_fingerprint([f"pipeline.{module}" for module in modules])
    return RESOLVED.code[key]


def code(stage):
    """Fingerprint of a job's stage and of the modules that the kinds of its parts name."""
    return lambda wildcards: fingerprint(*reads.modules(FLOW, stage, dict(wildcards.items())))


def settings(stage):
    """Settings of the job's part as text, because Snakemake drops other types and would compare the order of keys."""
    return lambda wildcards: as_json(reads.settings(FLOW, stage, dict(wildcards.items())))


def inputs(stage):
    """Inputs from the parts and files that the job's part names."""
    return lambda wildcards: reported(reads.inputs, stage, dict(wildcards.items()), located)


def classes(stage):
    """The table with a job's classes."""
    return lambda wildcards: reads.classes(FLOW, stage, dict(wildcards.items()))


def flags(stage, *more):
    """The same inputs, without pictures, and `more` of the rule's inputs, as options of the stage's command line."""

    def of_job(wildcards, input):
        names = [*reads.options(FLOW, stage, dict(wildcards.items())), *more]
        named = {name: getattr(input, name, []) for name in names}
        return [word for name, paths in named.items() if paths for word in (f"--{name.replace('_', '-')}", *paths)]

    return of_job


def part(section, wildcards):
    """The part of a job's `name` wildcard, as it is on the job's data set."""
    return FLOW.part(section, wildcards.name, wildcards.dataset)


def located(output, **wildcards):
    """Path of an artifact: in results/, or in the store that the config names for generated pictures."""
    path = artifacts.locate(output, **wildcards)
    return stored(path) if output in OUTPUTS["sample"] else path


def stored(path):
    if not (store := FLOW.site.sample_storage):
        return path
    try:
        return storage(f"{store}/{path}")
    except WorkflowError:
        raise WorkflowError(
            f"sample_storage: no installed storage plugin of snakemake accepts '{store}'; install one, for example"
            " snakemake-storage-plugin-s3 for s3://bucket/folder, or -fs for /folder"
        )


def real_shards(wildcards, output="real"):
    """Every shard of a data set's real pictures, or of another output beside them."""
    shards = range(FLOW.part("datasets", wildcards.dataset).shards)
    return [artifacts.locate(output, dataset=wildcards.dataset, shard=shard) for shard in shards]


def shard_of(stage):
    """The shard that a job makes, as `0 of 16`."""
    return lambda wildcards: reads.shard(FLOW, stage, dict(wildcards.items()))


def main_runs(wildcards):
    """The main recipes' runs on a data set."""
    return reported(targets.main_runs, wildcards.dataset)


def recipe_runs(wildcards):
    """One recipe's runs on a data set, main or not."""
    return reported(targets.recipe_runs, wildcards.recipe, wildcards.dataset)


def reported(function, *arguments):
    """Result of a function of the config; its error ends this run with one sentence, without Snakemake's traceback."""
    try:
        return function(FLOW, *arguments)
    except InputError as error:
        sys.exit(f"error: {presets.named_file(error, LAYERS)}")


def pool_shards(output):
    """Every shard of the pool that a job is about."""

    def of_job(wildcards):
        shards = range(part("pools", wildcards).shards)
        place = FLOW.home("pools", wildcards.name, wildcards.dataset)
        return [located(output, dataset=place, name=wildcards.name, shard=shard) for shard in shards]

    return of_job
