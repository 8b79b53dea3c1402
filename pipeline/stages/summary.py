"""Gather a data set's results: a long CSV and a table to read.

    python -m pipeline.stages.summary --output results/demo --config '{"runs": [{"recipe": "demo_ce", "dataset": "demo",
        "metrics": ["results/demo/evaluate/demo_ce/seed-0/metrics.json"], "qualities": [], "seeds_of": "classifier"}],
        "splits": []}'

writes OUTPUT/results.csv (dataset, recipe, network, seed, metric, value) and OUTPUT/summary.md (means and deviations over seeds).
`splits` are runs on other splits of the same pictures. The summary has a second table with means and deviations over these.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pipeline.artifacts.atomic import replacing
from pipeline.data.shots import RANGES
from pipeline.jobs import command
from pipeline.reporting.results import markdown, over_seeds, over_splits, read_runs, show, show_seeds

COLUMNS = {
    "top1": "top-1 %",
    "many": "many",
    "medium": "medium",
    "few": "few",
    "balanced": "mean of classes",
    "worst_group": "worst group",
    "val_top1": "val top-1 %",
    "val_worst_group": "val worst group",
    "best_test_top1": "best test epoch",
    "fd_scorer": "FD under the scorer",
    "is_scorer": "IS under the scorer",
    "fid": "FID",
    "is": "IS",
}


def main(args) -> None:
    rows = read_runs(args.config["runs"])
    seeds_of = {run["recipe"]: run["seeds_of"] for run in args.config["runs"]}
    seeds = {
        recipe: show_seeds(count, seeds_of[recipe])
        for recipe, count in rows.groupby("recipe")["seed"].nunique().items()
    }
    text = (
        f"# Results on {rows['dataset'].iloc[0]}\n\n"
        "Accuracy on the test split in percent, after the last epoch: mean ± deviation over seeds of the classifier, or of the\n"
        "parts named beside the number of seeds; a deviation shows no other part's chance. Columns with val are of the\n"
        "validation split.\n"
        f"Many, medium, few: means over the classes with {', '.join(RANGES.values())} training pictures. The best test\n"
        "epoch is chosen on the test split, as in much public code; it is given for comparison only.\n\n"
        + _table(rows, over_seeds(rows), "seeds", seeds)
    )
    if args.config.get("splits"):
        of_splits = read_runs(args.config["splits"])
        numbers = of_splits.groupby("recipe")["dataset"].nunique().astype(str).to_dict()
        text += (
            f"\n## Over {of_splits['dataset'].nunique()} splits\n\n"
            f"The splits are {', '.join(of_splits['dataset'].unique())}. Mean ± deviation over splits; a split's figure is the\n"
            "mean over its seeds. Splits share training pictures, so the deviation says little about other pictures.\n\n"
            + _table(of_splits, over_splits(of_splits), "splits", numbers)
        )
    with replacing(args.output / "results.csv") as part:
        rows.to_csv(part, index=False)
    with replacing(args.output / "summary.md") as part:
        part.write_text(text, encoding="utf-8")


def _table(rows: pd.DataFrame, figures: pd.DataFrame, counted: str, numbers: Mapping[str, str]) -> str:
    """A line for each recipe and network of `rows`, with its number of what is `counted`, and its means of `figures`."""
    figures = figures.set_index(["recipe", "metric"])
    shown = {metric: title for metric, title in COLUMNS.items() if metric in set(rows["metric"])}
    means = figures["mean"].unstack("metric")
    # with equally many test pictures of each class, the mean of classes is the same as top-1
    if "balanced" in shown and (means["balanced"] - means["top1"]).abs().max() < 0.05:
        del shown["balanced"]
    lines = []
    for recipe, network in rows[["recipe", "network"]].drop_duplicates().itertuples(index=False):
        pictures = [figures.loc[(recipe, f"{kind}_pictures"), "mean"] for kind in ("real", "generated")]
        values = [figures.loc[(recipe, metric)] if (recipe, metric) in figures.index else None for metric in shown]
        lines.append(
            [recipe, network, numbers[recipe], *(f"{number:.0f}" for number in pictures)]
            + ["–" if value is None else show(value["mean"], value["deviation"]) for value in values]
        )
    return markdown(["recipe", "network", counted, "real pictures", "generated", *shown.values()], lines)


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
