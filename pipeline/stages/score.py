"""Score one shard of a pool.

    python -m pipeline.stages.score --config '{"kind": "classifier", "columns": ["d1", "d2", "d3"]}' \\
        --manifest results/demo/subset/manifest.parquet --index results/demo/sample/demo/shard-00000.parquet \\
        --weights results/demo/classifier/demo_ce/seed-0/weights.safetensors \\
        --features results/demo/features/demo_ce/seed-0/features.safetensors --output results/demo/score/demo/shard-00000.parquet

writes key, class, class_name and a column for each score, in the shard's order. Until it ends, finished pieces are in checkpoints/.
"""

from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    import numpy as np

    from pipeline import kinds
    from pipeline.artifacts import shards
    from pipeline.jobs.checkpoint import Pieces

    index, columns = shards.read_table(args.index), args.config["columns"]
    scores = index[["key", "class", "class_name"]].copy()
    others = [path for name in sorted(args.inputs) for path in args.inputs[name]]
    pieces = Pieces(args.output.parent / "checkpoints", args.config, args.code, [args.index, args.manifest, *others])
    scorer = kinds.load("scores", args.config["kind"])

    def scored(done: int):
        if done < len(index):
            yield from scorer.scores(args.inputs, args.config, args.manifest, args.index, done)

    found = list(pieces.continued(scored))
    scores[columns] = np.concatenate(found) if found else np.zeros((0, len(columns)))
    shards.write_table(scores, args.output)
    pieces.finish()


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--index", type=Path, required=True, help="the shard's index, .parquet")
    command.add_inputs(parser)
    parser.add_argument("--output", type=Path, required=True, help="the scores to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
