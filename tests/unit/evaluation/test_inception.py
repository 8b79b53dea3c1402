"""FID and IS under Inception v3 weights from a local file; the weights here are random, the road is the real one."""

import json
import pickle
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from pipeline.artifacts import shards
from pipeline.artifacts.pictures import encode
from pipeline.jobs import command
from pipeline.stages import quality


def _pictures(path, count, seed):
    """A shard of random pictures; its index, with `split` for use as a manifest."""
    random = np.random.default_rng(seed)
    records = (
        (f"{i}", encode(random.integers(0, 256, (8, 8, 3), np.uint8)), "png", {"class": 0, "class_name": "a"})
        for i in range(count)
    )
    return shards.write(path, records)


def _run(monkeypatch, tmp_path, weights):
    _pictures(tmp_path / "real.tar", 6, 0).assign(split="train").to_parquet(tmp_path / "manifest.parquet")
    _pictures(tmp_path / "pool.tar", 5, 1).to_parquet(tmp_path / "pool.parquet")
    config = {
        "extractor": "inception",
        "splits": 2,
        "nearest": 3,
        "sample_size": None,
        "against": "training",
        "weights": str(weights),
    }
    arguments = ["--manifest", "manifest.parquet", "--indices", "pool.parquet", "--output", "quality.json"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["quality", "--config", json.dumps(config), *arguments])
    command.run(quality.main, quality.arguments())
    return json.loads((tmp_path / "quality.json").read_text())["metrics"]


@pytest.mark.slow
def test_metrics_are_called_fid_and_is_under_inception(monkeypatch, tmp_path):
    torch.manual_seed(0)
    blank = FeatureExtractorInceptionV3.__new__(FeatureExtractorInceptionV3)
    weights = tmp_path / "inception.pth"
    with monkeypatch.context() as patched:  # the constructor insists on weights, and these are how we get some
        patched.setattr(torch, "load", lambda *_, **__: {})
        patched.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_, **__: None)
        blank.__init__("inception", ["2048", "logits_unbiased"], str(weights))
    for weight in blank.parameters():
        if weight.dim() > 1:
            torch.nn.init.kaiming_normal_(weight)  # so that the signal does not vanish on its way
    torch.save(blank.state_dict(), weights)
    found = _run(monkeypatch, tmp_path, weights)
    assert {"fid", "is", "is_std"} <= set(found)
    assert not {"fd_scorer", "is_scorer"} & set(found)
    assert found["fid"] > 0 and 0 <= found["precision_inception"] <= 1
    assert found["is"] >= 1
    assert (found["quality_generated_pictures"], found["quality_real_pictures"]) == (5, 6)


class Armed:
    """Pickled, it makes the file `ran` when it is read."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return open, (str(self.folder / "ran"), "w")


def pickled(path):
    path.write_bytes(pickle.dumps(Armed(path.parent)))


def saved_by_torch(path):
    torch.save({"fc.weight": Armed(path.parent)}, path)


BAD = {
    "absent": (lambda path: None, "is missing; give torch-fidelity's"),
    "a pickle": (pickled, "is not a readable weight file; give torch-fidelity's"),
    "a pickle in torch's format": (saved_by_torch, "is not a readable weight file"),
    "text": (lambda path: path.write_text("no weights"), "is not a readable weight file"),
    "empty": (lambda path: path.write_bytes(b""), "is not a readable weight file"),
    "a list": (lambda path: torch.save([1], path), "is not a weight file but holds a list"),
    "numbers": (lambda path: torch.save({"fc.weight": 1}, path), "holds more than named tensors"),
    "another network's": (
        lambda path: torch.save(torch.nn.Linear(1, 1).state_dict(), path),
        "holds the weights of another network",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_weights_that_are_none_are_named_and_run_no_code(monkeypatch, tmp_path, bad):
    make, told = BAD[bad]
    path = tmp_path / "some.pth"
    make(path)
    with pytest.raises(SystemExit) as stopped:
        _run(monkeypatch, tmp_path, path)
    assert str(stopped.value).startswith(f"error: {path} ") and told in str(stopped.value)
    assert "\n" not in str(stopped.value)
    assert not (tmp_path / "ran").exists()
    assert isinstance(pd.read_parquet(tmp_path / "manifest.parquet"), pd.DataFrame)  # nothing that was there is lost


def test_the_pickles_of_this_test_do_run_code(tmp_path):
    saved_by_torch(tmp_path / "some.pth")
    torch.load(tmp_path / "some.pth", weights_only=False)["fc.weight"].close()
    assert (tmp_path / "ran").exists()
