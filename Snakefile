"""Counterweight: balance long-tailed image data with generated pictures, and train classifiers on the result.

snakemake --profile local all_demo                 # a laptop
snakemake --profile slurm all_cifar100_lt          # a cluster
snakemake -n --profile local table_diffult_3       # what would run, and why
snakemake --profile slurm cost_imagenet_lt         # its estimated cost
"""

from snakemake.utils import min_version

min_version("9.20")


include: "rules/common.smk"


if workflow.is_main_process:

    include: "rules/flow.smk"
    include: "rules/records.smk"
    include: "rules/cluster.smk"
    include: "rules/models.smk"
    include: "rules/checks.smk"

    for stage in (*OUTPUTS, "verify"):

        include: f"rules/{stage}.smk"
    include: "rules/targets.smk"

    wildcard_constraints:
        dataset=one_of(FLOW.parts["datasets"]),
        seed=r"\d+",
        shard=r"\d{5}",
        recipe=one_of(FLOW.parts["recipes"]),
        table=one_of(TABLES),

else:

    include: "rules/sent.smk"
    include: "rules/node.smk"
