"""Class-balancing diffusion: its loss against the plain formula, what a batch draws, its U-Net, and its training."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel

from pipeline.config.generators import Cbdm
from pipeline.errors import InputError
from pipeline.generators.cbdm import train as training
from pipeline.generators.cbdm.initial_weights import initialize
from pipeline.generators.cbdm.loss import Loss, cbdm_loss
from pipeline.generators.cbdm.unet import build, no_label
from pipeline.jobs.checkpoint import Checkpoint

SMALL = {"channels": 32, "multipliers": (1,), "blocks": 1, "attention_levels": (0,), "dropout": 0.1}
CLASSES = 3


def settings(**changed):
    small = {"unet": SMALL, "steps": 6, "batch_size": 4, "learning_rate": 1e-3, "warmup_steps": 2, "ema_decay": 0.5}
    return Cbdm(kind="cbdm", **(small | changed)).settings()


# The loss


class Predictor(torch.nn.Module):
    """A convolution and embeddings of label and time: small, and in float64."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convolution = torch.nn.Conv2d(3, 3, 3, padding=1).double()
        self.label = torch.nn.Embedding(CLASSES, 3).double()
        self.time = torch.nn.Embedding(10, 3).double()

    def forward(self, noisy, times, labels):
        hidden = noisy + self.label(labels)[:, :, None, None] + self.time(times)[:, :, None, None]
        return torch.tanh(self.convolution(hidden))


def batch(size=5):
    torch.manual_seed(1)
    noisy, noise = torch.randn(2, size, 3, 4, 4, dtype=torch.float64)
    times = torch.arange(size)
    labels, other_labels = torch.randint(0, CLASSES, (2, size))
    return {"noisy": noisy, "times": times, "labels": labels, "other_labels": other_labels, "noise": noise}


def plain_loss(predict, noisy, times, labels, other_labels, noise, weights, gamma):
    """Eq. 3 picture by picture, from two passes."""
    total = 0
    for i in range(len(noisy)):
        one = slice(i, i + 1)
        h = predict(noisy[one], times[one], labels[one])
        other = predict(noisy[one], times[one], other_labels[one])
        pixels = h.numel()
        total = total + ((h - noise[one]) ** 2).sum() / pixels
        total = total + weights[i] * ((h - other.detach()) ** 2).sum() / pixels
        total = total + weights[i] * gamma * ((h.detach() - other) ** 2).sum() / pixels
    return total / len(noisy)


def gradients(loss, module):
    return torch.autograd.grad(loss, list(module.parameters()))


@pytest.mark.parametrize("gamma", [0.0, 0.25, 2.0])
def test_loss_and_gradients_are_those_of_the_two_pass_formula(gamma):
    predictor, given = Predictor(), batch()
    weights = torch.tensor([0.0, 0.1, 0.5, 2.0, 0.3], dtype=torch.float64)
    merged = cbdm_loss(predictor, **given, weights=weights, gamma=gamma)
    plain = plain_loss(predictor, **given, weights=weights, gamma=gamma)
    torch.testing.assert_close(merged.total, plain, rtol=1e-12, atol=0)
    torch.testing.assert_close(merged.total, merged.denoising + merged.balancing, rtol=1e-12, atol=0)
    ours, theirs = gradients(merged.total, predictor), gradients(plain, predictor)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13)


def test_one_forward_pass_of_twice_the_batch():
    sizes, predictor = [], Predictor()

    def predict(noisy, times, labels):
        sizes.append(len(noisy))
        return predictor(noisy, times, labels)

    cbdm_loss(predict, **batch(), weights=torch.ones(5), gamma=0.25)
    assert sizes == [10]


def test_without_weights_the_loss_is_plain_ddpm():
    predictor, given = Predictor(), batch()
    found = cbdm_loss(predictor, **given, weights=None, gamma=0.25)
    squares = (predictor(given["noisy"], given["times"], given["labels"]) - given["noise"]) ** 2
    torch.testing.assert_close(found.total, squares.mean(), rtol=1e-12, atol=0)
    assert found.balancing == 0 and found.denoising == found.total


def test_each_term_moves_one_prediction_only():
    """Predictions a for y and b for y': d/da = 2 (a - eps) + 2 w (a - b), d/db = 2 w gamma (b - a), by hand."""
    values = torch.tensor([0.7, -0.4], dtype=torch.float64, requires_grad=True)

    def predict(noisy, times, labels):
        return values[labels][:, None, None, None].expand_as(noisy)

    noise = torch.full((1, 3, 2, 2), 0.1, dtype=torch.float64)
    zero, one = torch.tensor([0]), torch.tensor([1])
    weights = torch.tensor([0.3], dtype=torch.float64)
    loss = cbdm_loss(predict, torch.zeros_like(noise), zero, zero, one, noise, weights, gamma=0.25)
    loss.total.backward()
    expected = [2 * (0.7 - 0.1) + 2 * 0.3 * (0.7 + 0.4), 2 * 0.3 * 0.25 * (-0.4 - 0.7)]
    torch.testing.assert_close(values.grad, torch.tensor(expected, dtype=torch.float64))


# What a batch draws


class Captured(dict):
    """Stands in for `cbdm_loss` and keeps what it was given."""

    NAMES = ("predict", "noisy", "times", "labels", "other_labels", "noise", "weights", "gamma")

    def __call__(self, *given):
        self.update(zip(self.NAMES, given, strict=True))
        return Loss(*torch.zeros(3))


class Unlabelled:
    class config:
        num_class_embeds = CLASSES + 1


@pytest.fixture
def draw(monkeypatch):
    """Draws for a batch of `rows` from a subset with `labels`, as the loss gets them."""

    def drawn(labels, rows, pictures=None, **changed):
        captured = Captured()
        monkeypatch.setattr(training, "cbdm_loss", captured)
        given = settings(**changed)
        scheduler = DDPMScheduler(given["timesteps"], given["beta_start"], given["beta_end"])
        pictures = torch.zeros(len(rows), 3, 1, 1, dtype=torch.uint8) if pictures is None else pictures
        training._batch_loss(Unlabelled, scheduler, pictures, labels, rows, given)
        return captured

    torch.manual_seed(0)
    return drawn


def test_weights_grow_with_time(draw):
    found = draw(torch.zeros(100, dtype=torch.long), torch.arange(100), tau=3, label_dropout=0, timesteps=50)
    torch.testing.assert_close(found["weights"], 3 * found["times"] / 50)
    assert found["times"].min() >= 0 and found["times"].max() == 49


def test_tau_zero_leaves_the_balancing_term_out(draw):
    assert draw(torch.zeros(8, dtype=torch.long), torch.arange(8), tau=0)["weights"] is None


def test_noisy_pictures_follow_the_forward_process(draw):
    pictures = torch.randint(0, 256, (64, 3, 4, 4), dtype=torch.uint8)
    found = draw(torch.zeros(64, dtype=torch.long), torch.arange(64), pictures, horizontal_flip=False)
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    share = torch.cumprod(1 - betas, 0)[found["times"]][:, None, None, None]
    expected = share.sqrt() * (pictures.double() / 127.5 - 1) + (1 - share).sqrt() * found["noise"].double()
    torch.testing.assert_close(found["noisy"].double(), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("flips", [True, False])
def test_pictures_are_mirrored_only_where_asked(draw, flips):
    pictures = torch.arange(4, dtype=torch.uint8).mul(60).expand(200, 3, 1, 4)
    found = draw(torch.zeros(200, dtype=torch.long), torch.arange(200), pictures, horizontal_flip=flips, timesteps=2)
    rising = (found["noisy"][:, 0, 0, -1] > found["noisy"][:, 0, 0, 0]).float().mean()
    assert 0.35 < rising < 0.65 if flips else rising == 1


def test_other_labels_follow_the_subsets_distribution_and_not_the_batchs(draw):
    counts = torch.tensor([700, 250, 50])
    labels = torch.repeat_interleave(torch.arange(3), counts)
    batch_of_rare = torch.full((30_000,), 999)
    found = draw(labels, batch_of_rare, label_dropout=0)
    assert (found["labels"] == 2).all()
    expected = 30_000 * counts / 1000
    drawn = torch.bincount(found["other_labels"], minlength=3)
    assert ((drawn - expected) ** 2 / expected).sum() < 13.8  # chi-square, 2 degrees of freedom, 0.1 %


def test_dropout_per_batch_drops_all_labels_or_none(draw):
    labels, dropped = torch.tensor([0, 1, 2, 0]), 0
    for _ in range(1500):
        found = draw(labels, torch.arange(4), label_dropout=0.2, label_dropout_per="batch")
        if (found["labels"] == CLASSES).any():
            assert (found["labels"] == CLASSES).all() and found["weights"] is None
            dropped += 1
        else:
            assert found["labels"].equal(labels) and found["weights"] is not None
    assert 0.16 < dropped / 1500 < 0.24


def test_dropout_per_picture_drops_a_share_and_its_balancing_terms(draw):
    labels = torch.ones(20_000, dtype=torch.long)
    found = draw(labels, torch.arange(20_000), label_dropout=0.1, label_dropout_per="picture")
    dropped = found["labels"] == CLASSES
    assert 0.09 < dropped.float().mean() < 0.11
    assert (found["weights"][dropped] == 0).all()
    kept = ~dropped
    assert (found["labels"][kept] == 1).all()
    torch.testing.assert_close(found["weights"][kept], found["times"][kept] / 1000)
    assert not (found["other_labels"] == CLASSES).any()


def test_generator_sees_a_share_of_many_shot_classes_and_all_others():
    labels = np.random.RandomState(0).permutation(np.repeat([0, 1, 2, 3], [200, 101, 100, 5]))
    for share, expected in ((0.2, [40, 20, 100, 5]), (0, [0, 0, 100, 5]), (1, [200, 101, 100, 5])):
        seen = training._seen(labels, 4, share, seed=0)
        assert np.bincount(labels[seen], minlength=4).tolist() == expected
        assert len(set(seen)) == len(seen)
    half, most = (set(training._seen(labels, 4, share, 0).tolist()) for share in (0.5, 0.8))
    assert half < most


# The U-Net


@pytest.fixture(scope="module")
def default_unet():
    return build(Cbdm(kind="cbdm").settings()["unet"], 100, 32)


def test_default_unet_has_the_size_of_cbdms(default_unet):
    assert 35.79e6 < sum(parameter.numel() for parameter in default_unet.parameters()) < 35.81e6


def test_attention_has_one_head_and_stands_at_level_1_and_in_the_middle(default_unet):
    named = {name: module for name, module in default_unet.named_modules() if type(module).__name__ == "Attention"}
    assert {module.heads for module in named.values()} == {1}
    blocks = sorted(name.split(".attentions")[0] for name in named)
    assert blocks == ["down_blocks.1"] * 2 + ["mid_block"] + ["up_blocks.2"] * 3


def test_no_label_is_the_last_label_and_its_embedding_zero(default_unet):
    assert no_label(default_unet) == 100
    assert (default_unet.class_embedding.weight[100] == 0).all()
    assert (default_unet.class_embedding.weight[:100].abs().sum(1) > 0).all()


@pytest.mark.parametrize("channels", [16, 32, 64])
def test_every_block_heeds_label_and_time(cpu, channels):
    """A group norm over groups of one channel would remove what label and time add to that channel."""
    torch.manual_seed(0)
    unet = build({**SMALL, "channels": channels, "multipliers": (1, 2)}, CLASSES, 8).eval()
    outputs = {}
    for name, module in unet.named_modules():
        if type(module).__name__ == "ResnetBlock2D":
            module.register_forward_hook(lambda _m, _i, output, name=name: outputs.setdefault(name, []).append(output))
    with torch.inference_mode():
        for time, label in ((10, 0), (10, 1), (900, 0)):
            torch.manual_seed(1)
            unet(torch.randn(1, 3, 8, 8), torch.tensor([time]), torch.tensor([label]))
    deaf = [name for name, (a, b, c) in outputs.items() if min((a - b).std(), (a - c).std()) < 1e-3 * a.std()]
    assert not deaf


# Training


class Interrupted(Exception):
    pass


class Stopping(Checkpoint):
    """Saves after step `after`, once, and stops the run there; never where `after` is None."""

    def __init__(self, folder, after=None):
        super().__init__(folder, {}, None, [], minutes=1e9)
        self.after, self.calls = after, 0

    def due(self):
        self.calls += 1
        return self.calls == self.after

    def save(self, state):
        super().save(state)
        if self.after is not None:
            raise Interrupted


@pytest.fixture
def trained(cpu, tmp_path):
    """Trains on 14 random pictures of 8 x 8; returns the history, the saved U-Net and its folder."""
    random = np.random.RandomState(0)
    pictures = random.randint(0, 256, (14, 8, 8, 3), np.uint8)
    labels = np.arange(14) % CLASSES
    runs = []

    def run(checkpoint=None, grey=False, **changed):
        runs.append(tmp_path / f"run{len(runs)}")
        checkpoint = checkpoint or Stopping(runs[-1] / "checkpoint")
        shown = pictures[..., :1].repeat(3, axis=-1) if grey else pictures
        history, _ = training.train(settings(**changed), shown, labels, CLASSES, cpu, checkpoint, runs[-1])
        return history, UNet2DModel.from_pretrained(runs[-1] / "unet").state_dict(), runs[-1]

    return run


def test_training_lowers_the_loss(trained, monkeypatch):
    monkeypatch.setattr(training, "LOG_STEPS", 20)
    history, _, _ = trained(steps=60, warmup_steps=0, label_dropout=0)
    assert history["step"].tolist() == [20, 40, 60]
    assert history["denoising"].iloc[-1] < 0.7 * history["denoising"].iloc[0]


def test_null_labels_embedding_stays_exactly_zero(trained):
    _, weights, _ = trained(label_dropout=0.5, label_dropout_per="picture", warmup_steps=0)
    torch.manual_seed(0)
    fresh = build(settings()["unet"], CLASSES, 8)
    assert (weights["class_embedding.weight"][CLASSES] == 0).all()
    assert not weights["class_embedding.weight"][0].equal(fresh.class_embedding.weight[0])


def test_first_step_of_the_warm_up_has_learning_rate_zero(trained):
    torch.manual_seed(0)
    unet = build(settings()["unet"], CLASSES, 8)
    initialize(unet, settings()["unet"]["initial_weights"])
    fresh = unet.state_dict()
    _, warming, _ = trained(steps=1, warmup_steps=10)
    _, at_once, _ = trained(steps=1, warmup_steps=0)
    assert all(warming[name].equal(fresh[name]) for name in fresh)
    assert not all(at_once[name].equal(fresh[name]) for name in fresh)


def test_saved_weights_are_the_moving_average(trained):
    _, first, _ = trained(steps=1, warmup_steps=0)
    _, second, _ = trained(steps=2, warmup_steps=0, ema_decay=0)
    _, averaged, _ = trained(steps=2, warmup_steps=0, ema_decay=0.75)
    for name in first:
        torch.testing.assert_close(averaged[name], 0.75 * first[name] + 0.25 * second[name])


def test_scheduler_is_saved_for_sampling_with_the_large_variance(trained):
    _, _, folder = trained(steps=1, timesteps=20, beta_end=0.3)
    config = DDPMScheduler.from_pretrained(folder / "scheduler").config
    assert (config.num_train_timesteps, config.beta_start, config.beta_end) == (20, 1e-4, 0.3)
    assert config.variance_type == "fixed_large" and config.beta_schedule == "linear" and not config.clip_sample


@pytest.mark.parametrize("after", [1, 4, 5])
def test_continued_training_equals_uninterrupted(trained, monkeypatch, tmp_path, after):
    monkeypatch.setattr(training, "LOG_STEPS", 4)
    history, weights, _ = trained(steps=7)
    with pytest.raises(Interrupted):
        trained(Stopping(tmp_path / "kept", after), steps=7)
    continued = Stopping(tmp_path / "kept")
    assert continued.load()["step"] == after
    continued_history, continued_weights, _ = trained(continued, steps=7)
    assert all(continued_weights[name].equal(weights[name]) for name in weights)
    assert continued_history.equals(history)


def test_grey_pictures_are_learned_as_one_channel(trained):
    _, weights, _ = trained(steps=1)
    _, grey_weights, _ = trained(grey=True, steps=1)
    assert weights["conv_in.weight"].shape[1] == weights["conv_out.weight"].shape[0] == 3
    assert grey_weights["conv_in.weight"].shape[1] == grey_weights["conv_out.weight"].shape[0] == 1


def test_seeds_give_different_weights_and_one_seed_the_same(trained):
    runs = [trained(steps=2, seed=seed)[1] for seed in (0, 0, 1)]
    name = "conv_in.weight"
    assert runs[0][name].equal(runs[1][name]) and not runs[0][name].equal(runs[2][name])


def test_loss_that_is_no_number_stops_the_run_and_names_the_step(trained, monkeypatch):
    calls = []

    def spoilt(*given):
        calls.append(1)
        loss = cbdm_loss(*given)
        return Loss(loss.total, loss.denoising * (float("nan") if len(calls) == 4 else 1), loss.balancing)

    monkeypatch.setattr(training, "cbdm_loss", spoilt)
    with pytest.raises(InputError, match=r"not a finite number at step 4; lower learning_rate .*none was saved yet"):
        trained(steps=6)


def test_diverged_training_writes_no_weights(trained, tmp_path):
    with pytest.raises(InputError, match="the generator's loss is not a finite number at step"):
        trained(learning_rate=1e30, warmup_steps=0)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_bad_state_is_never_saved_over_a_good_one(trained, tmp_path):
    with pytest.raises(InputError, match="not a finite number"):
        trained(Stopping(tmp_path / "kept", after=5), learning_rate=1e30, warmup_steps=0)
    assert Stopping(tmp_path / "kept").load() is None


def test_fewer_pictures_than_a_batch_are_refused(trained):
    with pytest.raises(InputError, match="batch_size is 15, but the generator trains on only 14 pictures; lower it"):
        trained(batch_size=15)
