"""Make one shard of a pool: execute its rows of the plan.

    python -m pipeline.stages.sample --config '{"sampler": "ddim", "steps": 50, "guidance": 1.6, "clip_denoised": false,
        "batch_size": 64, "store": {"side": null, "format": "png", "quality": 95}}' --kind cbdm --shard "0 of 2" \\
        --plan results/demo/plan/demo/plan.parquet --generator results/demo/generator/demo \\
        --output results/demo/sample/demo/shard-00000.tar

writes the tar, and beside it the index (.parquet) and small statistics (.json). Finished batches lie under checkpoints/ meanwhile; a run
with the same settings, code and generator continues after them.
"""

import json
from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    from pipeline import kinds
    from pipeline.artifacts import pictures, shards
    from pipeline.artifacts.atomic import replacing
    from pipeline.jobs.checkpoint import Pieces
    from pipeline.jobs.device import device
    from pipeline.jobs.progress import progress

    shard, count = args.shard
    rows = shards.read_part(args.plan, shard, count)
    sampler = kinds.load("generators", f"{args.kind}.sample").Sampler(args.generator, args.config, device())
    store = args.config["store"]
    labels, seeds = rows["class"].to_numpy("int64"), rows["seed"].to_numpy()
    inputs = [args.plan, *sorted(args.generator.glob("*/*.safetensors"))]
    pieces = Pieces(args.output.parent / "checkpoints", args.config | {"shard": args.shard}, args.code, inputs)
    drawn = (
        picture
        for batch in pieces.continued(lambda done: sampler.draw(labels[done:], seeds[done:]))
        for picture in batch
    )

    def records():
        label = f"sampling shard {shard}"
        for row, picture in progress(zip(rows.itertuples(), drawn, strict=True), label, len(rows), unit="picture"):
            provenance = {
                "class": row[1],
                "class_name": row.class_name,
                "index": row[3],
                "seed": row.seed,
                "generator": str(args.generator),
            }
            key = f"{row[1]:05d}-{row[3]:07d}"
            yield key, pictures.encode(picture, **store), pictures.SUFFIX[store["format"]], provenance

    index = shards.write(args.output, records())
    statistics = args.output.with_suffix(".json")
    counts = index["class"].value_counts(sort=False).to_dict()
    with replacing(statistics) as part:
        part.write_text(json.dumps({"pictures": len(index), "classes": counts}, indent=1))
    shards.write_table(index, args.output.with_suffix(".parquet"), beside=[args.output, statistics])
    pieces.remove()


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--kind", required=True, help="the generator's kind")
    parser.add_argument("--plan", type=Path, required=True, help="the pool's plan.parquet")
    parser.add_argument("--generator", type=Path, required=True, help="folder of the trained generator")
    command.add_shard(parser)
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
