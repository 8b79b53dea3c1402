"""Counterweight: balance long-tailed image data with generated pictures, and train classifiers on the result.

snakemake --profile local all_demo                 # a laptop
snakemake --profile slurm all_cifar100_lt          # a cluster
snakemake -n --profile local table_diffult_3       # what would run, and why
snakemake --profile slurm cost_imagenet_lt         # its estimated cost
"""

from snakemake.utils import min_version

min_version("9.20")


include: "rules/common.smk"
include: "rules/records.smk"
include: "rules/cluster.smk"
include: "rules/checks.smk"
include: "rules/subset.smk"
include: "rules/store.smk"
include: "rules/manifest.smk"
include: "rules/classes.smk"
include: "rules/describe.smk"
include: "rules/throughput.smk"
include: "rules/cost.smk"
include: "rules/fetch.smk"
include: "rules/foundation.smk"
include: "rules/ask.smk"
include: "rules/prompts.smk"
include: "rules/generator.smk"
include: "rules/plan.smk"
include: "rules/sample.smk"
include: "rules/features.smk"
include: "rules/score.smk"
include: "rules/select.smk"
include: "rules/classifier.smk"
include: "rules/evaluate.smk"
include: "rules/quality.smk"
include: "rules/grid.smk"
include: "rules/summary.smk"
include: "rules/tables.smk"
include: "rules/verify.smk"


wildcard_constraints:
    dataset=sent("dataset", one_of(FLOW.parts["datasets"])),
    name=sent("name", one_of(name for section in FLOW.parts.values() for name in section)),
    seed=sent("seed", r"\d+"),
    shard=sent("shard", r"\d{5}"),
    recipe=sent("recipe", one_of(FLOW.parts["recipes"])),
    table=sent("table", one_of(TABLES)),


if workflow.is_main_process:  # a node of a cluster makes files, and no targets

    include: "rules/targets.smk"
