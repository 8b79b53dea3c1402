"""Make or check a foundation: a model that draws pictures, in diffusers' format, a CLIP model in open_clip's, both, or a language model.

    python -m pipeline.stages.foundation --config '{"kind": "folder", "path": "models/stable-diffusion-v1-5",
        "variant": null, "allow_pickle": false, "safety_checker": false}' \\
        --output results/foundations/sd15/foundation.parquet

loads every component once, because the libraries fill what is missing with random values, and writes a table of the model's files:
file, bytes, sha256. A model that is made here is in the folder `files` beside the table. Until a training ends, its checkpoints are in
the folder `checkpoints`; a run with the same settings, code and pictures continues from them.
"""

from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    from pipeline import kinds
    from pipeline.foundations import CLIP_CONFIG, clip, components, fit, language_model, table
    from pipeline.jobs.checkpoint import Checkpoint

    begun = []

    def checkpoint(part: str) -> Checkpoint:
        folder, inputs = args.output.parent / "checkpoints", [path for paths in args.inputs.values() for path in paths]
        begun.append(Checkpoint(folder / part, args.config, args.code, inputs, args.checkpoint_minutes))
        return begun[-1]

    make = kinds.load("foundations", args.config["kind"]).make
    folder, about = make(args.config, args.inputs, args.output.parent / "files", checkpoint)
    read = {"variant": None, "allow_pickle": False, "safety_checker": False}
    read |= {key: args.config[key] for key in read if key in args.config}
    found = [type(clip.load(folder).model).__name__] if (folder / CLIP_CONFIG).is_file() else []
    draws = (folder / fit.INDEX).is_file()
    if not found and not draws and (folder / language_model.CONFIG).is_file():
        weights = {key: read[key] for key in ("variant", "allow_pickle")}
        found.append(type(language_model.load(folder, "auto", **weights).model).__name__)
    elif draws or not found:
        parts = ", ".join(sorted(components.components(folder, **read)))
        found.append(f"{fit.pipeline_class(folder)}: {parts}")
    table.write(folder, args.output, {"kind": args.config["kind"]} | about | read)
    for training in begun:
        training.finish()
    print(f"{folder} is a whole {' and '.join(found)}")


def arguments():
    parser = command.parser(__doc__)
    command.add_inputs(parser)
    parser.add_argument("--checkpoint-minutes", type=float, default=10, help="minutes between checkpoints (10)")
    parser.add_argument("--output", type=Path, required=True, help="the table to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
