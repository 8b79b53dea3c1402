"""Plots of sweeps: a figure over a varied setting, as published and as measured."""

import pandas as pd
from matplotlib.figure import Figure

WIDTH, HEIGHT = 3.4, 3.0
"""Size of a panel, in inches."""


def plot(table: pd.DataFrame, title: str) -> Figure:
    """A panel for each `panel` of the table, side by side, in its order.

    table: columns panel, series, x, metric, published, measured, deviation (the last three may be NaN). Measured values are points on a
    line with their deviation over seeds, published ones crosses, in the colour of their series.
    """
    panels = list(dict.fromkeys(table["panel"]))
    figure = Figure(figsize=(WIDTH * len(panels), HEIGHT), layout="constrained")
    colours = {series: f"C{number}" for number, series in enumerate(dict.fromkeys(table["series"]))}
    drawn = set()
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        own = table[table["panel"] == panel]
        for series, rows in own.groupby("series", sort=False):
            rows = rows.sort_values("x")
            for column, how in (("measured", {"marker": "o"}), ("published", {"marker": "x", "linestyle": "none"})):
                there = rows[rows[column].notna()]
                if len(there):
                    label = f"{series}, {column}"
                    bars = there["deviation"].fillna(0) if column == "measured" else None
                    axes.errorbar(
                        there["x"],
                        there[column],
                        bars,
                        color=colours[series],
                        capsize=2,
                        label=None if label in drawn else label,
                        **how,
                    )
                    drawn.add(label)
        axes.set_xlabel(panel)
        axes.set_ylabel(f"{own['metric'].iloc[0]}, %")
        axes.grid(alpha=0.3)
    if drawn:
        figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    figure.suptitle(f"{title}: published and measured", fontsize="medium")
    return figure
