"""Near duplicates: likeness against plain sums, copies that are found, and their report."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.artifacts import shards
from pipeline.artifacts.pictures import encode
from pipeline.classifiers import network as networks
from pipeline.jobs import command
from pipeline.scores.copies import most_alike, scores
from pipeline.stages import copies

COLUMNS = [
    f"{by}_{split}{ending}" for by in ("pixel", "feature") for split in ("train", "test") for ending in ("", "_row")
]


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 9), st.booleans())
def test_likeness_is_the_correlation_or_cosine(seed, ours, theirs, centred):
    random = np.random.default_rng(seed)
    one, other = random.normal(size=(ours, 6)), random.normal(size=(theirs, 6))
    found, places = most_alike(torch.from_numpy(one), torch.from_numpy(other), centred)
    for row, likeness, place in zip(one, found.tolist(), places.tolist(), strict=True):
        if centred:
            each = [np.corrcoef(row, peer)[0, 1] for peer in other]
        else:
            each = [row @ peer / np.sqrt((row @ row) * (peer @ peer)) for peer in other]
        assert likeness == pytest.approx(max(each), abs=1e-12) and place == int(np.argmax(each))


def test_levels_without_variation_are_alike_to_none_and_blocks_change_nothing(monkeypatch):
    flat = torch.full((2, 5), 9, dtype=torch.uint8)
    assert most_alike(flat, torch.rand(3, 5), centred=True)[0].tolist() == [0, 0]
    ours, theirs = torch.rand(4, 7), torch.rand(11, 7)
    whole = most_alike(ours, theirs, centred=False)
    monkeypatch.setattr("pipeline.scores.copies.BLOCK", 3)
    found, places = most_alike(ours, theirs, centred=False)
    torch.testing.assert_close(found, whole[0], rtol=1e-12, atol=0)
    assert torch.equal(places, whole[1])


@pytest.fixture
def pool(tmp_path):
    """Real pictures of two classes and splits, and a pool: a copy of a training one, a brighter one of a test one, and noise."""
    random = np.random.default_rng(0)
    real = random.integers(0, 200, (8, 16, 16, 3)).astype(np.uint8)
    splits = ["train", "train", "train", "val", "test", "test", "train", "test"]
    about = [
        {"class": i % 2, "class_name": "ab"[i % 2], "split": split, "source": f"file-{i}"}
        for i, split in enumerate(splits)
    ]
    index = shards.write(
        tmp_path / "real.tar",
        ((str(i), encode(one), "png", row) for i, (one, row) in enumerate(zip(real, about, strict=True))),
    )
    shards.write_table(index, tmp_path / "manifest.parquet")
    drawn = [real[2], real[5] + 40, random.integers(0, 200, (16, 16, 3)).astype(np.uint8), real[3]]
    (tmp_path / "pool").mkdir()
    table = shards.write(
        tmp_path / "pool/shard-00000.tar",
        ((f"g{i}", encode(one), "png", {"class": 1, "class_name": "b"}) for i, one in enumerate(drawn)),
    )
    shards.write_table(table, tmp_path / "pool/shard-00000.parquet")
    torch.manual_seed(0)
    network = networks.Network("small", 4, 2, [0.5] * 3, [0.5] * 3)
    networks.save(network, tmp_path / "w.safetensors", {})
    return tmp_path


def scored(pool, first=0):
    settings = {"columns": COLUMNS, "extractor": "classifier"}
    index = pool / "pool/shard-00000.parquet"
    found = np.concatenate(
        list(scores({"weights": [pool / "w.safetensors"]}, settings, pool / "manifest.parquet", index, first))
    )
    return pd.DataFrame(found, columns=COLUMNS)


def test_copies_are_found_in_their_split_whatever_their_class_and_light(pool):
    found = scored(pool)
    assert found["pixel_train"][0] == pytest.approx(1) and found["pixel_train_row"][0] == 2
    assert found["feature_train"][0] == pytest.approx(1) and found["feature_train_row"][0] == 2
    assert found["pixel_test"][1] == pytest.approx(1, abs=0.005) and found["pixel_test_row"][1] == 5
    others = found.drop(columns=[name for name in COLUMNS if name.endswith("_row")])[["pixel_train", "pixel_test"]]
    assert others.loc[[2, 3]].max(axis=None) < 0.2  # noise, and a copy of a validation picture, which neither split has
    assert scored(pool, 2).equals(found[2:].reset_index(drop=True))


def test_the_report_lists_pairs_and_shows_them(pool, monkeypatch):
    index = shards.read_table(pool / "pool/shard-00000.parquet")
    shards.write_table(index[["key", "class", "class_name"]].join(scored(pool)), pool / "scores.parquet")
    given_ = {"--alike": 0.99, "--manifest": pool / "manifest.parquet", "--indices": pool / "pool/shard-00000.parquet",
              "--scores": pool / "scores.parquet", "--title": "d, pool p", "--output": pool / "out"}  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["stage", *(str(word) for pair in given_.items() for word in pair)])
    command.run(copies.main, copies.arguments())
    listed = pd.read_csv(pool / "out/copies.csv", dtype={"real_key": str})
    by_pixels = listed[listed["by"] == "pixel"]
    assert by_pixels[["key", "split", "real_key", "real_class_name", "source"]].to_numpy().tolist() == [
        ["g0", "train", "2", "a", "file-2"],
        ["g1", "test", "5", "b", "file-5"],
    ]
    assert listed["likeness"].is_monotonic_decreasing and (listed["likeness"] >= 0.99).all()
    with Image.open(pool / "out/copies.png") as picture:
        assert picture.height > 16 * 32
    shards.write_table(shards.read_table(pool / "scores.parquet")[:0], pool / "scores.parquet")
    command.run(copies.main, copies.arguments())  # of a pool without pictures
    assert not len(pd.read_csv(pool / "out/copies.csv"))
