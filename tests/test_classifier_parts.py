"""Losses, schedule, networks, views and the training loop of classifiers."""

import numpy as np
import pytest
import torch

from pipeline.checkpoint import Checkpoint
from pipeline.classifiers import network as networks
from pipeline.classifiers.backbones import resnet32
from pipeline.classifiers.losses import cross_entropy, weighted_cross_entropy
from pipeline.classifiers.network import Network
from pipeline.classifiers.schedule import learning_rate
from pipeline.classifiers.train import Pictures, _order, train
from pipeline.config.classifiers import Classifier
from pipeline.data.views import epoch_order, random_crop, random_flip
from pipeline.errors import InputError

CPU = torch.device("cpu")
SETTINGS = Classifier(data=["real"], backbone="small", width=4, epochs=4, batch_size=8, learning_rate=0.05).settings()


def batch(seed=0):
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(16, 5, generator=random, dtype=torch.float64, requires_grad=True)
    return logits, torch.randint(0, 5, (16,), generator=random), torch.rand(16, generator=random) < 0.5


def plain_weighted_sum(logits, labels, synthetic, omega):
    """DiffuLT Eq. 4, picture by picture; and the sum of weights."""
    total, weights = 0.0, 0.0
    for row, label, made in zip(logits.detach().numpy(), labels.tolist(), synthetic.tolist(), strict=True):
        weight = omega if made else 1.0
        total -= weight * np.log(np.exp(row[label]) / np.exp(row).sum())
        weights += weight
    return total, weights


@pytest.mark.parametrize("omega", [0.0, 0.3, 1.0])
def test_weighted_cross_entropy_is_equation_4(omega):
    logits, labels, synthetic = batch()
    total, weights = plain_weighted_sum(logits, labels, synthetic, omega)
    by_batch = {"synthetic_weight": omega, "normalise_by": "batch"}
    by_weights = {"synthetic_weight": omega, "normalise_by": "weights"}
    assert weighted_cross_entropy.batch_loss(logits, labels, synthetic, by_batch).item() == pytest.approx(total / 16)
    assert weighted_cross_entropy.batch_loss(logits, labels, synthetic, by_weights).item() == pytest.approx(
        total / weights
    )


def test_weight_one_is_cross_entropy():
    logits, labels, synthetic = batch(1)
    weighted = weighted_cross_entropy.batch_loss(
        logits, labels, synthetic, {"synthetic_weight": 1.0, "normalise_by": "batch"}
    )
    torch.testing.assert_close(weighted, cross_entropy.batch_loss(logits, labels, synthetic, {}))


def test_weight_zero_gives_generated_pictures_no_gradient():
    logits, labels, synthetic = batch(2)
    weighted_cross_entropy.batch_loss(
        logits, labels, synthetic, {"synthetic_weight": 0.0, "normalise_by": "batch"}
    ).backward()
    assert (logits.grad[synthetic] == 0).all()
    assert (logits.grad[~synthetic] != 0).any(dim=1).all()


def test_default_schedule_is_that_of_ldam_drw():
    settings = Classifier(data=["real"]).settings()
    for epoch in range(200):
        expected = 0.1 * (epoch + 1) / 5 if epoch < 5 else 0.1 if epoch < 160 else 1e-3 if epoch < 180 else 1e-5
        assert learning_rate(epoch, settings) == pytest.approx(expected), epoch


def test_schedule_without_warm_up_starts_at_its_rate():
    settings = Classifier(data=["real"], warmup_epochs=0, decay_at=[], decay_to=[]).settings()
    assert {learning_rate(epoch, settings) for epoch in range(200)} == {0.1}


@pytest.mark.parametrize(("width", "millions"), [(16, 0.47), (64, 7.41)])
def test_resnet32_has_the_known_size(width, millions):
    network = Network("resnet32", width, 100, [0.5] * 3, [0.5] * 3)
    assert round(sum(weight.numel() for weight in network.parameters()) / 1e6, 2) == millions
    assert network.backbone.feature_size == 4 * width


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
    facts = networks.facts(tmp_path / "w.safetensors")
    assert (facts["backbone"], facts["width"], facts["steps"], facts["mean"]) == ("small", 4, 7, [0.1, 0.2, 0.3])


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


def test_crops_are_shifts_with_black_from_beyond_the_edge():
    torch.manual_seed(0)
    pictures = torch.randint(1, 256, (300, 3, 5, 5), dtype=torch.uint8)
    padded = torch.nn.functional.pad(pictures, [2] * 4)
    seen = set()
    for cropped, source in zip(random_crop(pictures, 2), padded, strict=True):
        shifts = [(y, x) for y in range(5) for x in range(5) if torch.equal(cropped, source[:, y : y + 5, x : x + 5])]
        assert len(shifts) == 1
        seen.update(shifts)
    assert len(seen) == 25
    assert torch.equal(random_crop(pictures, 0), pictures)


def test_an_epochs_order_depends_on_seed_and_epoch_alone():
    torch.manual_seed(1)
    one = epoch_order(50, seed=3, epoch=4)
    torch.manual_seed(2)
    assert torch.equal(one, epoch_order(50, seed=3, epoch=4))
    assert sorted(one.tolist()) == list(range(50))
    assert not torch.equal(one, epoch_order(50, seed=3, epoch=5))
    assert not torch.equal(one, epoch_order(50, seed=4, epoch=4))


def test_a_longer_epoch_goes_through_the_pictures_again():
    order = _order(10, 25, seed=0, epoch=0)
    counts = np.bincount(order.numpy(), minlength=10)
    assert len(order) == 25
    assert set(counts) == {2, 3}
    assert sorted(_order(10, 10, seed=0, epoch=3).tolist()) == list(range(10))


# The training loop


class Memory(Checkpoint):
    """Checkpoints after every epoch, in a temporary folder."""

    def __init__(self, folder):
        super().__init__(folder, {}, None, [], minutes=0)


def pictures(count=20, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    shapes = (random.integers(0, 60, (count, 8, 8, 3)) + 90 * labels[:, None, None, None]).astype(np.uint8)
    return Pictures(shapes, labels, np.arange(count) % 2 == 1)


def trained(checkpoint, settings=SETTINGS, seed=0, data=None):
    torch.manual_seed(seed)
    network = Network("small", 4, 3, [0.5] * 3, [0.5] * 3)
    data = data or pictures()
    history = train(settings, data, pictures(9, 1), network, len(data.labels), seed, CPU, checkpoint)
    return network, history


def same(one, other):
    return all(torch.equal(one.state_dict()[name], value) for name, value in other.state_dict().items())


def test_training_learns_and_repeats_itself(tmp_path):
    settings = SETTINGS | {"epochs": 20}
    network, history = trained(Memory(tmp_path / "a"), settings)
    assert history["test_top1"].iloc[-1] > 90
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert list(history["epoch"]) == list(range(1, 21))
    assert same(network, trained(Memory(tmp_path / "b"), settings)[0])
    assert not same(network, trained(Memory(tmp_path / "c"), settings, seed=1)[0])


def test_continued_training_equals_uninterrupted(tmp_path, monkeypatch):
    network, history = trained(Memory(tmp_path / "a"))
    stopping = Memory(tmp_path / "b")
    save = stopping.save

    def save_and_stop(state):
        save(state)
        if len(state["history"]) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(stopping, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        trained(stopping)
    continued, continued_history = trained(Memory(tmp_path / "b"))
    assert same(continued, network)
    assert continued_history.equals(history)


def test_a_checkpoint_of_other_settings_or_pictures_is_not_continued(tmp_path):
    manifest = tmp_path / "manifest"
    manifest.write_text("a")
    path = Checkpoint(tmp_path, {"x": 1}, "code", [manifest], 1).path
    assert Checkpoint(tmp_path, {"x": 1}, "code", [manifest], 5).path == path
    assert Checkpoint(tmp_path, {"x": 2}, "code", [manifest], 1).path != path
    assert Checkpoint(tmp_path, {"x": 1}, "edited", [manifest], 1).path != path
    manifest.write_text("b")
    assert Checkpoint(tmp_path, {"x": 1}, "code", [manifest], 1).path != path


def test_a_loss_that_is_not_finite_stops_with_the_step_and_the_last_good_checkpoint(tmp_path):
    with pytest.raises(InputError, match=r"not a finite number at step \d+; lower learning_rate .*none was saved yet"):
        trained(Memory(tmp_path), SETTINGS | {"learning_rate": 1e38, "warmup_epochs": 0})


def test_ten_pictures_are_learned_by_heart(tmp_path):
    settings = SETTINGS | {"epochs": 60, "crop_padding": 0, "horizontal_flip": False, "weight_decay": 0.0}
    data = Pictures(*(array[:10] for array in pictures(10, 5)))
    network, _ = trained(Memory(tmp_path), settings, data=data)
    _, logits = network.predict(networks.to_batch(data.pictures, CPU))
    assert (logits.argmax(1).numpy() == data.labels).all()
