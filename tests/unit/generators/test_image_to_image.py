"""Pictures from real pictures: as diffusers draws them, each from its own row alone."""

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import AutoPipelineForImage2Image, StableDiffusionImg2ImgPipeline
from PIL import Image, ImageOps
from real_pictures import images, manifest
from tiny_models import SIDE, image_variation, stable_diffusion, stable_diffusion_xl, unclip

from pipeline.config.draws import ImageToImage
from pipeline.errors import InputError
from pipeline.foundations import table
from pipeline.generators.image_to_image.sample import Sampler
from pipeline.generators.pretrained import SCHEDULERS

ROWS = pd.DataFrame(
    {
        "prompt": ["a cat", "a dog, asleep", "a cat", "", "an owl at night"],
        "seed": [5, 2**62 + 1, 7, 9, 5],
        "source": ["real0", "real1", "real2", "real3", "real2"],
        "strength": [0.5, 1.0, 0.26, 0.75, 0.99],
    }
)
STEPS = 4


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return stable_diffusion(tmp_path_factory.mktemp("models") / "sd")


@pytest.fixture(scope="module")
def xl(tmp_path_factory):
    return stable_diffusion_xl(tmp_path_factory.mktemp("models") / "xl")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    return manifest(tmp_path_factory.mktemp("subset"))


@pytest.fixture
def sampler(model, real, cpu, tmp_path):
    """A sampler of a model; further keys are those of `draw`."""

    def made(batch_size=2, folder=model, **keys):
        table.write(folder, tmp_path / "foundation.parquet", {"variant": None, "allow_pickle": False})
        how = {"kind": "image_to_image", "steps": STEPS, "guidance_scale": 2.0, "strength": (0.25, 1.0)} | keys
        generator = {"kind": "image_to_image", "precision": "float32", "safety_checker": False}
        settings = {"draw": ImageToImage(**how).model_dump(), "batch_size": batch_size, "generator": generator}
        inputs = {"foundation": [tmp_path / "foundation.parquet"], "manifest": [real]}
        return Sampler(inputs, settings, torch.device("cpu"))

    return made


@pytest.fixture
def draws(sampler):
    """Draws rows; further keys are those of `sampler`."""

    def drawn(rows=ROWS, **keys):
        return np.concatenate(list(sampler(**keys).draw(rows)))

    return drawn


def by_diffusers(pipeline, rows, **keys):
    """Each row by a call of its own."""
    pipeline.set_progress_bar_config(disable=True)
    found = []
    for row in rows.itertuples():
        (source,) = images([int(row.source.removeprefix("real"))])
        found.append(
            pipeline(
                prompt=row.prompt,
                image=ImageOps.fit(source, (SIDE, SIDE), Image.Resampling.LANCZOS),
                strength=row.strength,
                generator=torch.Generator().manual_seed(row.seed),
                **{"num_inference_steps": STEPS, "guidance_scale": 2.0, "output_type": "np"} | keys,
            ).images[0]
        )
    return 255 * np.stack(found)


@pytest.mark.parametrize(
    ("scheduler", "guidance"), [(None, 1.0), *((name, 3.0) for name in (None, *SCHEDULERS) if name != "pndm")]
)
def test_pictures_are_those_of_diffusers_whatever_the_strength_of_each(model, draws, scheduler, guidance):
    found = draws(batch_size=5, scheduler=scheduler or "saved", guidance_scale=guidance)
    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(model, safety_checker=None)
    if scheduler:
        pipeline.scheduler = SCHEDULERS[scheduler].from_config(pipeline.scheduler.config)
    assert found.shape == (5, SIDE, SIDE, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found, by_diffusers(pipeline, ROWS, guidance_scale=guidance), atol=1e-2)
    assert np.ptp(found) > 100, "pictures have contrast, so the comparison means something"


@pytest.mark.parametrize("scheduler", ["saved", "euler_ancestral", "dpm_solver"])
def test_a_row_is_the_same_picture_in_any_batch(draws, sampler, scheduler):
    """Bit by bit, for batches of one shape, with rows of other strengths beside it."""
    one = sampler(scheduler=scheduler)
    whole = np.concatenate(list(one.draw(ROWS)))
    for order in ([4, 3, 2, 1, 0], [2], [1, 2, 0], [0, 0, 0, 4]):
        assert np.array_equal(np.concatenate(list(one.draw(ROWS.iloc[order]))), whole[order])
    np.testing.assert_allclose(draws(batch_size=5, scheduler=scheduler), whole, atol=1e-2)


def test_seed_source_strength_and_prompt_all_decide(draws):
    rows = ROWS.iloc[[0] * 5].assign(strength=0.75)
    rows = rows.assign(
        seed=[5, 6, 5, 5, 5],
        source=["real0", "real0", "real1", "real0", "real0"],
        strength=[0.75, 0.75, 0.75, 0.5, 0.75],
        prompt=["a cat", "a cat", "a cat", "a cat", "an owl"],
    )
    pictures = draws(rows)
    assert all(np.abs(pictures[0] - pictures[other]).max() > 1 for other in range(1, 5))


def test_steps_before_the_strengths_are_not_done(draws, monkeypatch):
    from diffusers import UNet2DConditionModel

    seen = []
    forward = UNet2DConditionModel.forward

    def counted(self, sample, time, *arguments, **keys):
        seen.append((len(sample), int(time)))
        return forward(self, sample, time, *arguments, **keys)

    monkeypatch.setattr(UNet2DConditionModel, "forward", counted)
    draws(ROWS.iloc[[0, 2]], scheduler="ddim", guidance_scale=1)
    assert seen == [(2, 251), (2, 1)], "half of the four steps, because the other row does fewer"


def test_other_models_are_drawn_by_their_own_pipeline(xl, draws):
    rows = ROWS.assign(strength=[0.5, 1.0, 0.25, 0.75, 0.5])
    pipeline = AutoPipelineForImage2Image.from_pretrained(xl)
    whole = draws(rows, folder=xl)
    np.testing.assert_allclose(whole, by_diffusers(pipeline, rows), atol=1e-2)
    assert np.array_equal(draws(rows.iloc[[3, 0]], folder=xl), whole[[3, 0]])


def test_other_models_draw_batches_if_all_have_one_strength(xl, draws):
    rows = ROWS.assign(strength=0.5)
    whole = draws(rows, folder=xl, strength=0.5)
    np.testing.assert_allclose(whole, draws(rows, folder=xl), atol=1e-2)
    assert np.array_equal(draws(rows.iloc[[3, 0, 4]], folder=xl, strength=0.5), whole[[3, 0, 4]])


@pytest.mark.parametrize("make", [image_variation, unclip])
def test_models_of_other_classes_are_refused_before_drawing(tmp_path, draws, make):
    with pytest.raises(InputError, match=r"a generator of kind image_to_image does not draw with it; use one of kind"):
        draws(folder=make(tmp_path / "other"))


def test_a_class_that_diffusers_has_no_such_pipeline_for_is_refused_before_drawing(tmp_path, draws):
    folder = stable_diffusion(tmp_path / "other")
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionPipeline", "AudioLDMPipeline"))
    with pytest.raises(InputError, match=r"other cannot draw from pictures: AutoPipeline can't find a pipeline"):
        draws(folder=folder)


@pytest.mark.parametrize(
    ("strength", "told"),
    [
        (0, "greater than 0"),
        (1.01, "less than or equal to 1"),
        (0.2, "strength is 0.2, which is less than one of 4 steps"),
        ([0.2, 1], "strength is 0.2, which is less than one of 4 steps"),
        ([0.75, 0.5], r"strength is \[0.75, 0.5\]; write the lower one first"),
    ],
)
def test_strengths_that_make_no_sense_are_refused(strength, told):
    with pytest.raises(ValueError, match=told):
        ImageToImage(kind="image_to_image", steps=4, strength=strength)


def test_the_steps_of_the_highest_strength_are_estimated():
    steps = [ImageToImage(kind="image_to_image", steps=50, strength=each).cost_steps for each in (1, 0.5, (0.1, 0.3))]
    assert steps == [50, 25, 15]
