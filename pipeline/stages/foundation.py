"""Make or check a foundation: a text-to-image model in diffusers' format, a CLIP model in open_clip's, or a language model.

    python -m pipeline.stages.foundation --config '{"kind": "folder", "path": "models/stable-diffusion-v1-5",
        "variant": null, "allow_pickle": false}' \\
        --output results/foundations/sd15/foundation.parquet

loads every component once, because the libraries fill what is missing with random values, and writes a table of the model's files:
file, bytes, sha256.
"""

from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    from pipeline import kinds
    from pipeline.foundations import clip, components, language_model, table

    folder = kinds.load("foundations", args.config["kind"]).make(args.config, args.inputs)
    read = {key: args.config[key] for key in ("variant", "allow_pickle")}
    if (folder / clip.CONFIG).is_file():
        what = type(clip.load(folder).model).__name__
    elif (folder / language_model.CONFIG).is_file() and not (folder / components.INDEX).is_file():
        what = type(language_model.load(folder, "auto", **read).model).__name__
    else:
        what = f"{components.pipeline_class(folder)}: {', '.join(sorted(components.components(folder, **read)))}"
    table.write(folder, args.output, read)
    print(f"{folder} is a whole {what}")


def arguments():
    parser = command.parser(__doc__)
    command.add_inputs(parser)
    parser.add_argument("--output", type=Path, required=True, help="the table to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
