"""The stages that train and evaluate a classifier, in this process: groups of pictures, and the split that is judged."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.artifacts import shards
from pipeline.artifacts.pictures import encode
from pipeline.classifiers import network as networks
from pipeline.classifiers import train as training
from pipeline.config.resolve import SCHEMA, build
from pipeline.errors import InputError
from pipeline.stages import classifier, evaluate

REAL = [  # class, split, group
    (0, "train", "rock"), (1, "train", "dim"), (0, "train", "autumn"), (1, "train", "rock"),
    (0, "test", "water"), (1, "test", "dim"), (0, "val", "rock"), (1, "val", "grass"), (0, "val", "grass"),
]  # fmt: skip
SETTINGS = build(
    SCHEMA,
    "classifiers",
    "some",
    {
        "data": ["real", "generated"],
        "backbone": "small",
        "width": 4,
        "epochs": 1,
        "warmup_epochs": 0,
        "batch_size": 4,
        "augment": [],
    },
).settings() | {"stored": {"source": "image_folder", "store_side": None}}


def table(folder, name, rows, columns):
    """A shard of random pictures and its index, of which `columns` say something about each."""
    random = np.random.default_rng(len(rows))
    records = (
        (f"{i}", encode(random.integers(0, 256, (8, 8, 3), np.uint8)), "png", dict(zip(columns, row, strict=True)))
        for i, row in enumerate(rows)
    )
    index = shards.write(folder / f"{name}.tar", records)
    shards.write_table(index, folder / f"{name}.parquet")
    return folder / f"{name}.parquet"


@pytest.fixture
def manifest(tmp_path):
    named = [(label, f"class {label}", split, group) for label, split, group in REAL]
    return table(tmp_path, "manifest", named, ["class", "class_name", "split", "group"])


def without_groups(path):
    shards.write_table(pd.read_parquet(path).drop(columns="group"), path)


def trained(manifest, *selected, monkeypatch, train=training.train):
    """What the stage trains on, and watches: (data, test, validation)."""
    seen = []

    def watched(settings, data, test, validation, *others):
        seen.extend((data, test, validation()))
        return train(settings, data, test, validation, *others)

    monkeypatch.setattr(training, "train", watched)
    given = [
        "--config",
        json.dumps(SETTINGS),
        "--manifest",
        manifest,
        "--seed",
        0,
        "--output",
        manifest.parent / "made",
    ]
    given += ["--selected", *selected]
    classifier.main(classifier.arguments().parse_args(list(map(str, given))))
    return seen


@pytest.mark.parametrize("generated_have_groups", [False, True])
def test_groups_have_the_same_numbers_in_every_split_and_pool(generated_have_groups, manifest, monkeypatch):
    """autumn 0, dim 1, grass 2, rock 3, water 4: also those that the training split does not have count."""
    pool = table(manifest.parent, "pool", [(1, "dim"), (0, "water"), (1, "rock")], ["class", "group"])
    if not generated_have_groups:
        without_groups(pool)
    data, test, validation = trained(manifest, pool, monkeypatch=monkeypatch)
    assert data.groups.tolist() == [3, 1, 0, 3, *([1, 4, 3] if generated_have_groups else [-1] * 3)]
    assert data.labels.tolist() == [0, 1, 0, 1, 1, 0, 1] and data.generated.tolist() == [False] * 4 + [True] * 3
    assert test.groups.tolist() == [4, 1] and validation.groups.tolist() == [3, 2, 2]
    assert {columns.groups.dtype for columns in (data, test, validation)} == {torch.int64}


def test_a_trial_without_a_validation_split_is_refused_before_it_trains(manifest, monkeypatch):
    shards.write_table(pd.read_parquet(manifest).query("split != 'val'"), manifest)
    monkeypatch.setitem(SETTINGS, "trial", 2)
    with pytest.raises(InputError, match="has no validation split, on which a search chooses"):
        trained(manifest, monkeypatch=monkeypatch)


def test_a_searchs_settings_take_the_place_of_the_configs(manifest, tmp_path, monkeypatch):
    chosen = tmp_path / "chosen.json"
    found = SETTINGS | {"learning_rate": 0.003, "batch_size": 2, "trial": 1, "seed": 0}
    found["loss"] = {"kind": "focal", "gamma": 2.0, "form": "textbook", "class_weights": None}
    chosen.write_text(json.dumps({"trial": 1, "values": {}, "settings": found}))
    trained(manifest, "--chosen", chosen, monkeypatch=monkeypatch)
    assert networks.outcome(manifest.parent / "made/weights.safetensors")["settings"] == found | {"trial": None}


def test_a_trial_that_diverges_has_failed_and_its_network_can_be_loaded(manifest, monkeypatch):
    for key, value in {"trial": 0, "learning_rate": 1e38, "epochs": 3}.items():
        monkeypatch.setitem(SETTINGS, key, value)
    trained(manifest, monkeypatch=monkeypatch)
    weights = manifest.parent / "made/weights.safetensors"
    assert "loss is not a finite number" in networks.outcome(weights)["failed"]
    networks.load(weights, torch.device("cpu"))
    monkeypatch.setitem(SETTINGS, "trial", None)
    with pytest.raises(InputError, match="loss is not a finite number"):
        trained(manifest, monkeypatch=monkeypatch)


def test_a_trial_that_does_not_fit_into_memory_has_failed_and_the_others_count(manifest, monkeypatch):
    def full(*_):
        torch.zeros(10**15)

    monkeypatch.setitem(SETTINGS, "trial", 0)
    trained(manifest, monkeypatch=monkeypatch, train=full)
    weights = manifest.parent / "made/weights.safetensors"
    assert networks.outcome(weights)["failed"].startswith("out of memory (")
    networks.load(weights, torch.device("cpu"))
    monkeypatch.setitem(SETTINGS, "trial", None)
    with pytest.raises(RuntimeError, match="allocate memory"):
        trained(manifest, monkeypatch=monkeypatch, train=full)


def test_a_manifest_without_groups_trains_as_well(manifest, monkeypatch):
    pool = table(manifest.parent, "pool", [(1, "dim"), (0, "water")], ["class", "group"])
    for path in (manifest, pool):
        without_groups(path)
    data, test, _ = trained(manifest, pool, monkeypatch=monkeypatch)
    assert data.groups.tolist() == [-1] * 6 and test.groups.tolist() == [-1] * 2
    assert len(pd.read_parquet(manifest.parent / "made/history.parquet")) == 1


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    network = networks.Network("small", 4, 2, [0.5] * 3, [0.5] * 3)
    outcome = dict.fromkeys(("steps", "real_pictures", "generated_pictures", "kept_epoch", "best_test_epoch"), 1)
    networks.save(network, tmp_path / "w.safetensors", outcome | {"best_test_top1": 50.0})
    return tmp_path / "w.safetensors"


def judged(manifest, weights, *more):
    """The folder of figures that the stage writes."""
    output = manifest.parent / f"judged{len(more)}{''.join(more)}"
    given = ["--manifest", manifest, "--weights", weights, "--seed", 0, "--output", output, *more]
    evaluate.main(evaluate.arguments().parse_args(list(map(str, given))))
    return output


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_any_split_is_evaluated_and_val_beside_it(split, manifest, weights):
    output = judged(manifest, weights, "--split", split)
    rows = pd.read_parquet(manifest)
    predictions = pd.read_parquet(output / "predictions.parquet")
    metrics = json.loads((output / "metrics.json").read_text())["metrics"]
    assert set(predictions["split"]) == {split, "val"}
    for judged_split, prefix in ((split, ""), ("val", "val_")):
        expected, found = rows[rows["split"] == judged_split], predictions[predictions["split"] == judged_split]
        assert found["key"].tolist() == expected["key"].tolist()
        assert found["class"].tolist() == expected["class"].tolist()
        right = 100 * (found["class"] == found["predicted"])
        assert metrics[f"{prefix}top1"] == pytest.approx(right.mean())
        assert metrics[f"{prefix}worst_group"] == pytest.approx(right.groupby(found["group"]).mean().min())


def test_predictions_name_files_groups_and_classes(manifest, weights):
    rows = pd.read_parquet(manifest)
    shards.write_table(rows.assign(source="raw/" + rows["key"] + ".png"), manifest)
    found = pd.read_parquet(judged(manifest, weights) / "predictions.parquet")
    expected = rows[rows["split"].isin(("val", "test"))]
    assert found["file"].tolist() == [f"raw/{key}.png" for key in expected["key"]]
    assert found["group"].tolist() == expected["group"].tolist()
    assert found["class_name"].tolist() == expected["class_name"].tolist()
    assert found["predicted_name"].tolist() == [f"class {label}" for label in found["predicted"]]
    wrong = found["class"] != found["predicted"]
    assert (found["top_probability"][~wrong] == found["probability"][~wrong]).all()
    assert (found["top_probability"][wrong] > found["probability"][wrong]).all()


def test_tables_have_test_beside_val_and_no_accuracy_without_pictures(manifest, weights):
    output = judged(manifest, weights)
    found = pd.read_parquet(output / "predictions.parquet")
    found = found.assign(right=100.0 * (found["class"] == found["predicted"]))
    by_class, by_group = (pd.read_csv(output / f"per_{name}.csv") for name in ("class", "group"))
    shared = ["train_pictures", "val_pictures", "test_pictures", "accuracy", "val_accuracy"]
    assert list(by_class) == ["class", "class_name", *shared] and list(by_group) == ["group", *shared]
    assert by_class[shared[:3]].to_numpy().tolist() == [[2, 2, 1], [2, 1, 1]]
    assert by_group["group"].tolist() == ["autumn", "dim", "grass", "rock", "water"]
    assert by_group["accuracy"].isna().tolist() == [True, False, True, True, False]
    for table, column in ((by_class, "class"), (by_group, "group")):
        for split, accuracy in (("test", "accuracy"), ("val", "val_accuracy")):
            expected = found[found["split"] == split].groupby(column)["right"].mean()
            assert table.set_index(column)[accuracy].dropna().to_dict() == expected.to_dict()


def test_without_groups_and_val_there_are_no_figures_of_them(manifest, weights):
    rows = pd.read_parquet(manifest).drop(columns="group")
    shards.write_table(rows[rows["split"] != "val"], manifest)
    output = judged(manifest, weights)
    metrics = json.loads((output / "metrics.json").read_text())["metrics"]
    assert "top1" in metrics and not [name for name in metrics if name.startswith("val_") or "group" in name]
    assert not len(pd.read_csv(output / "per_group.csv"))
    assert pd.read_parquet(output / "predictions.parquet")["group"].isna().all()
    assert pd.read_csv(output / "per_class.csv")["val_accuracy"].isna().all()


def test_a_class_without_test_pictures_scores_as_none(manifest, weights):
    """And not as 0: T17 lets small classes be without test pictures."""
    rows = pd.read_parquet(manifest)
    shards.write_table(rows[(rows["split"] != "test") | (rows["class"] == 1)], manifest)
    output = judged(manifest, weights)
    by_class = pd.read_csv(output / "per_class.csv")
    assert by_class["accuracy"].isna().tolist() == [True, False]
    metrics = json.loads((output / "metrics.json").read_text())["metrics"]
    assert metrics["balanced"] == metrics["top1"] == metrics["few"] == by_class["accuracy"][1]


def test_the_test_split_is_evaluated_by_default(manifest, weights):
    one, other = judged(manifest, weights), judged(manifest, weights, "--split", "test")
    files = sorted(path.name for path in one.iterdir())
    assert files == ["metrics.json", "per_class.csv", "per_group.csv", "predictions.parquet"]
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in files)


def test_a_split_that_the_manifest_does_not_have_is_refused_with_those_that_it_has(manifest, weights):
    message = r"manifest\.parquet has no pictures of the split 'rest'; give --split one of: train, test, val$"
    with pytest.raises(InputError, match=message):
        judged(manifest, weights, "--split", "rest")
    assert not list(manifest.parent.glob("judged*"))
