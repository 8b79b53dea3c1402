"""Generate one shard of a pool: draw the pictures of its rows of the plan.

    python -m pipeline.stages.sample --config '{"generator": {"kind": "cbdm"}, "batch_size": 64,
        "draw": {"kind": "ddim", "steps": 50, "guidance": 1.6, "clip_denoised": false},
        "store": {"side": null, "format": "png", "quality": 95}}' --shard "0 of 2" \\
        --plan results/demo/plan/demo/plan.parquet --generator results/demo/generator/demo/history.parquet \\
        --output results/demo/sample/demo/shard-00000.tar

writes the tar, and beside it the index (.parquet) and small statistics (.json): numbers of pictures, in total, of each class, of those
drawn again because they were not of finite numbers (or black, in half precision), and of those drawn again because a safety checker
flagged them. Each record has its row of the plan. Until it ends, finished batches are in checkpoints/; a run with the same settings,
code and generator continues after them.
"""

import json
from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    from pipeline import kinds
    from pipeline.artifacts import made, pictures, shards
    from pipeline.artifacts.atomic import replacing
    from pipeline.data.groups import name_hashes
    from pipeline.generators.drawn import drawn
    from pipeline.jobs.checkpoint import Pieces
    from pipeline.jobs.device import device
    from pipeline.jobs.overlap import overlapped
    from pipeline.jobs.progress import progress

    shard, count = args.shard
    rows = shards.read_part(args.plan, shard, count)
    inputs = [path for name in sorted(args.inputs) for path in args.inputs[name]]
    tables = [path for path in inputs if path.suffix == ".parquet"]  # the others are a guide's, which loading checks
    for table in tables:
        shards.require_whole(table)
    if guide := args.inputs.get("guide"):
        kinds.load("guidance", "feedback").require_classes(*guide, rows)
    kind, store = args.config["generator"]["kind"], args.config["store"]
    sampler = kinds.load("generators", f"{kind}.sample").Sampler(args.inputs, args.config, device())
    pieces = Pieces(
        args.output.parent / "checkpoints", args.config | {"shard": args.shard}, args.code, [args.plan, *inputs]
    )
    drawer = next((str(path.parent) for path in [*args.inputs.get("generator", []), *tables]), kind)
    about = rows.to_dict("records")
    # a small foundation has seen real pictures that other generators have not
    marks = {"foundation": "mini"} if any(made.about(table).get("kind") == "mini" for table in tables) else {}
    again = {"redrawn": 0, "flagged": 0}

    def records(batches):
        made = (one for batch in batches for one in batch)
        for row, (picture, *faults) in progress(
            zip(about, made, strict=True), f"sampling shard {shard}", len(rows), unit="picture"
        ):
            for fault, had in zip(again, faults, strict=True):
                again[fault] += int(had)
            key = f"{row['class']:05d}-{row['index']:07d}"
            if "group" in row:  # an index is within its group
                key = f"{row['class']:05d}-{name_hashes([row['group']])[0]:016x}-{row['index']:07d}"
            provenance = row | {"generator": drawer} | marks
            yield key, pictures.encode(picture, **store), pictures.SUFFIX[store["format"]], provenance

    batches = pieces.continued(lambda done: drawn(sampler, rows[done:]))
    index = overlapped(batches, lambda taken: shards.write(args.output, records(taken)))
    for fault, told in (("redrawn", "black or not of finite numbers"), ("flagged", "flagged by the safety checker")):
        if again[fault]:
            print(f"{again[fault]} of {len(rows)} pictures were {told}, and were drawn again", flush=True)
    statistics = args.output.with_suffix(".json")
    counts = index["class"].value_counts(sort=False).to_dict()
    with replacing(statistics) as part:
        text = json.dumps({"pictures": len(index), "classes": counts} | again, indent=1)
        part.write_text(text, encoding="utf-8")
    shards.write_table(index, args.output.with_suffix(".parquet"), beside=[args.output, statistics], about=again)
    pieces.finish()


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--plan", type=Path, required=True, help="the pool's plan.parquet")
    command.add_inputs(parser)
    command.add_shard(parser)
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
