"""Models in diffusers' format: whole ones are loaded, and whatever is missing is named instead of filled with random values."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import stable_diffusion

from pipeline.errors import InputError
from pipeline.foundations.components import components, pipeline_class


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return stable_diffusion(tmp_path_factory.mktemp("models") / "sd")


@pytest.fixture
def copy(model, tmp_path):
    return shutil.copytree(model, tmp_path / "sd")


def test_a_whole_model_is_loaded(model):
    found = components(model)
    assert pipeline_class(model) == "StableDiffusionPipeline"
    assert sorted(found) == ["scheduler", "text_encoder", "tokenizer", "unet", "vae"]
    saved = load_file(model / "unet/diffusion_pytorch_model.safetensors")
    for name, value in found["unet"].state_dict().items():
        assert torch.equal(value, saved[name])
    assert not any(value.requires_grad for value in found["text_encoder"].parameters())


def test_weights_have_the_precision_that_is_asked_for(model):
    found = components(model, torch.bfloat16)
    assert {found[name].dtype for name in ("text_encoder", "unet", "vae")} == {torch.bfloat16}


WEIGHTS = {
    "text_encoder": "model.safetensors",
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_missing_tensor_is_named(copy, name):
    path = copy / name / WEIGHTS[name]
    weights = load_file(path)
    gone = sorted(weights)[len(weights) // 2]
    save_file({key: value for key, value in weights.items() if key != gone}, path, {"format": "pt"})
    with pytest.raises(InputError, match=rf"{name} lacks {gone}, or has other shapes; get the model again"):
        components(copy)


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_tensor_of_another_shape_is_told(copy, name):
    path = copy / name / WEIGHTS[name]
    weights = load_file(path)
    other = sorted(weights)[len(weights) // 2]
    save_file(weights | {other: torch.zeros(3)}, path, {"format": "pt"})
    with pytest.raises(InputError, match=name):
        components(copy)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_any_file_that_is_missing_is_named(model, tmp_path):
    for place, file in enumerate(files(model)):
        damaged = shutil.copytree(model, tmp_path / str(place))
        (damaged / file).unlink()
        if file == "tokenizer/tokenizer_config.json":  # the vocabulary says it all
            continue
        with pytest.raises(InputError) as raised:
            components(damaged)
        assert str(damaged / file.split("/")[0]) in str(raised.value), file


def test_any_file_that_is_cut_is_named(model, tmp_path):
    for place, file in enumerate(files(model)):
        damaged = shutil.copytree(model, tmp_path / str(place))
        data = (damaged / file).read_bytes()
        (damaged / file).write_bytes(data[: len(data) // 2])
        with pytest.raises(InputError) as raised:
            components(damaged)
        assert str(damaged / file.split("/")[0]) in str(raised.value), file


def test_a_missing_folder_is_named(copy):
    shutil.rmtree(copy / "vae")
    with pytest.raises(InputError, match="vae is missing; get the model again"):
        components(copy)


def test_a_pickle_is_not_read(copy):
    weights = load_file(copy / "unet/diffusion_pytorch_model.safetensors")
    (copy / "unet/diffusion_pytorch_model.safetensors").unlink()
    torch.save(weights, copy / "unet/diffusion_pytorch_model.bin")
    with pytest.raises(InputError, match="unet is missing or damaged"):
        components(copy)


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_components_of_different_models_are_refused(copy, tmp_path):
    edit(copy / "unet/config.json", cross_attention_dim=16)
    with pytest.raises(InputError, match="unet"):
        components(copy)
    other = stable_diffusion(tmp_path / "other")
    edit(other / "scheduler/scheduler_config.json", _class_name="FlowMatchEulerDiscreteScheduler")
    edit(other / "model_index.json", scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"])
    with pytest.raises(
        InputError, match="scheduler: a FlowMatchEulerDiscreteScheduler does not fit a Stable Diffusion"
    ):
        components(other)


def test_a_class_that_the_libraries_do_not_have_is_told(copy):
    edit(copy / "model_index.json", unet=["diffusers", "UNetOfTomorrow"])
    with pytest.raises(
        InputError, match="unet is a UNetOfTomorrow of diffusers, which this version of that library does not"
    ):
        components(copy)
