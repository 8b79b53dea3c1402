"""Features of pictures under DINO and CLIP against the libraries' own models, through the stage; the weights are random."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import clip as tiny_clip
from torchvision.transforms.v2 import functional
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    ViTConfig,
    ViTModel,
)
from workflow_helpers import REPOSITORY, stage

from pipeline.artifacts import shards
from pipeline.artifacts.pictures import encode
from pipeline.errors import InputError
from pipeline.evaluation.extractors import clip, dino
from pipeline.foundations import clip as loading
from pipeline.foundations import table
from pipeline.kinds import load

CPU = torch.device("cpu")
SHAPE = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 56,
    "patch_size": 14,
    "hidden_act": "gelu",
}


@pytest.fixture
def pictures(tmp_path):
    """A table of 6 pictures of 20 px, and the pictures."""
    random = np.random.default_rng(0)
    made = random.integers(0, 256, (6, 5, 5, 3), np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    records = [(f"{i}", encode(picture), "png", {"class": 0, "class_name": "a"}) for i, picture in enumerate(made)]
    shards.write_table(shards.write(tmp_path / "some.tar", records), tmp_path / "some.parquet")
    return shards.read_table(tmp_path / "some.parquet"), made


NAMES = {
    "encoder.layer.": "blocks.",
    "layers.": "blocks.",
    "position_embeddings": "pos_embed",
    "patch_embeddings.projection": "patch_embed.proj",
    "attention.o_proj": "attn.proj",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "layernorm.": "norm.",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
    "embeddings.": "",
}


def published(model):
    """The tensors of a model of transformers by the names that DINO's authors use."""
    found = {}
    for name, tensor in model.state_dict().items():
        for theirs, own in NAMES.items():
            name = name.replace(theirs, own)
        found[name] = tensor
    for name in [name for name in found if ".attention.q_proj." in name]:
        parts = [found.pop(name.replace("q_proj", f"{part}_proj")) for part in "qkv"]
        found[name.replace("attention.q_proj", "attn.qkv")] = torch.cat(parts)
    return found


MODELS = {
    "dino": lambda: ViTModel(ViTConfig(**SHAPE, intermediate_size=512, layer_norm_eps=1e-6), add_pooling_layer=False),
    "dinov2": lambda: Dinov2Model(Dinov2Config(**SHAPE)),
    "registers": lambda: Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**SHAPE, num_register_tokens=4)),
}


@pytest.mark.parametrize("kind", MODELS)
def test_dinos_features_are_the_class_token_of_transformers(kind, pictures, tmp_path, monkeypatch):
    rows, made = pictures
    monkeypatch.setattr(dino, "SIDE", SHAPE["image_size"])
    torch.manual_seed(0)
    model = MODELS[kind]().eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    torch.save(published(model), tmp_path / "dino.pth")
    extract = dino.load({"weights": str(tmp_path / "dino.pth")}, {}, None, CPU)
    features, logits = extract(rows, tmp_path)
    shown = torch.from_numpy(made).permute(0, 3, 1, 2) / 255
    shown = functional.resize(shown, [56, 56], functional.InterpolationMode.BICUBIC)
    shown = functional.normalize(shown, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.inference_mode():
        expected = model(shown).last_hidden_state[:, 0]
    assert logits is None and features.std() > 0.1
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.pop("norm.weight"),
        lambda found: found.pop("patch_embed.proj.weight"),
        lambda found: found.update({"patch_embed.proj.weight": torch.zeros(32, 3, 14, 14)}),
        lambda found: found.update({"patch_embed.proj.weight": torch.zeros(200, 3, 14, 14)}),
        lambda found: found.update({"register_tokens": torch.zeros(4)}),
        lambda found: found.update({"pos_embed": torch.zeros(3)}),
        lambda found: found.update({"blocks.0.mlp.fc1.weight": torch.tensor(1.0)}),
    ],
)
def test_other_weights_than_dinos_are_refused(change, tmp_path):
    found = published(MODELS["dinov2"]())
    change(found)
    torch.save(found, tmp_path / "dino.pth")
    with pytest.raises(InputError, match=r"dino.pth holds the weights of another network"):
        dino.load({"weights": str(tmp_path / "dino.pth")}, {}, None, CPU)


@pytest.mark.parametrize(
    ("value", "message"),
    [(float("nan"), "norm.weight has values that are not finite numbers"), (0.0, "all its weights are 0")],
)
def test_damaged_weights_are_refused(value, message, tmp_path):
    found = published(MODELS["dinov2"]())
    for name in found if value == 0 else ["norm.weight"]:
        found[name] = torch.full_like(found[name], value)
    torch.save(found, tmp_path / "dino.pth")
    with pytest.raises(InputError, match=message):
        dino.load({"weights": str(tmp_path / "dino.pth")}, {}, None, CPU)


def test_clips_features_are_its_embeddings(pictures, tmp_path):
    rows, made = pictures
    table.write(tiny_clip(tmp_path / "clip"), tmp_path / "foundation.parquet")
    loaded = loading.load(tmp_path / "clip")
    features, logits = clip.load({}, {"foundation": [tmp_path / "foundation.parquet"]}, None, CPU)(rows, tmp_path)
    shown = torch.stack([loaded.preprocess(Image.fromarray(picture)) for picture in made])
    torch.testing.assert_close(features, loaded.model.encode_image(shown))
    assert logits is None


def measured(tmp_path, **config):
    settings = {"extractor": "clip", "splits": 2, "nearest": 2, "sample_size": 5, "against": "training"} | config
    given = ["--manifest", tmp_path / "manifest.parquet", "--indices", tmp_path / "some.parquet"]
    given += ["--foundation", tmp_path / "foundation.parquet", "--output", tmp_path / "quality.json"]
    return stage(REPOSITORY, "quality", "--config", json.dumps(settings), *given)


def test_a_pool_is_measured_under_clip(pictures, tmp_path):
    rows, _ = pictures
    table.write(tiny_clip(tmp_path / "clip"), tmp_path / "foundation.parquet")
    shards.write_table(rows.assign(split="train"), tmp_path / "manifest.parquet")
    assert (ran := measured(tmp_path)).returncode == 0, ran.stdout
    found = json.loads((tmp_path / "quality.json").read_text())["metrics"]
    assert found["fd_clip"] == pytest.approx(0, abs=1e-4)
    assert [found[f"{name}_clip"] for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert not {"is_clip", "is", "fid"} & set(found) and found["quality_generated_pictures"] == 6
    ran = measured(tmp_path, nearest=6)
    assert ran.returncode == 1
    assert "there are 6 generated and 6 real pictures, too few for `nearest: 6`; lower it" in ran.stdout


def test_every_extractor_of_the_config_has_a_module_and_names():
    from pipeline.config.qualities import EXTRACTORS
    from pipeline.stages.quality import NAMES

    assert set(EXTRACTORS.values()) == set(NAMES)
    assert all(callable(load("evaluation.extractors", name).load) for name in NAMES)
