"""Initial weights of both U-Nets: the spreads that the public codes of CBDM and ADM give each kind of layer."""

import math

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D

from pipeline.config.generators import Cbdm, UNet
from pipeline.generators.cbdm.initial_weights import initialize
from pipeline.generators.cbdm.loss import cbdm_loss
from pipeline.generators.cbdm.train import train
from pipeline.generators.cbdm.unet import build
from pipeline.jobs.checkpoint import Checkpoint

CBDM = {  # layer -> standard deviation of its weights, sqrt(2 / (fan in + fan out)), and 1e-5 of that
    "conv_in": 4.118e-2,
    "time_embedding.linear_1": 5.590e-2,
    "time_embedding.linear_2": 4.419e-2,
    "down_blocks.0.resnets.0.conv1": 2.946e-2,
    "down_blocks.0.resnets.0.conv2": 2.946e-7,
    "down_blocks.0.resnets.0.time_emb_proj": 5.590e-2,
    "down_blocks.0.downsamplers.0.conv": 2.946e-2,
    "down_blocks.1.resnets.0.conv_shortcut": 7.217e-2,
    "down_blocks.1.attentions.0.to_q": 6.250e-2,
    "down_blocks.1.attentions.0.to_k": 6.250e-2,
    "down_blocks.1.attentions.0.to_v": 6.250e-2,
    "down_blocks.1.attentions.0.to_out.0": 6.250e-2,
    "mid_block.resnets.0.conv2": 2.083e-7,
    "mid_block.resnets.1.conv2": 2.083e-7,
    "mid_block.attentions.0.to_out.0": 6.250e-2,
    "up_blocks.0.upsamplers.0.conv": 2.083e-2,
    "up_blocks.3.resnets.2.conv1": 2.406e-2,
    "up_blocks.3.resnets.2.conv2": 2.946e-7,
    "conv_out": 4.119e-7,
}
SMALL_ADM = {
    "channels": 64,
    "multipliers": (1, 2),
    "blocks": 1,
    "attention_levels": (1,),
    "head_channels": 64,
    "time_as": "scale_and_shift",
    "resample": "residual",
    "initial_weights": "zeroed",
}


def made(shape, classes, side):
    """A network with the weights with which its training begins."""
    torch.manual_seed(0)
    unet = build(shape.model_dump(), classes, side)
    initialize(unet, shape.initial_weights)
    return unet.requires_grad_(False)


@pytest.fixture(scope="module")
def cbdm():
    """The network of CBDM for CIFAR-100."""
    return made(Cbdm(kind="cbdm").unet, 100, 32)


@pytest.fixture(scope="module")
def adm():
    """A network of ADM's kind, smaller."""
    return made(UNet(**SMALL_ADM), 10, 16)


def layers(unet):
    """Name -> convolution or linear layer."""
    kinds = torch.nn.Conv2d | torch.nn.Linear
    return {name: module for name, module in unet.named_modules() if isinstance(module, kinds)}


def last_layers(unet):
    """Names of the last convolutions of all residual blocks and of the network, and those of attention's last layers."""
    modules = dict(unet.named_modules())
    convolutions = {f"{name}.conv2" for name, module in modules.items() if isinstance(module, ResnetBlock2D)}
    attention = {f"{name}.to_out.0" for name, module in modules.items() if isinstance(module, Attention)}
    return convolutions | {"conv_out"}, attention


def norms_and_labels_are_as_usual(unet):
    norms = [module for module in unet.modules() if isinstance(module, torch.nn.GroupNorm)]
    labels = unet.class_embedding.weight
    return (
        len(norms) > 0
        and all((norm.weight == 1).all() and (norm.bias == 0).all() for norm in norms)
        and (labels[-1] == 0).all()
        and labels[:-1].std().item() == pytest.approx(1, rel=0.02)
    )


@pytest.mark.parametrize("name", CBDM)
def test_each_kind_of_layer_has_the_spread_of_cbdm(cbdm, name):
    layer = layers(cbdm)[name]
    weights, spread = layer.weight.double(), CBDM[name]
    assert weights.std().item() == pytest.approx(spread, rel=0.03)
    assert weights.abs().max().item() == pytest.approx(math.sqrt(3) * spread, rel=0.005)  # uniform, not normal
    assert abs(weights.mean().item()) < 5 * spread / math.sqrt(weights.numel())
    assert (layer.bias == 0).all()


def test_only_last_convolutions_are_almost_zero_in_cbdm(cbdm):
    """22 residual blocks and the output; attention's last layers, which the public code draws twice, are not."""
    small = {name for name, layer in layers(cbdm).items() if layer.weight.abs().max() < 1e-5}
    assert small == last_layers(cbdm)[0] and len(small) == 23
    assert all((layer.bias == 0).all() for layer in layers(cbdm).values())
    assert norms_and_labels_are_as_usual(cbdm)


def test_the_first_loss_of_cbdm_is_that_of_the_noise(cbdm):
    """About 1; with the weights from before, torch's own, it was 1.08."""
    torch.manual_seed(1)
    clean, noise = torch.rand(2, 3, 32, 32) * 2 - 1, torch.randn(2, 3, 32, 32)
    times, labels = torch.tensor([300, 900]), torch.tensor([0, 99])
    noisy = DDPMScheduler(1000, 1e-4, 0.02).add_noise(clean, noise, times)
    loss = cbdm_loss(
        lambda *given: cbdm(*given).sample, noisy, times, labels, labels.flip(0), noise, times / 1000, 0.25
    )
    assert loss.denoising.item() == pytest.approx(noise.square().mean().item(), abs=1e-4)
    assert loss.total.item() == pytest.approx(1, abs=0.05)
    assert loss.balancing.item() < 1e-8


def test_last_layers_of_adm_are_zero_and_the_others_are_torchs(adm):
    zero = set().union(*last_layers(adm))
    found = layers(adm)
    assert {name for name, layer in found.items() if not layer.weight.any()} == zero
    assert len(zero) == 2 + 2 + 4 + 1 + 1 + 5  # blocks down, in the middle, up; resampling; attention, and the output
    for name, layer in found.items():
        if name in zero:
            assert not layer.bias.any()
            continue
        bound = 1 / math.sqrt(layer.weight[0].numel())
        assert layer.weight.abs().max().item() == pytest.approx(bound, rel=0.02)
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert layer.bias.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.5)
    assert norms_and_labels_are_as_usual(adm)


def test_a_fresh_network_of_adm_predicts_zero(adm):
    assert not adm(torch.randn(1, 3, 16, 16), torch.tensor([5]), torch.tensor([3])).sample.any()


@pytest.mark.parametrize("kind", ["xavier", "zeroed"])
def test_training_begins_with_these_weights(kind, cpu, tmp_path):
    """The loss of the first step is that of the noise: of a network that predicts 0."""
    unet = {"channels": 16, "multipliers": [1], "blocks": 1, "attention_levels": [], "initial_weights": kind}
    settings = Cbdm(kind="cbdm", unet=unet, steps=1, batch_size=8, timesteps=10).settings()
    pictures = np.random.RandomState(0).randint(0, 256, (8, 16, 16, 3), np.uint8)
    checkpoint = Checkpoint(tmp_path / "checkpoints", {}, None, [], 1e9)
    history, _ = train(settings, pictures, np.arange(8) % 2, 2, cpu, checkpoint, tmp_path)
    assert history["denoising"][0] == pytest.approx(1, abs=0.05)
    assert history["balancing"][0] < 1e-8
