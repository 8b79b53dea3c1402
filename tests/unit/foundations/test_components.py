"""Models in diffusers' format: whole ones are loaded, and whatever is missing is named instead of filled with random values."""

import errno
import json
import re
import shutil

import pytest
import torch
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from safetensors.torch import load_file, save_file
from tiny_models import image_encoder, image_variation, stable_diffusion, unclip

from pipeline.errors import InputError
from pipeline.foundations.components import components, reading
from pipeline.foundations.fit import pipeline_class


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


def checked(folder):
    return stable_diffusion(folder, threshold=0.5)


MODELS = {
    stable_diffusion: "",
    checked: "safety_checker feature_extractor",
    image_variation: "image_encoder feature_extractor",
    unclip: "image_encoder feature_extractor image_normalizer image_noising_scheduler",
}
"""Models -> components that those above do not have."""


@pytest.fixture(scope="module", params=MODELS, ids=lambda make: make.__name__)
def whole(request, tmp_path_factory):
    """A whole model of some class, files of it that others do not have, and whether its safety checker is asked for."""
    folder = request.param(tmp_path_factory.mktemp("models") / "any")
    parts = MODELS[request.param].split()
    return (
        folder,
        [file for file in files(folder) if not parts or file.split("/")[0] in parts],
        request.param is checked,
    )


def test_any_file_that_is_missing_is_named(whole, tmp_path):
    model, own, safety_checker = whole
    for place, file in enumerate(own):
        damaged = shutil.copytree(model, tmp_path / str(place))
        (damaged / file).unlink()
        if file == "tokenizer/tokenizer_config.json":  # the vocabulary says it all
            continue
        with pytest.raises(InputError) as raised:
            components(damaged, safety_checker=safety_checker)
        assert str(damaged / file.split("/")[0]) in str(raised.value), file


def test_any_file_that_is_cut_is_named(whole, tmp_path):
    model, own, safety_checker = whole
    for place, file in enumerate(own):
        damaged = shutil.copytree(model, tmp_path / str(place))
        data = (damaged / file).read_bytes()
        (damaged / file).write_bytes(data[: len(data) // 2])
        with pytest.raises(InputError) as raised:
            components(damaged, safety_checker=safety_checker)
        assert str(damaged / file.split("/")[0]) in str(raised.value), file


def test_any_tensor_that_is_missing_is_named(whole, tmp_path):
    model, own, safety_checker = whole
    for place, file in enumerate(name for name in own if name.endswith(".safetensors")):
        damaged = shutil.copytree(model, tmp_path / str(place))
        weights = load_file(damaged / file)
        gone = sorted(weights)[len(weights) // 2]
        save_file({key: value for key, value in weights.items() if key != gone}, damaged / file, {"format": "pt"})
        with pytest.raises(InputError, match=rf"{file.split('/')[0]} lacks {gone}, or has other shapes"):
            components(damaged, safety_checker=safety_checker)


def test_a_component_that_the_index_does_not_name_is_missed(whole, tmp_path):
    model, own, safety_checker = whole
    damaged = shutil.copytree(model, tmp_path / "any")
    for name in {file.split("/")[0] for file in own if "/" in file}:
        index = json.loads((model / "model_index.json").read_text())
        (damaged / "model_index.json").write_text(json.dumps({key: index[key] for key in index if key != name}))
        with pytest.raises(InputError, match=rf"{name} is missing; get the model again|has no safety checker"):
            components(damaged, safety_checker=safety_checker)


def test_a_safety_checker_is_loaded_only_if_it_is_asked_for(model, tmp_path):
    folder = checked(tmp_path / "sd")
    assert {"safety_checker", "feature_extractor"}.isdisjoint(components(folder))
    found = components(folder, safety_checker=True)
    saved = load_file(folder / "safety_checker/model.safetensors")
    assert torch.equal(found["safety_checker"].concept_embeds, saved["concept_embeds"])
    with pytest.raises(InputError, match=r"sd has no safety checker; remove `safety_checker: true`, or take another"):
        components(model, safety_checker=True)


def test_older_names_of_classes_and_tensors_are_read(tmp_path):
    """As in the public copies of Stable Diffusion 1.5."""
    folder = checked(tmp_path / "sd")
    expected = components(folder, safety_checker=True)["safety_checker"].state_dict()
    edit(folder / "model_index.json", feature_extractor=["transformers", "CLIPFeatureExtractor"])
    edit(folder / "feature_extractor/preprocessor_config.json", feature_extractor_type="CLIPFeatureExtractor")
    path = folder / "safety_checker/model.safetensors"
    weights = {
        key.replace("vision_model.", "vision_model.vision_model."): value for key, value in load_file(path).items()
    }
    save_file(
        weights | {"vision_model.vision_model.embeddings.position_ids": torch.arange(17)[None]}, path, {"format": "pt"}
    )
    found = components(folder, safety_checker=True)
    assert type(found["feature_extractor"]).__name__ == "CLIPImageProcessor"
    assert all(torch.equal(value, expected[name]) for name, value in found["safety_checker"].state_dict().items())


@pytest.mark.parametrize(
    ("make", "file", "changes", "told"),
    [
        (image_variation, "unet/config.json", {"cross_attention_dim": 16}, "unet"),
        (
            image_variation,
            "feature_extractor/preprocessor_config.json",
            {"crop_size": {"height": 16, "width": 16}},
            r"the feature extractor's size is \(16, 16\), but the image encoder reads \(32, 32\)",
        ),
        (unclip, "image_normalizer/config.json", {"embedding_dim": 16}, "image_normalizer"),
        (unclip, "unet/config.json", {"projection_class_embeddings_input_dim": 32}, "unet"),
    ],
)
def test_components_of_image_models_that_do_not_fit_are_refused(tmp_path, make, file, changes, told):
    folder = make(tmp_path / "any")
    edit(folder / file, **changes)
    with pytest.raises(InputError, match=told):
        components(folder)


@pytest.mark.parametrize(
    ("make", "part", "told"),
    [
        (image_variation, "image_encoder", "the image encoder's width is 16, but the U-Net reads 32"),
        (unclip, "image_encoder", "the image encoder's width is 16, but the image normalizer reads 32"),
        (unclip, "image_normalizer", "the image encoder's width is 32, but the image normalizer reads 16"),
    ],
)
def test_whole_components_of_other_models_are_refused(tmp_path, make, part, told):
    folder = make(tmp_path / "any")
    shutil.rmtree(folder / part)
    if part == "image_encoder":
        image_encoder(projection_dim=16).save_pretrained(folder / part)
    else:
        StableUnCLIPImageNormalizer(16).save_pretrained(folder / part)
    with pytest.raises(InputError, match=told):
        components(folder)


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


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_config_with_fewer_layers_than_there_are_weights_is_told(copy):
    edit_json(copy / "text_encoder/config.json", num_hidden_layers=1)
    with pytest.raises(InputError, match=r"text_encoder has .*layers\.1\..*, but its config has no such layer"):
        components(copy)


def test_more_tensors_of_other_names_are_not_read(copy):
    path = copy / "text_encoder/model.safetensors"
    save_file(load_file(path) | {"text_model.embeddings.position_ids": torch.arange(77)}, path, {"format": "pt"})
    assert components(copy)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_are_no_finite_numbers_are_told(copy, name):
    path = copy / name / WEIGHTS[name]
    weights = load_file(path)
    first = sorted(weights)[0]
    weights[first].flatten()[0] = float("nan")
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(InputError, match=rf"{name}: {first} has values that are not finite numbers"):
        components(copy)


def test_weights_that_are_all_zero_are_told(copy):
    path = copy / "vae" / WEIGHTS["vae"]
    save_file({key: torch.zeros_like(value) for key, value in load_file(path).items()}, path, {"format": "pt"})
    with pytest.raises(InputError, match=r"vae: all its weights are 0; get the model again"):
        components(copy)


@pytest.mark.parametrize(
    ("file", "changes", "told"),
    [
        ("model_index.json", {"_class_name": []}, "model_index.json is missing or damaged"),
        ("model_index.json", {"vae": ["diffusers"]}, "model_index.json: vae must have a library and a class"),
        ("model_index.json", {"vae": ["diffusers", 3]}, "model_index.json: vae must have a library and a class"),
        ("model_index.json", {"vae": ["diffusers", "logging"]}, "vae is a logging of diffusers, which this version"),
        ("unet/config.json", {"attention_head_dim": 0}, "unet is missing or damaged"),
        ("unet/config.json", {"sample_size": [8, 8]}, "unet: sample_size must be a whole number, but is"),
        ("unet/config.json", {"sample_size": None}, "unet: sample_size must be a whole number, but is None"),
        ("vae/config.json", {"scaling_factor": None}, "vae: scaling_factor must be a number above 0, but is None"),
    ],
)
def test_a_wrong_value_in_a_config_is_one_sentence(copy, file, changes, told):
    edit_json(copy / file, **changes)
    with pytest.raises(InputError, match=re.escape(told)):
        components(copy)


def test_settings_of_the_pipeline_in_the_index_are_no_components(copy):
    edit_json(copy / "model_index.json", _ignore_files=["a.bin"], layers=[10, 20, 30])
    assert sorted(components(copy)) == ["scheduler", "text_encoder", "tokenizer", "unet", "vae"]


def test_an_index_that_is_nested_without_end_is_damaged(copy):
    (copy / "model_index.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"model_index\.json is missing or damaged"):
        components(copy)


def test_a_byte_order_mark_is_no_damage(copy):
    path = copy / "model_index.json"
    path.write_text("\ufeff" + path.read_text(), encoding="utf-8")
    assert components(copy)


@pytest.mark.parametrize(
    "error", [RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), MemoryError()]
)
def test_a_lack_of_memory_is_no_damage(copy, error):
    with pytest.raises(MemoryError), reading(copy):
        raise error


def test_an_unwell_disk_is_no_damage(copy):
    with pytest.raises(OSError, match="Input/output error"), reading(copy):
        raise OSError(errno.EIO, "Input/output error")
