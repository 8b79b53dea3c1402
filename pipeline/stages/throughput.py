"""Measure the stages' speed and output sizes on this hardware, with a few real pictures.

    python -m pipeline.stages.throughput --config '{"dataset": "demo", "source": "digits", "store_side": null, "generators": {...}, ...}' \\
        --raw data --pictures results/demo/subset/pictures.parquet --output results/demo/cost/throughput.csv

writes one row per figure: stage, part, quantity, value, batch (of the measurement), origin, hardware, date. Takes minutes.
"""

from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    from pipeline import kinds
    from pipeline.artifacts import shards
    from pipeline.artifacts.atomic import replacing
    from pipeline.costs.measure.everything import measured
    from pipeline.jobs.device import device

    source = kinds.load("data", args.config["source"]).open_source(args.raw, args.config)
    table = measured(args.config, shards.read_table(args.pictures), source, device())
    with replacing(args.output) as part:
        table.to_csv(part, index=False)


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--raw", type=Path, required=True, help="folder of the raw data set")
    parser.add_argument("--pictures", type=Path, required=True, help="the subset's pictures.parquet")
    parser.add_argument("--output", type=Path, required=True, help="the table to write, .csv")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
