"""Pictures that are black, not finite or flagged: drawn again with a seed of their own, and counted."""

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import AutoencoderKL
from tiny_models import stable_diffusion

from pipeline.config.draws import TextToImage
from pipeline.errors import InputError
from pipeline.foundations import table
from pipeline.generators.drawn import ATTEMPTS, FLAGGED, drawn
from pipeline.generators.safety_checker import SafetyChecker
from pipeline.generators.text_to_image.sample import Sampler
from pipeline.seeds import mixed_seed

ROWS = pd.DataFrame({"class": 3, "prompt": ["a cat", "a dog", "an owl", "a cow"], "seed": [5, 6, 7, 8]})


@pytest.fixture
def sampler(cpu, tmp_path):
    """A sampler with a safety checker that flags pictures at least as close to a concept as the threshold."""

    def made(precision="float32", threshold=2.0, safety_checker=True):
        folder = stable_diffusion(tmp_path / "sd", threshold=threshold)
        table.write(folder, tmp_path / "foundation.parquet", {"variant": None, "allow_pickle": False})
        settings = {
            "draw": TextToImage(kind="text_to_image", steps=2, guidance_scale=1).model_dump(),
            "batch_size": 3,
            "generator": {"kind": "text_to_image", "precision": precision, "safety_checker": safety_checker},
        }
        return Sampler({"foundation": [tmp_path / "foundation.parquet"]}, settings, torch.device("cpu"))

    return made


def pieces(sampler, rows=ROWS):
    return np.concatenate(list(drawn(sampler, rows)))


def again(seed, attempt=1):
    return mixed_seed(seed, attempt) >> 1


@pytest.fixture
def overflow(monkeypatch):
    """The VAE of half precision gives this value for the second picture of each batch."""

    def set_to(value):
        decode = AutoencoderKL.decode

        def spoilt(self, latents, **keys):
            (pictures,) = decode(self, latents, **keys)
            if self.dtype == torch.bfloat16:
                pictures[1] = value
            return (pictures,)

        monkeypatch.setattr(AutoencoderKL, "decode", spoilt)

    return set_to


@pytest.mark.parametrize("value", [-1.0, -7.0, 1.0, torch.nan, torch.inf])
def test_in_half_precision_black_pictures_are_drawn_again_in_float32(sampler, overflow, value):
    usual = pieces(one := sampler("bfloat16"))
    overflow(value)
    found = pieces(one)
    assert found["redrawn"].tolist() == [False, True, False, False] and not found["flagged"].any()
    expected = pieces(sampler(), ROWS.iloc[[1]].assign(seed=again(6)))
    assert np.abs(expected["picture"][0].astype(int) - found["picture"][1]).max() <= 2, (
        "weights are rounded to bfloat16"
    )
    assert (np.delete(found["picture"], 1, 0) == np.delete(usual["picture"], 1, 0)).all()


def test_in_full_precision_a_black_picture_is_a_picture(sampler, monkeypatch):
    monkeypatch.setattr(AutoencoderKL, "decode", lambda self, latents, **keys: (torch.full((3, 3, 16, 16), -1.0),))
    found = pieces(sampler())
    assert not found["redrawn"].any() and not found["picture"].any()


@pytest.fixture
def flags(monkeypatch):
    """The safety checker flags the pictures of these draws, by what it is given."""

    def these(sampler, rows):
        flagged = [picture.tobytes() for picture in np.concatenate(list(sampler.draw(rows)))]
        monkeypatch.setattr(
            SafetyChecker, "flags", lambda self, pictures: np.array([one.tobytes() in flagged for one in pictures])
        )

    return these


def test_flagged_pictures_are_drawn_again_and_counted_apart(sampler, flags):
    one = sampler()
    usual = pieces(one)
    flags(one, pd.concat([ROWS.iloc[[0, 2]], ROWS.iloc[[2]].assign(seed=again(7))]))
    found = pieces(one)
    assert found["flagged"].tolist() == [True, False, True, False] and not found["redrawn"].any()
    expected = pieces(one, ROWS.assign(seed=[again(5), 6, again(7, 2), 8]))
    assert (found["picture"] == expected["picture"]).all()
    assert all((found["picture"][place] != usual["picture"][place]).any() for place in (0, 2))
    assert (pieces(one, ROWS.iloc[[2, 1]])["picture"] == found["picture"][[2, 1]]).all()


def test_a_picture_that_is_always_flagged_is_reported(sampler, flags):
    one = sampler()
    flags(one, ROWS.iloc[[1] * ATTEMPTS].assign(seed=[6, *(again(6, attempt) for attempt in range(1, ATTEMPTS))]))
    with pytest.raises(
        InputError, match=r"^a picture of class 3 was drawn 5 times, each time flagged by the safety checker"
    ):
        pieces(one)


def test_the_models_own_checker_decides(sampler):
    """It flags a picture that is closer to one of its concepts than its threshold, which lies between all and none here."""
    none, all_of_them = (np.concatenate(list(sampler(threshold=threshold).draw(ROWS))) for threshold in (2.0, -2.0))
    assert np.isfinite(none).all() and (all_of_them == FLAGGED).all()
    assert (np.concatenate(list(sampler(threshold=-2.0, safety_checker=False).draw(ROWS))) == none).all()


def test_the_checker_sees_what_diffusers_shows_it(sampler, tmp_path):
    from diffusers import StableDiffusionPipeline

    pictures = np.concatenate(list(sampler(safety_checker=False).draw(ROWS)))
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "sd")
    shown = []
    forward = pipeline.safety_checker.forward
    pipeline.safety_checker.forward = lambda **keys: shown.append(keys["clip_input"]) or forward(**keys)
    pipeline.run_safety_checker(pictures / 255, "cpu", torch.float32)
    ours = SafetyChecker(
        {"safety_checker": pipeline.safety_checker, "feature_extractor": pipeline.feature_extractor},
        torch.device("cpu"),
    )
    ours.flags(pictures)
    assert torch.equal(shown[0], torch.cat(shown[1:]))
