# What the rules share: the resolved config, what a stage is given of it, and the names of artifacts.

import csv
import functools
import json
import os
import re
import sys
import uuid

from fnmatch import fnmatch
from pathlib import Path

sys.path.insert(0, str(workflow.basedir))

from pipeline import kinds
from pipeline.config import costs
from pipeline.config.duplicates import refuse_duplicates
from pipeline.config.workflow import Workflow
from pipeline.errors import InputError
from pipeline.jobs.fingerprint import fingerprint as code_fingerprint

shell.executable("bash")
shell.prefix(
    "set -euo pipefail; "  # Snakemake's own, which a prefix replaces: else a job succeeds where `tee` does
    "trap '' INT TERM; "  # what reads a stage's lines must not end before the stage, which saves its work first
    "trap '[ $? != 137 ] || echo \"error: the stage was killed, most often because it was out of memory:"
    " give the job more (mem_mb), or lower batch_size\" >&2' EXIT; "
)
os.environ.update(
    PYTHONPATH=str(workflow.basedir),  # stages run from any working directory,
    PATH=os.pathsep.join([os.path.dirname(sys.executable), os.getenv("PATH", "")]),  # with the python that runs this,
    GOMP_SPINCOUNT="1000",  # without threads that spin for long while another job wants the core,
    PYTHONUNBUFFERED="1",  # their lines reach the log as they come,
)
os.environ.setdefault("COUNTERWEIGHT_RUN", str(uuid.uuid4()))  # on a node, the run's that sent the job

try:
    for file in workflow.configfiles:
        refuse_duplicates(Path(file))
except InputError as error:
    raise WorkflowError(str(error))

try:
    FLOW = Workflow(config)
except InputError as error:
    raise WorkflowError(f"{', '.join(map(str, workflow.configfiles))}: {error}")

DATA_ROOT = FLOW.site.data_root or os.getenv("COUNTERWEIGHT_DATA") or "data"
FAMILIES = FLOW.families()
RESOURCES = Path(os.path.relpath(workflow.basedir)) / "resources" / "published"
PUBLISHED = sorted(path.stem for path in RESOURCES.glob("*_[0-9].csv"))


def one_of(names):
    """A pattern for wildcards: what the config does not know is no target."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


def part(section, wildcards):
    """The part that a job's `name` wildcard is about."""
    try:
        return FLOW.part(section, wildcards.name)
    except KeyError:
        raise WorkflowError(f"the config has no {section}.{wildcards.name}")


def as_json(value):
    """Params must be text: Snakemake drops what it cannot represent, and a dict's order would count."""
    return json.dumps(value, sort_keys=True, default=lambda inner: inner.model_dump(mode="json"))


@functools.cache  # thousands of shards have the same
def fingerprint(stage, *modules):
    """The code of a stage and of the modules that its kinds resolve to."""
    return code_fingerprint([f"pipeline.{module}" for module in (f"stages.{stage}", *modules)])


def backbone(classifier):
    return f"classifiers.backbones.{FLOW.part('classifiers', classifier).backbone}"


def loss(wildcards):
    """The module of a classifier's loss, where its scheme has one to choose."""
    name = getattr(part("classifiers", wildcards), "loss", None)
    return [f"classifiers.losses.{name}"] if name else []


def launcher(gpus):
    """What starts a training stage: one process, or one for each GPU of the node."""
    return "python" if gpus == 1 else f"python -m torch.distributed.run --standalone --nproc-per-node {gpus}"


def manifest(wildcards):
    return f"results/{wildcards.dataset}/subset/manifest.parquet"


def source_of(wildcards):
    return f"data.{FLOW.part('datasets', wildcards.dataset).source}"


def raw_folder(dataset):
    """Where a data set's raw pictures are looked for."""
    entry = FLOW.part("datasets", dataset)
    return os.path.join(DATA_ROOT, entry.path or kinds.load("data", entry.source).LOCATION.folder)


def raw_missing(dataset):
    """One sentence about raw pictures that are not there, or None."""
    entry = FLOW.part("datasets", dataset)
    location = kinds.load("data", entry.source).LOCATION
    if table := getattr(entry, "table", None):
        location = location._replace(needs=(*location.needs, table))
    complaint = location.complain(Path(raw_folder(dataset)))
    return complaint and f"{dataset}: {complaint}"


def warned_of_raw(wildcards):
    """No input: a dry run's warning of what a real run refuses to start without."""
    made = f"results/{wildcards.dataset}/subset/pictures.parquet"
    if workflow.dryrun and not os.path.exists(made) and (complaint := raw_missing(wildcards.dataset)):
        print(f"warning: {complaint}", file=sys.stderr)
    return []


onstart:
    datasets = {
        job.wildcards.dataset for job in workflow.dag.needrun_jobs() if job.rule.name in ("subset", "store")
    }
    complaints = [complaint for dataset in sorted(datasets) if (complaint := raw_missing(dataset))]
    if os.path.exists("results") and not os.access("results", os.W_OK):
        complaints.append("results/ cannot be written: its disk is read-only, or it belongs to somebody else")
    if on_slurm():
        complaints += slurm_refusals()
        mend_plugin()
    for job in workflow.dag.needrun_jobs():
        if job.rule.name != "classifier" or job.resources.get("gres"):
            continue
        if job.resources.gpu < (gpus := part("classifiers", job.wildcards).gpus):
            complaints.append(  # else Snakemake would count, and the job lease, fewer than the processes it starts
                f"classifiers.{job.wildcards.name}: gpus is {gpus}, but this run has {job.resources.gpu} at most; "
                f"start it with --resources gpu={gpus}, on a machine that has them"
            )
    if complaints:
        raise WorkflowError(*complaints)


def real_shards(dataset, suffix):
    shards = range(FLOW.part("datasets", dataset).shards)
    return [f"results/{dataset}/subset/real/shard-{shard:05d}.{suffix}" for shard in shards]


def real_pictures(wildcards):
    return real_shards(wildcards.dataset, "tar")


def sample_file(dataset, samples, shard, suffix):
    """A shard's tar, index or statistics: here, or in the store that the config names."""
    path = f"results/{dataset}/sample/{samples}/shard-{shard}.{suffix}"
    if not (store := FLOW.site.sample_storage):
        return path
    try:
        return storage(f"{store}/{path}")
    except WorkflowError:
        raise WorkflowError(
            f"sample_storage: no one storage plugin of snakemake takes '{store}'; install the right one,"
            " as snakemake-storage-plugin-s3 for s3://bucket/folder, or -fs for /folder"
        )


def pool_files(dataset, samples, suffix):
    shards = range(FLOW.part("samples", samples).shards)
    return [sample_file(dataset, samples, f"{shard:05d}", suffix) for shard in shards]


def pool_indices(dataset, samples):
    return pool_files(dataset, samples, "parquet")


def pool_pictures(dataset, samples):
    return pool_files(dataset, samples, "tar")


def weights(dataset, classifier, seed):
    return f"results/{dataset}/classifier/{classifier}/seed-{seed}/weights.safetensors"


def selected(dataset, filters):
    return [f"results/{dataset}/select/{name}/selected.parquet" for name in filters]


def metrics(dataset, classifier, seed):
    return f"results/{dataset}/evaluate/{classifier}/seed-{seed}/metrics.json"


def quality(dataset, name):
    return f"results/{dataset}/quality/{name}/quality.json"


def results_of(run):
    """Where a run's figures lie, for the stages that make tables of them."""
    return {
        "recipe": run.recipe,
        "dataset": run.dataset,
        "metrics": [metrics(run.dataset, run.classifier, seed) for seed in run.seeds],
        "quality": quality(run.dataset, run.quality) if run.quality else None,
    }


def result_files(runs):
    found = [results_of(run) for run in runs]
    return [path for run in found for path in run["metrics"]] + [run["quality"] for run in found if run["quality"]]


def family_targets(family):
    """Results of a family's main recipes, and a first look at every pool they use."""
    runs = FAMILIES[family]
    targets = {f"results/{run.dataset}/summary.md" for run in runs}
    pools = {(run.dataset, pool) for run in runs for _, pool in FLOW.pools(run.classifier)}
    return sorted(targets | {f"results/{dataset}/grid/{pool}.png" for dataset, pool in pools})


def no_main_of(family):
    """What says so when the family is asked for."""

    def complain(wildcards):
        raise WorkflowError(f"no recipe on {family} is main; give one of them main: true")

    return complain


def generator_of(wildcards):
    return FLOW.part("generators", part("samples", wildcards).generator)


def generator_files(wildcards):
    folder = f"results/{wildcards.dataset}/generator/{part('samples', wildcards).generator}"
    return {
        "generator": f"{folder}/history.parquet",
        "unet": f"{folder}/unet/diffusion_pytorch_model.safetensors",
        "unet_config": f"{folder}/unet/config.json",
        "scheduler": f"{folder}/scheduler/scheduler_config.json",
    }


def scorer(wildcards):
    """(classifier, seed) that judges."""
    scores = part("scores", wildcards)
    return scores.by, scores.by_seed


def scored_file(wildcards, suffix):
    """The file of a pool's shard that is scored as one."""
    return sample_file(wildcards.dataset, part("scores", wildcards).samples, wildcards.shard, suffix)


def scores_of(wildcards):
    name = part("filters", wildcards).scores
    shards = range(FLOW.part("samples", FLOW.samples_of(wildcards.name)).shards if name else 0)
    return [f"results/{wildcards.dataset}/score/{name}/shard-{shard:05d}.parquet" for shard in shards]


def generated_pictures(wildcards):
    pools = FLOW.pools(wildcards.name)
    return [picture for _, samples in pools for picture in pool_pictures(wildcards.dataset, samples)]


def first_stage(wildcards):
    """The weights to start from: those of the first stage with the same seed."""
    name = part("classifiers", wildcards).init
    return [weights(wildcards.dataset, name, wildcards.seed)] if name else []


def pretrained(wildcards):
    """The file of weights to start from, or none."""
    path = part("classifiers", wildcards).pretrained
    return [path] if path else []


def decoders(wildcards):
    """Cores of a training job: large pictures are decoded meanwhile, for each of its GPUs."""
    classifier = part("classifiers", wildcards)
    return 8 * classifier.gpus if (classifier.side or 0) > 64 else 2


def extractor(wildcards):
    """f0's weights, or none where Inception's are given."""
    measured = part("qualities", wildcards)
    return [weights(wildcards.dataset, measured.by, measured.by_seed)] if measured.by else []


def inception(wildcards):
    """The file of Inception's weights, where it is what measures."""
    path = part("qualities", wildcards).inception_weights
    return [path] if path else []


def main_runs(wildcards):
    """The main recipes' runs on a data set."""
    runs = [run for runs in FAMILIES.values() for run in runs if run.dataset == wildcards.dataset]
    return runs or no_main_of(wildcards.dataset)(wildcards)


def kinds_of(runs):
    """The modules that the parts of some runs resolve to, for a stage that tries them all."""
    parts = FLOW.needed(runs)
    found = [
        f"generators.{generator.kind}.{does}"
        for generator in parts.get("generators", {}).values()
        for does in ("train", "sample")
    ]
    found += [f"scores.{metric}" for scores in parts.get("scores", {}).values() for metric in scores.metrics]
    for name, classifier in parts["classifiers"].items():
        found += [backbone(name), f"classifiers.schemes.{classifier.scheme}"]
        found += [f"classifiers.losses.{classifier.loss}"] if hasattr(classifier, "loss") else []
    return found


def published_rows(table):
    """Rows of a published table; each names the recipe and data set of ours that it stands beside, or none."""
    with open(RESOURCES / f"{table}.csv", newline="") as file:
        return list(csv.DictReader(file))


def table_runs(table):
    """Our runs of a published table, each once."""
    wanted = dict.fromkeys((row["recipe"], row["dataset"]) for row in published_rows(table) if row["recipe"])
    try:
        return [FLOW.run(*names) for names in wanted]
    except InputError as error:
        raise WorkflowError(f"{RESOURCES / table}.csv: {error}")


def differences(table, run):
    """What a run does otherwise than the paper: `key value (published value)`, but for what it varies on purpose.

    A setting is of the families and of the recipes (patterns) that its row names, or of all.
    """
    with open(RESOURCES / f"{table.rsplit('_', 1)[0]}_settings.csv", newline="") as file:
        settings = list(csv.DictReader(file))
    found = []
    for row in settings:
        families, recipes = row["family"].split(), row["recipes"].split()
        is_meant = FLOW.family(run.dataset) in (families or [FLOW.family(run.dataset)])
        is_meant = is_meant and any(fnmatch(run.recipe.split("~")[0], pattern) for pattern in recipes or ["*"])
        if row["key"] in run.varied or not is_meant:
            continue
        ours = [json.loads(as_json(value)) for value in FLOW.setting(run, row["key"])]
        others = [as_json(value) for value in ours if value != json.loads(row["value"])]
        if others:
            found.append(f"{row['key']} {', '.join(dict.fromkeys(others))} ({row['value']})")
    return found
