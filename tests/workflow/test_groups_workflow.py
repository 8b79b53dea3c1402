"""Groups, from a made-up NICO++ to the worst one's accuracy: a pool that fills them, schemes that look at them, and a search."""

import json
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
import trees
import yaml
from tiny_models import unclip
from workflow_helpers import copy_of, copy_with, modules_beside_fingerprints, planned, snakemake

pytestmark = pytest.mark.slow

TREE = {("dim", "bear"): 85, ("rock", "bear"): 6, ("dim", "polar_fox"): 80, ("rock", "polar_fox"): 79}
"""(context, label) -> pictures; 75 of each are held out, so that there are 10, 0, 5 and 4 for training."""
GROUPS = {"bear, dim": 10, "bear, rock": 0, "polar_fox, dim": 5, "polar_fox, rock": 4}
OF_ONE = {"extends": "ce", "side": 8, "select_by": "val_top1"}
ADDED = {
    "datasets": {"nico_micro": {"source": "nico"}},
    "foundations": {"tiny": {"kind": "folder", "path": "models/tiny"}},
    "prompts": {"in_context": {"kind": "templates", "templates": ["{class} in {context}"]}},
    "generators": {"painter": {"kind": "unclip", "foundation": "tiny"}},
    "pools": {
        "by_group": {
            "generator": "painter",
            "prompts": "in_context",
            "cells": "group",
            "fill_to": "max",
            "draw": {
                "kind": "unclip",
                "scheduler": "ddim",
                "steps": 2,
                "embedding_dropout": 0.5,
                "feedback": {"criterion": "entropy"},
            },
            "guide": "erm",
            "store": {"side": 8},
            "batch_size": 8,
            "shards": 2,
        }
    },
    "scores": {"near": {"kind": "copies", "pool": "by_group", "scorer": "erm"}},
    "filters": {"by_group": {"scores": "near", "keep": "pixel_test <= 0.999"}},
    "searches": {
        "rates": {
            "trials": 4,
            "over": {"learning_rate": {"kind": "choice", "values": [0.05, 1e38]}},
            "by": "val_worst_group",
        }
    },
    "classifiers": {
        "erm": {**OF_ONE, "search": "rates"},
        "dro": {**OF_ONE, "scheme": "group_dro"},
        "invariant": {**OF_ONE, "scheme": "irm", "penalty_start": 1},
        "mixed": {**OF_ONE, "scheme": "lisa"},
        "again": {**OF_ONE, "scheme": "crt", "init": "erm", "data_sampler": {"kind": "power", "by": "group"}},
        "filled": {**OF_ONE, "data": ["real", "by_group"], "select_by": "val_worst_group"},
    },
    "recipes": {
        "groups": {
            "classifiers": ["erm", "dro", "invariant", "mixed", "again", "filled"],
            "datasets": ["nico_micro"],
            "main": True,
        }
    },
}


@pytest.fixture(scope="module")
def made(finished, tmp_path_factory):
    root = copy_with(finished, tmp_path_factory.mktemp("groups") / "micro", ADDED)
    unclip(root / "models/tiny")
    trees.nico(root / "data/nico", TREE)
    ran = snakemake(root, "--", "all_nico_micro", "describe_nico_micro")
    assert ran.returncode == 0, ran.stdout
    return root / "results/nico_micro"


def test_each_group_is_filled_also_one_without_training_pictures(made):
    assert pd.read_csv(made / "describe/groups.csv").set_index("group")["train"].to_dict() == GROUPS
    plan = pd.read_parquet(made / "plan/by_group/plan.parquet")
    assert plan["group"].value_counts().to_dict() == {
        group: 10 - count for group, count in GROUPS.items() if count < 10
    }
    assert set(plan["prompt"]) == {"bear in rock", "polar fox in dim", "polar fox in rock"}
    manifest = pd.read_parquet(made / "subset/manifest.parquet").set_index("key")
    sources = manifest.loc[plan["source"]]
    assert sources["class_name"].tolist() == plan["class_name"].tolist() and set(sources["split"]) == {"train"}
    index = pd.concat(map(pd.read_parquet, sorted(made.glob("sample/by_group/shard-*.parquet"))))
    assert index["key"].is_unique and index["seed"].is_unique and index["group"].tolist() == plan["group"].tolist()
    about = json.loads((made / "select/by_group/summary.json").read_text())
    assert [(row["group"], row["asked"], row["kept"]) for row in about["classes"]] == [
        (group, 10 - count, 10 - count) for group, count in GROUPS.items() if count < 10
    ]


@pytest.mark.parametrize("name", ADDED["recipes"]["groups"]["classifiers"])
def test_metrics_are_those_of_a_hand_worked_table(made, name):
    """Of the rows of predictions.parquet, counted one by one."""
    rows = pd.read_parquet(made / f"evaluate/{name}/seed-0/predictions.parquet").to_dict("records")
    metrics = json.loads((made / f"evaluate/{name}/seed-0/metrics.json").read_text())["metrics"]
    for split, prefix in (("test", ""), ("val", "val_")):
        right = defaultdict(list)
        for row in rows:
            if row["split"] == split:
                for key in ("all", row["group"], row["class_name"]):
                    right[key].append(row["class"] == row["predicted"])
        shares = {key: 100 * sum(found) / len(found) for key, found in right.items()}
        assert metrics[f"{prefix}top1"] == pytest.approx(shares["all"])
        assert metrics[f"{prefix}worst_group"] == pytest.approx(min(shares[group] for group in GROUPS))
        assert metrics[f"{prefix}balanced"] == pytest.approx((shares["bear"] + shares["polar_fox"]) / 2)
        held_out = {"bear, dim": 75, "bear, rock": 6, "polar_fox, dim": 75, "polar_fox, rock": 75}
        for group, count in held_out.items():
            assert len(right[group]) == (count // 3 if split == "val" else count - count // 3)
    epoch, history = metrics["kept_epoch"], pd.read_parquet(made / f"classifier/{name}/seed-0/history.parquet")
    judged = "val_worst_group" if name == "filled" else "val_top1"
    assert history[judged].max() == history.set_index("epoch")[judged][epoch] == pytest.approx(metrics[judged])


def test_near_duplicates_are_reported(made):
    scores = pd.concat(map(pd.read_parquet, sorted(made.glob("score/near/shard-*.parquet"))))
    assert scores[["pixel_train", "pixel_test", "feature_train", "feature_test"]].abs().max(axis=None) <= 1
    listed = pd.read_csv(made / "copies/near/copies.csv")
    assert len(listed) == (scores[["pixel_train", "pixel_test", "feature_train", "feature_test"]] >= 0.95).sum(
        axis=None
    )
    assert (made / "copies/near/copies.png").is_file()


def test_the_search_chose_a_trial_that_did_not_diverge(made):
    trials = pd.read_parquet(made / "search/erm/trials.parquet")
    chosen = json.loads((made / "search/erm/chosen.json").read_text())
    diverged = trials["values"] == '{"learning_rate": 1e+38}'
    assert 0 < diverged.sum() < 4 and (trials["failed"] != "").tolist() == diverged.tolist()
    assert trials.loc[diverged, "failed"].str.contains("loss is not a finite number").all()
    assert chosen["values"] == {"learning_rate": 0.05} and chosen["trial"] == trials["val_worst_group"].idxmax()
    best = made / f"evaluate/erm~trial={chosen['trial']}/seed-0/predictions.parquet"
    final = made / "evaluate/erm/seed-0/predictions.parquet"
    assert np.array_equal(*(pd.read_parquet(path)["probability"] for path in (best, final)))


def test_nothing_is_planned_again_and_every_module_counts(made):
    root = made.parents[1]
    assert planned(root, "all_nico_micro") == {}
    missed = modules_beside_fingerprints(root)
    assert {"search", "copies", "sample", "plan"} <= set(missed) and not any(missed.values())


def test_only_what_follows_from_a_change_is_planned(made, tmp_path):
    copy = copy_of(made.parents[1], tmp_path / "copy")
    config = yaml.safe_load((copy / "workflow_config.yaml").read_text())

    def jobs_after(*keys, value):
        changed = json.loads(json.dumps(config))
        inner = changed
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        (copy / "workflow_config.yaml").write_text(yaml.safe_dump(changed))
        return {" ".join(job.split()[:2]) for job in planned(copy, "all_nico_micro")}

    assert jobs_after("classifiers", "dro", "group_step", value=0.02) == {
        "classifier dro",
        "evaluate dro",
        "summary",
    }
    by_choice = jobs_after("searches", "rates", "by", value="val_top1")
    assert {"search erm", "classifier erm", "sample by_group", "classifier filled", "classifier again"} <= by_choice
    assert not any("~trial" in job for job in by_choice) and "classifier dro" not in by_choice
