"""Gather a data set's results: a long CSV and a table to read.

    python -m pipeline.stages.summary --output results/demo --config '{"runs": [{"recipe": "demo_ce", "dataset": "demo",
        "metrics": ["results/demo/evaluate/demo_ce/seed-0/metrics.json"], "qualities": [], "seeds_of": "classifier",
        "sees_rest": ""}], "feedback": [], "splits": []}'

writes OUTPUT/results.csv (dataset, recipe, sees_rest, network, seed, metric, value) and OUTPUT/summary.md (means and deviations over
seeds). Runs that see pictures that the long tail left out stand in a table of their own. `splits` are runs on other splits of the same
pictures. The summary has a further table with means and deviations over these, and one of the `feedback` that led the runs' pools.
`foundations` are tables of small foundations that runs use.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from pipeline.artifacts import made
from pipeline.artifacts.atomic import replacing
from pipeline.data.shots import RANGES
from pipeline.jobs import command
from pipeline.jobs.inputs import Inputs
from pipeline.reporting.results import markdown, over_seeds, over_splits, read_runs, show, show_seeds

SHARES = ("precision", "recall", "density", "coverage")
"""Qualities that are shares of 1."""
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
    "fd_dino": "FD under DINO",
    "fd_clip": "FD under CLIP",
    **{
        f"{metric}_{ending}": f"{metric} under {network}"
        for ending, network in {
            "scorer": "the scorer",
            "inception": "Inception",
            "dino": "DINO",
            "clip": "CLIP",
        }.items()
        for metric in SHARES
    },
}

MORE_PICTURES = """## With pictures that the others do not have

These runs see real pictures that a long tail left out: `rest` trains on them, and `mini` uses a small foundation that was trained on
such pictures of this or another data set, with their classes. They are not comparable with the runs above. They show that the stages work
and what the left-out pictures are worth, not that a method beats another.
"""


def main(args) -> None:
    rows = read_runs(args.config["runs"])
    seeds_of = {run["recipe"]: run["seeds_of"] for run in args.config["runs"]}
    seeds = {
        recipe: show_seeds(count, seeds_of[recipe])
        for recipe, count in rows.groupby("recipe")["seed"].nunique().items()
    }
    text = (
        f"# Results on {rows['dataset'].iloc[0]}\n\n"
        "Accuracy on the test split in percent, after the last epoch, or the best one on the validation split where a classifier\n"
        "has `select_by`: mean ± deviation over seeds of the classifier, or of the parts named beside the number of seeds; a\n"
        "deviation shows no other part's chance. Columns with val are of the validation split.\n"
        f"Many, medium, few: means over the classes with {', '.join(RANGES.values())} training pictures. The best test\n"
        "epoch is chosen on the test split, as in much public code; it is given for comparison only. Steps are those of the\n"
        "last training alone, without those of a first stage or of rounds before.\n\n"
        + "\n".join(_tables(rows, over_seeds(rows), "seeds", seeds, _zero_shot(args.inputs)))
    )
    if args.config.get("splits"):
        of_splits = read_runs(args.config["splits"])
        numbers = of_splits.groupby("recipe")["dataset"].nunique().astype(str).to_dict()
        text += (
            f"\n## Over {of_splits['dataset'].nunique()} splits\n\n"
            f"The splits are {', '.join(of_splits['dataset'].unique())}. Mean ± deviation over splits; a split's figure is the\n"
            "mean over its seeds. Splits share training pictures, so the deviation says little about other pictures.\n\n"
            + "\n".join(_tables(of_splits, over_splits(of_splits), "splits", numbers))
        )
    if feedback := args.config.get("feedback"):
        keys = ("pool", "guide", "criterion", "scale", "every", "mode", "blended", "levels")
        led = [[str(pool[key]) for key in keys] for pool in feedback]
        text += "\n## Pictures led by feedback\n\n" + markdown(list(keys), led)
    with replacing(args.output / "results.csv") as part:
        rows.to_csv(part, index=False)
    with replacing(args.output / "summary.md") as part:
        part.write_text(text, encoding="utf-8")


def _tables(
    rows: pd.DataFrame, figures: pd.DataFrame, counted: str, numbers: Mapping[str, str], zero_shot: str = ""
) -> Iterator[str]:
    """A table of the runs that are equal in their pictures, and one of those that see more."""
    equal, more = (rows[(rows["sees_rest"] != "") == sees] for sees in (False, True))
    if len(equal):
        yield _table(equal, figures, counted, numbers)
    if len(more):
        yield MORE_PICTURES + zero_shot + "\n" + _table(more, figures, counted, numbers)


def _zero_shot(inputs: Inputs) -> str:
    """A sentence on each small foundation: what its CLIP alone reaches."""
    return "".join(
        f"The CLIP of {path.parent.name} alone names {about['zero_shot_top1']:.1f} % of the test pictures rightly, of its own data"
        " set (zero-shot, one seed).\n"
        for path in inputs.get("foundations", ())
        if "zero_shot_top1" in (about := made.about(path))
    )


def _table(rows: pd.DataFrame, figures: pd.DataFrame, counted: str, numbers: Mapping[str, str]) -> str:
    """A line for each recipe and network of `rows`, with its number of what is `counted`, and its means of `figures`."""
    figures = figures.set_index(["recipe", "metric"])
    shown = {metric: title for metric, title in COLUMNS.items() if metric in set(rows["metric"])}
    means = figures["mean"].unstack("metric")
    # with equally many test pictures of each class, the mean of classes is the same as top-1
    if "balanced" in shown and (means["balanced"] - means["top1"]).abs().max() < 0.05:
        del shown["balanced"]
    lines = []
    for recipe, sees_rest, network in (
        rows[["recipe", "sees_rest", "network"]].drop_duplicates().itertuples(index=False)
    ):
        counts = [figures.loc[(recipe, name), "mean"] for name in ("real_pictures", "generated_pictures", "steps")]
        values = [figures.loc[(recipe, metric)] if (recipe, metric) in figures.index else None for metric in shown]
        lines.append(
            [
                f"{recipe} ({sees_rest})" if sees_rest else recipe,
                network,
                numbers[recipe],
                *(f"{number:.0f}" for number in counts),
            ]
            + [
                "–" if value is None else show(value["mean"], value["deviation"], 3 if metric.startswith(SHARES) else 1)
                for metric, value in zip(shown, values, strict=True)
            ]
        )
    return markdown(["recipe", "network", counted, "real pictures", "generated", "steps", *shown.values()], lines)


def arguments():
    parser = command.parser(__doc__)
    command.add_inputs(parser)
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
