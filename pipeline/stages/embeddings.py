"""Compute CLIP's embeddings of the real training pictures, once for all pools of an unCLIP model.

    python -m pipeline.stages.embeddings --manifest results/demo/subset/manifest.parquet \\
        --foundation results/foundations/sd21_unclip/foundation.parquet \\
        --output results/demo/embeddings/sd21_unclip/embeddings.safetensors

writes `embeddings`, float32 [N, D], in the manifest's order. Until it ends, finished pieces are in checkpoints/; a run with the same inputs
and code continues after them.
"""

import itertools
from pathlib import Path

from pipeline.jobs import command

AT_ONCE = 256
"""Embeddings in a piece."""


def main(args) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    from pipeline.artifacts import digests, made, shards
    from pipeline.artifacts.atomic import replacing
    from pipeline.foundations.image_embeddings import image_embeddings
    from pipeline.generators.source_pictures import SourcePictures
    from pipeline.jobs.checkpoint import Pieces
    from pipeline.jobs.device import device
    from pipeline.jobs.progress import progress

    manifest = shards.read_table(args.manifest, ["key", "split"])
    keys, sources = manifest.loc[manifest["split"] == "train", "key"], SourcePictures(args.manifest)

    def computed(done: int):
        rest = progress(keys[done:], "embeddings of real pictures", len(keys), done, "picture")
        pictures = (sources.images([key])[0] for key in rest)
        found = (one.numpy() for one in image_embeddings(args.foundation, pictures, device()))
        while piece := list(itertools.islice(found, AT_ONCE)):
            yield np.stack(piece)

    pieces = Pieces(args.output.parent / "checkpoints", {}, args.code, [args.manifest, args.foundation])
    embeddings = np.concatenate(list(pieces.continued(computed)))
    with replacing(args.output) as part:
        save_file({"embeddings": embeddings}, part, made.metadata())
        digests.seal(part)
    pieces.finish()


def arguments():
    parser = command.parser(__doc__, config=False)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--foundation", type=Path, required=True, help="the unCLIP model's foundation.parquet")
    parser.add_argument("--output", type=Path, required=True, help="the embeddings to write, .safetensors")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
