"""Store one shard of a subset's real pictures.

    python -m pipeline.stages.store --config '{"source": "digits", "store_side": null}' --raw data --shard "0 of 1" \\
        --pictures results/demo/subset/pictures.parquet --output results/demo/subset/real/shard-00000.tar

writes the tar and beside it the index (.parquet). Unreadable pictures are skipped and listed in .rejected.parquet. If there are files of
16 or 32 bits, the index has a column `brightest` with the highest level of each.
"""

from pathlib import Path

import pandas as pd

from pipeline import kinds
from pipeline.artifacts import shards
from pipeline.data.stored import each_row, records
from pipeline.jobs import command
from pipeline.jobs.progress import progress


def main(args) -> None:
    shard, count = args.shard
    rows = shards.read_part(args.pictures, shard, count)
    source = kinds.load("data", args.config["source"]).open_source(args.raw, args.config)
    rejected: list[dict] = []
    shown = progress(each_row(rows), f"storing shard {shard}", len(rows), unit="picture")
    brightest: dict[str, int] = {}
    levels = args.config.get("levels")
    index = shards.write(args.output, records(shown, source, args.config["store_side"], rejected, levels, brightest))
    if brightest:
        index["brightest"] = index["key"].map(brightest).astype("Int64")
    left_out = args.output.with_suffix(".rejected.parquet")
    shards.write_table(pd.DataFrame(rejected, columns=["key", *rows.columns.drop("key"), "reason"]), left_out)
    shards.write_table(index, args.output.with_suffix(".parquet"), beside=[args.output, left_out])
    print(f"{len(index)} pictures stored, {len(rejected)} rejected")


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--raw", type=Path, required=True, help="folder of the raw data set")
    parser.add_argument("--pictures", type=Path, required=True, help="the subset's pictures.parquet")
    command.add_shard(parser)
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
