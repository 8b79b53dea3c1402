"""ADM's U-Net and the cosine schedule: the network against a count and a block by hand, the betas against their formula."""

import hashlib
import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from pydantic import ValidationError

from pipeline.config.generators import Cbdm, UNet
from pipeline.generators.cbdm import train as training
from pipeline.generators.cbdm.loss import cbdm_loss
from pipeline.generators.cbdm.sample import Sampler
from pipeline.generators.cbdm.unet import build
from pipeline.generators.drawn import drawn
from pipeline.jobs.checkpoint import Checkpoint

ADM64 = {
    "channels": 192,
    "multipliers": (1, 2, 3, 4),
    "blocks": 3,
    "attention_levels": (1, 2, 3),
    "head_channels": 64,
    "time_as": "scale_and_shift",
    "resample": "residual",
    "initial_weights": "zeroed",
}
TINY = ADM64 | {"channels": 32, "multipliers": (1, 2), "blocks": 1, "attention_levels": (1,), "head_channels": 16}
CLASSES = 3


def settings(**changed):
    small = {"unet": TINY, "schedule": "cosine", "tau": 0, "timesteps": 20, "batch_size": 4, "warmup_steps": 0}
    return Cbdm(kind="cbdm", **(small | {"learning_rate": 1e-3, "ema_decay": 0.5} | changed)).settings()


@pytest.fixture(scope="module")
def adm64():
    """The network for ImageNet at 64 pixels, without memory for its weights."""
    with torch.device("meta"):
        return build(UNet(**ADM64).model_dump(), 1000, 64)


@pytest.fixture
def trained(cpu, tmp_path):
    """Trains on 14 pictures of 8 x 8, random unless given; returns the history and the folder."""
    random_pictures = np.random.RandomState(0).randint(0, 256, (14, 8, 8, 3), np.uint8)
    runs = []

    def run(pictures=random_pictures, **changed):
        runs.append(tmp_path / f"run{len(runs)}")
        checkpoint = Checkpoint(runs[-1] / "checkpoint", {}, None, [], minutes=1e9)
        labels = np.arange(14) % CLASSES
        history, _ = training.train(settings(**changed), pictures, labels, CLASSES, cpu, checkpoint, runs[-1])
        return history, runs[-1]

    return run


# The network


def test_default_network_is_the_one_from_before_there_was_a_choice():
    """Names and shapes of all weights, in order, as a hash that was taken then."""
    with torch.device("meta"):
        unet = build(Cbdm(kind="cbdm").settings()["unet"], 100, 32)
    shapes = [[name, list(weight.shape)] for name, weight in unet.state_dict().items()]
    found = hashlib.sha256(json.dumps(shapes).encode()).hexdigest()
    assert found == "e0c1b2914f21da3552f483b8283fd35ecd216e2e4991f707758f75b55edd1502"
    blocks = [module for module in unet.modules() if isinstance(module, ResnetBlock2D)]
    assert {block.time_embedding_norm for block in blocks} == {"default"}
    assert not any(block.up or block.down for block in blocks)


def count_by_hand(channels, multipliers, blocks, attends, classes):
    """Parameters of guided-diffusion's network, with 3 channels out and one label more, stage by stage."""
    time = 4 * channels

    def convolution(before, after, side=3):
        return after * (before * side * side + 1)

    def residual(before, after):
        shortcut = convolution(before, after, 1) if before != after else 0
        hidden = 2 * before + convolution(before, after) + (time + 1) * 2 * after + 2 * after
        return hidden + convolution(after, after) + shortcut

    def attention(width):
        return 2 * width + convolution(width, 3 * width, 1) + convolution(width, width, 1)

    total = (channels + 1) * time + (time + 1) * time + (classes + 1) * time + convolution(3, channels)
    skips, width = [channels], channels
    for level, multiplier in enumerate(multipliers):
        for _ in range(blocks):
            total += residual(width, channels * multiplier) + attends[level] * attention(channels * multiplier)
            width = channels * multiplier
            skips.append(width)
        if level + 1 < len(multipliers):
            total += residual(width, width)
            skips.append(width)
    total += 2 * residual(width, width) + attention(width)
    for level, multiplier in reversed(list(enumerate(multipliers))):
        for _ in range(blocks + 1):
            total += residual(width + skips.pop(), channels * multiplier) + attends[level] * attention(
                channels * multiplier
            )
            width = channels * multiplier
        if level:
            total += residual(width, width)
    assert not skips
    return total + 2 * width + convolution(width, 3)


def test_adm_at_64_pixels_has_as_many_parameters_as_counted_by_hand(adm64):
    """The paper says 296 M; its network has 3 more channels out, for the learned variance, and one label fewer."""
    found = sum(parameter.numel() for parameter in adm64.parameters())
    assert found == count_by_hand(192, (1, 2, 3, 4), 3, (False, True, True, True), 1000)
    learned_variance, no_label = 3 * (192 * 9 + 1), 4 * 192
    assert round((found + learned_variance - no_label) / 1e6) == 296


def test_adm_at_64_pixels_draws_noise_of_the_pictures_shape(adm64):
    with torch.device("meta"):
        found = adm64(torch.empty(2, 3, 64, 64), torch.zeros(2), torch.zeros(2, dtype=torch.long)).sample
    assert found.shape == (2, 3, 64, 64)


def test_attention_at_32_16_and_8_pixels_has_heads_of_64_channels_and_a_norm(adm64):
    found = {name: module for name, module in adm64.named_modules() if isinstance(module, Attention)}
    heads = {}
    for name, module in found.items():
        heads.setdefault(name.split(".attentions")[0], set()).add(module.heads)
    down = {"down_blocks.1": {6}, "down_blocks.2": {9}, "down_blocks.3": {12}}
    up = {"up_blocks.0": {12}, "up_blocks.1": {9}, "up_blocks.2": {6}}
    assert heads == down | {"mid_block": {12}} | up
    assert all(module.group_norm is not None for module in found.values())


def test_levels_are_joined_by_residual_blocks_alone(adm64):
    blocks = {name: module for name, module in adm64.named_modules() if isinstance(module, ResnetBlock2D)}
    joining = {name for name, module in blocks.items() if module.up or module.down}
    down = {f"down_blocks.{level}.downsamplers.0" for level in (0, 1, 2)}
    assert joining == down | {f"up_blocks.{level}.upsamplers.0" for level in (0, 1, 2)}
    resizing = [module for module in adm64.modules() if isinstance(module, Downsample2D | Upsample2D)]
    assert len(resizing) == 6 and not any(module.use_conv for module in resizing)


def test_joining_block_is_that_of_the_formula():
    """Norm, silu, half the side on both ways; then convolution, norm, scale and shift, silu, convolution."""
    torch.manual_seed(0)
    block = build(UNet(**TINY).model_dump(), CLASSES, 8).double().eval().down_blocks[0].downsamplers[0]
    hidden, time = torch.randn(2, 32, 8, 8).double(), torch.randn(2, 128).double()
    weights = {name: value.detach() for name, value in block.named_parameters()}

    def silu(x):
        return x / (1 + torch.exp(-x))

    def norm(x, name):
        grouped = x.reshape(2, 8, 4, -1)
        spread = grouped.var(dim=(2, 3), unbiased=False, keepdim=True)
        grouped = (grouped - grouped.mean(dim=(2, 3), keepdim=True)) / (spread + 1e-5).sqrt()
        return (
            grouped.reshape(x.shape) * weights[f"{name}.weight"][:, None, None] + weights[f"{name}.bias"][:, None, None]
        )

    def convolution(x, name):
        return torch.nn.functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    def halved(x):
        return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4

    scale, shift = (silu(time) @ weights["time_emb_proj.weight"].T + weights["time_emb_proj.bias"]).chunk(2, 1)
    inner = norm(convolution(halved(silu(norm(hidden, "norm1"))), "conv1"), "norm2")
    inner = inner * (1 + scale[:, :, None, None]) + shift[:, :, None, None]
    expected = halved(hidden) + convolution(silu(inner), "conv2")
    torch.testing.assert_close(block(hidden, time), expected, rtol=1e-10, atol=1e-10)


def test_every_block_heeds_label_and_time(cpu):
    torch.manual_seed(0)
    unet = build(UNet(**TINY).model_dump(), CLASSES, 8).eval()
    outputs = {}
    for name, module in unet.named_modules():
        if isinstance(module, ResnetBlock2D):
            module.register_forward_hook(lambda _m, _i, output, name=name: outputs.setdefault(name, []).append(output))
    with torch.inference_mode():
        for time, label in ((10, 0), (10, 1), (900, 0)):
            torch.manual_seed(1)
            unet(torch.randn(1, 3, 8, 8), torch.tensor([time]), torch.tensor([label]))
    assert len(outputs) == 2 + 1 + 2 + 4 + 1  # down, between, middle, up, between
    assert not [name for name, (a, b, c) in outputs.items() if min((a - b).std(), (a - c).std()) < 1e-3 * a.std()]


# The schema


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"head_channels": 80}, r"head_channels is 80; it must divide .*: 384, 576, 768"),
        ({"head_channels": 128}, r"head_channels is 128; it must divide"),  # 576 = 4.5 x 128
        ({"head_channels": 0}, "greater than or equal to 1"),
        ({"attention_levels": (), "head_channels": 512}, r"head_channels is 512; it must divide .*the middle: 768"),
        ({"time_as": "scaled"}, "'added' or 'scale_and_shift'"),
        ({"resample": "pool"}, "'convolution' or 'residual'"),
        ({"initial_weights": "zero"}, "'xavier' or 'zeroed'"),
    ],
)
def test_shapes_that_cannot_be_built_are_told(changed, complaint):
    with pytest.raises(ValidationError, match=complaint):
        UNet(**(ADM64 | changed))


def test_heads_must_fit_where_attention_is_and_nowhere_else():
    assert UNet(**(ADM64 | {"attention_levels": (1, 3), "head_channels": 384})).head_channels == 384
    assert UNet(**(ADM64 | {"attention_levels": (), "head_channels": 768})).head_channels == 768


@pytest.mark.parametrize("betas", [{"beta_start": 1e-3}, {"beta_end": 0.01}])
def test_betas_for_the_cosine_schedule_are_told(betas):
    with pytest.raises(ValidationError, match="which has an effect only with schedule: linear"):
        settings(**betas)
    assert settings(schedule="linear", **betas)["schedule"] == "linear"
    assert settings(beta_start=1e-4, beta_end=0.02)["schedule"] == "cosine"  # as an entry that extends another has them


# The schedule


def signal(timesteps):
    """Share of the picture's variance left before step 0 and after each one: f(t) / f(0) in float64."""
    f = [math.cos((t / timesteps + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(timesteps + 1)]
    return [value / f[0] for value in f]


@pytest.mark.parametrize("timesteps", [20, 1000])
@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_cosine_schedule_reaches_the_sampler_as_its_formula(trained, cpu, timesteps, sampler):
    """Nichol and Dhariwal 2021, Eq. 17, betas at most 0.999; read back from the saved folder."""
    _, folder = trained(steps=1, timesteps=timesteps)
    draw = {"kind": sampler, "steps": timesteps, "guidance": 0, "clip_denoised": True}
    inputs = {"generator": [folder / "history.parquet"]}
    scheduler = Sampler(inputs, {"draw": draw, "batch_size": 1}, cpu)._scheduler
    share = signal(timesteps)
    expected = [min(1 - after / before, 0.999) for before, after in itertools.pairwise(share)]
    assert expected[-1] == 0.999 and expected[0] < 0.02
    np.testing.assert_allclose(scheduler.betas.double().numpy(), expected, rtol=1e-6, atol=0)
    assert (scheduler.config.beta_schedule, scheduler.config.num_train_timesteps) == ("squaredcos_cap_v2", timesteps)


def test_variance_is_the_large_fixed_one_and_the_network_foretells_noise(trained):
    _, folder = trained(steps=1)
    config = DDPMScheduler.from_pretrained(folder / "scheduler").config
    assert (config.variance_type, config.prediction_type) == ("fixed_large", "epsilon")


def test_training_sees_pictures_noised_by_the_cosine_schedule(trained, monkeypatch):
    seen = []

    def spy(predict, noisy, times, labels, other_labels, noise, weights, gamma):
        seen.append((noisy, times, noise))
        assert weights is None  # tau 0: plain DDPM
        return cbdm_loss(predict, noisy, times, labels, other_labels, noise, weights, gamma)

    monkeypatch.setattr(training, "cbdm_loss", spy)
    trained(np.full((14, 8, 8, 3), 255, np.uint8), steps=5)
    noisy, times, noise = (torch.cat(parts) for parts in zip(*seen, strict=True))
    assert len(times.unique()) > 5
    share = torch.tensor(signal(20)[1:], dtype=torch.float64)
    share[-1] = share[-2] * (1 - 0.999)
    share = share[times][:, None, None, None]
    torch.testing.assert_close(noisy.double(), share.sqrt() + (1 - share).sqrt() * noise.double(), rtol=0, atol=1e-5)


# Training and drawing


@pytest.mark.slow
def test_training_lowers_the_loss_and_pictures_are_drawn_alike_each_time(trained, cpu, monkeypatch):
    monkeypatch.setattr(training, "LOG_STEPS", 20)
    history, folder = trained(steps=60, label_dropout=0)
    assert history["denoising"].iloc[-1] < 0.8 * history["denoising"].iloc[0]
    assert (history["balancing"] == 0).all()

    def draw(seeds, guidance=0, sampler="ddpm", steps=20):
        how = {"kind": sampler, "steps": steps, "guidance": guidance, "clip_denoised": True}
        inputs = {"generator": [folder / "history.parquet"]}
        rows = pd.DataFrame({"class": np.arange(5) % CLASSES, "seed": seeds})
        sampler = Sampler(inputs, {"draw": how, "batch_size": 3}, cpu)
        return np.concatenate(list(drawn(sampler, rows)))["picture"]

    first = draw([1, 2, 3, 4, 5])
    assert first.shape == (5, 8, 8, 3) and first.dtype == np.uint8 and first.std() > 10
    assert (draw([1, 2, 3, 4, 5]) == first).all()
    other = draw([1, 2, 9, 4, 5])
    assert (other[[0, 1, 3, 4]] == first[[0, 1, 3, 4]]).all() and (other[2] != first[2]).any()
    assert (draw([1, 2, 3, 4, 5], guidance=1.6) != first).any()
    assert (draw([1, 2, 3, 4, 5], sampler="ddim", steps=5) != first).any()


def test_one_seed_gives_the_same_weights(trained):
    weights = [(trained(steps=3, seed=seed)[1] / "unet" / "diffusion_pytorch_model.safetensors") for seed in (0, 0, 1)]
    first, again, other = (path.read_bytes() for path in weights)
    assert first == again and first != other
