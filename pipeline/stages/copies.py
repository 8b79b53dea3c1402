"""Report the generated pictures of a pool that are near duplicates of real ones, from its scores of the kind `copies`.

    python -m pipeline.stages.copies --alike 0.95 --manifest results/demo/subset/manifest.parquet \\
        --indices results/demo/sample/demo/shard-00000.parquet ... --scores results/demo/score/demo_copies/shard-00000.parquet ... \\
        --output results/demo/copies/demo_copies

writes OUTPUT/copies.csv, a row for each generated picture, split and way of comparing whose likeness is at least --alike (key, class_name,
split, by, likeness, real_key, real_class_name, source), the most alike first, and OUTPUT/copies.png: the most alike pairs by pixels and
by features, whether they reach it or not.
"""

from pathlib import Path

from pipeline.jobs import command

SHOWN = 30
"""Pairs in the picture."""


def main(args) -> None:
    import pandas as pd

    from pipeline.artifacts import shards
    from pipeline.artifacts.atomic import replacing
    from pipeline.reporting.grid import Row, picture_grid

    manifest = shards.read_table(args.manifest, needs=shards.REAL)
    found, total = [], 0
    for number, path in enumerate(args.scores):
        scores = shards.read_table(path)
        total += len(scores)
        for by in ("pixel", "feature"):
            for split in ("train", "test"):
                pairs = scores[["key", "class_name"]].assign(
                    split=split, by=by, likeness=scores[f"{by}_{split}"], row=scores[f"{by}_{split}_row"], number=number
                )
                best = pairs["likeness"].nlargest(SHOWN).index
                found.append(pairs[(pairs["likeness"] >= args.alike) | pairs.index.isin(best)])
    pairs = pd.concat(found).sort_values("likeness", ascending=False, kind="stable", ignore_index=True)
    real = manifest.loc[pairs["row"].astype(int)].reset_index(drop=True)
    pairs = pairs.assign(real_key=real["key"], real_class_name=real["class_name"], source=real["source"])
    alike = pairs[pairs["likeness"] >= args.alike]
    with replacing(args.output / "copies.csv") as part:
        alike.drop(columns=["row", "number"]).to_csv(part, index=False)
    copies = {split: alike.loc[alike["split"] == split, "key"].nunique() for split in ("train", "test")}
    told = f"{copies['train']} of {total} are near duplicates of training pictures, {copies['test']} of test pictures"
    shown = pd.concat([pairs[:0], *(some.head(SHOWN // 2) for _, some in pairs.groupby("by", sort=False))])
    rows = []
    for pair in shown.itertuples():
        folder = args.indices[pair.number].parent
        index = shards.read_table(args.indices[pair.number], shards.PICTURE)
        ours = shards.read_pictures(index[index["key"] == pair.key], folder)
        theirs = shards.read_pictures(manifest.loc[[int(pair.row)]], args.manifest.parent, ours.shape[1])
        mark = "" if pair.likeness >= args.alike else " (below)"
        rows.append(Row(f"{pair.class_name}, {pair.by}, {pair.split}: {pair.likeness:.3f}{mark}", (ours, theirs)))
    title = f"{args.title}: {told} (likeness of at least {args.alike:g})"
    with replacing(args.output / "copies.png") as part:
        side = max(32, rows[0].blocks[0].shape[1]) if rows else 32
        picture_grid(rows, ("generated", "real"), 1, side, title).save(part, "png")
    print(told)
    by_features = alike.loc[alike["by"] == "feature", "key"].nunique()
    if 2 * by_features > total > 0:
        print(
            f"warning: {by_features} of {total} are alike by features, so these may not tell pictures apart; look at copies.png",
            flush=True,
        )


def arguments():
    parser = command.parser(__doc__, config=False)
    parser.add_argument(
        "--alike", type=float, required=True, help="likeness, up to 1, from which on a picture is a near duplicate"
    )
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--indices", type=Path, nargs="+", required=True, help="the pool's shard indices, .parquet")
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="their scores, .parquet")
    parser.add_argument("--title", default="pool", help="title of the picture")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
