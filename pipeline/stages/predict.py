"""Predict the classes of any pictures with a trained classifier.

    python -m pipeline.stages.predict --weights results/demo/classifier/demo/seed-0/weights.safetensors \\
        --output predictions.csv pictures/ more/one.jpg

writes OUTPUT: file, class, probability, and class_2, probability_2 to class_5, probability_5. The weights are all that it needs.
Pictures of any size are scaled and cropped as those of the test split. Files that cannot be read are skipped and listed.
"""

from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    import pandas as pd

    from pipeline.artifacts.atomic import replacing
    from pipeline.classifiers import AT_ONCE
    from pipeline.errors import InputError
    from pipeline.evaluation.files import Predictor
    from pipeline.jobs.device import device
    from pipeline.jobs.progress import progress

    if args.output.is_dir():
        raise InputError(
            f"{args.output} is a folder; give --output a file, {args.output / 'predictions.csv'} for example"
        )
    files = list(dict.fromkeys(file for given in args.pictures for file in _files(Path(given))))
    predictor = Predictor(args.weights, device())
    tables, skipped = [], {}
    starts = range(0, len(files), AT_ONCE)
    for start in progress(starts, "predicting", len(starts), unit="batch"):
        table, unread = predictor.predict(files[start : start + AT_ONCE])
        tables.append(table)
        skipped |= unread
    for file, reason in skipped.items():
        print(f"skipped {ascii(file)[1:-1]}: {reason}")
    if len(skipped) == len(files):
        raise InputError(f"none of the {len(files)} files can be read as a picture; give others")
    with replacing(args.output) as part:
        pd.concat(tables).to_csv(part, index=False, float_format="%.6f", errors="surrogateescape")
    print(f"{len(files) - len(skipped)} pictures predicted, {len(skipped)} skipped")


def _files(given: Path) -> list[str]:
    """The file itself, or all pictures below a folder."""
    from pipeline.data.files import pictures_below
    from pipeline.errors import InputError

    if given.is_dir():
        return [str(given / name) for name in pictures_below(given)]
    if not given.is_file():
        raise InputError(f"{given} is missing; give folders or files of pictures")
    return [str(given)]


def arguments():
    parser = command.parser(__doc__, config=False)
    parser.add_argument(
        "pictures", nargs="+", metavar="PICTURES", help="folders, searched at any depth, and files of pictures"
    )
    parser.add_argument("--weights", type=Path, required=True, help="the classifier's weights.safetensors")
    parser.add_argument("--output", type=Path, required=True, help="the table to write, .csv")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
