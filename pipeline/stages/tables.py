"""Compare our figures with a published table's.

    python -m pipeline.stages.tables --config '{"runs": [...]}' --published papers/diffult/table_3.csv \\
        --output results/tables/diffult_3.csv

A table of a figure has more columns: panel, series and x. `runs` are as in the stage `summary`, each with `stands_for`, the recipes that
the table names for it, and `differs`, a list of its differences from the paper. Writes OUTPUT (row, dataset, recipe, metric, published,
measured, deviation, seeds, seeds_of, network, differs, note), with the recipes that ran, and the same as Markdown beside it.
"""

from pathlib import Path

import pandas as pd

from pipeline.artifacts.atomic import replacing
from pipeline.jobs import command
from pipeline.reporting.results import markdown, over_seeds, read_runs, show, show_seeds


def main(args) -> None:
    published = pd.read_csv(args.published, dtype=str, keep_default_na=False)
    rows = read_runs(args.config["runs"])
    networks = rows.groupby(["dataset", "recipe"])["network"].first().reset_index()
    differs = pd.DataFrame(
        [(run["dataset"], run["recipe"], run["seeds_of"], "; ".join(run["differs"])) for run in args.config["runs"]],
        columns=["dataset", "recipe", "seeds_of", "differs"],
    )
    ours = {(run["dataset"], recipe): run["recipe"] for run in args.config["runs"] for recipe in run["stands_for"]}
    published["recipe"] = [ours.get(row, row[1]) for row in zip(published["dataset"], published["recipe"], strict=True)]
    table = published.merge(over_seeds(rows), on=["dataset", "recipe", "metric"], how="left")
    table = table.merge(networks, how="left").merge(differs, how="left")
    table = table.rename(columns={"mean": "measured"}).astype({"seeds": "Int64"})
    columns = [
        *(name for name in ("panel", "series", "x") if name in published),
        "row",
        "dataset",
        "recipe",
        "metric",
        "published",
        "measured",
        "deviation",
        "seeds",
        "seeds_of",
        "network",
        "differs",
        "note",
    ]
    with replacing(args.output) as part:
        table[columns].to_csv(part, index=False)
    lines = [
        [
            row.row,
            row.dataset,
            row.metric,
            row.published or "–",
            show(row.measured, row.deviation, 2),
            "–" if pd.isna(row.seeds) else show_seeds(row.seeds, row.seeds_of),
            "–" if pd.isna(row.network) else row.network,
            "" if pd.isna(row.differs) else row.differs,
            row.note,
        ]
        for row in table.itertuples()
    ]
    header = [
        "row",
        "data set",
        "metric",
        "published",
        "measured",
        "seeds",
        "network",
        "differs from the paper",
        "note",
    ]
    title = (
        f"# {args.output.stem}: published and measured\n\n"
        "Measured after the last epoch, or the best one on the validation split where a classifier has `select_by`: mean ± deviation\n"
        "over seeds of the classifier, or of the parts named beside the number of seeds; a deviation shows no other part's chance.\n\n"
    )
    with replacing(args.output.with_suffix(".md")) as part:
        part.write_text(title + markdown(header, lines), encoding="utf-8")


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--published", type=Path, required=True, help="the published table, .csv")
    parser.add_argument("--output", type=Path, required=True, help="the table to write, .csv")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
