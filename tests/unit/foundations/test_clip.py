"""CLIP models in open_clip's format: whole ones are loaded, and nothing that is missing is filled with random values."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import clip as tiny_clip
from tiny_models import stable_diffusion

from pipeline.errors import InputError
from pipeline.foundations import clip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("models") / "clip")


@pytest.fixture
def copy(model, tmp_path):
    return shutil.copytree(model, tmp_path / "clip")


def test_a_whole_model_has_the_weights_of_its_file(model):
    loaded = clip.load(model)
    saved = load_file(model / "open_clip_model.safetensors")
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, saved[name])
    assert loaded.tokenize(["a cat"]).shape == (1, 77)


@pytest.mark.parametrize("file", ["open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json"])
def test_a_file_that_is_missing_or_cut_is_told(copy, file):
    data = (copy / file).read_bytes()
    (copy / file).write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"clip (is missing or damaged|has a tokenizer of)"):
        clip.load(copy)
    (copy / file).unlink()
    with pytest.raises(InputError, match=r"clip (is missing or damaged|has a tokenizer of)"):
        clip.load(copy)


def test_a_missing_tensor_is_told(copy):
    weights = load_file(copy / "open_clip_model.safetensors")
    weights.pop("visual.proj")
    save_file(weights, copy / "open_clip_model.safetensors")
    with pytest.raises(InputError, match=r"clip is missing or damaged .*visual\.proj"):
        clip.load(copy)


def test_another_kind_of_model_is_told(tmp_path):
    with pytest.raises(InputError, match="is missing or damaged"):
        clip.load(stable_diffusion(tmp_path / "sd"))


@pytest.mark.parametrize(
    ("keys", "value", "told"),
    [
        (("model_cfg", "text_cfg", "context_length"), 10, r"clip: positional_embedding has the shape \[77, .*\], but"),
        (("model_cfg", "vision_cfg", "image_size"), 64, r"clip: visual\.positional_embedding has the shape"),
        (("preprocess_cfg", "mean"), [0.5] * 4, "clip is missing or damaged"),
        (("preprocess_cfg", "interpolation"), "nonsense", "clip is missing or damaged"),
    ],
)
def test_a_config_that_does_not_fit_the_weights_is_told(copy, keys, value, told):
    path = copy / "open_clip_config.json"
    config = entry = json.loads(path.read_text())
    for key in keys[:-1]:
        entry = entry[key]
    entry[keys[-1]] = value
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match=told):
        clip.load(copy)


def test_weights_that_are_no_finite_numbers_are_told(copy):
    weights = load_file(copy / "open_clip_model.safetensors")
    weights["visual.proj"][0, 0] = float("inf")
    save_file(weights, copy / "open_clip_model.safetensors")
    with pytest.raises(InputError, match=r"clip: visual\.proj has values that are not finite numbers"):
        clip.load(copy)


def test_a_pickle_is_not_read(copy):
    weights = load_file(copy / "open_clip_model.safetensors")
    (copy / "open_clip_model.safetensors").unlink()
    torch.save(weights, copy / "open_clip_pytorch_model.bin")
    with pytest.raises(InputError, match=r"clip is missing or damaged \(no open_clip_model\.safetensors\)"):
        clip.load(copy)
