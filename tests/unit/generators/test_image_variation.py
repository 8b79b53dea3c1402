"""Pictures from the CLIP embeddings of real ones: as diffusers draws them, each from its own row alone."""

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import StableDiffusionImageVariationPipeline, StableUnCLIPImg2ImgPipeline
from real_pictures import embeddings, images, manifest
from tiny_models import SEEN, SIDE, image_variation, stable_diffusion, unclip
from torchvision import transforms

from pipeline.config.draws import ImageVariation, Unclip
from pipeline.errors import InputError
from pipeline.foundations import table
from pipeline.generators.image_variation.sample import Sampler as VariationSampler
from pipeline.generators.unclip.sample import Sampler as UnclipSampler

ROWS = pd.DataFrame({"seed": [5, 2**62 + 1, 7, 9, 5], "source": ["real0", "real1", "real2", "real3", "real2"]})
TEXTS = ROWS.assign(prompt=["a cat", "a dog, asleep", "a cat", "", "an owl at night"])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {"image_variation": image_variation(root / "variation"), "unclip": unclip(root / "unclip")}


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    return manifest(tmp_path_factory.mktemp("subset"))


@pytest.fixture
def draws(real, folders, cpu, tmp_path):
    """Draws rows from the model of a kind; further keys are those of `draw`."""

    def drawn(kind, rows=ROWS, batch_size=2, folder=None, **keys):
        folder = folder or folders[kind]
        table.write(folder, tmp_path / "foundation.parquet", {"variant": None, "allow_pickle": False})
        draw, sampler = {"image_variation": (ImageVariation, VariationSampler), "unclip": (Unclip, UnclipSampler)}[kind]
        settings = {
            "draw": draw(kind=kind, steps=3, **keys).model_dump(),
            "batch_size": batch_size,
            "generator": {"kind": kind, "precision": "float32", "safety_checker": False},
        }
        inputs = {"foundation": [tmp_path / "foundation.parquet"], "manifest": [real]}
        if kind == "unclip":
            known = tmp_path / "embeddings.safetensors"
            inputs["embeddings"] = [known if known.exists() else embeddings(real, tmp_path / "foundation.parquet")]
        return np.concatenate(list(sampler(inputs, settings, torch.device("cpu")).draw(rows)))

    return drawn


def by_diffusers(pipeline, rows, prepare, **keys):
    """Each row by a call of its own."""
    pipeline.set_progress_bar_config(disable=True)
    found = []
    for row in rows.itertuples():
        (source,) = images([int(row.source.removeprefix("real"))])
        texts = {"prompt": [row.prompt]} if "prompt" in rows else {}
        how = {"num_inference_steps": 3, "output_type": "np", "generator": torch.Generator().manual_seed(row.seed)}
        found.append(pipeline(image=prepare(source), **how, **texts, **keys).images[0])
    return 255 * np.stack(found)


def as_its_authors_do(source):
    """The picture for Image Variation, as the model's card prepares it."""
    mean, deviation = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    bicubic = transforms.InterpolationMode.BICUBIC
    steps = [
        transforms.ToTensor(),
        transforms.Resize((SEEN, SEEN), interpolation=bicubic, antialias=False),
        transforms.Normalize(mean, deviation),
    ]
    return transforms.Compose(steps)(source)[None]


@pytest.mark.parametrize("keys", [{}, {"guidance_scale": 1.0}, {"guidance_scale": 2.0, "side": 24}])
def test_variations_are_those_of_diffusers(folders, draws, keys):
    found = draws("image_variation", batch_size=5, **keys)
    pipeline = StableDiffusionImageVariationPipeline.from_pretrained(folders["image_variation"], safety_checker=None)
    side = keys.get("side", SIDE)
    guidance = keys.get("guidance_scale", 3.0)
    expected = by_diffusers(pipeline, ROWS, as_its_authors_do, guidance_scale=guidance, height=side, width=side)
    assert found.shape == (5, side, side, 3) and np.ptp(found) > 100
    np.testing.assert_allclose(found, expected, atol=1e-2)


@pytest.mark.parametrize("rows", [ROWS, TEXTS], ids=["Reimagine", "with texts"])
@pytest.mark.parametrize("keys", [{}, {"guidance_scale": 2.0, "noise_level": 400}])
def test_unclip_pictures_are_those_of_diffusers(folders, draws, rows, keys):
    """The noise on the embedding too is the row's own, in a batch as alone."""
    found = draws("unclip", rows, batch_size=5, **keys)
    pipeline = StableUnCLIPImg2ImgPipeline.from_pretrained(folders["unclip"])
    how = {"guidance_scale": 10.0, "noise_level": 0} | keys
    assert found.shape == (5, SIDE, SIDE, 3) and np.ptp(found) > 100
    np.testing.assert_allclose(found, by_diffusers(pipeline, rows, lambda source: [source], **how), atol=1e-2)


@pytest.mark.parametrize("kind", ["image_variation", "unclip"])
def test_a_row_is_the_same_picture_in_any_batch(draws, kind):
    whole = draws(kind)
    for order in ([4, 3, 2, 1, 0], [2], [0, 0, 0, 4]):
        assert np.array_equal(draws(kind, ROWS.iloc[order]), whole[order])


def test_a_prompt_makes_no_difference_to_a_variation(draws):
    """A cost estimate times every generator with the same rows."""
    assert np.array_equal(draws("image_variation", TEXTS), draws("image_variation"))


@pytest.mark.parametrize("kind", ["image_variation", "unclip"])
def test_seed_and_source_both_decide(draws, kind):
    rows = ROWS.iloc[[0] * 3].assign(seed=[5, 6, 5], source=["real0", "real0", "real1"])
    pictures = draws(kind, rows)
    assert all(np.abs(pictures[0] - pictures[other]).max() > 1 for other in (1, 2))


def test_damaged_embeddings_and_those_of_another_model_are_refused(draws, tmp_path, folders, real):
    draws("unclip")
    path = tmp_path / "embeddings.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"embeddings.safetensors is damaged: its bytes differ"):
        draws("unclip")
    table.write(folders["image_variation"], tmp_path / "other.parquet", {"variant": None, "allow_pickle": False})
    with pytest.raises(InputError, match="is a StableDiffusionImageVariationPipeline, but a generator of kind unclip"):
        embeddings(real, tmp_path / "other.parquet")


def test_noise_on_the_embedding_and_a_negative_prompt_change_the_picture(draws):
    usual = draws("unclip", TEXTS)
    assert np.abs(draws("unclip", TEXTS, noise_level=900) - usual).max() > 1
    assert np.abs(draws("unclip", TEXTS, negative_prompt="a bird") - usual).max() > 1


@pytest.mark.parametrize(
    ("kind", "make", "told"),
    [
        (
            "image_variation",
            stable_diffusion,
            "is a StableDiffusionPipeline, but a generator of kind image_variation draws",
        ),
        ("image_variation", unclip, "is a StableUnCLIPImg2ImgPipeline, but a generator of kind image_variation draws"),
        ("unclip", stable_diffusion, "draws with a StableUnCLIPImg2ImgPipeline; name another foundation"),
        ("unclip", image_variation, "is a StableDiffusionImageVariationPipeline, but a generator of kind unclip draws"),
    ],
)
def test_models_of_other_classes_are_refused_before_drawing(tmp_path, draws, kind, make, told):
    with pytest.raises(InputError, match=told):
        draws(kind, folder=make(tmp_path / "other"))
