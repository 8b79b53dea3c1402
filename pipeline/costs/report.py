"""The page of a cost estimate, to read before a run starts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.classifiers.rounds import is_last
from pipeline.costs.estimate import Advice
from pipeline.costs.figures import SECONDS_A_PICTURE, SECONDS_A_STEP, Figure
from pipeline.costs.jobs import Job
from pipeline.reporting.results import markdown


def page(
    config: Mapping[str, Any],
    listed: Sequence[Job],
    table: pd.DataFrame,
    walls: pd.DataFrame,
    advice: Sequence[Advice],
    throughput: pd.DataFrame,
    given: Path | None,
) -> str:
    """The page, in Markdown.

    listed: all jobs. table: from `estimate.by_part`. walls: columns gpus, seconds. throughput: the figures with their columns.
    given: the file of the figures, or None if they were measured for this estimate.
    """
    dataset, hours, kept = config["dataset"], table["gpu_hours"].sum(), table["disk_bytes"].sum()
    recipes = ", ".join(run["recipe"] for run in config["runs"])
    others = ", ".join(config["others"])
    parts = [
        f"# Estimated cost of `all_{config['family']}` on {dataset}\n",
        f"**{duration(3600 * hours)} of one GPU, {size(kept)} on disk**, in {table['jobs'].sum():,} jobs "
        f"of the recipes {recipes}. Finished jobs are included. {_about(throughput, given)}\n",
        f"`all_{config['family']}` also runs {others}, each with its own estimate.\n" if others else "",
        "## Wall time\n",
        markdown(
            ["GPUs", "wall time", "GPUs' time in use"],
            [
                [str(row.gpus), duration(row.seconds), f"{min(100, 360000 * hours / row.seconds / row.gpus):.0f} %"]
                for row in walls.itertuples()
            ],
        ),
        "More GPUs save less than 5 %, because each training is one job and some wait for others.\n",
        "## Stages\n",
        markdown(
            ["stage", "part", "jobs", "GPU time", "longest job", "disk", f"times{_says(given)}"],
            [
                [
                    row.stage,
                    row.part,
                    f"{row.jobs:,}",
                    duration(3600 * row.gpu_hours) if row.gpu_hours else "–",
                    duration(60 * row.longest_job_minutes),
                    size(row.disk_bytes) if row.disk_bytes else "–",
                    row.times,
                ]
                for row in table.itertuples()
            ],
        ),
        *_learned(config, listed),
        f"While a training runs, its checkpoint needs additional disk space: {_checkpoints(table)}.\n",
        "## Shards\n",
        *_shards(advice),
        "## Figures\n",
        _figures(throughput, given),
        *_smaller_batches(config, throughput),
        "## What is assumed\n",
        "\n".join(f"- {line}" for line in _assumed(config)) + "\n",
    ]
    return "\n".join(part for part in parts if part)


def duration(seconds: float) -> str:
    """Format a time as `12 s`, `3 min 20 s`, `5 h 10 min` or `12 d 4 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= length:
            whole, rest = divmod(round(seconds / part), length // part)
            return f"{whole:,} {unit}" + (f" {rest} {smaller}" if rest else "")
    raise AssertionError


def size(number: float) -> str:
    """Format bytes as `1.2 GB`, in powers of ten."""
    for unit, length in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= length:
            return f"{number / length:.3g} {unit}"
    return f"{number / 1e3:.3g} kB"


def _about(throughput: pd.DataFrame, given: Path | None) -> str:
    first = throughput.iloc[0]
    if given is None:
        return (
            f"Speeds were measured on {first['date']} on **{first['hardware']}** with a few steps of the stages' own code. "
            '"GPU" on this page means that hardware.'
        )
    counted = throughput["origin"].value_counts()
    said = " and ".join(f"{count} as {origin}" for origin, count in counted.items())
    return f"**Nothing was measured for this estimate: all figures are from {given}**, which lists {said}."


def _says(given: Path | None) -> str:
    return f" (according to {given.name})" if given else ""


def _figures(throughput: pd.DataFrame, given: Path | None) -> str:
    """All figures; if they come from a file, with the origin, hardware and date given there."""
    says = ["origin", "hardware", "date"] if given else []
    header = ["stage", "part", "value", "quantity", "batch"]
    return markdown(
        [*header, *(f"{name}{_says(given)}" for name in says)],
        [
            [row["stage"], row["part"], f"{row['value']:.4g}", row["quantity"], str(row["batch"] or "–")]
            + [row[name] for name in says]
            for row in throughput.to_dict("records")
        ],
    )


def _learned(config: Mapping[str, Any], listed: Sequence[Job]) -> list[str]:
    """A line for each generator that learns class by class."""
    lines = []
    for name, part in config["generators"].items():
        if part["adapted"]:
            pictures = sum(job.work.get(Figure("adapt", name, SECONDS_A_PICTURE), 0) for job in listed)
            lines.append(f"{name} learns in {round(pictures / part['batch_size']):,} steps, each of one class.\n")
    return lines


def _checkpoints(table: pd.DataFrame) -> str:
    rows = table[table["checkpoint_bytes"] > 0]
    return ", ".join(f"{row.stage} {row.part} {size(row.checkpoint_bytes)}" for row in rows.itertuples())


def _shards(advice: Sequence[Advice]) -> list[str]:
    if not advice:
        return ["No other number of shards is better.\n"]
    rows = [
        [f"pools.{one.pool}.shards", str(one.shards), duration(60 * one.minutes), f"set shards to {one.better}"]
        for one in advice
    ]
    return [
        "Jobs of ten minutes to an hour are best: shorter ones mostly start up, and longer ones lose more when killed. "
        "The number of shards changes no picture, and a shard has at least one batch. On this hardware:\n",
        markdown(["key", "now", "longest job", "better"], rows),
    ]


def _smaller_batches(config: Mapping[str, Any], throughput: pd.DataFrame) -> list[str]:
    """A note on figures of smaller batches than the config's, if a step took a second or memory was full."""
    asked = {
        ("adapt", name) if part["adapted"] else ("generator", name): part["batch_size"] * part.get("classes_at_once", 1)
        for name, part in config["generators"].items()
    }
    asked |= {("sample", name): part["batch_size"] for name, part in config["pools"].items()}
    asked |= {
        ("classifier", name): -(-part["batch_size"] // (part["gpus"] * part["accumulate"]))
        for name, part in config["classifiers"].items()
    }
    smaller = [
        f"{row.stage} {row.part} {row.batch} instead of {asked[row.stage, row.part]}"
        for row in throughput.itertuples()
        if row.quantity in (SECONDS_A_PICTURE, SECONDS_A_STEP)
        and (row.stage, row.part) in asked
        and 0 < row.batch < asked[row.stage, row.part]
    ]
    if not smaller:
        return []
    return [f"Batches smaller than the config's, because they took a second or filled memory: {'; '.join(smaller)}.\n"]


def _assumed(config: Mapping[str, Any]) -> list[str]:
    lines = [
        "Filters keep all pictures, so trainings on generated pictures take at most the time given here."
        if config["scores"]
        else "",
        "Time is proportional to the number of pictures: batches of other sizes take the same time per picture.",
        "Jobs without a GPU take as long to start as those that load PyTorch.",
        "Three things are not counted: waiting in a cluster's queue, Snakemake's own time, and reading pictures into memory "
        "before the first step.",
        "Cores for jobs without a GPU are always free, and disks are as fast as when a few pictures were read twice.",
        "Disk is pictures and weights. Generated pictures are assumed to be as large in files as real ones of the same side; "
        "tables of a few dozen bytes per picture are not counted.",
    ]
    made = {"foundations": config["foundations"]}
    made["prompts"] = [name for name, part in config["prompts"].items() if part["on_gpu"] or part["asked"]]
    for section, names in made.items():
        if names:
            lines.append(
                f"What the {section} {', '.join(names)} take to make was not measured; only their start is counted."
            )
    if any(part["gpus"] > 1 for part in config["classifiers"].values()):
        lines.append("Several GPUs of one job lose no time waiting for each other.")
    if any(not is_last(part["round"]) for part in config["classifiers"].values()):
        lines.append(
            "Each round of one training, except the last, keeps a state as large as its checkpoint, which is not counted."
        )
    unknown = [name for name, part in config["qualities"].items() if part["scorer"] is None]
    if unknown:
        lines.append(f"What the qualities {', '.join(unknown)} take was not measured; only their start is counted.")
    return [line for line in lines if line]
