"""Steps of the feedback on a toy model, whose gradients are known."""

import math

import pytest
import torch
from torch import nn

from pipeline.classifiers.network import Network
from pipeline.guidance.clean import predicted_clean
from pipeline.guidance.feedback import Feedback

ASKED = {
    "criterion": "entropy",
    "scale": 0.03,
    "every": 5,
    "mode": "exact",
    "blended": False,
    "levels": "stretched",
    "side": 8,
    "covariance": "tied",
}
LABELS, SEEDS = torch.tensor([0, 1, 2]), torch.tensor([7, 8, 9])
ALPHA_BAR = 0.6
NOISE = math.sqrt(1 - ALPHA_BAR)


class Toy(nn.Module):
    """A latent diffusion model of a few weights, in float64."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.unet, self.vae = nn.Conv2d(4, 4, 3, padding=1), nn.ConvTranspose2d(4, 3, 2, 2)
        self.double().requires_grad_(False)

    def predict(self, latents):
        return self.unet(latents).tanh()

    def decode(self, latents):
        return self.vae(latents).tanh()


TOY = Toy()


@pytest.fixture
def guide():
    torch.manual_seed(1)
    return Network("small", 4, 3, [0.5] * 3, [0.5] * 3, 8).eval().requires_grad_(False)


def latents(count=3):
    torch.manual_seed(0)
    return torch.randn(count, 4, 4, 4).double()


def clean(prediction, noisy):
    return predicted_clean("epsilon", prediction, noisy, ALPHA_BAR)


def led(guide, start=None, labels=LABELS, seeds=SEEDS, decode=TOY.decode, **asked):
    start = latents() if start is None else start
    with torch.no_grad():
        return Feedback(guide, ASKED | asked).guided(start, labels, seeds, TOY.predict, clean, NOISE, decode)


def entropy(guide, start):
    pictures = TOY.decode(clean(TOY.predict(start), start))
    low, high = (bound(pictures.flatten(1), 1)[:, None, None, None] for bound in (torch.amin, torch.amax))
    logs = guide(((pictures - low) / (high - low)).float() * 255).log_softmax(1)
    return -(logs.exp() * logs).sum(1)


def test_clean_latents_agree_for_every_kind_of_prediction():
    start, noise = latents(), torch.randn(3, 4, 4, 4).double()
    noisy = ALPHA_BAR**0.5 * start + NOISE * noise
    velocity = ALPHA_BAR**0.5 * noise - NOISE * start
    for kind, prediction in (("epsilon", noise), ("v_prediction", velocity), ("sample", start)):
        torch.testing.assert_close(predicted_clean(kind, prediction, noisy, ALPHA_BAR), start)


@pytest.mark.parametrize("mode", ["exact", "decoder", "pooled"])
@pytest.mark.parametrize("criterion", ["entropy", "loss"])
def test_a_step_is_as_long_as_the_scale_says_and_the_prediction_is_that_before_it(guide, mode, criterion):
    start = latents()
    moved, predicted = led(guide, mode=mode, criterion=criterion)
    lengths = (moved - start).flatten(1).norm(dim=1) / start.flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((3,), 0.03).double(), rtol=1e-3, atol=0)
    torch.testing.assert_close(predicted, TOY.predict(start))
    assert not moved.requires_grad and not predicted.requires_grad


@pytest.mark.parametrize("blended", [False, True])
def test_the_exact_direction_is_that_of_differences(guide, blended, monkeypatch):
    """With the smallest and largest level of each picture kept, as in the public code."""
    guide = guide.double()
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    start = latents(1)
    moved, _ = led(guide, start, LABELS[:1], SEEDS[:1], blended=blended)
    direction = (moved - start).flatten()
    bounds = []

    def value(at):
        estimate = clean(TOY.predict(at), at)
        estimate = NOISE * estimate + (1 - NOISE) * at if blended else estimate
        pictures = TOY.decode(estimate)
        if not bounds:
            bounds.extend((pictures.min(), pictures.max()))
        logs = guide((pictures - bounds[0]) / (bounds[1] - bounds[0]) * 255).log_softmax(1)
        return -(logs.exp() * logs).sum()

    value(start)
    differences = torch.stack(
        [
            (value(start + step) - value(start - step)) / 2e-6
            for step in 1e-6 * torch.eye(64).double().view(64, 1, 4, 4, 4)
        ]
    )
    assert torch.cosine_similarity(direction, differences, dim=0) > 1 - 1e-6


@pytest.mark.parametrize("mode", ["exact", "decoder", "pooled"])
@pytest.mark.parametrize("bias", [0, 12, 40])
def test_half_precision_keeps_the_direction_even_if_the_guide_is_sure(guide, mode, bias):
    """The gradient of the entropy is then far below the smallest number of float16."""
    guide.head.bias.data[0] += bias
    half = Toy().half()

    def step(toy, start):
        with torch.no_grad():
            feedback = Feedback(guide, ASKED | {"mode": mode})
            moved, _ = feedback.guided(start, LABELS, SEEDS, toy.predict, clean, NOISE, toy.decode)
        return (moved - start).double().flatten(1), start.double().flatten(1)

    expected, _ = step(TOY, latents())
    found, start = step(half, latents().half())
    assert (torch.cosine_similarity(found, expected) > 0.99).all()
    torch.testing.assert_close(found.norm(dim=1), 0.03 * start.norm(dim=1), rtol=0.02, atol=0)
    torch.testing.assert_close(expected.norm(dim=1), 0.03 * latents().flatten(1).norm(dim=1), rtol=1e-6, atol=0)


@pytest.mark.parametrize("mode", ["exact", "decoder", "pooled"])
def test_pictures_that_are_decoded_in_turn_are_led_alike(guide, mode):
    counts = []

    def decode(estimate):
        counts.append(len(estimate))
        return TOY.decode(estimate)

    start, together = latents(), led(guide, mode=mode)[0]
    for places, expected in ((16, [1, 1, 1]), (47, [2, 1]), (1, [1, 1, 1])):
        if mode == "pooled":
            places = places / 4
        counts.clear()
        with torch.no_grad():
            feedback = Feedback(guide, ASKED | {"mode": mode})
            moved, _ = feedback.guided(start, LABELS, SEEDS, TOY.predict, clean, NOISE, decode, int(places))
        assert counts == expected
        torch.testing.assert_close(moved, together)


@pytest.mark.parametrize("mode", ["exact", "decoder"])
def test_entropy_rises(guide, mode):
    start = latents()
    before = entropy(guide, start)
    for _ in range(5):
        start, _ = led(guide, start, mode=mode, scale=0.01)
    assert (entropy(guide, start) > before).all()


def test_the_cheaper_directions_are_near_the_exact_one(guide):
    start = latents()
    exact, decoder, pooled = ((led(guide, mode=mode)[0] - start).flatten() for mode in ("exact", "decoder", "pooled"))
    assert torch.cosine_similarity(exact, decoder, dim=0) > torch.cosine_similarity(exact, pooled, dim=0)
    assert torch.cosine_similarity(exact, decoder, dim=0) > 0.5


def test_clamped_levels_are_those_of_the_stored_picture(guide, monkeypatch):
    """What is within the range is not stretched, and what is beyond it has no gradient."""
    start, features, seen = latents(1), guide.features, []
    monkeypatch.setattr(guide, "features", lambda pictures: seen.append(pictures.detach()) or features(pictures))

    def wide(latents):
        return 1.5 * TOY.decode(latents)

    def beyond(latents):
        return 2 + TOY.decode(latents)

    led(guide, start, LABELS[:1], SEEDS[:1], wide, levels="clamped")
    pictures = wide(clean(TOY.predict(start), start))
    assert (pictures.abs() > 1).any()
    torch.testing.assert_close(seen[0], ((pictures.clamp(-1, 1) + 1) * 127.5).float())
    moved, _ = led(guide, start, LABELS[:1], SEEDS[:1], beyond, levels="clamped")
    assert moved.equal(start)


def test_a_picture_depends_on_no_other(guide):
    together, _ = led(guide)
    for row in range(3):
        alone, _ = led(guide, latents()[row : row + 1], LABELS[row : row + 1], SEEDS[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=1e-6, atol=1e-6)


def test_grey_pictures_and_a_picture_of_one_level_are_seen(guide):
    grey, _ = led(guide, decode=lambda estimate: TOY.decode(estimate)[:, :1])
    flat, _ = led(guide, decode=lambda estimate: TOY.decode(estimate) * 0)
    assert grey.isfinite().all() and torch.equal(flat, latents())
