"""DiffuLT's metrics against brute force, one pair at a time, in float64."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from workflow_helpers import REPOSITORY, stage

from pipeline.artifacts import shards
from pipeline.artifacts.pictures import encode
from pipeline.classifiers import network as networks
from pipeline.scores import d1, d2, d3, nearest
from pipeline.scores.evidence import Evidence
from pipeline.stages import select

SELECTING = {
    "keep": [],
    "first": None,
    "fill_to": None,
    "top_up": None,
    "highest": None,
    "fill_range": [0, 1],
    "cells": "class",
}


@pytest.fixture
def evidence():
    """12 generated and 20 real pictures of 3 x 4 x 4 in 4 classes; class 3 has no real picture."""
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(12) % 4
    return Evidence(
        labels=labels,
        pixels=torch.randint(0, 256, (12, 48), generator=random, dtype=torch.uint8),
        features=torch.rand(12, 5, generator=random),
        logits=torch.randn(12, 4, generator=random) * 8,
        real_labels=torch.arange(20) % 3,
        real_pixels=torch.randint(0, 256, (20, 48), generator=random, dtype=torch.uint8),
        real_features=torch.rand(20, 5, generator=random),
    )


def brute_force(made, labels, real, real_labels):
    """The least distance to a real picture of the same class, by a double loop."""
    found = []
    for vector, label in zip(made.double().numpy(), labels.tolist(), strict=True):
        peers = [
            peer for peer, other in zip(real.double().numpy(), real_labels.tolist(), strict=True) if other == label
        ]
        found.append(min((np.sqrt(((vector - peer) ** 2).sum()) for peer in peers), default=np.inf))
    return np.array(found)


@pytest.mark.parametrize(("block", "numbers"), [(1, 2**23), (3, 2**23), (1024, 2**23), (1024, 100), (1024, 1)])
def test_d1_is_the_pixel_distance(evidence, monkeypatch, block, numbers):
    monkeypatch.setattr(nearest, "BLOCK", block)
    monkeypatch.setattr(nearest, "BLOCK_NUMBERS", numbers)
    expected = brute_force(evidence.pixels, evidence.labels, evidence.real_pixels, evidence.real_labels)
    np.testing.assert_allclose(d1.score(evidence).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("block", [1, 3, 1024])
def test_d2_is_the_feature_distance(evidence, monkeypatch, block):
    monkeypatch.setattr(nearest, "BLOCK", block)
    expected = brute_force(evidence.features, evidence.labels, evidence.real_features, evidence.real_labels)
    np.testing.assert_allclose(d2.score(evidence).numpy(), expected, rtol=1e-7)


def test_memory_is_bounded_for_large_pictures(monkeypatch):
    seen = []
    cdist = torch.cdist
    monkeypatch.setattr(torch, "cdist", lambda a, b, **how: seen.append(a.numel() + b.numel()) or cdist(a, b, **how))
    pixels, labels = torch.zeros(200, 3 * 224 * 224, dtype=torch.uint8), torch.zeros(200, dtype=torch.int64)
    nearest.nearest_distance(pixels, labels, pixels[:60], labels[:60])
    assert seen and max(seen) <= 2 * nearest.BLOCK_NUMBERS


def test_a_class_without_real_pictures_is_infinitely_far(evidence):
    assert (d1.score(evidence)[evidence.labels == 3] == torch.inf).all()
    assert d1.score(evidence)[evidence.labels != 3].isfinite().all()


def test_a_copy_of_a_real_picture_has_distance_zero(evidence):
    copied = evidence.pixels.clone()
    copied[0] = evidence.real_pixels[0]
    assert d1.score(evidence._replace(pixels=copied))[0] == 0


def test_nearest_is_of_the_same_class_only(evidence):
    copied = evidence.pixels.clone()
    copied[1] = evidence.real_pixels[0]  # a picture of class 1 that looks like one of class 0
    assert d1.score(evidence._replace(pixels=copied))[1] > 0


def test_d1_is_in_units_of_0_to_255(evidence):
    black, white = torch.zeros_like(evidence.pixels), torch.full_like(evidence.real_pixels, 255)
    score = d1.score(evidence._replace(pixels=black, real_pixels=white))
    assert score[0] == pytest.approx(255 * np.sqrt(48))


def test_d3_is_the_probability_of_the_class(evidence):
    logits = evidence.logits.double().numpy()
    expected = [np.exp(row[label]) / np.exp(row).sum() for row, label in zip(logits, evidence.labels, strict=True)]
    np.testing.assert_allclose(d3.score(evidence).numpy(), expected, rtol=1e-12)


def test_d3_resolves_probabilities_far_below_the_papers_thresholds(evidence):
    logits = torch.zeros(1, 4)
    logits[0, 1] = 40.0
    score = d3.score(evidence._replace(logits=logits, labels=torch.tensor([0])))
    assert score.item() == pytest.approx(np.exp(-40), rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("side", "frame"), [(16, 0), (96, 5)])
def test_copies_of_real_pictures_are_at_no_distance(side, frame, tmp_path):
    """Also where the classifier looks at the middle of a picture, as it does at more than 64 px: a frame is not seen."""
    random = np.random.default_rng(0)
    pictures = [np.kron(random.integers(0, 256, (6, 7, 3)), np.ones((20, 20, 1))).astype(np.uint8) for _ in range(6)]
    for name, width in (("real", 0), ("pool", frame)):
        around = ((width, width), (width, width), (0, 0))
        shown = [np.pad(picture[width : 120 - width, width : 140 - width], around) for picture in pictures]
        index = shards.write(
            tmp_path / f"{name}.tar",
            [
                (f"{i:08d}", encode(picture, "png"), "png", {"class": i % 2, "class_name": f"c{i % 2}"})
                for i, picture in enumerate(shown)
            ],
        )
        shards.write_table(index.assign(split="train") if name == "real" else index, tmp_path / f"{name}.parquet")
    network = networks.Network("small", 4, 2, [0.5] * 3, [0.5] * 3, side)
    networks.save(network, tmp_path / "w.safetensors", {})
    options = ("--manifest", tmp_path / "real.parquet", "--weights", tmp_path / "w.safetensors")

    def run(name, *more):
        ran = stage(REPOSITORY, name, *options, *more)
        assert ran.returncode == 0, ran.stdout

    run("features", "--output", tmp_path / "f.safetensors")
    pool = ("--index", tmp_path / "pool.parquet", "--features", tmp_path / "f.safetensors")
    run(
        "score",
        "--config",
        '{"kind": "classifier", "columns": ["d1", "d2"]}',
        *pool,
        "--output",
        tmp_path / "scores.parquet",
    )
    scores = shards.read_table(tmp_path / "scores.parquet")
    assert (scores["d1"] == 0).all() and scores["d2"].max() < 1e-6

    settings = '{"extractor": "classifier", "splits": 1, "nearest": 3, "sample_size": null, "against": "training"}'
    run("quality", "--config", settings, "--indices", tmp_path / "pool.parquet", "--output", tmp_path / "quality.json")
    metrics = json.loads((tmp_path / "quality.json").read_text())["metrics"]
    found = shards.read_table(tmp_path / "pool.parquet")
    more = pd.concat([found.assign(surplus=False), found[:2].assign(surplus=True)])
    shards.write_table(more, tmp_path / "pool.parquet")  # a surplus, which does not count
    run("quality", "--config", settings, "--indices", tmp_path / "pool.parquet", "--output", tmp_path / "quality.json")
    assert json.loads((tmp_path / "quality.json").read_text())["metrics"] == metrics
    assert [metrics[f"{name}_scorer"] for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert (
        metrics["fd_scorer"] < 1e-5 and metrics["quality_generated_pictures"] == metrics["quality_real_pictures"] == 6
    )


def test_classes_of_one_name_are_counted_apart(tmp_path):
    """As "missile", which two of ImageNet's classes are called."""
    index = pd.DataFrame({"key": list("abc"), "class": [0, 0, 1], "class_name": "missile", "shard": "s.tar"})
    shards.write_table(index, tmp_path / "pool.parquet")
    shards.write_table(index[["key", "class", "class_name"]].assign(d3=[0.5, 0.1, 0.1]), tmp_path / "scores.parquet")
    shards.write_table(index[["class", "class_name"]].assign(split="train"), tmp_path / "manifest.parquet")
    options = ("--manifest", tmp_path / "manifest.parquet")
    options += ("--indices", tmp_path / "pool.parquet", "--scores", tmp_path / "scores.parquet")
    settings = json.dumps(SELECTING | {"keep": [["d3", ">=", 0.2]]})
    ran = stage(REPOSITORY, "select", "--config", settings, *options, "--output", tmp_path / "selected.parquet")
    assert ran.returncode == 0 and "no picture was kept of the classes: missile" in ran.stdout, ran.stdout
    rows = json.loads((tmp_path / "summary.json").read_text())["classes"]
    assert [(row["class"], row["generated"], row["kept"]) for row in rows] == [(0, 2, 1), (1, 1, 0)]


def pool(folder, tables, again=(), **settings):
    """What `select` leaves of shards with these tables of key, class and d3, where c0 has two real pictures and c1 one.

    again: of each shard, what its index says of pictures that were drawn again.
    """
    indices, scores = [], []
    real = pd.DataFrame({"class": [0, 0, 1], "class_name": ["c0", "c0", "c1"], "split": "train"})
    shards.write_table(real, folder / "manifest.parquet")
    for i, table in enumerate(tables):
        table = table.assign(class_name=[f"c{label}" for label in table["class"]])
        provenance = [column for column in table if column == "surplus"]
        indices.append(folder / f"pool/shard-{i}.parquet")
        scores.append(folder / f"score/shard-{i}.parquet")
        index = table[["key", "class", "class_name", *provenance]].assign(shard=f"shard-{i}.tar")
        shards.write_table(index, indices[-1], about=again[i] if again else None)
        shards.write_table(table.drop(columns=provenance), scores[-1])
    output = folder / "select/selected.parquet"
    tables = ("--manifest", folder / "manifest.parquet", "--indices", *indices, "--scores", *scores)
    ran = stage(REPOSITORY, "select", "--config", json.dumps(SELECTING | settings), *tables, "--output", output)
    return ran, output


NOTHING = pd.DataFrame([], columns=["key", "class", "d3"])


def test_selection_goes_on_from_shard_to_shard(tmp_path):
    """A class in several shards, with `first`; an empty shard; another order than by class."""
    one = pd.DataFrame({"key": list("abcd"), "class": [0, 0, 1, 0], "d3": [0.9, 0.1, 0.9, 0.8]})
    two = pd.DataFrame({"key": list("efgh"), "class": [0, 1, 0, 1], "d3": [0.7, 0.6, 0.5, 0.4]})
    ran, output = pool(tmp_path, [NOTHING, one, NOTHING, two], keep=[["d3", ">=", 0.3]], first=3)
    assert ran.returncode == 0, ran.stdout
    selected = shards.read_table(output)
    assert selected["key"].tolist() == ["a", "c", "d", "e", "f", "h"]  # not g, the fourth of its class that passes
    assert selected["shard"].tolist() == ["../pool/shard-1.tar"] * 3 + ["../pool/shard-3.tar"] * 3
    assert selected["d3"].tolist() == [0.9, 0.9, 0.8, 0.7, 0.6, 0.4]
    rows = json.loads(output.with_name("summary.json").read_text())["classes"]
    assert [(row["class"], row["generated"], row["kept"]) for row in rows] == [(0, 5, 3), (1, 3, 3)]


def test_a_part_of_a_pool_lies_in_several_shards(tmp_path):
    """Of each class, four pictures and two of the surplus, e and f; the score is highest for d and f."""
    tables = [
        pd.DataFrame(
            {"key": list(keys), "class": label, "d3": [0, 0, 0, 0.9, 0, 0.8], "surplus": [False] * 4 + [True] * 2}
        )
        for label, keys in enumerate(("abcdef", "ABCDEF"))
    ]
    whole = pd.concat(tables)
    for part, highest, expected in (
        ([0, 0.5], None, "abAB"),
        ([0.5, 1], None, "cdCD"),
        ([0, 0.5], "d3", "abAB"),
        ([0.5, 1], "d3", "dfDF"),
    ):
        ran, output = pool(tmp_path, [whole[:3], whole[3:8], whole[8:]], fill_range=part, highest=highest)
        assert ran.returncode == 0, ran.stdout
        assert "".join(shards.read_table(output)["key"]) == expected
        told = json.loads(output.with_name("summary.json").read_text())
        assert (told["generated"], told["asked"], told["short"]) == (6, 4, 0)


def test_a_surplus_that_is_not_enough_is_reported_once(tmp_path):
    one = pd.DataFrame({"key": list("abc"), "class": [0, 0, 0], "d3": [0.9, 0.1, 0.4], "surplus": [False, False, True]})
    two = pd.DataFrame({"key": list("def"), "class": [1, 1, 1], "d3": [0.2, 0.1, 0.4], "surplus": [False, False, True]})
    keep = [["d3", ">=", 0.3]]
    ran, output = pool(tmp_path, [one, NOTHING, two], keep=keep)
    assert shards.read_table(output)["key"].tolist() == ["a", "c", "f"]
    assert (
        "warning: 1 of 4 pictures are short, because the pool has too few" in ran.stdout
        and ": c1 (1 of 2); let the pool" in ran.stdout
    )
    assert ran.stdout.count("warning") == 1
    ran, output = pool(tmp_path, [one, NOTHING, two], keep=keep, top_up="d3")
    assert shards.read_table(output)["key"].tolist() == ["a", "c", "d", "f"]
    assert ran.returncode == 0 and "warning" not in ran.stdout, ran.stdout


def test_a_filter_fills_classes_up_beside_their_real_pictures(tmp_path):
    """From a pool of equally many of each class: c0 lacks 2 to 4 pictures, c1 3."""
    one = pd.DataFrame({"key": list("abcd"), "class": 0, "d3": [0.9, 0.1, 0.8, 0.7]})
    two = pd.DataFrame({"key": list("efgh"), "class": 1, "d3": [0.2, 0.6, 0.1, 0.5]})
    keep = [["d3", ">=", 0.3]]
    ran, output = pool(tmp_path, [one, two], keep=keep, fill_to=4)
    assert shards.read_table(output)["key"].tolist() == ["a", "c", "f", "h"]
    assert "warning: 1 of 5 pictures are short" in ran.stdout and ": c1 (2 of 3); let the pool draw" in ran.stdout
    assert shards.read_table(pool(tmp_path, [one, two], fill_to="max")[1])["key"].tolist() == ["e"]
    assert not len(shards.read_table(pool(tmp_path, [one], fill_to=1)[1]))


def test_a_pool_of_other_classes_is_refused(tmp_path):
    ran, _ = pool(tmp_path, [pd.DataFrame({"key": ["a"], "class": 2, "d3": 0.5})])
    assert ran.returncode == 1 and "shard-0.parquet has 'c2' as class 2, but the data set has other" in ran.stdout


def test_pictures_of_the_pool_that_were_drawn_again_are_told(tmp_path):
    one = pd.DataFrame({"key": list("abc"), "class": [0, 0, 1], "d3": [0.9, 0.1, 0.9]})
    again = [{"redrawn": 2, "flagged": 0}, {"redrawn": 1, "flagged": 1}]
    ran, output = pool(tmp_path, [one, one.assign(key=list("def"))], again)
    told = json.loads(output.with_name("summary.json").read_text())
    assert (told["redrawn"], told["flagged"], told["kept"]) == (3, 1, 6)
    reasons = "3 because they were broken, 1 because a safety checker flagged them"
    assert f"of the pool's 6 pictures, some were drawn again: {reasons}" in ran.stdout
    ran, output = pool(tmp_path / "whole", [one])
    assert json.loads(output.with_name("summary.json").read_text())["redrawn"] == 0
    assert "again" not in ran.stdout


def test_selection_of_a_pool_without_pictures_is_empty(tmp_path):
    ran, output = pool(tmp_path, [NOTHING, NOTHING], keep=[["d3", ">=", 0.3]], first=3)
    assert ran.returncode == 0 and "0 of 0 generated pictures kept" in ran.stdout, ran.stdout
    assert not len(shards.read_table(output))


def test_scores_of_other_pictures_are_refused(tmp_path):
    tables = [pd.DataFrame({"key": list(keys), "class": 0, "d3": 0.5}) for keys in ("ab", "cd")]
    _, output = pool(tmp_path, tables)
    output.unlink()
    one, two = (tmp_path / f"score/shard-{i}.parquet" for i in (0, 1))
    settings = (
        "--config",
        json.dumps(SELECTING),
        "--output",
        output,
    )
    settings += ("--manifest", tmp_path / "manifest.parquet")
    for scores in ([two, one], [one]):
        ran = stage(
            REPOSITORY, "select", *settings, "--indices", *sorted((tmp_path / "pool").iterdir()), "--scores", *scores
        )
        assert ran.returncode == 1 and "as the indices" in ran.stdout and "Traceback" not in ran.stdout, ran.stdout
        assert not output.exists()


def test_an_empty_shard_of_a_pool_of_groups_has_no_pictures(tmp_path):
    path = tmp_path / "shard-00000.parquet"
    shards.write_table(shards.write(tmp_path / "shard-00000.tar", []), path)
    cells = pd.DataFrame({"class": [0, 0], "class_name": "a", "group": ["a, dim", "a, rock"], "train": [1, 2]})
    found = select._deciding(path, None, {"keep": [], "highest": None}, cells)
    assert len(found) == 0 and {"cell", "surplus"} == set(found)
