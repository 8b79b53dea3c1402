"""Pictures from text-to-image models: as diffusers draws them, each from its own prompt and seed alone."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from tiny_models import SIDE, stable_diffusion, stable_diffusion_xl

from pipeline.config.draws import TextToImage
from pipeline.errors import InputError
from pipeline.foundations import table
from pipeline.generators.pretrained import SCHEDULERS
from pipeline.generators.text_to_image.sample import Sampler

ROWS = pd.DataFrame(
    {
        "prompt": ["a cat", "a dog, asleep", "a cat", "", "an owl at night"],
        "seed": [5, 2**62 + 1, 7, 9, 5],
    }
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return stable_diffusion(tmp_path_factory.mktemp("models") / "sd")


@pytest.fixture
def draws(model, cpu, tmp_path):
    """Draws rows from a model; further keys are those of `draw`."""

    def drawn(rows=ROWS, batch_size=2, folder=model, precision="float32", **keys):
        table.write(folder, tmp_path / "foundation.parquet", {"variant": None, "allow_pickle": False})
        draw = TextToImage(kind="text_to_image", **{"steps": 4, "guidance_scale": 2.0} | keys).model_dump()
        settings = {
            "draw": draw,
            "batch_size": batch_size,
            "generator": {"kind": "text_to_image", "precision": precision, "safety_checker": False},
        }
        sampler = Sampler({"foundation": [tmp_path / "foundation.parquet"]}, settings, torch.device("cpu"))
        found = list(sampler.draw(rows))
        return np.concatenate(found) if found else None

    return drawn


def by_diffusers(model, rows, scheduler=None, **keys):
    pipeline = StableDiffusionPipeline.from_pretrained(model, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    if scheduler:
        pipeline.scheduler = SCHEDULERS[scheduler].from_config(pipeline.scheduler.config)
    generators = [torch.Generator().manual_seed(seed) for seed in rows["seed"].tolist()]
    keys = {"num_inference_steps": 4, "guidance_scale": 2.0} | keys
    if "negative_prompt" in keys:
        keys["negative_prompt"] = [keys["negative_prompt"]] * len(rows)
    return 255 * pipeline(rows["prompt"].tolist(), generator=generators, output_type="np", **keys).images


@pytest.mark.parametrize("scheduler", [None, *SCHEDULERS])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_pictures_are_those_of_diffusers(model, draws, scheduler, guidance):
    found = draws(batch_size=5, scheduler=scheduler or "saved", guidance_scale=guidance)
    expected = by_diffusers(model, ROWS, scheduler, guidance_scale=guidance)
    assert found.shape == (5, SIDE, SIDE, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-2)
    assert np.ptp(found) > 100, "pictures have contrast, so the comparison means something"


def test_a_negative_prompt_and_a_side_are_those_of_diffusers(model, draws):
    found = draws(batch_size=5, negative_prompt="a bird", side=24)
    expected = by_diffusers(model, ROWS, negative_prompt="a bird", height=24, width=24)
    np.testing.assert_allclose(found, expected, atol=1e-2)
    assert np.abs(draws(batch_size=5, side=24) - found).max() > 1


@pytest.mark.parametrize("scheduler", ["saved", "ddpm", "euler_ancestral", "lcm", "dpm_solver"])
def test_a_row_is_the_same_picture_in_any_batch(draws, scheduler):
    """Bit by bit, for batches of one shape."""
    whole = draws(scheduler=scheduler)
    for order in ([4, 3, 2, 1, 0], [2], [1, 2, 0], [0, 0, 0, 4]):
        assert np.array_equal(draws(ROWS.iloc[order], scheduler=scheduler), whole[order])
    np.testing.assert_allclose(draws(batch_size=5, scheduler=scheduler), whole, atol=1e-2)


def test_a_shard_without_pictures_is_drawn(draws):
    assert draws(ROWS[:0]) is None


def test_prompt_and_seed_both_decide(draws):
    pictures = draws()
    assert all(np.abs(pictures[0] - pictures[other]).max() > 1 for other in (2, 4))


def test_without_guidance_there_is_no_second_pass(model, draws, monkeypatch):
    from diffusers import UNet2DConditionModel

    seen = []
    forward = UNet2DConditionModel.forward

    def counted(self, sample, *arguments, **keys):
        seen.append(len(sample))
        return forward(self, sample, *arguments, **keys)

    monkeypatch.setattr(UNet2DConditionModel, "forward", counted)
    for scale, expected in ((0.0, 5), (1.0, 5), (1.01, 10)):
        seen.clear()
        draws(batch_size=5, guidance_scale=scale, scheduler="ddim")
        assert seen == [expected] * 4


def test_prompts_that_are_cut_are_counted(draws, capsys):
    draws(ROWS.assign(prompt=["a" * 75, "a" * 76, "a " * 100, "a", "b"]))
    assert "2 of 5 prompts are longer than the text encoder reads; their ends are cut" in capsys.readouterr().out
    draws()
    assert capsys.readouterr().out == ""


def test_other_models_are_drawn_by_their_own_pipeline(model, draws, tmp_path):
    folder = stable_diffusion_xl(tmp_path / "sdxl")
    whole = draws(folder=folder)
    assert whole.shape == (5, SIDE, SIDE, 3)
    assert np.array_equal(draws(ROWS.iloc[[3, 0]], folder=folder), whole[[3, 0]])
    assert np.abs(whole[0] - whole[2]).max() > 1
    assert np.abs(draws(folder=folder, negative_prompt="a bird") - whole).max() > 1
    assert np.abs(draws(folder=folder, scheduler="ddim") - whole).max() > 1


def test_a_file_that_changed_after_the_check_is_named(model, draws, tmp_path):
    copy = shutil.copytree(model, tmp_path / "sd")
    draws(folder=copy)
    config = json.loads((copy / "unet/config.json").read_text())
    settings = {
        "draw": TextToImage(kind="text_to_image").model_dump(),
        "batch_size": 1,
        "generator": {"kind": "text_to_image", "precision": "float32", "safety_checker": False},
    }
    (copy / "unet/config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"unet/config.json is missing or damaged; say `make repair`"):
        Sampler({"foundation": [tmp_path / "foundation.parquet"]}, settings, torch.device("cpu"))


def test_pictures_that_overflow_are_reported_as_nan(tmp_path, draws):
    folder = stable_diffusion(tmp_path / "sd", scheduler=DDIMScheduler)
    from safetensors.torch import load_file, save_file

    path = folder / "unet/diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    save_file(weights | {"conv_out.bias": torch.full((4,), 3e38)}, path, {"format": "pt"})
    assert np.isnan(draws(folder=folder)).all(axis=(1, 2, 3)).all()
