"""Description of a subset from its manifest: counts of classes and groups, shots, and a plot of the long tail."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.data.classes import counted
from pipeline.data.manifest import in_two_classes
from pipeline.data.shots import RANGES, shots
from pipeline.data.subset import SPLITS
from pipeline.reporting.results import markdown

COLOURS = {"many": "#1b6ca8", "medium": "#e0a030", "few": "#c0392b"}


class Description(NamedTuple):
    """Two tables and a text: a row per class, and a row per group.

    Classes have class, class_name, shot, pictures in each split, and brightest: the highest level, 0 to 255, if it was looked at.
    """

    classes: pd.DataFrame
    groups: pd.DataFrame
    summary: str


def describe(
    manifest: pd.DataFrame,
    title: str,
    brightest: Mapping[int, int],
    skipped: Iterable[tuple[str, int, str]] = (),
) -> Description:
    """Describe a manifest with the columns class, class_name, split, digest and, if there are groups, group.

    `brightest` has the highest level in the shown pictures of some classes, `skipped` what was left out: kind, number, which.
    """
    classes = counted(manifest, ["class", "class_name"])
    classes.insert(2, "shot", shots(classes["train"].to_numpy()))
    classes["brightest"] = classes["class"].map(brightest).astype("Int64")
    groups = counted(manifest, ["group"])
    train = classes["train"]
    lines = [["classes", str(len(classes))]]
    lines += [[f"{split} pictures", f"{classes[split].sum():,}"] for split in SPLITS]
    lines += [["largest class", f"{train.max():,} ({classes.loc[train.idxmax(), 'class_name']})"]]
    lines += [["smallest class", f"{train.min():,} ({classes.loc[train.idxmin(), 'class_name']})"]]
    lines += [
        ["imbalance factor", f"{train.max() / train.min():.4g}" if train.min() else "a class has no training picture"]
    ]
    lines += [
        [f"{shot}-shot classes", f"{(classes['shot'] == shot).sum()} ({text} training pictures)"]
        for shot, text in RANGES.items()
    ]
    if len(groups):
        lines += [["groups", f"{len(groups)}, {(groups['train'] == 0).sum()} of them without training pictures"]]
    if brightest:
        dark = classes.loc[classes["brightest"].idxmin()]
        lines += [
            ["brightest level", f"{classes['brightest'].max()} of 255; in {dark['class_name']} {dark['brightest']}"]
        ]
    if len(contradicting := in_two_classes(manifest)):
        first = " and ".join(contradicting["source"].head(2))
        lines += [["pictures in two classes", f"{len(contradicting)}, first {first}"]]
    summary = f"# {title}\n\n" + markdown(["", "value"], lines)
    if left_out := [[kind, str(number), which] for kind, number, which in skipped]:
        summary += "\nSkipped in the raw data:\n\n" + markdown(["what", "number", "which"], left_out)
    return Description(classes, groups, summary)


def long_tail_plot(classes: pd.DataFrame, title: str):
    """A matplotlib figure: training pictures of each class, the largest first, coloured by shot."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    ordered = classes.sort_values("train", ascending=False, kind="stable")
    figure = Figure(figsize=(9, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.bar(np.arange(len(ordered)), ordered["train"], width=1.0, color=ordered["shot"].map(COLOURS))
    axes.set(
        title=f"{title}: the long tail", xlabel="class, the largest first", ylabel="training pictures", yscale="log"
    )
    axes.set_xlim(-0.5, len(ordered) - 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(0.8)
    axes.legend(handles=[Patch(color=colour, label=f"{shot}-shot") for shot, colour in COLOURS.items()])
    return figure
