"""Paths of all artifacts: stage -> output -> path, with the wildcards of the stage's rule."""

import functools
import re

OUTPUTS: dict[str, dict[str, str]] = {
    "subset": {"subset": "results/{dataset}/subset/pictures.parquet"},
    "store": {
        "real": "results/{dataset}/subset/real/shard-{shard}.tar",
        "real_index": "results/{dataset}/subset/real/shard-{shard}.parquet",
        "real_rejected": "results/{dataset}/subset/real/shard-{shard}.rejected.parquet",
    },
    "manifest": {
        "manifest": "results/{dataset}/subset/manifest.parquet",
        "duplicates": "results/{dataset}/subset/duplicates.parquet",
        "rejected": "results/{dataset}/subset/rejected.parquet",
    },
    "classes": {"class_list": "results/{dataset}/classes.parquet"},  # here and below, `dataset` may be a source
    "fetch": {"fetched": "results/foundations/{name}/fetched.parquet"},
    "foundation": {"foundation": "results/foundations/{name}/foundation.parquet"},
    "embeddings": {"embeddings": "results/{dataset}/embeddings/{name}/embeddings.safetensors"},
    "ask": {"answers": "results/{dataset}/prompts/{name}/answers.parquet"},
    "prompts": {"prompts": "results/{dataset}/prompts/{name}/prompts.parquet"},
    # the history stands for all of a generator's files, because it has their digests
    "generator": {"generator": "results/{dataset}/generator/{name}/history.parquet"},
    "adapt": {"adapted": "results/{dataset}/adapt/{name}/shard-{shard}.parquet"},
    "states": {"states": "results/{dataset}/adapt/{name}/states.parquet"},
    "plan": {"plan": "results/{dataset}/plan/{name}/plan.parquet"},
    "sample": {
        "pictures": "results/{dataset}/sample/{name}/shard-{shard}.tar",
        "index": "results/{dataset}/sample/{name}/shard-{shard}.parquet",
        "statistics": "results/{dataset}/sample/{name}/shard-{shard}.json",
    },
    "features": {"features": "results/{dataset}/features/{name}/seed-{seed}/features.safetensors"},
    "score": {"scores": "results/{dataset}/score/{name}/shard-{shard}.parquet"},
    "select": {
        "selected": "results/{dataset}/select/{name}/selected.parquet",
        "selection": "results/{dataset}/select/{name}/summary.json",
    },
    "classifier": {
        "weights": "results/{dataset}/classifier/{name}/seed-{seed}/weights.safetensors",
        "history": "results/{dataset}/classifier/{name}/seed-{seed}/history.parquet",
    },
    "evaluate": {
        "predictions": "results/{dataset}/evaluate/{name}/seed-{seed}/predictions.parquet",
        "per_class": "results/{dataset}/evaluate/{name}/seed-{seed}/per_class.csv",
        "per_group": "results/{dataset}/evaluate/{name}/seed-{seed}/per_group.csv",
        "metrics": "results/{dataset}/evaluate/{name}/seed-{seed}/metrics.json",
    },
    "search": {
        "chosen": "results/{dataset}/search/{name}/chosen.json",
        "trials": "results/{dataset}/search/{name}/trials.parquet",
    },
    "quality": {"quality": "results/{dataset}/quality/{name}/quality.json"},
    "grid": {"grid": "results/{dataset}/grid/{name}.png"},
    "comparison": {"comparison": "results/{dataset}/comparison/{name}.png"},
    "copies": {
        "copies": "results/{dataset}/copies/{name}/copies.csv",
        "copies_shown": "results/{dataset}/copies/{name}/copies.png",
    },
    "describe": {
        "description": "results/{dataset}/describe/summary.md",
        "classes": "results/{dataset}/describe/classes.csv",
        "groups": "results/{dataset}/describe/groups.csv",
        "long_tail": "results/{dataset}/describe/long_tail.png",
        "sheet": "results/{dataset}/describe/pictures.png",
    },
    "throughput": {"throughput": "results/{dataset}/cost/throughput.csv"},
    "cost": {"cost": "results/{dataset}/cost/cost.csv", "cost_page": "results/{dataset}/cost/cost.md"},
    "summary": {"results": "results/{dataset}/results.csv", "summary": "results/{dataset}/summary.md"},
    "recipe": {
        "recipe_results": "results/{dataset}/recipe/{recipe}/results.csv",
        "recipe_summary": "results/{dataset}/recipe/{recipe}/summary.md",
    },
    "tables": {"table": "results/tables/{table}.csv", "table_page": "results/tables/{table}.md"},
    "times": {"times": "results/times/{table}.csv", "times_page": "results/times/{table}.md"},
    "figures": {"figure": "results/figures/{table}.png"},
}

SECTIONS: dict[str, tuple[str, ...]] = {
    "datasets": ("subset", "store", "manifest", "describe"),
    "foundations": ("foundation", "fetch", "embeddings"),
    "prompts": ("prompts", "ask"),
    "generators": ("generator", "adapt", "states"),
    "pools": ("sample", "plan", "grid"),
    "scores": ("score", "copies"),
    "filters": ("select",),
    "classifiers": ("classifier", "features", "evaluate", "search"),
    "searches": (),
    "qualities": ("quality",),
    "comparisons": ("comparison",),
}
"""Section -> the stages of its parts, the main one first."""

MAIN_OUTPUTS = {
    "foundations": "foundation",
    "prompts": "prompts",
    "generators": "generator",
    "pools": "index",
    "scores": "scores",
    "filters": "selected",
    "classifiers": "weights",
    "qualities": "quality",
}
"""Section -> output that users of a part read by default; a reference may choose others."""

SEALED: dict[str, str] = {
    "subset": "subset",
    "store": "real_index",
    "manifest": "manifest",
    "classes": "class_list",
    "fetch": "fetched",
    "foundation": "foundation",
    "embeddings": "embeddings",
    "ask": "answers",
    "prompts": "prompts",
    "generator": "generator",
    "adapt": "adapted",
    "states": "states",
    "plan": "plan",
    "sample": "index",
    "features": "features",
    "score": "scores",
    "select": "selected",
    "classifier": "history",
    "evaluate": "predictions",
    "search": "trials",
    "quality": "quality",
}
"""Stage -> its output that is written last and says what made it. Stages without one make reports, in little time."""

TRAININGS = ("generator", "adapt", "classifier")
"""Stages that may take days; a repair never runs them."""

_OF_A_DATA_SET = (
    "describe",
    "generator",
    "adapt",
    "score",
    "select",
    "classifier",
    "quality",
    "grid",
    "comparison",
    "copies",
    "summary",
    "recipe",
)
READS: dict[str, tuple[str, ...]] = {
    "store": ("subset",),
    "manifest": ("real",),
    "throughput": ("subset",),
    "cost": ("subset",),
    **dict.fromkeys(_OF_A_DATA_SET, ("manifest",)),
    "states": ("adapted",),
    "figures": ("table",),
    "sample": ("plan",),
    "features": ("manifest", "weights"),
    "embeddings": ("manifest", "foundation"),
    "evaluate": ("manifest", "weights"),
}
"""Stage -> outputs of other stages that come before it whatever the config says, of the same data set, name and seed.

Prompts and plans read the manifest or, if all data sets of a source share them, the source's classes.
"""

PATHS: dict[str, str] = {output: path for outputs in OUTPUTS.values() for output, path in outputs.items()}
"""Output -> path."""
SECTION_OF = {output: section for section, stages in SECTIONS.items() for stage in stages for output in OUTPUTS[stage]}
"""Output -> section of its part."""


def locate(output: str, **wildcards: str | int) -> str:
    """Path of one artifact; a shard is a number."""
    if "shard" in wildcards:
        wildcards["shard"] = f"{int(wildcards['shard']):05d}"
    return PATHS[output].format(**wildcards)


def job(path: str) -> tuple[str, dict[str, str]] | None:
    """Stage and wildcards of the job that makes a file, `results/...`; None for any other file."""
    for stage, outputs in OUTPUTS.items():
        for template in outputs.values():
            if found := _pattern(template).fullmatch(path):
                return stage, found.groupdict()
    return None


def made_by(path: str) -> tuple[str, tuple[str, ...]] | None:
    """Stage that makes a file, `results/...`, and the paths of all outputs of the same job; None for any other file."""
    if not (found := job(path)):
        return None
    stage, wildcards = found
    return stage, tuple(template.format(**wildcards) for template in OUTPUTS[stage].values())


def implied_by(path: str) -> list[str]:
    """Files that exist if this one does: the other outputs of its job, and those that came before it (READS).

    Of several shards, only the first is known. What came before these follows from them.
    """
    if not (found := job(path)):
        return []
    stage, wildcards = found
    before = [PATHS[output].format(**{"shard": "00000"} | wildcards) for output in READS.get(stage, ())]
    return [template.format(**wildcards) for template in OUTPUTS[stage].values()] + before


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    """The template as a pattern: a shard is digits, any other wildcard is one name of a folder or file."""
    pattern = re.escape(template).replace(r"\{shard\}", r"(?P<shard>\d+)")
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", pattern))
