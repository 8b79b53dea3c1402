# The resolved config, and the part of it that a job gets.

from pipeline.config import artifacts, costs, presets, reads, targets
from pipeline.config.artifacts import PATHS
from pipeline.config.differences import as_json, compared, published_tables, table_runs
from pipeline.config.raw_data import changed_raw_data, lacking, missing_raw_data, raw_folder
from pipeline.config.times import timed_modules, timed_rows, timed_tables
from pipeline.config.workflow import Workflow
from pipeline.jobs.fingerprint import fingerprint as code_fingerprint
from pipeline.jobs.lease import at_once

try:  # first, because Snakemake's errors do not say what is wrong
    own_keys = presets.read(Path("workflow_config.yaml"))
    limits = workflow.resource_settings  # a cluster's profile limits nodes, or jobs, and no cores
    if limits.cores and not limits.nodes and "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", at_once(limits.cores))
except InputError as error:
    raise WorkflowError(str(error))
if own_keys:  # Snakemake takes no empty file, but here it means the presets alone

    configfile: "workflow_config.yaml"


PAPERS = REPOSITORY / "papers"
LAYERS = []
try:
    PRESETS = presets.preset_layers(PAPERS)
    # later ones count: files of the command line over the user's usual one
    files = sorted(map(Path, workflow.configfiles), key=lambda path: path != Path("workflow_config.yaml"))
    LAYERS += [*PRESETS, *(presets.Layer(path, presets.read(path)) for path in files)]
    FLOW = Workflow(presets.combined(PRESETS, config))
except InputError as error:
    raise WorkflowError(presets.named_file(error, LAYERS))

TABLES = published_tables(PAPERS)
TIMES = timed_tables(PAPERS)
CODE = {}


def of_sources(*datasets):
    """The pattern of the wildcard `dataset` of jobs for a source, or for one of `datasets`."""
    return one_of({*datasets, *FLOW.sources()})


def fingerprint(*modules):
    """Fingerprint of the code of modules of the package, the stage's first."""
    key = " ".join(modules)
    if key not in CODE:  # thousands of shards have the same modules
        CODE[key] = code_fingerprint([f"pipeline.{module}" for module in modules])
    return CODE[key]


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
    return stored(path, FLOW.site.sample_storage) if output in OUTPUTS["sample"] else path


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


def pool_shards(output, section="pools"):
    """Every shard of the pool that a job is about, or of the scores that it is about."""

    def of_job(wildcards):
        parts = FLOW.on(wildcards.dataset)
        pool = wildcards.name if section == "pools" else parts[section][wildcards.name].pool_of(parts)
        name = wildcards.name if output == "scores" else pool
        place = wildcards.dataset if output == "scores" else FLOW.home("pools", pool, wildcards.dataset)
        shards = range(parts["pools"][pool].shards)
        return [located(output, dataset=place, name=name, shard=shard) for shard in shards]

    return of_job


def cells(output):
    """The pictures, or another output, of each cell of a comparison."""

    def of_job(wildcards):
        names = part("comparisons", wildcards).cells
        places = [(FLOW.home("pools", name, wildcards.dataset), name) for name in names]
        return [located(output, dataset=place, name=name, shard=0) for place, name in places]

    return of_job


def timed_inputs(wildcards):
    """What the pools of a table of times read, and their plans."""
    rows = reported(timed_rows, TIMES[wildcards.table])
    return [path for row in rows for paths in ([row["plan"]], *row["inputs"].values()) for path in paths]
