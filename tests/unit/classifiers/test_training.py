"""The training loop: repeats itself, continues, shares a batch among processes; and every scheme on it."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from workflow_helpers import REPOSITORY, repetitions

from pipeline.classifiers import rounds
from pipeline.classifiers.input import batches as batching
from pipeline.classifiers.input.batches import Labelled, steps_of
from pipeline.classifiers.input.reader import InMemory
from pipeline.classifiers.network import Network
from pipeline.classifiers.processes import ALONE, Processes
from pipeline.classifiers.scheme import Loader
from pipeline.classifiers.schemes import plain
from pipeline.classifiers.train import train
from pipeline.config.resolve import SCHEMA, build
from pipeline.errors import InputError
from pipeline.jobs.checkpoint import Checkpoint

CPU = torch.device("cpu")
SMALL = {
    "backbone": "small",
    "width": 4,
    "epochs": 4,
    "batch_size": 8,
    "learning_rate": 0.05,
    "warmup_epochs": 1,
    "augment": ["crop", "flip"],
}
SCHEMES = {
    "plain": {},
    "ldam": {"loss": {"kind": "ldam", "class_weights": {"kind": "effective_number", "start": 0.5}}},
    "focal": {"loss": {"kind": "focal", "class_weights": "effective_number"}},
    "balanced_softmax": {"loss": "balanced_softmax", "data_sampler": {"kind": "class_aware", "in_a_row": 1}},
    "logit_adjustment": {"loss": "logit_adjustment", "data_sampler": {"kind": "power", "power": 0.5}},
    "half_real": {"data_sampler": "half_real", "loss": {"kind": "weighted_cross_entropy", "generated_weight": 0.5}},
    "progressive": {"data_sampler": "progressive"},
    "mixup": {"scheme": "mixup", "mixing_alpha": 0.2},
    "cutmix": {"scheme": "cutmix", "mixing_alpha": 0.2},
    "cmo": {"scheme": "cutmix", "patch_sampler": "power", "uncut_epochs": [1, 1]},
    "remix": {"scheme": "remix", "mixing_alpha": 0.2},
    "crt": {"scheme": "crt", "init": "ce"},
    "lws": {"scheme": "lws", "init": "ce"},
    "meta_sampler": {"scheme": "meta_sampler", "init": "ce"},
    "glmc": {"scheme": "glmc", "mixing_alpha": 0.2},
    "sau": {"scheme": "sau", "augment_2": ["crop", "flip"], "augment_3": ["flip", "grayscale"]},
    "group_dro": {"scheme": "group_dro"},
    "irm": {"scheme": "irm", "penalty_weight": 0.1, "penalty_start": 4},
    "lisa": {"scheme": "lisa"},
    "by_group": {"data_sampler": {"kind": "power", "by": "group"}},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.005},
    "average": {"ema_decay": 0.9},
}


def settings(**keys):
    return build(SCHEMA, "classifiers", "some", {"data": ["real", "generated"], **SMALL, **keys}).settings()


def source(count=24, seed=0, generated=True, device=CPU) -> Labelled:
    """Three classes of brightness, every second picture generated."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    shades = random.integers(0, 60, (count, 8, 8, 3)) + 90 * labels[:, None, None, None]
    made = torch.arange(count) // 3 % 2 == 1 if generated else torch.zeros(count, dtype=torch.bool)
    return Labelled(
        InMemory(shades.astype(np.uint8), device),
        torch.from_numpy(labels),
        made,
        torch.arange(count) % 5 - 1,
        torch.tensor([0, 1, 0, 1]),
    )


class Memory(Checkpoint):
    """Checkpoints after every step, in a temporary folder; ends the run after the second step of the third epoch if told."""

    def __init__(self, folder, told=(), start=None):
        super().__init__(folder, {}, None, [], minutes=0, start=start)
        self._ends = "end" in told

    def save(self, state):
        super().save(state)
        if self._ends and (len(state["history"]), len(state["recent"])) == (2, 2):
            sys.exit("ended")


def trained(folder, given, seed=0, data=None, validation=None, init=None, checkpoint=None, device=CPU):
    torch.manual_seed(seed)
    network = Network("small", 4, 3, [0.5] * 3, [0.5] * 3, head=given.get("head", "linear"))
    if init is not None:
        network.load_state_dict(init.state_dict())
    data = data or source(device=device)
    history = train(
        given,
        data,
        source(9, 1, device=device),
        lambda: validation,
        network,
        len(data.labels),
        seed,
        device,
        checkpoint or Memory(folder),
    )
    return network, history


def same(one, other):
    return all(torch.equal(one.state_dict()[name], value) for name, value in other.state_dict().items())


def test_looks_at_the_test_split_change_nothing_and_always_come_after_the_last_epoch(tmp_path):
    network, every = trained(tmp_path / "a", settings(epochs=7))
    rarely, found = trained(tmp_path / "b", settings(epochs=7, test_every=3))
    assert same(network, rarely)
    assert found["test_top1"].notna().tolist() == [False, False, True, False, False, True, True]
    assert found["test_top1"].dropna().tolist() == every["test_top1"].iloc[[2, 5, 6]].tolist()


def test_training_learns_and_repeats_itself(tmp_path):
    given = settings(epochs=20)
    network, history = trained(tmp_path / "a", given)
    assert history["test_top1"].iloc[-1] > 90
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert list(history["epoch"]) == list(range(1, 21))
    assert same(network, trained(tmp_path / "b", given)[0])
    assert not same(network, trained(tmp_path / "c", given, seed=1)[0])


@pytest.mark.parametrize("step", [2, 3])  # of three
@pytest.mark.parametrize("scheme", SCHEMES)
def test_continued_training_equals_uninterrupted(scheme, step, tmp_path, monkeypatch):
    given = settings(**SCHEMES[scheme])
    network, history = trained(tmp_path / "a", given)
    assert np.isfinite(history["loss"]).all()
    stopping = Memory(tmp_path / "b")
    save = stopping.save

    def save_and_stop(state):
        save(state)
        if (len(state["history"]), len(state["recent"])) == (2, step):
            raise KeyboardInterrupt

    monkeypatch.setattr(stopping, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "b", given, checkpoint=stopping)
    continued, continued_history = trained(tmp_path / "b", given)
    assert same(continued, network)
    assert continued_history.equals(history)


def following(before, folder):
    """The checkpoint of the round after the one whose checkpoint is `before`."""
    folder.mkdir()
    shutil.copyfile(before.path, folder / rounds.STATE)
    return Memory(folder, start=lambda: rounds.start(folder / "history.parquet"))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_rounds_of_the_same_pictures_are_one_training(scheme, tmp_path):
    given = settings(**SCHEMES[scheme] | {"epochs": 5})
    network, history = trained(tmp_path / "whole", given)
    first = Memory(tmp_path / "first")
    _, shorter = trained(None, given | {"round": [1, 2]}, checkpoint=first)
    assert shorter.drop(columns="kept").equals(history[:3].drop(columns="kept"))
    last, continued = trained(None, given | {"round": [2, 2]}, checkpoint=following(first, tmp_path / "last"))
    assert same(last, network)
    assert continued.equals(history)


def test_patience_ends_a_round_and_counts_anew_in_the_next(tmp_path):
    """Nothing is learned, so that the first look is the best one."""
    given = settings(learning_rate=1e-30, epochs=30, select_by="val_top1", patience=2)
    validation = source(9, 2)
    first = Memory(tmp_path / "first")
    _, history = trained(None, given | {"round": [1, 3]}, validation=validation, checkpoint=first)
    assert history["epoch"].tolist() == [1, 2, 3] and history["kept"].tolist() == [True, False, False]
    second = following(first, tmp_path / "second")
    _, history = trained(None, given | {"round": [2, 3]}, validation=validation, checkpoint=second)
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert history["kept"].tolist() == [False, False, False, True, False, False]  # of the round that has the pictures
    again = trained(None, given | {"round": [2, 3]}, validation=validation, checkpoint=second)[1]
    assert again.equals(history)  # a round that had ended does not go on


@pytest.mark.parametrize(
    "scheme", [*(name for name in SCHEMES if name != "sau"), pytest.param("sau", marks=pytest.mark.slow)]
)
def test_a_dozen_pictures_are_learned_by_heart(scheme, tmp_path):
    """Twelve, so that SAU and the rest have two real and two generated ones of each class."""
    more = {} if "learning_rate" in SCHEMES[scheme] else {"learning_rate": 0.03}
    given = settings(**SCHEMES[scheme] | more, epochs=80, augment=[], weight_decay=0, warmup_epochs=0)
    data = source(12, 5)
    first = None
    if scheme in ("crt", "lws", "meta_sampler"):
        plain = settings(epochs=80, augment=[], weight_decay=0, learning_rate=0.03, warmup_epochs=0)
        first, _ = trained(tmp_path / "first", plain, data=data)
    network, _ = trained(tmp_path, given, data=data, init=first)
    _, logits = network.predict(data.pictures)
    assert (logits.argmax(1) == data.labels).all()


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ({"schedule": "cosine"}, [0.04, 0.08, 0.08, 0.08 * (1 + np.cos(np.pi / 3)) / 2]),
        ({"decay_at": [0.6, 0.8], "decay_to": [0.5, 0.1]}, [0.04, 0.08, 0.08, 0.04]),
    ],
)
def test_steps_are_those_of_sgd_at_the_schedules_rates(schedule, rates, nesterov, tmp_path):
    """By hand, a batch of all pictures an epoch: velocity m v + g + decay w; Nesterov steps along g + decay w + m v."""
    given = settings(
        **schedule, epochs=5, warmup_epochs=2, batch_size=24, augment=[], learning_rate=0.08, momentum=0.7,
        weight_decay=0.03, nesterov=nesterov,
    )  # fmt: skip
    found, history = trained(tmp_path, given | {"epochs": 5})
    torch.manual_seed(0)
    network = Network("small", 4, 3, [0.5] * 3, [0.5] * 3)
    data = source()
    pictures = next(data.pictures.batches([torch.arange(24)]))[0]
    velocity = [torch.zeros_like(weight) for weight in network.parameters()]
    for epoch, rate in enumerate([*rates, history["learning_rate"].iloc[4]]):
        assert history["learning_rate"].iloc[epoch] == pytest.approx(rate)
        loss = torch.nn.functional.cross_entropy(network.train()(pictures), data.labels)
        for moved, weight, slope in zip(
            velocity, network.parameters(), torch.autograd.grad(loss, list(network.parameters())), strict=True
        ):
            with torch.no_grad():
                slope = slope + 0.03 * weight
                moved.mul_(0.7).add_(slope)
                weight.sub_(rate * (slope + 0.7 * moved if nesterov else moved))
        assert history["loss"].iloc[epoch] == pytest.approx(loss.item(), abs=1e-5)
    for one, other in zip(found.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("prior_from", ["real", "all"])
def test_priors_are_counted_on_the_pictures_that_are_asked_for(prior_from, tmp_path, monkeypatch):
    given = []
    build_plain = plain.build
    monkeypatch.setattr(plain, "build", lambda *told: given.append(told[-1]) or build_plain(*told))
    data = source(generated=False)
    data = data._replace(generated=torch.arange(24) >= 20)  # 8 of each class, of which 1, 1 and 2 are generated
    trained(tmp_path, settings(loss="balanced_softmax", prior_from=prior_from, epochs=2), data=data)
    assert given[0].counts.tolist() == {"real": [7, 7, 6], "all": [8, 8, 8]}[prior_from]
    assert given[0].generated_pictures == 4


@pytest.mark.parametrize("scheme", ["plain", "ldam", "glmc", pytest.param("sau", marks=pytest.mark.slow)])
def test_bfloat16_learns_with_weights_of_float32(scheme, tmp_path):
    given = settings(**SCHEMES[scheme] | {"precision": "bfloat16"}, epochs=10)
    network, history = trained(tmp_path, given)
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    assert not same(network, trained(tmp_path / "b", given | {"precision": "float32"})[0])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
@pytest.mark.parametrize("scheme", ["plain", *repetitions(("sau",))])
def test_a_compiled_backbone_trains_the_same(scheme, tmp_path):
    given = settings(**SCHEMES[scheme], epochs=2)
    _, eager = trained(tmp_path / "eager", given)
    compiled_network, compiled = trained(tmp_path / "compiled", given | {"compile": True})
    np.testing.assert_allclose(compiled["loss"], eager["loss"], rtol=1e-3)
    assert compiled_network.state_dict().keys() == Network("small", 4, 3, [0.5] * 3, [0.5] * 3).state_dict().keys()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_gpu_trains_as_the_cpu_does(scheme, precision, tmp_path):
    """The first epoch's loss; then rounding has its way."""
    given = settings(**SCHEMES[scheme] | {"precision": precision}, epochs=3)
    losses = [
        trained(tmp_path / str(device), given, device=torch.device(device))[1]["loss"] for device in ("cpu", "cuda")
    ]
    assert losses[0].iloc[0] == pytest.approx(losses[1].iloc[0], rel=0.05)
    assert np.isfinite(losses[1]).all()


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
    seldom = Checkpoint(tmp_path, {}, None, [], minutes=1e9)
    with pytest.raises(InputError, match=r"not a finite number at step \d+; lower learning_rate .*none was saved yet"):
        trained(tmp_path, settings(learning_rate=1e38, warmup_epochs=0), checkpoint=seldom)
    with pytest.raises(InputError, match=r"step 2; .*last\.pt"):
        trained(tmp_path, settings(learning_rate=1e38, warmup_epochs=0))


def test_sau_without_generated_pictures_or_a_class_without_a_real_one_is_refused(tmp_path):
    given = settings(**SCHEMES["sau"])
    with pytest.raises(InputError, match="scheme sau needs generated pictures, but none was selected"):
        trained(tmp_path, given, data=source(generated=False))
    data = source()
    without = data._replace(generated=data.generated | (data.labels == 1))
    with pytest.raises(InputError, match="a prototype needs at least one real picture of its class, but 1 of 3"):
        trained(tmp_path, given, data=without)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"scheme": "cutmix", "uncut_epochs": [3, 1]},
            r"uncut_epochs \[3, 1\] leaves none of 4 epochs for CutMix",
        ),
        (
            {"loss": {"kind": "cross_entropy", "class_weights": {"kind": "effective_number", "start": 0.9}}},
            "class_weights.start 0.9 is never reached",
        ),
    ],
)
def test_what_would_never_set_in_is_refused(keys, message, tmp_path):
    """By the training, and not by the config: a recipe is shortened without those that extend it being run."""
    with pytest.raises(InputError, match=message):
        trained(tmp_path, settings(**keys))


def test_an_epoch_has_no_batch_of_a_single_picture():
    assert [steps_of(length, 8, 1) for length in (2, 8, 9, 10, 16, 17)] == [1, 1, 1, 2, 2, 2]
    assert steps_of(19, 8, 2) == 2
    with pytest.raises(InputError, match="an epoch of 1 pictures is too short to train on; at least 2 are needed"):
        steps_of(1, 8, 1)


# Second stages


def test_crt_learns_a_head_and_leaves_the_backbone(tmp_path):
    first, _ = trained(tmp_path / "first", settings())
    second, _ = trained(tmp_path / "second", settings(**SCHEMES["crt"]), init=first)
    weights = [(name, value) for name, value in second.backbone.named_parameters()]
    assert all(torch.equal(value, dict(first.backbone.named_parameters())[name]) for name, value in weights)
    assert not torch.equal(second.head.weight, first.head.weight)
    running = [name for name, _ in first.backbone.named_buffers() if "running_mean" in name]
    assert any(not torch.equal(second.backbone.get_buffer(name), first.backbone.get_buffer(name)) for name in running)


def test_lws_scales_rows_of_the_first_stages_head(tmp_path):
    first, _ = trained(tmp_path / "first", settings())
    second, _ = trained(tmp_path / "second", settings(**SCHEMES["lws"], weight_decay=0), init=first)
    scale = second.head.weight / first.head.weight
    torch.testing.assert_close(scale, scale[:, :1].expand_as(scale))
    torch.testing.assert_close(second.head.bias, first.head.bias * scale[:, 0])
    assert not torch.allclose(scale, torch.ones_like(scale))


def test_tau_normalisation_evens_the_lengths_of_weights(tmp_path):
    first, _ = trained(tmp_path / "first", settings())
    for tau in (0.0, 0.7, 1.0):
        given = settings(scheme="tau_norm", init="ce", norm_tau=tau)
        second, history = trained(tmp_path / f"{tau}", given, init=first)
        expected = torch.stack([row / np.linalg.norm(row.detach().numpy()) ** tau for row in first.head.weight])
        torch.testing.assert_close(second.head.weight, expected)
        assert (second.head.bias == 0).all() and history["epoch"].tolist() == [0]


def test_tau_is_chosen_on_the_validation_split(tmp_path):
    first, _ = trained(tmp_path / "first", settings())
    with torch.no_grad():
        first.head.weight[0] *= 50  # without normalisation, all is class 0 or not at all
    given = settings(scheme="tau_norm", init="ce")
    validation = source(30, 7, generated=False)
    chosen, _ = trained(tmp_path / "chosen", given, init=first, validation=validation)

    def right(network):
        return (network.predict(validation.pictures)[1].argmax(1) == validation.labels).sum().item()

    tried = [
        right(trained(tmp_path / f"{step}", settings(scheme="tau_norm", init="ce", norm_tau=step / 10), init=first)[0])
        for step in range(21)
    ]
    assert right(chosen) == max(tried) > min(tried)
    with pytest.raises(InputError, match="chooses tau on the validation split, but there is none; set norm_tau"):
        trained(tmp_path / "none", given, init=first)


# Several processes

SHARED = """
import json, sys
from pathlib import Path
import torch
sys.path[:0] = ["tests", "tests/unit/classifiers"]
import test_training
from pipeline.classifiers.processes import joined

torch.set_num_threads(1)
given, data = json.loads(sys.argv[1]), test_training.source(21)
with joined(torch.device("cpu")) as processes:
    torch.manual_seed(0)
    network = test_training.Network("small", 4, 3, [0.5] * 3, [0.5] * 3)
    history = test_training.train(
        given, data, test_training.source(9, 1), lambda: None, network, 21, 0, torch.device("cpu"),
        test_training.Memory(Path(sys.argv[2]), sys.argv[3:]), processes,
    )
    mine = torch.cat([buffer.flatten().double() for buffer in network.buffers()])
    firsts = mine.clone()
    if processes.count > 1:
        torch.distributed.broadcast(firsts, 0)
    assert torch.equal(mine, firsts), "the test split was judged by statistics of each process's own"
    if processes.first:
        print(json.dumps(history[["loss", "test_top1"]].to_numpy().tolist()))
"""


PARTS = ["plain", "cmo", "half_real", "glmc", "ldam"]


@pytest.mark.parametrize("scheme", PARTS)
def test_a_batch_in_parts_trains_as_a_whole_one(scheme, tmp_path):
    """With batch norm frozen, since each part has statistics of its own; the last batch is of 6 of 22, and parts differ in size."""
    first, _ = trained(tmp_path / "first", settings(**{"loss": "ldam"} if scheme == "ldam" else {}))
    given = settings(**SCHEMES[scheme], init="ce", frozen_batch_norm=True, learning_rate=0.02)
    runs = [
        trained(tmp_path / str(parts), given | {"accumulate": parts}, data=source(22), init=first)
        for parts in (1, 2, 3)
    ]
    whole, history = runs[0]
    for network, own in runs[1:]:
        np.testing.assert_allclose(own["loss"], history["loss"], atol=1e-5)
        for name, weight in whole.state_dict().items():
            torch.testing.assert_close(network.state_dict()[name], weight, atol=1e-5, rtol=1e-4)
    assert history["loss"].nunique() > 1


def test_a_training_in_parts_continues(tmp_path):
    given = settings(accumulate=2, ema_decay=0.5)
    whole, history = trained(tmp_path / "whole", given)
    with pytest.raises(SystemExit):
        trained(tmp_path / "parts", given, checkpoint=Memory(tmp_path / "parts", ["end"]))
    network, continued = trained(tmp_path / "parts", given)
    assert same(network, whole) and continued.equals(history)


def shared(folder, given, count, *told):
    """Rows of (loss, test accuracy) of a training by `count` processes; None where it was told to end before."""
    script = folder / "shared.py"
    script.write_text(SHARED)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)] if count > 1 else []
    ran = subprocess.run(
        [sys.executable, *launch, str(script), json.dumps(given), str(folder / str(count)), *told],
        cwd=REPOSITORY, text=True, capture_output=True, check=False,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert (ran.returncode == 0) == (not told), ran.stderr
    return None if told else json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "scheme",
    [
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("sau", "group_dro", "irm")),
        *repetitions(("plain",), ("cmo",), ("half_real",), ("glmc",)),
    ],
)
def test_two_processes_train_as_one(scheme, tmp_path):
    """With batch norm frozen, since each process has statistics of its own; the last batch is of 5, so that shares differ.

    The rate is a low one: without the normalisation a higher one blows rounding errors up from step to step.
    """
    given = settings(**SCHEMES[scheme], init="ce", frozen_batch_norm=True, gpus=2, learning_rate=0.02)
    one, two = (shared(tmp_path, given, count) for count in (1, 2))
    np.testing.assert_allclose(one, two, atol=1e-5)
    assert len({loss for loss, _ in one}) > 1


@pytest.mark.slow
def test_two_processes_take_their_shares_in_parts(tmp_path):
    given = settings(init="ce", frozen_batch_norm=True, learning_rate=0.02, batch_size=7)
    whole = shared(tmp_path, given, 1)
    parts = shared(tmp_path, given | {"gpus": 2, "accumulate": 2}, 2)
    np.testing.assert_allclose(whole, parts, atol=1e-5)


@pytest.mark.slow
def test_two_processes_continue_as_if_nothing_had_been(tmp_path):
    """Also what the history says of the epoch in which they were ended."""
    given = settings(gpus=2, ema_decay=0.5)
    uninterrupted = shared(tmp_path, given, 2)
    (tmp_path / "2").rename(tmp_path / "done")
    shared(tmp_path, given, 2, "end")
    assert shared(tmp_path, given, 2) == uninterrupted


def test_the_test_split_is_judged_by_scaled_logits(tmp_path):
    """What the history says of the last epoch is what the finished classifier does."""
    first, _ = trained(tmp_path / "first", settings())
    second, history = trained(tmp_path / "second", settings(**SCHEMES["lws"], epochs=10, ema_decay=0.5), init=first)
    watched = source(9, 1)
    right = (second.predict(watched.pictures)[1].argmax(1) == watched.labels).double().mean().item()
    assert history["test_top1"].iloc[-1] == pytest.approx(100 * right)
    assert not torch.allclose(second.head.weight, first.head.weight)


def test_each_process_sees_its_part_of_the_real_pictures_once():
    data, views = source(50), [["flip", "crop"], []]
    views = [settings(augment=view)["augment"] for view in views]
    whole, *parts = [
        list(batching.once(data, views, 3, 5, 8, CPU, processes))
        for processes in (ALONE, Processes(0, 3), Processes(1, 3), Processes(2, 3))
    ]
    for place in range(2):
        together = torch.cat([batch.views[place] for part in parts for batch in part])
        assert torch.equal(together, torch.cat([batch.views[place] for batch in whole]))
    assert sum(len(batch.labels) for batch in whole) == int((~data.generated).sum())
    few = [list(batching.once(source(6), views, 3, 5, 8, CPU, Processes(rank, 2))) for rank in (0, 1)]
    assert sorted(map(len, few)) == [0, 1]


def numbered(count=20):
    """Pictures that show their own number, with labels, groups and marks that depend on it."""
    number = torch.arange(count)
    pictures = number.numpy().astype(np.uint8)[:, None, None, None].repeat(3, axis=-1)
    return Labelled(InMemory(pictures, CPU), number % 3, number % 4 == 1, number % 5 - 1)


def test_labels_marks_and_groups_go_with_their_pictures():
    data, given = numbered(), settings(augment=[], batch_size=6)
    drawn = [
        batch
        for batch, _ in batching.batches(
            data, Loader({"kind": "power", "power": 1.0}, [[]], given), 0, 1, 20, 3, CPU, ALONE
        )
    ]
    shares = [batching.once(data, [[]], 0, 3, 6, CPU, Processes(rank, 2)) for rank in (0, 1)]
    for batches in (drawn, [batch for share in shares for batch in share]):
        shown = torch.cat([batch.views[0][:, 0, 0, 0].long() for batch in batches])
        for found, known in (("labels", data.labels), ("generated", data.generated), ("groups", data.groups)):
            column = torch.cat([getattr(batch, found) for batch in batches])
            assert torch.equal(column, known[shown]) and column.dtype == known.dtype
        assert len(shown) > 10


@pytest.mark.parametrize("place", [0, 1])
def test_batches_are_the_same_however_many_are_augmented_at_once(place, monkeypatch):
    steps = settings(augment=["crop", "flip", "resized_crop", "color_jitter", "auto_augment", "rand_augment", "cutout"])
    loader = Loader({"kind": "instance"}, [steps["augment"], []], steps)
    drawn = []
    for together in (1, 3, 8):
        monkeypatch.setattr(batching, "TOGETHER", together)
        drawn.append([batch for batch, _ in batching.batches(source(70), loader, place, 2, 70, 5, CPU, ALONE)])
    assert [len(batch.labels) for batch in drawn[0]] == [8] * 8 + [6]
    for others in drawn[1:]:
        for one, other in zip(drawn[0], others, strict=True):
            assert torch.equal(one.labels, other.labels)
            assert all(torch.equal(*views) for views in zip(one.views, other.views, strict=True))
