"""Description of a subset from its manifest: counts of classes and groups, shots, and a plot of the long tail."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.data.classes import counted
from pipeline.data.shots import RANGES, shots
from pipeline.data.subset import SPLITS
from pipeline.reporting.results import markdown

COLOURS = {"many": "#1b6ca8", "medium": "#e0a030", "few": "#c0392b"}


class Description(NamedTuple):
    """Two tables and a text: a row per class (class, class_name, shot, and pictures in each split), and a row per group."""

    classes: pd.DataFrame
    groups: pd.DataFrame
    summary: str


def describe(manifest: pd.DataFrame, title: str) -> Description:
    """Describe a manifest with the columns class, class_name, split and, if there are groups, group."""
    classes = counted(manifest, ["class", "class_name"])
    classes.insert(2, "shot", shots(classes["train"].to_numpy()))
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
    return Description(classes, groups, f"# {title}\n\n" + markdown(["", "value"], lines))


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
