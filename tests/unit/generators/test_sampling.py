"""Sampling: the same row is the same picture in any shard, and each step follows the textbook."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DDPMScheduler

from pipeline.artifacts.shards import rows_of
from pipeline.errors import InputError
from pipeline.generators.cbdm import sample as sampling
from pipeline.generators.cbdm.sample import NOISE_STEPS, Sampler
from pipeline.generators.cbdm.unet import build
from pipeline.generators.drawn import ATTEMPTS, drawn
from pipeline.generators.plan import row_seeds
from pipeline.seeds import mixed_seed

CLASSES, SIDE, TIMESTEPS = 4, 8, 60
BETA_END = 0.02  # so mild that an untrained network keeps pictures in range
BETAS = torch.linspace(1e-4, BETA_END, TIMESTEPS, dtype=torch.float64)
LABELS = np.arange(7) % CLASSES
SEEDS = row_seeds(0, LABELS, np.arange(7))
METHODS = [("ddpm", 12), ("ddim", 6)]


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    """An untrained generator on disk."""
    folder = tmp_path_factory.mktemp("generator")
    torch.manual_seed(0)
    save(folder, channels=3)
    return folder


def save(folder, channels):
    shape = {"channels": 32, "multipliers": (1,), "blocks": 1, "attention_levels": (0,), "dropout": 0.1}
    build(shape, CLASSES, SIDE, channels).save_pretrained(folder / "unet")
    scheduler = DDPMScheduler(TIMESTEPS, 1e-4, BETA_END, variance_type="fixed_large", clip_sample=False)
    scheduler.save_pretrained(folder / "scheduler")


def trained(folder):
    """The inputs of a sampler: the table that lies beside the generator's files."""
    return {"generator": [folder / "history.parquet"]}


def rows(labels, seeds):
    """What a sampler reads of a plan."""
    return pd.DataFrame({"class": labels, "seed": seeds})


def settings(sampler="ddim", steps=6, guidance=1.5, batch_size=3, clip_denoised=False):
    draw = {"kind": sampler, "steps": steps, "guidance": guidance, "clip_denoised": clip_denoised}
    return {"draw": draw, "batch_size": batch_size}


@pytest.fixture
def draw(generator, cpu, monkeypatch):
    """All pictures for labels and seeds, uint8 [N, H, W, 3]; noise comes in blocks of fewer steps than are taken."""
    monkeypatch.setattr(sampling, "NOISE_STEPS", 5)

    def pictures(labels=LABELS, seeds=SEEDS, **changed):
        batches = list(drawn(Sampler(trained(generator), settings(**changed), cpu), rows(labels, seeds)))
        return np.concatenate(batches)["picture"] if batches else np.zeros((0, SIDE, SIDE, 3), np.uint8)

    return pictures


class FakeUNet:
    """Predicts noise by a plain formula, and remembers what it was asked."""

    class config:
        in_channels, sample_size, num_class_embeds = 3, SIDE, CLASSES + 1

    def __init__(self):
        self.asked = []

    def __call__(self, pictures, times, labels):
        self.asked.append((pictures.clone(), times.clone(), labels.clone()))
        return type("Output", (), {"sample": predicted_noise(pictures, labels)})


def predicted_noise(pictures, labels):
    return torch.sin(3 * pictures) * (labels + 1)[:, None, None, None] / 4


@pytest.fixture
def faked(generator, cpu):
    """Runs one batch with a fake U-Net; returns the U-Net and the pictures before rounding, float32."""

    def run(labels, seeds, **changed):
        sampler = Sampler(trained(generator), settings(**changed), cpu)
        sampler._unet = FakeUNet()
        return sampler._unet, sampler._batch(torch.tensor(labels), np.array(seeds))

    return run


# The same row is the same picture


@pytest.mark.parametrize("guidance", [0, 1.5])
@pytest.mark.parametrize("sampler, steps", METHODS)
def test_pictures_are_bitwise_the_same_in_any_shards(draw, sampler, steps, guidance):
    how = {"sampler": sampler, "steps": steps, "guidance": guidance}
    whole = draw(**how)
    assert whole.shape == (7, SIDE, SIDE, 3) and whole.dtype == np.uint8
    assert ((whole > 0) & (whole < 255)).mean() > 0.3  # or rounding would hide differences
    for shards in (1, 2, 3, 5):
        parts = []
        for shard in range(shards):
            rows = list(rows_of(7, shard, shards))
            parts.append(draw(LABELS[rows], SEEDS[rows], **how))
        assert (np.concatenate(parts) == whole).all()


@pytest.mark.parametrize("sampler, steps", METHODS)
def test_pictures_are_bitwise_the_same_in_any_order(draw, sampler, steps):
    order = np.random.RandomState(0).permutation(7)
    shuffled = draw(LABELS[order], SEEDS[order], sampler=sampler, steps=steps)
    assert (shuffled == draw(sampler=sampler, steps=steps)[order]).all()


@pytest.mark.parametrize("sampler, steps", METHODS)
def test_another_batch_size_agrees_to_rounding(draw, sampler, steps):
    whole = draw(sampler=sampler, steps=steps).astype(int)
    for batch_size in (1, 3):
        other = draw(sampler=sampler, steps=steps, batch_size=batch_size).astype(int)
        assert (whole == other).mean() >= 0.999 and abs(whole - other).max() <= 1


def test_a_row_alone_is_what_it_is_among_others(draw):
    assert (draw(LABELS[5:6], SEEDS[5:6])[0] == draw()[5]).all()


def test_no_rows_give_no_pictures(draw):
    assert len(draw(LABELS[:0], SEEDS[:0])) == 0


def test_grey_generators_draw_grey_pictures(tmp_path, cpu):
    save(tmp_path, channels=1)
    (found,) = drawn(Sampler(trained(tmp_path), settings(steps=2), cpu), rows(LABELS[:2], SEEDS[:2]))
    assert found["picture"].shape == (2, SIDE, SIDE) and found["picture"].dtype == np.uint8


def test_seeds_that_differ_in_high_bits_alone_differ(draw):
    one, other = draw(np.array([0, 0]), np.array([5, 5 + 2**40]))
    assert (one != other).any()


def test_seeds_and_labels_both_matter(draw):
    same, seed, label = draw(np.array([0, 0, 1]), np.array([5, 6, 5]))
    assert (same != seed).any() and (same != label).any()


# Each step follows the textbook


def noise_of(seed, steps):
    """What a seed draws: the start, and the noise of each step in blocks."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    blocks = [generator.standard_normal((1, 3, SIDE, SIDE), np.float32)]
    while sum(map(len, blocks)) < steps + 1:
        blocks.append(generator.standard_normal((NOISE_STEPS, 3, SIDE, SIDE), np.float32))
    return torch.from_numpy(np.concatenate(blocks))


def test_noise_runs_over_from_one_block_to_the_next():
    assert TIMESTEPS > NOISE_STEPS + 1  # in the cases of 60 steps


def textbook(sampler, steps, label, seed, guidance):
    """DDPM (Ho et al. 2020, Algorithm 2 and Eq. 11) and DDIM (Song et al. 2021, Eq. 12, eta 0), in float64."""
    share = torch.cumprod(1 - BETAS, 0)
    noise = noise_of(seed, steps).double()
    picture, stride = noise[:1], TIMESTEPS // steps
    for step, time in enumerate(range(TIMESTEPS - 1, -1, -stride)):
        now, before = share[time], share[time - stride] if time >= stride else torch.ones(())
        labels = torch.tensor([label])
        epsilon = predicted_noise(picture, labels)
        epsilon = epsilon + guidance * (epsilon - predicted_noise(picture, torch.full_like(labels, CLASSES)))
        if sampler == "ddim":
            start = (picture - (1 - now).sqrt() * epsilon) / now.sqrt()
            picture = before.sqrt() * start + (1 - before).sqrt() * epsilon
        else:
            beta = 1 - now / before
            mean = (picture - beta / (1 - now).sqrt() * epsilon) / (1 - beta).sqrt()
            picture = mean + beta.sqrt() * noise[step + 1] if time >= stride else mean
    return picture[0]


@pytest.mark.parametrize(
    "sampler, steps", [*METHODS, ("ddpm", 60), ("ddpm", 1), ("ddim", 1), ("ddpm", 2), ("ddim", 2), ("ddim", 60)]
)
@pytest.mark.parametrize("guidance", [0, 1.5])
def test_sampling_follows_the_textbook(faked, sampler, steps, guidance):
    labels, seeds = [0, 3], [11, 2**62]
    _, found = faked(labels, seeds, sampler=sampler, steps=steps, guidance=guidance)
    for picture, label, seed in zip(found, labels, seeds, strict=True):
        expected = textbook(sampler, steps, label, seed, guidance)
        torch.testing.assert_close(picture.double(), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_ancestral_noise_has_the_large_variance(faked, monkeypatch):
    """Where the last step's noise is one more, a picture is more by that step's deviation: sqrt(beta), here of 1 -> 0."""

    class Shifted(sampling._Noise):
        calls = 0

        def next(self):
            self.calls += 1
            return super().next() + (shift if self.calls == TIMESTEPS else 0)

    def nothing(self, pictures, times, labels):
        return type("Output", (), {"sample": torch.zeros_like(pictures)})

    monkeypatch.setattr(sampling, "_Noise", Shifted)
    monkeypatch.setattr(FakeUNet, "__call__", nothing)
    pictures = []
    for shift in (0, 1):  # noqa: B007 (Shifted reads it)
        pictures.append(faked([0], [1], sampler="ddpm", steps=TIMESTEPS, guidance=0)[1])
    expected = BETAS[1].sqrt() / (1 - BETAS[0]).sqrt()
    torch.testing.assert_close(pictures[1] - pictures[0], expected.float().expand(1, 3, SIDE, SIDE), rtol=1e-3, atol=0)


def test_guidance_asks_with_and_without_the_label_in_one_batch(faked):
    unet, _ = faked([0, 2], [1, 2], guidance=1.5)
    assert len(unet.asked) == 6
    for pictures, times, labels in unet.asked:
        assert labels.tolist() == [0, 2, CLASSES, CLASSES] and len(set(times.tolist())) == 1
        assert pictures[:2].equal(pictures[2:])


def test_guidance_of_zero_asks_once_a_picture(faked):
    unet, _ = faked([0, 2], [1, 2], guidance=0)
    assert [labels.tolist() for _, _, labels in unet.asked] == [[0, 2]] * 6


@pytest.mark.parametrize("sampler, steps", METHODS)
def test_times_run_from_the_noisiest_step_down(faked, sampler, steps):
    unet, _ = faked([0], [1], sampler=sampler, steps=steps, guidance=0)
    stride = TIMESTEPS // steps
    assert [times.item() for _, times, _ in unet.asked] == list(range(TIMESTEPS - 1, -1, -stride))


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_clipping_bounds_the_foreseen_picture(faked, sampler):
    _, free = faked([3], [1], sampler=sampler, steps=1, guidance=0)
    _, clipped = faked([3], [1], sampler=sampler, steps=1, guidance=0, clip_denoised=True)
    assert free.abs().max() > 1.5
    torch.testing.assert_close(clipped, free.clamp(-1, 1))


def test_pixels_are_rounded_and_never_wrap(generator, cpu, monkeypatch):
    sampler = Sampler(trained(generator), settings(batch_size=1), cpu)
    values = torch.tensor([-7.0, -1, -0.999, 0, 0.5, 1, 9, 1e6])
    monkeypatch.setattr(sampler, "_batch", lambda labels, seeds: values.expand(1, 3, 1, 8))
    (found,) = drawn(sampler, rows([0], [0]))
    assert found["picture"].shape == (1, 1, 8, 3)
    assert found["picture"][0, 0, :, 0].tolist() == [0, 0, 0, 128, 191, 255, 255, 255]


def test_dropout_is_off(generator, cpu):
    assert not Sampler(trained(generator), settings(), cpu)._unet.training


# Damaged generators

DAMAGE = {
    "missing": None,
    "empty": "",
    "cut short": '{"_class_name": "DDPM',
    "a list": "[]",
    "a number": "1",
    "no text": b"\xff\xfe",
    "an unknown schedule": '{"beta_schedule": "liniar"}',
    "words for numbers": '{"num_train_timesteps": "many"}',
}


@pytest.mark.parametrize(
    ("part", "damage"),
    [
        *(("scheduler/scheduler_config.json", damage) for damage in DAMAGE),
        *(("unet/config.json", damage) for damage in [*DAMAGE][:6]),
    ],
)
def test_damaged_settings_of_a_generator_are_one_sentence(part, damage, generator, tmp_path, cpu):
    shutil.copytree(generator, tmp_path, dirs_exist_ok=True)
    content = DAMAGE[damage]
    (tmp_path / part).unlink()
    if content is not None:
        (tmp_path / part).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError, match=r"(unet|scheduler) is missing or damaged \(.*\); say `make repair`$") as told:
        Sampler(trained(tmp_path), settings(), cpu)
    assert "\n" not in str(told.value) and str(told.value).startswith(str((tmp_path / part).parent))


# Pictures that are not of finite numbers


@pytest.fixture
def broken(generator, cpu, monkeypatch):
    """Draws LABELS and SEEDS, where the network gives `value` for the pictures of `bad`: seed -> number of draws."""

    def run(bad, value=float("nan"), order=range(7), batch_size=3):
        sampler = Sampler(trained(generator), settings(batch_size=batch_size, guidance=0), cpu)
        whole, failing = sampler._batch, {seed: range(draws) for seed, draws in bad.items()}
        failing = {mixed_seed(seed, n) >> 1 if n else seed for seed, draws in failing.items() for n in draws}

        def spoilt(labels, seeds):
            pictures = whole(labels, seeds)
            pictures[[seed in failing for seed in seeds.tolist()], 0, 0, 0] = value
            return pictures

        monkeypatch.setattr(sampler, "_batch", spoilt)
        order = list(order)
        return np.concatenate(list(drawn(sampler, rows(LABELS[order], SEEDS[order]))))

    return run


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_pictures_that_are_not_finite_are_drawn_again_with_a_seed_of_their_own(broken, draw, value):
    bad = {int(SEEDS[1]): 1, int(SEEDS[2]): 3, int(SEEDS[6]): ATTEMPTS - 1}
    found = broken(bad, value)
    assert found["redrawn"].tolist() == [False, True, True, False, False, False, True]
    usual = draw(guidance=0)
    for place in range(7):
        if int(SEEDS[place]) not in bad:
            assert (found["picture"][place] == usual[place]).all()
            continue
        seed = mixed_seed(int(SEEDS[place]), bad[int(SEEDS[place])]) >> 1
        again = draw(LABELS[place : place + 1], np.array([seed]), guidance=0)
        assert (found["picture"][place] == again[0]).all()
        assert (found["picture"][place] != usual[place]).any()


def test_a_redrawn_row_is_the_same_picture_in_any_order(broken):
    bad = {int(SEEDS[1]): 1, int(SEEDS[2]): 2}
    whole, order = broken(bad), [2, 6, 1, 0, 3, 5, 4]
    assert (broken(bad, order=order) == whole[order]).all()
    assert (broken(bad, order=[2]) == whole[2:3]).all()


def test_a_generator_that_draws_no_finite_picture_is_reported(broken):
    with pytest.raises(
        InputError, match="a picture of class 2 was drawn 5 times, each time with values that are not fin"
    ):
        broken({int(SEEDS[2]): ATTEMPTS})


def test_whole_numbers_are_taken_as_they_are():
    class Painter:
        def draw(self, rows):
            yield np.full((len(rows), 2, 2), 7, np.uint8)

    (found,) = drawn(Painter(), rows(LABELS, SEEDS))
    assert (found["picture"] == 7).all() and not found["redrawn"].any()
