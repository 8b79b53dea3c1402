"""The stage `sample` with a network whose numbers overflow for some pictures, or for all of a class."""

import json
import signal
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DDPMScheduler

from pipeline.artifacts import made, shards
from pipeline.generators.cbdm.sample import Sampler
from pipeline.generators.cbdm.unet import build
from pipeline.generators.plan import row_seeds
from pipeline.jobs import command
from pipeline.stages import sample

CLASSES, SIDE, PICTURES = 2, 8, 12
DRAW = {"kind": "ddim", "steps": 1, "guidance": 0, "clip_denoised": False}
STORE = {"side": None, "format": "png", "quality": 95}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build(
        {"channels": 16, "multipliers": (1,), "blocks": 1, "attention_levels": (), "dropout": 0}, CLASSES, SIDE
    )


@pytest.fixture
def run(network, cpu, tmp_path, monkeypatch):
    """Draws a pool of 12 pictures in batches of three with the network as it is then; returns index and statistics."""

    def ran():
        folder = tmp_path / "generator"
        network.save_pretrained(folder / "unet")
        DDPMScheduler(10, clip_sample=False).save_pretrained(folder / "scheduler")
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "history.parquet")
        shards.write_table(pd.DataFrame({"step": [1]}), folder / "history.parquet", files)
        config = {"generator": {"kind": "cbdm"}, "batch_size": 3, "draw": DRAW, "store": STORE}
        places = ["--plan", tmp_path / "plan.parquet", "--generator", folder / "history.parquet"]
        output = ["--shard", "0 of 1", "--output", tmp_path / "shard-00000.tar"]
        monkeypatch.setattr(sys, "argv", ["sample", "--config", json.dumps(config), *map(str, [*places, *output])])
        command.run(sample.main, sample.arguments())
        table = shards.read_table(tmp_path / "shard-00000.parquet")
        return shards.read_pictures(table, tmp_path), json.loads((tmp_path / "shard-00000.json").read_text())

    labels, indices = np.arange(PICTURES) // 6, np.arange(PICTURES) % 6
    plan = {"class": labels.astype(np.int32), "class_name": [f"class {label}" for label in labels], "index": indices}
    shards.write_table(pd.DataFrame(plan | {"seed": row_seeds(0, labels, indices)}), tmp_path / "plan.parquet")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # the bytes of `first_draws` are those of a CPU
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield ran
    for number, handler in usual.items():  # a stage has its own
        signal.signal(number, handler)


def first_draws(folder, watch=None):
    """What the generator draws for the plan, float32."""
    inputs = {"generator": [folder / "generator/history.parquet"]}
    sampler = Sampler(inputs, {"draw": DRAW, "batch_size": 1}, torch.device("cpu"))
    if watch:
        sampler._unet.register_forward_hook(lambda _m, _i, output: watch(output.sample))
    return np.concatenate(list(sampler.draw(shards.read_table(folder / "plan.parquet"))))


def overflow(network, folder):
    """Scale the network's output until values of about two pictures are beyond float32."""
    largest = []
    first_draws(folder, lambda output: largest.append(output.abs().max().item()))
    bound = np.sort(largest)[-3:-1].mean()
    with torch.no_grad():
        for _ in range(2):  # in two parts, because the whole is too large for a float32
            network.conv_out.weight *= (torch.finfo(torch.float32).max / bound) ** 0.5
            network.conv_out.bias *= (torch.finfo(torch.float32).max / bound) ** 0.5


def test_pictures_that_overflow_are_drawn_again_and_counted(run, network, tmp_path, capsys):
    _, statistics = run()
    assert statistics == {"pictures": 12, "classes": {"0": 6, "1": 6}, "redrawn": 0, "flagged": 0}
    overflow(network, tmp_path)
    pictures, statistics = run()
    expected = np.isnan(first_draws(tmp_path)).any(axis=(1, 2, 3)).sum()
    assert 0 < expected < 6 and statistics["redrawn"] == expected
    assert made.about(tmp_path / "shard-00000.parquet")["redrawn"] == expected
    assert (
        f"{expected} of 12 pictures were black or not of finite numbers, and were drawn again"
        in capsys.readouterr().out
    )
    assert not (pictures == 0).all(axis=(1, 2, 3)).any()


def test_the_count_survives_a_kill(run, network, tmp_path, monkeypatch):
    run()
    overflow(network, tmp_path)
    whole, statistics = run()
    assert np.isnan(first_draws(tmp_path)[:9]).any()  # in the batches before the kill

    def killed(self, rows):
        for number, batch in enumerate(draw(self, rows)):
            if number == 3:
                raise KeyboardInterrupt
            yield batch

    draw = Sampler.draw
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Sampler, "draw", killed)
        run()
    continued, again = run()
    assert (continued == whole).all() and again == statistics


def test_a_class_that_is_never_finite_ends_in_a_sentence(run, network):
    with torch.no_grad():
        network.class_embedding.weight[1] = torch.nan
    with pytest.raises(SystemExit) as stopped:
        run()
    assert str(stopped.value).startswith("error: a picture of class 1 was drawn 5 times, each time with values")
