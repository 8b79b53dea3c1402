"""The CLIP score against its formula in float64, in any pieces."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tiny_models import clip as tiny_clip

from pipeline.artifacts import pictures, shards
from pipeline.foundations import clip as loading
from pipeline.foundations import table
from pipeline.scores import clip

NAMES = ["aquarium_fish", "owl", "wren"]
SETTINGS = {"template": "a photo of a {class}.", "columns": ["clip", "clip_times_classes"]}


@pytest.fixture
def pool(tmp_path, cpu, monkeypatch):
    """A shard of 10 pictures of 20 px of three classes, and a model; returns their places."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # in float32, as the expected ones nearly are
    random = np.random.default_rng(0)
    labels = np.arange(10) % 3
    made = random.integers(0, 256, (10, 5, 5, 3), np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    records = [
        (f"{place}", pictures.encode(picture), "png", {"class": int(label), "class_name": NAMES[label]})
        for place, (label, picture) in enumerate(zip(labels, made, strict=True))
    ]
    shards.write_table(shards.write(tmp_path / "shard.tar", records), tmp_path / "shard.parquet")
    manifest = pd.DataFrame({"class": [0, 1, 2], "class_name": NAMES})
    shards.write_table(manifest, tmp_path / "manifest.parquet")
    table.write(tiny_clip(tmp_path / "clip"), tmp_path / "foundation.parquet")
    return tmp_path, labels, made


def scored(folder, first=0):
    inputs = {"foundation": [folder / "foundation.parquet"]}
    return np.concatenate(
        list(clip.scores(inputs, SETTINGS, folder / "manifest.parquet", folder / "shard.parquet", first))
    )


def test_the_score_is_the_softmax_over_the_classes(pool):
    folder, labels, made = pool
    loaded = loading.load(folder / "clip")
    model = loaded.model.double()
    words = model.encode_text(loaded.tokenize([f"a photo of a {name}." for name in ("aquarium fish", "owl", "wren")]))
    seen = model.encode_image(torch.stack([loaded.preprocess(Image.fromarray(one)) for one in made]).double())
    similarity = torch.nn.functional.cosine_similarity(seen[:, None], words[None], dim=2)
    expected = (similarity * model.logit_scale.exp()).softmax(1)[torch.arange(10), torch.tensor(labels)]
    found = scored(folder)
    np.testing.assert_allclose(found[:, 0], expected.detach(), rtol=1e-4)
    np.testing.assert_allclose(found[:, 1], 3 * expected.detach(), rtol=1e-4)
    assert np.ptp(found[:, 0]) > 0.05


def test_pieces_make_no_difference(pool, monkeypatch):
    folder, _, _ = pool
    whole = scored(folder)
    np.testing.assert_allclose(scored(folder, 7), whole[7:], rtol=1e-5)
    monkeypatch.setattr(clip, "AT_ONCE", 4)
    np.testing.assert_allclose(scored(folder), whole, rtol=1e-5)
