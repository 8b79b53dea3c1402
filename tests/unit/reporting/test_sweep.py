"""Plots of sweeps: every point where the table has it."""

import sys

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.jobs import command
from pipeline.reporting.sweep import plot
from pipeline.stages import figures

TABLE = pd.DataFrame(
    [
        ("guidance", "TI", 7.5, "top1", 49.2, 50.0, 1.0),
        ("guidance", "TI", 1.0, "top1", 62.8, 61.0, 0.5),
        ("guidance", "TI", 2.0, "top1", None, 57.0, None),
        ("guidance", "template", 1.0, "top1", 59.9, None, None),
        ("vectors", "TI", 4, "top1", 62.8, 61.0, 0.5),
        ("vectors", "TI", 1, "top1", None, 55.0, 0.5),
    ],
    columns=["panel", "series", "x", "metric", "published", "measured", "deviation"],
)


def points(axes):
    return {
        (line.get_color(), line.get_marker()): list(zip(*map(list, line.get_data()), strict=True))
        for line in axes.get_lines()
        if line.get_marker() in ("o", "x")
    }


def test_every_value_is_where_the_table_has_it():
    first, second = plot(TABLE, "fill_up_figure_2").axes
    assert points(first) == {
        ("C0", "o"): [(1.0, 61.0), (2.0, 57.0), (7.5, 50.0)],
        ("C0", "x"): [(1.0, 62.8), (7.5, 49.2)],
        ("C1", "x"): [(1.0, 59.9)],
    }
    assert points(second) == {("C0", "o"): [(1.0, 55.0), (4.0, 61.0)], ("C0", "x"): [(4.0, 62.8)]}
    assert (first.get_xlabel(), first.get_ylabel()) == ("guidance", "top1, %")


def test_each_series_has_one_name_in_the_legend():
    (legend,) = plot(TABLE, "fill_up_figure_2").legends
    assert [text.get_text() for text in legend.get_texts()] == ["TI, measured", "TI, published", "template, published"]


def test_a_table_without_any_value_has_its_panels():
    figure = plot(TABLE.assign(published=np.nan, measured=np.nan), "empty")
    assert [axes.get_xlabel() for axes in figure.axes] == ["guidance", "vectors"] and not figure.legends


def test_the_stage_writes_the_same_picture_twice(tmp_path, monkeypatch):
    TABLE.to_csv(tmp_path / "sweep.csv", index=False)
    for name in ("a.png", "b.png"):
        words = ["figures", "--table", tmp_path / "sweep.csv", "--output", tmp_path / name]
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        command.run(figures.main, figures.arguments())
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert np.asarray(Image.open(tmp_path / "a.png").convert("L")).std() > 10
