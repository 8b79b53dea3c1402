"""Small foundations: one data set's left-out pictures become whole models, the same each time, continued or not."""

import json

import numpy as np
import open_clip
import pandas as pd
import pytest
import torch
from PIL import Image

from pipeline.artifacts import pictures, shards
from pipeline.errors import InputError
from pipeline.foundations import clip as clips
from pipeline.foundations import mini
from pipeline.foundations.components import components
from pipeline.foundations.mini import look
from pipeline.generators.text_to_image.stable_diffusion import StableDiffusion
from pipeline.jobs.checkpoint import Checkpoint

STEPS = {"steps": 3, "batch_size": 8, "learning_rate": 2e-3, "ema_decay": 0.5}
SETTINGS = {
    "kind": "mini",
    "side": None,
    "caption": "A photo of a {class}.",
    "vae": {"channels": [8, 16], **STEPS},
    "clip": {"width": 16, "text_layers": 2, "vision_layers": 1, "patches": 4, **STEPS, "ema_decay": None},
    "unet": {"channels": [8, 16], **STEPS},
    "seed": 0,
}
NAMES = ["dark", "light"]


def subset(folder, side=16, rest=20):
    """A manifest of dark and light squares, most of them left out by the long tail."""
    random = np.random.default_rng(0)
    records = []
    for place in range(rest + 8):
        label = place % 2
        made = random.integers(0, 100, (side, side, 3), np.uint8) + np.uint8(150 * label)
        about = {"class": label, "class_name": NAMES[label], "split": "rest" if place < rest else "test"}
        records.append((f"{place:02d}", pictures.encode(made), "png", about))
    index = shards.write(folder / "real.tar", records)
    shards.write_table(index, folder / "manifest.parquet")
    return {"manifest": [folder / "manifest.parquet"]}


def made(folder, inputs, settings=SETTINGS, name="mini"):
    return mini.make(
        settings, inputs, folder / name, lambda part: Checkpoint(folder / "work" / part, settings, "code", [], 10)
    )


def weights_in(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.safetensors")}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mini")
    found, about = made(folder, subset(folder))
    return folder, found, about


def test_the_folder_is_a_whole_model_of_both_formats(model):
    _, found, about = model
    assert sorted(components(found)) == ["scheduler", "text_encoder", "tokenizer", "unet", "vae"]
    assert clips.load(found).model.visual.image_size == (16, 16)
    assert 0 <= about["zero_shot_top1"] <= 100


def test_pictures_can_be_drawn_of_the_side_that_it_has_seen(model):
    _, found, _ = model
    draw = {"steps": 2, "guidance_scale": 2.0, "negative_prompt": "", "side": None}
    rows = pd.DataFrame({"prompt": ["A photo of a dark."]})
    drawn = StableDiffusion(components(found), draw, torch.device("cpu")).draw(rows, [torch.Generator().manual_seed(0)])
    assert drawn.shape == (1, 3, 16, 16)
    assert drawn.isfinite().all()


@torch.no_grad()
def test_the_text_encoder_is_clips(model):
    """Both libraries read the same weights: transformers' states, projected at the last word, are open_clip's embedding."""
    _, found, _ = model
    clip, encoder, texts = clips.load(found), components(found)["text_encoder"], ["A photo of a dark.", "two, Wörter"]
    tokens = look.tokenizer()(texts, padding="max_length", max_length=77, return_tensors="pt").input_ids
    ends = tokens.argmax(1)
    projected = encoder(tokens)[0][torch.arange(2), ends] @ clip.model.text_projection
    assert (projected - clip.model.encode_text(clip.tokenize(texts))).abs().max() < 1e-5


def test_the_tokenizer_is_open_clips():
    texts = ["A photo of a dark.", "don't stop: 12 Äpfel, naïve  blanks", "x" * 30]
    theirs = open_clip.get_tokenizer("ViT-B-32")(texts)
    ours = look.tokenizer()(texts)["input_ids"]
    for own, row in zip(ours, theirs, strict=True):
        assert own == row[: len(own)].tolist()
        assert not row[len(own) :].any()


def test_a_training_that_ended_midway_goes_on(model, tmp_path, monkeypatch):
    _, found, _ = model
    inputs, calls = subset(tmp_path), []
    real = torch.optim.AdamW.step

    def step(self, *arguments, **more):
        calls.append(1)
        if len(calls) == 8:  # the second step of the U-Net
            raise KeyboardInterrupt
        return real(self, *arguments, **more)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    monkeypatch.setattr(Checkpoint, "due", lambda self: True)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, inputs)
    again, _ = made(tmp_path, inputs)
    assert len(calls) == 10
    assert weights_in(again) == weights_in(found)


def test_another_seed_is_another_model(model, tmp_path):
    _, found, _ = model
    other, _ = made(tmp_path, subset(tmp_path), SETTINGS | {"seed": 1})
    assert all(weights_in(other)[name] != data for name, data in weights_in(found).items())


def test_latents_have_a_deviation_of_one(model):
    folder, found, _ = model
    manifest = shards.read_table(folder / "manifest.parquet")
    rest, _ = mini._read(manifest[manifest["split"] == "rest"], folder, None, torch.device("cpu"))
    vae = components(found)["vae"]
    latents = vae.encode(rest).latent_dist.mean * vae.config.scaling_factor
    assert abs(latents.std().item() - 1) < 1e-4


def test_what_the_long_tail_did_not_leave_out_is_not_seen(model, tmp_path):
    """Other training and validation pictures change nothing."""
    folder, found, _ = model
    more = pd.concat([shards.read_table(folder / "manifest.parquet")] * 2, ignore_index=True)
    more.loc[len(more) // 2 :, "split"] = "train"
    (tmp_path / "real.tar").write_bytes((folder / "real.tar").read_bytes())
    shards.write_table(more, tmp_path / "manifest.parquet")
    again, _ = made(tmp_path, {"manifest": [tmp_path / "manifest.parquet"]})
    assert weights_in(again) == weights_in(found)


def test_too_few_left_out_pictures_are_told(tmp_path):
    with pytest.raises(
        InputError, match="has 4 pictures that the long tail left out, which is less than a batch; keep"
    ):
        made(tmp_path, subset(tmp_path, rest=4))


def test_pictures_that_do_not_fit_are_told(tmp_path):
    with pytest.raises(
        InputError, match="18 x 18 pixels do not fit the networks; give the data set a `store_side`, a multiple of 4"
    ):
        made(tmp_path, subset(tmp_path, side=18))


def test_clip_learns_to_tell_the_classes(tmp_path):
    _, about = made(
        tmp_path,
        subset(tmp_path, rest=40),
        SETTINGS | {"clip": {**SETTINGS["clip"], "steps": 60, "learning_rate": 1e-3}},
    )
    assert about["zero_shot_top1"] == 100


def test_the_config_says_how_it_looks(model):
    """Pictures are looked at as they were in training: from -1 to 1."""
    _, found, _ = model
    loaded = clips.load(found)
    seen = loaded.preprocess(Image.fromarray(np.full((16, 16, 3), 255, np.uint8)))
    assert seen.shape == (3, 16, 16)
    assert (seen == 1).all()
    assert json.loads((found / "open_clip_config.json").read_text())["model_cfg"]["vision_cfg"]["image_size"] == 16
