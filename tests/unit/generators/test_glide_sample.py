"""Pictures from GLIDE: by the chains of a reading of our own, each from its own prompt and seed alone."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from glide_reference import Reference, base_chain, cosine_alphas, linear_alphas, upsampler_chain
from safetensors.torch import load_file, save_file
from tiny_glide import BASE, CONTEXT, SIDES, UPSAMPLER, checkpoint, small
from tiny_models import stable_diffusion

from pipeline.config.draws import Glide as Draw
from pipeline.errors import InputError
from pipeline.foundations import table
from pipeline.foundations.components import components
from pipeline.generators.glide.sample import Glide, Sampler

ROWS = pd.DataFrame(
    {
        "class": 0,
        "prompt": ["The cat in a", "a dog", "The cat in a", ""],
        "seed": [5, 2**62 + 1, 7, 5],
    }
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small(tmp_path_factory.mktemp("models"))


@pytest.fixture
def draws(model, cpu, tmp_path):
    """Draws rows from a model; further keys are those of `draw`."""

    def found(rows=ROWS, folder=model, batch_size=2, precision="float32", **keys):
        table.write(folder, tmp_path / "foundation.parquet", {"variant": None, "allow_pickle": False})
        draw = Draw(kind="glide", **{"steps": 2} | keys).model_dump()
        settings = {"draw": draw, "batch_size": batch_size, "generator": {"kind": "glide", "precision": precision}}
        sampler = Sampler({"foundation": [tmp_path / "foundation.parquet"]}, settings, torch.device("cpu"))
        return np.concatenate(list(sampler.draw(rows)))

    return found


SHARE, SPREAD = 0.15, 0.5


class Tamed(torch.nn.Module):
    """The noise of pictures with a deviation of SPREAD, and a share of a network's.

    Random networks drive all pixels to the ends of the range, where wrong steps would not show.
    """

    def __init__(self, network, alphas):
        super().__init__()
        self.network, self.alphas = network, alphas

    @property
    def config(self):
        return self.network.config

    @property
    def device(self):
        return self.network.device

    def forward(self, pictures, time, *texts, **keys):
        found = self.network(pictures, time, *texts, **keys)
        alpha = self.alphas[int(time)].to(pictures.dtype)
        noise = (1 - alpha).sqrt() * pictures[:, :3] / (alpha * SPREAD**2 + 1 - alpha)
        network = found[0] if isinstance(found, tuple) else found
        tamed = SHARE * network + torch.cat([noise, torch.zeros_like(noise)], dim=1)
        return (tamed,) if isinstance(found, tuple) else tamed


def tokens(tokenizer, prompts):
    """Ids and mask, by hand."""
    ids = [tokenizer(prompt.lower()).input_ids[:CONTEXT] for prompt in prompts]
    mask = torch.tensor([[True] * len(one) + [False] * (CONTEXT - len(one)) for one in ids])
    return torch.tensor([one + [0] * (CONTEXT - len(one)) for one in ids]), mask


@pytest.mark.parametrize("steps", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_both_chains_are_those_of_a_reading_of_our_own(model, cpu, steps):
    loaded = components(model)
    loaded["unet"] = Tamed(loaded["unet"], cosine_alphas())
    loaded["upsampler_unet"] = Tamed(loaded["upsampler_unet"], linear_alphas())
    prompts, seeds = ROWS["prompt"].tolist()[:2], ROWS["seed"].tolist()[:2]

    def ours(**keys):
        draw = Draw(kind="glide", steps=steps, **keys).model_dump()
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        with torch.inference_mode():
            return 2 * Glide(loaded, draw, torch.device("cpu")).draw(ROWS[:2], generators) - 1

    base, upsampler = Reference(checkpoint(BASE), 1), Reference(checkpoint(UPSAMPLER, 1), 1)
    ids, mask = tokens(loaded["tokenizer"], prompts)
    texts, nothing = base.texts(ids, mask), base.texts(*tokens(loaded["tokenizer"], [""])).expand(2, -1, -1)
    small_side, side = SIDES.values()
    with torch.no_grad():
        tamed = Tamed(base, cosine_alphas())
        expected, generators = base_chain(tamed, texts, nothing, seeds, small_side, 3.0, steps)
        larger = upsampler_chain(
            Tamed(upsampler, linear_alphas()), upsampler.texts(ids, mask), expected, generators, side
        )
    found = ours()
    assert found.shape == (2, 3, small_side, small_side)
    assert (expected.abs() > 0.999).double().mean() < 0.3 and expected.std() > 0.2, "most pixels are not clipped"
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=0)
    found = ours(upsample=True)
    assert found.shape == (2, 3, side, side)
    assert (larger.abs() > 0.999).double().mean() < 0.5 and larger.std() > 0.2
    torch.testing.assert_close(found.double(), larger, atol=1e-4, rtol=0)


def test_the_defaults_are_those_of_the_paper():
    assert Draw(kind="glide").model_dump() == {"kind": "glide", "steps": 100, "guidance_scale": 3.0, "upsample": False}


@pytest.mark.parametrize("upsample", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_row_is_the_same_picture_in_any_batch(draws, upsample):
    """Bit by bit, for batches of one shape."""
    whole = draws(upsample=upsample)
    side = list(SIDES.values())[upsample]
    assert whole.shape == (4, side, side, 3) and whole.dtype == np.float32
    assert whole.min() >= 0 and whole.max() <= 255 and np.ptp(whole) > 100
    for order in ([3, 2, 1], [2], [0, 0]):
        assert np.array_equal(draws(ROWS.iloc[order], upsample=upsample), whole[order])
    np.testing.assert_allclose(draws(batch_size=4, upsample=upsample), whole, atol=1e-2)


def test_prompt_and_seed_both_decide(draws):
    pictures = draws()
    assert all(np.abs(pictures[0] - pictures[other]).max() > 1 for other in (2, 3))


@pytest.mark.parametrize(("scale", "expected"), [(0.0, 2), (1.0, 2), (1.01, 4)])
def test_without_guidance_there_is_no_second_pass(draws, monkeypatch, scale, expected):
    from diffusers import UNet2DConditionModel

    seen = []
    forward = UNet2DConditionModel.forward

    def counted(self, sample, *arguments, **keys):
        seen.append(tuple(sample.shape))
        return forward(self, sample, *arguments, **keys)

    monkeypatch.setattr(UNet2DConditionModel, "forward", counted)
    draws(ROWS[:2], guidance_scale=scale)
    assert seen == [(expected, 3, 8, 8)] * 2


def test_prompts_that_are_cut_are_counted(draws, capsys):
    draws(ROWS.assign(prompt=["b" * CONTEXT, "b" * (CONTEXT + 1), "b " * CONTEXT, "THE " * 6]))
    assert "2 of 4 prompts are longer than the text encoder reads; their ends are cut" in capsys.readouterr().out
    draws(ROWS.assign(prompt="the cat"))
    assert "prompts" not in capsys.readouterr().out


def test_only_what_is_read_of_a_prompt_decides(draws):
    pictures = draws(ROWS.assign(prompt="b" * CONTEXT, seed=3).iloc[:2])
    longer = draws(ROWS.assign(prompt="B" * CONTEXT + "c", seed=3).iloc[:2])
    assert np.array_equal(pictures, longer)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_another_precision_draws_about_the_same(draws, precision):
    exact, found = draws(ROWS[:2]), draws(ROWS[:2], precision=precision)
    assert found.dtype == np.float32 and 0 < np.abs(found - exact).mean() < 10


@pytest.mark.parametrize("name", SIDES)
def test_pictures_that_overflow_are_reported_as_nan(tmp_path, draws, name):
    folder = small(tmp_path)
    path = folder / name / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    largest = torch.full_like(weights["conv_out.weight"], 3e38)
    save_file(weights | {"conv_out.weight": largest}, path, {"format": "pt"})
    pictures = draws(ROWS[:1], folder=folder, batch_size=1, steps=1, upsample=name != "unet")
    assert np.isnan(pictures).any(axis=(1, 2, 3)).all()


def test_models_that_do_not_fit_are_refused(tmp_path, draws):
    with pytest.raises(
        InputError, match="sd is a StableDiffusionPipeline, but a generator of kind glide draws with a Glide; name"
    ):
        draws(folder=stable_diffusion(tmp_path / "sd"))
    folder = small(tmp_path)
    index = json.loads((folder / "model_index.json").read_text())
    kept = {key: value for key, value in index.items() if not key.startswith("upsampler")}
    (folder / "model_index.json").write_text(json.dumps(kept))
    with pytest.raises(InputError, match="has no upsampler; give the foundation one, or draw without `upsample`"):
        draws(folder=folder, upsample=True)
