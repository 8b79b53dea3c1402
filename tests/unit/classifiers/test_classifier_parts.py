"""Networks, heads and the schedule of classifiers."""

import math

import pytest
import torch
from torch.nn import functional

from pipeline.classifiers import network as networks
from pipeline.classifiers.backbones import resnet32
from pipeline.classifiers.backbones.pretrained import load_pretrained
from pipeline.classifiers.learning_rate import learning_rate
from pipeline.classifiers.network import Network
from pipeline.config.classifiers import BACKBONES
from pipeline.config.schemes import Plain
from pipeline.errors import InputError
from pipeline.generators.cbdm.train import random_flip
from pipeline.seeds import epoch_order

CPU = torch.device("cpu")


def settings(**keys):
    return Plain(scheme="plain", data=["real"], **keys).settings()


def test_default_schedule_is_that_of_ldam_drw():
    for epoch in range(200):
        expected = 0.1 * (epoch + 1) / 5 if epoch < 5 else 0.1 if epoch < 160 else 1e-3 if epoch < 180 else 1e-5
        assert learning_rate(epoch, settings()) == pytest.approx(expected), epoch


def test_schedule_without_warm_up_starts_at_its_rate():
    flat = settings(warmup_epochs=0, decay_at=[], decay_to=[])
    assert {learning_rate(epoch, flat) for epoch in range(200)} == {0.1}


def test_cosine_schedule_is_half_a_wave_after_the_warm_up():
    wave = settings(schedule="cosine", warmup_epochs=4, epochs=14, learning_rate=0.2)
    rates = [learning_rate(epoch, wave) for epoch in range(15)]
    assert rates[:5] == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.2])
    assert rates[4:] == pytest.approx([0.1 + 0.1 * math.cos(math.pi * i / 10) for i in range(11)])


SIZES = {
    "small": (10, 0.06, 64),
    "resnet32": (100, 0.47, 64),
    "resnet32x4": (100, 7.41, 256),
    "resnet10": (1000, 5.42, 512),
    "resnet18": (1000, 11.69, 512),
    "resnet50": (1000, 25.56, 2048),
    "resnet152": (1000, 60.19, 2048),
    "resnext50_32x4d": (1000, 25.03, 2048),
}


@pytest.mark.parametrize("backbone", SIZES)
def test_networks_have_their_known_sizes(backbone):
    classes, millions, features = SIZES[backbone]
    network = Network(backbone, BACKBONES[backbone].width, classes, [0.5] * 3, [0.5] * 3)
    assert round(sum(weight.numel() for weight in network.parameters()) / 1e6, 2) == millions
    assert network.backbone.feature_size == features
    side = 32 if backbone.startswith("resnet32") else 64
    assert network.features(torch.zeros(2, 3, side, side, dtype=torch.uint8)).shape == (2, features)


def test_every_backbone_of_the_config_has_a_known_size():
    assert {*SIZES, "clip"} == set(BACKBONES)


@pytest.mark.parametrize(("backbone", "deviation"), [("resnet32", (2 / 512) ** 0.5), ("resnet10", (3 * 512) ** -0.5)])
def test_linear_layers_start_as_in_public_code_of_their_backbone(backbone, deviation):
    """Kaiming-normal, or as torch does: from a uniform distribution up to 1 / sqrt(inputs)."""
    network = Network(backbone, BACKBONES[backbone].width, 10, [0.5] * 3, [0.5] * 3)
    weight = network.linear(512, 1000).weight
    assert weight.std().item() == pytest.approx(deviation, rel=0.01)
    assert (weight.abs().max() > 512**-0.5) == (backbone == "resnet32")


def test_a_cosine_head_gives_scaled_cosines():
    network = Network("small", 4, 3, [0.5] * 3, [0.5] * 3, head="cosine", head_scale=7.0).eval()
    features, logits = network.predict(torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8))
    weight = network.head.weight.detach()
    expected = torch.stack([7 * functional.cosine_similarity(features, row[None]) for row in weight], 1)
    torch.testing.assert_close(logits, expected)


def test_torchvisions_weights_are_taken_over_but_for_the_last_layer(tmp_path):
    from torchvision.models import resnet18

    theirs = resnet18(weights=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    network = Network("resnet18", 64, 5, [0.5] * 3, [0.5] * 3).eval()
    load_pretrained(network.backbone, tmp_path / "resnet18.pth")
    theirs.fc = torch.nn.Identity()
    pictures = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        torch.testing.assert_close(network.features(pictures), theirs(network.normalised(pictures)))
    with pytest.raises(InputError, match=r"resnet18\.pth holds the weights of another network"):
        load_pretrained(Network("resnet50", 64, 5, [0.5] * 3, [0.5] * 3).backbone, tmp_path / "resnet18.pth")
    with pytest.raises(InputError, match=r"absent\.pth is missing"):
        load_pretrained(network.backbone, tmp_path / "absent.pth")
    with pytest.raises(InputError, match=r"is not a readable weight file; give torchvision's weights of this network"):
        load_pretrained(network.backbone, tmp_path)
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(InputError, match=r"text\.pth is not a readable weight file"):
        load_pretrained(network.backbone, tmp_path / "text.pth")


def test_a_first_stage_of_another_network_is_refused(tmp_path):
    networks.save(Network("small", 4, 3, [0.5] * 3, [0.5] * 3), tmp_path / "w.safetensors", {})
    wider = Network("small", 8, 3, [0.5] * 3, [0.5] * 3)
    with pytest.raises(InputError, match=r"w\.safetensors is of another network: width 4 instead of 8; `init` must"):
        networks.start_from(wider, tmp_path / "w.safetensors")


def test_a_first_stages_head_is_taken_over_where_it_is_of_the_same_kind(tmp_path):
    first = Network("small", 4, 3, [0.5] * 3, [0.5] * 3)
    networks.save(first, tmp_path / "w.safetensors", {})
    same, other = (Network("small", 4, 3, [0.5] * 3, [0.5] * 3, head=head) for head in ("linear", "cosine"))
    for network in (same, other):
        networks.start_from(network, tmp_path / "w.safetensors")
        assert torch.equal(network.backbone[0].weight, first.backbone[0].weight)
    assert torch.equal(same.head.weight, first.head.weight)
    assert not torch.equal(other.head.weight, first.head.weight)


def test_resnet32_shortcut_skips_pixels_and_pads_channels():
    block = resnet32.Block(4, 8, stride=2).eval()
    torch.nn.init.zeros_(block.conv2.weight)  # the residual is then zero, and the shortcut alone is left
    x = torch.rand(2, 4, 6, 6)
    out = block(x)
    torch.testing.assert_close(out[:, 2:6], x[:, :, ::2, ::2])
    assert (out[:, [0, 1, 6, 7]] == 0).all()


def test_features_are_those_before_the_head():
    network = Network("small", 4, 3, [0.5] * 3, [0.5] * 3).eval()
    pictures = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    features, logits = network.predict(pictures, batch_size=5)
    with torch.inference_mode():
        torch.testing.assert_close(network.head(features), logits)
    assert (features >= 0).all()


def test_a_picture_is_judged_alike_whatever_its_neighbours():
    network = Network("resnet32", 4, 3, [0.5] * 3, [0.5] * 3)
    pictures = torch.randint(0, 256, (13, 3, 16, 16), dtype=torch.uint8)
    whole, _ = network.predict(pictures, batch_size=5)
    parts = torch.cat([network.predict(pictures[rows], batch_size=5)[0] for rows in (slice(0, 4), slice(4, 13))])
    assert torch.equal(whole, parts)
    assert network.training  # as it was before
    assert network.predict(pictures[:0])[1].shape == (0, 3)


def test_weights_say_what_they_belong_to(tmp_path):
    network = Network("small", 4, 3, [0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    networks.save(network, tmp_path / "w.safetensors", {"steps": 7})
    loaded = networks.load(tmp_path / "w.safetensors", CPU)
    pictures = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(loaded.predict(pictures)[1], network.predict(pictures)[1])
    outcome = networks.outcome(tmp_path / "w.safetensors")
    assert (outcome["backbone"], outcome["width"], outcome["steps"], outcome["mean"]) == (
        "small",
        4,
        7,
        [0.1, 0.2, 0.3],
    )


def test_the_same_weights_are_the_same_bytes(tmp_path):
    network, path, written = Network("small", 4, 3, [0.5] * 3, [0.5] * 3), tmp_path / "w.safetensors", set()
    for _ in range(20):  # an order of chance would show
        networks.save(network, path, {"steps": 7, "scheme": "plain"})
        written.add(path.read_bytes())
    assert len(written) == 1


def test_damaged_or_missing_weights_are_one_sentence(tmp_path):
    path = tmp_path / "w.safetensors"
    with pytest.raises(InputError, match=r"w\.safetensors is missing"):
        networks.load(path, CPU)
    networks.save(Network("small", 4, 3, [0.5] * 3, [0.5] * 3), path, {})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"w\.safetensors is damaged"):
        networks.load(path, CPU)


def test_each_picture_is_flipped_by_a_coin_of_its_own():
    torch.manual_seed(0)
    pictures = torch.arange(4, dtype=torch.uint8).expand(1000, 1, 1, 4)
    flipped = (random_flip(pictures)[:, 0, 0, 0] == 3).sum().item()
    assert 430 < flipped < 570
    assert set(random_flip(pictures)[:, 0, 0].sum(1).tolist()) == {6}


def test_an_epochs_order_depends_on_seed_and_epoch_alone():
    torch.manual_seed(1)
    one = epoch_order(50, seed=3, epoch=4)
    torch.manual_seed(2)
    assert torch.equal(one, epoch_order(50, seed=3, epoch=4))
    assert sorted(one.tolist()) == list(range(50))
    assert not torch.equal(one, epoch_order(50, seed=3, epoch=5))
    assert not torch.equal(one, epoch_order(50, seed=4, epoch=4))
