"""Gather a data set's results: a long CSV and a table to read.

    python -m pipeline.stages.summary --output results/demo --config '{"runs": [{"recipe": "demo_ce", "dataset": "demo",
        "metrics": ["results/demo/evaluate/demo_ce/seed-0/metrics.json"], "qualities": [], "seeds_of": "classifier"}]}'

writes OUTPUT/results.csv (dataset, recipe, network, seed, metric, value) and OUTPUT/summary.md (means and deviations over seeds).
"""

from pathlib import Path

from pipeline.artifacts.atomic import replacing
from pipeline.data.shots import RANGES
from pipeline.jobs import command
from pipeline.reporting.results import markdown, over_seeds, read_runs, show, show_seeds

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
    figures = over_seeds(rows).set_index(["recipe", "metric"])
    shown = {metric: title for metric, title in COLUMNS.items() if metric in set(rows["metric"])}
    means = figures["mean"].unstack("metric")
    # with equally many test pictures of each class, the mean of classes is the same as top-1
    if "balanced" in shown and (means["balanced"] - means["top1"]).abs().max() < 0.05:
        del shown["balanced"]
    seeds_of = {run["recipe"]: run["seeds_of"] for run in args.config["runs"]}
    lines = []
    for (recipe, network), group in rows.groupby(["recipe", "network"], sort=False):
        pictures = [figures.loc[(recipe, f"{kind}_pictures"), "mean"] for kind in ("real", "generated")]
        values = [figures.loc[(recipe, metric)] if (recipe, metric) in figures.index else None for metric in shown]
        lines.append(
            [
                recipe,
                network,
                show_seeds(group["seed"].nunique(), seeds_of[recipe]),
                *(f"{number:.0f}" for number in pictures),
            ]
            + ["–" if value is None else show(value["mean"], value["deviation"]) for value in values]
        )
    header = ["recipe", "network", "seeds", "real pictures", "generated", *shown.values()]
    text = (
        f"# Results on {rows['dataset'].iloc[0]}\n\n"
        "Accuracy on the test split in percent, after the last epoch: mean ± deviation over seeds of the classifier, or of the\n"
        "parts named beside the number of seeds; a deviation shows no other part's chance. Columns with val are of the\n"
        "validation split.\n"
        f"Many, medium, few: means over the classes with {', '.join(RANGES.values())} training pictures. The best test\n"
        "epoch is chosen on the test split, as in much public code; it is given for comparison only.\n\n"
        + markdown(header, lines)
    )
    with replacing(args.output / "results.csv") as part:
        rows.to_csv(part, index=False)
    with replacing(args.output / "summary.md") as part:
        part.write_text(text, encoding="utf-8")


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
