"""Estimate GPU hours, wall time and disk of a data set's main recipes before they run.

    python -m pipeline.stages.cost --config '{"dataset": "demo", "runs": [...], "generators": {...}, ...}' \\
        --pictures results/demo/subset/pictures.parquet --throughput results/demo/cost/throughput.csv --output results/demo/cost

writes OUTPUT/cost.csv (stage, part, jobs, gpu_hours, other_hours, longest_job_minutes, disk_bytes, checkpoint_bytes, times) and
OUTPUT/cost.md, a page to read, with wall times. --throughput may be a table of your own, in the form of the stage `throughput`.
"""

from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    from pipeline.artifacts import shards
    from pipeline.artifacts.atomic import replacing
    from pipeline.costs import estimate, figures, report
    from pipeline.costs.jobs import jobs
    from pipeline.data.classes import cells_of, class_names, counts_of

    throughput = figures.read(args.throughput, figures.wanted(args.config))
    values, origins = (
        {figures.Figure(*row): value for row, value in throughput[name].items()} for name in ("value", "origin")
    )
    pictures = shards.read_table(args.pictures)
    by_group = any(pool["cells"] == "group" for pool in args.config["pools"].values())
    groups = cells_of(pictures, "group") if by_group else None
    listed = jobs(args.config, counts_of(pictures), groups, class_names(pictures))
    seconds = estimate.seconds_of(listed, values)
    table = estimate.by_part(listed, seconds, values, origins)
    ours = args.throughput.resolve().parent == args.output.resolve()
    text = report.page(
        args.config,
        listed,
        table,
        estimate.walls(listed, seconds),
        estimate.better_shards(args.config, listed, seconds),
        throughput.reset_index(),
        None if ours else args.throughput,
    )
    with replacing(args.output / "cost.csv") as part:
        table.to_csv(part, index=False)
    with replacing(args.output / "cost.md") as part:
        part.write_text(text, encoding="utf-8")
    print(text)


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--pictures", type=Path, required=True, help="the subset's pictures.parquet")
    parser.add_argument("--throughput", type=Path, required=True, help="figures, measured or given, .csv")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
