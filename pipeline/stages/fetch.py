"""Fetch a foundation from a hub, on a machine with a network.

    python -m pipeline.stages.fetch --config '{"hub": ["stable-diffusion-v1-5/stable-diffusion-v1-5"], "variant": null,
        "allow_pickle": false, "safety_checker": false}' --output results/foundations/sd15/fetched.parquet

downloads into the folder `files` beside the output and writes a table of the files: file, bytes, sha256. A run that was cut off
continues its downloads.
"""

from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    from pipeline.foundations import hub, table

    model = hub.find(*(args.config[key] for key in ("hub", "variant", "allow_pickle", "safety_checker")))
    print(f"{model.bytes / 1e9:.1f} GB of {model.id}, commit {model.commit}", flush=True)
    folder = args.output.parent / "files"
    hub.download(model, folder)
    table.write(folder, args.output, {"hub": model.id, "commit": model.commit})


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--output", type=Path, required=True, help="the table to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
