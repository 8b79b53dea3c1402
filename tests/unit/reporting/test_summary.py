"""The table of results, of one data set and over the splits of the same pictures."""

import json
import re

import pandas as pd
import pytest

from pipeline.stages import summary


def metrics(path, seed, top1, few):
    path.parent.mkdir(parents=True, exist_ok=True)
    figures = {"top1": top1, "few": few, "balanced": top1 - 5, "real_pictures": 40, "generated_pictures": 0, "steps": 7}
    if few is None:
        del figures["few"]
    path.write_text(json.dumps({"seed": seed, "network": "small, width 8", "metrics": figures}))
    return str(path)


@pytest.fixture
def folds(tmp_path):
    """Runs of three folds with two seeds each."""
    figures = {"birds": (50, 60), "birds~fold=1": (70, 70), "birds~fold=2": (90, 88)}
    runs = []
    for name, values in figures.items():
        few = 10 if name == "birds" else None  # the other folds have no few-shot test pictures
        paths = [metrics(tmp_path / f"{name}-{seed}.json", seed, top1, few) for seed, top1 in enumerate(values)]
        about = {"recipe": "ce", "dataset": name, "qualities": [], "seeds_of": "classifier", "sees_rest": ""}
        runs.append(about | {"metrics": paths})
    return runs


def made(folder, runs, splits, feedback=()):
    config = json.dumps({"runs": runs, "splits": splits, "feedback": feedback})
    summary.main(summary.arguments().parse_args(["--config", config, "--output", str(folder)]))
    return (folder / "summary.md").read_text()


def test_folds_have_one_table_with_the_deviation_over_folds(tmp_path, folds):
    text = made(tmp_path, folds[:1], folds)
    own, over = text.split("## Over 3 splits")
    assert re.search(r"\| ce +\| small, width 8 +\| 2 +\| 40 +\| 0 +\| 7 +\| 55\.0 ± 7\.1 +\| 10\.0", own)
    # 55, 70 and 89 are the means over seeds
    assert re.search(
        r"\| ce +\| small, width 8 +\| 3 +\| 40 +\| 0 +\| 7 +\| 71\.3 ± 17\.0 +\| 10\.0 +\| 66\.3 ± 17\.0", over
    )
    assert "The splits are birds, birds~fold=1, birds~fold=2. Mean ± deviation over splits" in over
    assert set(pd.read_csv(tmp_path / "results.csv")["dataset"]) == {"birds"}


def test_without_splits_there_is_one_table(tmp_path, folds):
    assert "##" not in made(tmp_path, folds[:1], [])


def test_the_feedback_that_led_pools_is_told(tmp_path, folds):
    led = {"pool": "led", "guide": "ce", "criterion": "entropy", "scale": 0.03, "every": 5, "mode": "decoder"}
    led |= {"blended": False, "levels": "clamped"}
    _, told = made(tmp_path, folds[:1], [], [led | {"side": None}]).split("## Pictures led by feedback")
    assert re.search(r"\| pool \| guide \| criterion \| scale \| every \| mode +\| blended +\| levels +\|", told)
    assert re.search(r"\| led +\| ce +\| entropy +\| 0\.03 +\| 5 +\| decoder \| False +\| clamped \|", told)
