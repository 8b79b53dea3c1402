"""Searches: the values of their trials, the parts that they add, and what is refused."""

import json
import math
import sys

import numpy as np
import pytest
from examples import example, refused

from pipeline.artifacts import shards
from pipeline.classifiers import network as networks
from pipeline.config import costs, reads
from pipeline.config.searches import Search
from pipeline.config.workflow import Workflow
from pipeline.costs.jobs import jobs
from pipeline.jobs import command
from pipeline.stages import search as stage

RATE = {"kind": "log_uniform", "low": 1e-4, "high": 1e-2}
SIZE = {"kind": "log_uniform", "low": 64, "high": 128, "whole": True}
SEARCH = {"trials": 3, "over": {"learning_rate": RATE, "batch_size": SIZE}}
WHERE = {"dataset": "cifar100_lt", "name": "diffult"}


OWN = {  # data sets that may have a validation split
    "datasets": {"cifar100_lt": {"source": "image_folder", "path": "birds", "test_share": 0.2}},
    "generators": {"cbdm": {"side": 32}},
}


def flow(search=SEARCH, **more):
    classifiers = {"ce": {"side": 32}, "diffult": {"search": "some", "side": 32} | more.pop("diffult", {}), **more}
    return Workflow(example(**OWN, searches={"some": search}, classifiers=classifiers))


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_the_keys_that_are_drawn_changes_nothing(order):
    over = {"loss.gamma": {"kind": "uniform", "low": 2, "high": 4}, "loss": {"kind": "choice", "values": ["focal"]}}
    found = flow({"trials": 2, "over": dict(list(over.items())[::order])})
    for number, drawn in enumerate(found.part("searches", "some").values()):
        loss = found.part("classifiers", f"diffult~trial={number}").loss
        assert (loss.kind, loss.gamma) == ("focal", drawn["loss.gamma"])


def test_the_code_of_the_drawn_losses_is_in_the_last_trainings_fingerprint():
    losses = {"loss": {"kind": "choice", "values": ["focal", "ldam"]}}
    found = flow({"trials": 20, "over": losses})
    modules = reads.modules(found, "classifier", WHERE | {"seed": "0"})
    assert {"classifiers.losses.focal", "classifiers.losses.ldam"} <= set(modules)
    assert "classifiers.losses.focal" not in reads.modules(flow(), "classifier", WHERE | {"seed": "0"})


def test_a_recipe_may_vary_a_distribution():
    raw = example(
        **OWN, searches={"some": SEARCH}, classifiers={"ce": {"side": 32}, "diffult": {"search": "some", "side": 32}}
    )
    raw["recipes"]["diffult"]["vary"] = {"search.over.learning_rate.low": [1e-4, 1e-3]}
    found = Workflow(raw)
    lows = {part.over["learning_rate"].low for name, part in found.parts["searches"].items()}
    assert lows == {1e-4, 1e-3}


def values(over, trials=400, **more):
    return Search(trials=trials, over=over, **more).values()


def test_values_have_their_distributions():
    drawn = values(
        {
            "rate": RATE,
            "size": SIZE,
            "share": {"kind": "uniform", "low": 2, "high": 4},
            "one": {"kind": "choice", "values": ["a", 3]},
        }
    )
    logs = [math.log10(each["rate"]) for each in drawn]
    assert -4 < min(logs) < -3.95 and -2.05 < max(logs) < -2 and abs(np.mean(logs) + 3) < 0.1
    sizes = [each["size"] for each in drawn]
    assert {64, 127} <= set(sizes) <= set(range(64, 128)) and abs(np.mean(np.log2(sizes)) - 6.5) < 0.1
    shares = [each["share"] for each in drawn]
    assert 2 < min(shares) < 2.1 and 3.9 < max(shares) < 4
    assert {each["one"] for each in drawn} == {"a", 3}


def test_a_key_or_trial_more_changes_no_value():
    more = values({"rate": RATE, "size": SIZE}, trials=9)
    assert [each["rate"] for each in more][:5] == [each["rate"] for each in values({"rate": RATE}, trials=5)]
    assert len({each["rate"] for each in more}) == 9
    assert values({"rate": RATE}, seed=1) != values({"rate": RATE})


def test_a_search_adds_a_classifier_for_each_trial():
    found = flow()
    final, trials = found.part("classifiers", "diffult"), [f"diffult~trial={trial}" for trial in range(3)]
    assert final.trials == tuple(trials) and final.learning_rate == 0.1
    for number, name in enumerate(trials):
        trial, drawn = found.part("classifiers", name), found.part("searches", "some").values()[number]
        assert (trial.trial, trial.search, trial.trials) == (number, None, ())
        assert {key: getattr(trial, key) for key in drawn} == drawn and trial.data == final.data
    assert set(trials) <= set(found.needed("cifar100_lt", found.runs)["classifiers"])


def test_what_a_search_and_its_classifier_read():
    found = flow()
    metrics = [f"results/cifar100_lt/evaluate/diffult~trial={trial}/seed-0/metrics.json" for trial in range(3)]
    weights = [f"results/cifar100_lt/classifier/diffult~trial={trial}/seed-0/weights.safetensors" for trial in range(3)]
    assert reads.inputs(found, "search", WHERE) == {"trials": metrics, "weights": weights}
    assert reads.options(found, "search", WHERE) == ["trials", "weights"]
    assert reads.settings(found, "search", WHERE)["trials"] == found.part("searches", "some").values()
    assert reads.modules(found, "search", WHERE) == ["stages.search"]
    chosen = reads.inputs(found, "classifier", WHERE | {"seed": "4"})["chosen"]
    assert chosen == ["results/cifar100_lt/search/diffult/chosen.json"]
    assert "chosen" not in reads.inputs(found, "classifier", WHERE | {"name": "diffult~trial=1", "seed": "0"})
    assert {"search", "trials"}.isdisjoint(reads.settings(found, "classifier", WHERE))


def test_values_hold_on_all_data_sets_and_derived_classifiers_have_trials_of_their_own():
    found = flow(diffult={"search": "some", "where": {"cifar100_lt_200": {"batch_size": 9, "epochs": 7}}})
    trial = found.part("classifiers", "diffult~trial=1", "cifar100_lt_200")
    assert trial.epochs == 7 and trial.batch_size == found.part("searches", "some").values()[1]["batch_size"]
    assert found.part("classifiers", "diffult~generator.tau=2~trial=0").data[1] == "likely~generator.tau=2"


def test_costs_count_the_trials_under_the_classifiers_own_speed():
    found = flow()
    runs = [run for run in found.runs if run.recipe == "diffult" and run.dataset == "cifar100_lt"]
    assert set(costs.timed(found, "cifar100_lt", runs)["classifiers"]) == {"ce", "diffult"}
    listed = jobs(
        costs.counted(found, "cifar100_lt", runs), {name: np.full(100, 5) for name in ("train", "val", "test", "rest")}
    )
    trained = [job for job in listed if job.stage == "classifier" and job.part.startswith("diffult")]
    assert len(trained) == 3 + len(runs[0].seeds)
    assert {figure.part for job in trained for figure in job.work if figure.stage == "classifier"} == {"diffult"}
    (choice,) = (place for place, job in enumerate(listed) if job.stage == "search")
    assert all(choice in job.needs for job in trained if job.part == "diffult")


def test_values_that_come_up_again_are_not_tried_again():
    found = flow({"trials": 10, "over": {"batch_size": {"kind": "choice", "values": [64, 128]}}})
    assert sorted(each["batch_size"] for each in found.part("searches", "some").values()) == [64, 128]
    assert found.part("classifiers", "diffult").trials == ("diffult~trial=0", "diffult~trial=1")


def test_a_recipe_may_vary_a_search_but_no_key_that_it_draws():
    tried = {"classifier": "diffult", "datasets": ["cifar100_lt"]}
    raw = example(
        **OWN, searches={"some": SEARCH}, classifiers={"ce": {"side": 32}, "diffult": {"search": "some", "side": 32}}
    )
    raw["recipes"]["tried"] = tried | {"vary": {"search.trials": [2, 3]}}
    assert len(Workflow(raw).part("classifiers", "diffult~search.trials=2").trials) == 2
    raw["recipes"]["tried"] = tried | {"vary": {"classifier.learning_rate": [0.1, 0.2]}}
    told = "vary has classifiers.diffult.learning_rate, but the search some draws learning_rate; remove one"
    assert told in refused(raw)


REFUSED = {
    "a key with a dot at its end": ({"over": {"loss.": RATE}}, "'loss.' is no key; write it like learning_rate"),
    "a key that names another part": ({"over": {"init": {"kind": "choice", "values": ["ce"]}}}, "'init' cannot be drawn"),
    "other values on a data set": ({"over": {"learning_rate": RATE}, "where": {"cifar100_lt": {"seed": 5}}}, "searches.some.where: "),
    "a fixed key": ({"over": {"gpus": RATE}}, "searches.some.over: 'gpus' cannot be drawn; give it in the classifier"),
    "low above high": ({"over": {"momentum": {"kind": "uniform", "low": 1, "high": 0}}}, "low is 1 and high 0; low must be less"),
    "a log of nothing": ({"over": {"momentum": {"kind": "log_uniform", "low": 0, "high": 1}}}, "greater than 0"),
    "one trial": ({"trials": 1, "over": {"learning_rate": RATE}}, "searches.some.trials: Input should be greater than or equal to 2"),
    "an unknown key": ({"over": {"rate": RATE}}, "classifiers.diffult~trial=0: unknown key 'rate'; allowed: "),
    "a value that does not fit": (
        {"over": {"momentum": {"kind": "choice", "values": [2]}}},
        "classifiers.diffult~trial=0.momentum: Input should be less than 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_search_is_refused_in_one_sentence(case):
    search, told = REFUSED[case]
    assert told in refused(example(searches={"some": search}, classifiers={"diffult": {"search": "some"}}))


def test_an_unknown_search_is_refused_and_trials_are_not_given():
    assert "unknown search 'none'" in refused(example(classifiers={"diffult": {"search": "none"}}))
    assert "trials are set by search" in refused(example(classifiers={"diffult": {"trials": ["ce"]}}))
    assert "classifiers.diffult: trial is set by a search; remove it" in refused(
        example(classifiers={"diffult": {"trial": 3}})
    )
    everywhere = refused(example(classifiers={"diffult": {"where": {"cifar100_lt": {"trial": 3}}}}))
    assert "classifiers.diffult.where.cifar100_lt: 'trial' must be the same on all data sets" in everywhere


# The stage


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    def of(figures, by="val_top1"):
        paths, weights = [], []
        for number, figure in enumerate(figures):
            failed = isinstance(figure, str)
            given = {} if failed else figure if isinstance(figure, dict) else {by: figure}
            about = {"metrics": {by: 1.0, "top1": 100 - number} | given} | ({"failed": figure} if failed else {})
            paths.append(tmp_path / f"{number}.json")
            paths[-1].write_text(json.dumps(about))
            weights.append(tmp_path / f"{number}.safetensors")
            network = networks.Network("small", 4, 2, [0.5] * 3, [0.5] * 3)
            networks.save(network, weights[-1], {"settings": {"loss": {"gamma": number, "kind": "focal"}, "seed": 0}})
        config = {
            "by": "val_worst_group" if isinstance(figures[0], dict) else "val_top1",
            "trials": [{"loss.gamma": number} for number in range(len(figures))],
        }
        places = ["--trials", *map(str, paths), "--weights", *map(str, weights), "--output", str(tmp_path / "out")]
        monkeypatch.setattr(sys, "argv", ["stage", "--config", json.dumps(config), *places])
        command.run(stage.main, stage.arguments())
        return json.loads((tmp_path / "out/chosen.json").read_text()), shards.read_table(
            tmp_path / "out/trials.parquet"
        )

    return of


def test_among_equal_worst_groups_the_accuracy_over_all_decides(chosen):
    figures = [(0.0, 30.0), (0.0, 50.0), (0.0, 50.0), (-1.0, 90.0)]
    told, _ = chosen([{"val_worst_group": worst, "val_top1": top1} for worst, top1 in figures])
    assert (told["trial"], told["val_worst_group"]) == (1, 0.0)


def test_the_first_of_the_best_trials_is_chosen_and_the_test_split_does_not_count(chosen):
    found, table = chosen([3.0, 7.0, 7.0, 2.0])
    settings = {"loss": {"gamma": 1, "kind": "focal"}, "seed": 0}
    assert found == {"trial": 1, "values": {"loss.gamma": 1}, "val_top1": 7.0, "settings": settings}
    assert table["val_top1"].tolist() == [3.0, 7.0, 7.0, 2.0] and set(table["failed"]) == {""}


def test_a_failed_trial_is_reported_and_the_others_count(chosen, capsys):
    found, table = chosen(["the loss is not finite", 0.5, 0.25])
    assert found["trial"] == 1 and table["failed"].tolist() == ["the loss is not finite", "", ""]
    assert 'trial 0 of {"loss.gamma": 0} failed: the loss is not finite' in capsys.readouterr().out


def test_without_a_trial_that_counts_it_says_why(chosen, capsys):
    with pytest.raises(SystemExit) as ended:
        chosen(["no", "no"])
    assert "all 2 trials failed, the first because no; search other values" in str(ended.value)
    with pytest.raises(SystemExit) as ended:
        chosen([1.0, 2.0], by="top1")
    assert "has no val_top1, because the data set has no validation split" in str(ended.value)
