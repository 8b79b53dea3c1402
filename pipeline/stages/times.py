"""Compare the time that pools take a picture with a published table's.

    python -m pipeline.stages.times --config '{"rows": [...]}' --published papers/ldm_fg/times_4.csv --output results/times/ldm_fg_4.csv

Each of `rows` has the row's plan, and the settings and inputs of its pool's sampler. A batch of each pool is drawn in turn, TURNS
times after a first one that does not count. Writes OUTPUT (row, dataset, pool, published, measured, deviation, ratio, batch_size,
hardware, note), in seconds a picture, with the ratio to the first row, and the same as Markdown beside it. The networks of all
pools are loaded together.
"""

from pathlib import Path

from pipeline.jobs import command

TURNS = 5


def main(args) -> None:
    import numpy as np
    import pandas as pd

    from pipeline import kinds
    from pipeline.artifacts import shards
    from pipeline.artifacts.atomic import replacing
    from pipeline.costs.measure.everything import hardware
    from pipeline.costs.measure.timing import seconds_of
    from pipeline.jobs.device import device
    from pipeline.reporting.results import markdown, show

    target, draws = device(), []
    for row in args.config["rows"]:
        kind, settings = row["settings"]["generator"]["kind"], row["settings"]
        inputs = {name: [Path(path) for path in paths] for name, paths in row["inputs"].items()}
        sampler = kinds.load("generators", f"{kind}.sample").Sampler(inputs, settings, target)
        draws.append((sampler, shards.read_table(Path(row["plan"])).head(settings["batch_size"])))

    def seconds_a_picture(sampler, rows) -> float:
        return seconds_of(lambda: list(sampler.draw(rows)), target) / len(rows)

    turns = [[seconds_a_picture(*draw) for draw in draws] for _ in range(TURNS + 1)]
    seconds = np.array(turns[1:])
    table = pd.read_csv(args.published, dtype=str, keep_default_na=False).assign(
        measured=seconds.mean(0),
        deviation=seconds.std(0, ddof=1),
        ratio=(seconds / seconds[:, :1]).mean(0),
        batch_size=[len(rows) for _, rows in draws],
        hardware=hardware(target),
    )
    with replacing(args.output) as part:
        table.to_csv(part, index=False)
    lines = [
        [
            row.row,
            row.published or "–",
            show(row.measured, row.deviation, 3),
            f"{row.ratio:.2f}",
            str(row.batch_size),
            row.note,
        ]
        for row in table.itertuples()
    ]
    title = f"# {args.output.stem}: published and measured seconds a picture, on {hardware(target)}\n\n"
    header = ["row", "published", "measured", "ratio to the first row", "pictures at once", "note"]
    with replacing(args.output.with_suffix(".md")) as part:
        part.write_text(title + markdown(header, lines), encoding="utf-8")


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--published", type=Path, required=True, help="the published table, .csv")
    parser.add_argument("--output", type=Path, required=True, help="the table to write, .csv")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
