"""The benchmarks run as their docstrings say, in small; what they print is nobody's figure here."""

import os
import re
import subprocess
import sys

import pandas as pd
import pytest
from tiny_models import listed, stable_diffusion
from workflow_helpers import REPOSITORY, repetitions

from pipeline.artifacts import shards
from pipeline.classifiers import network as networks
from pipeline.classifiers.network import Network

pytestmark = pytest.mark.slow


def benchmark(name, *arguments, cwd=REPOSITORY):
    return subprocess.run(
        [sys.executable, REPOSITORY / "benchmarks" / name, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": ""},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.mark.parametrize("precision", ["float32", *repetitions(("bfloat16",))])
def test_shares_of_saus_step(precision):
    told = benchmark("sau_step.py", "--width", "2", "--steps", "1", "--precision", precision)
    assert re.findall(r"^(\w+): [\d.]+ ms, [\d.]+ % of the step$", told, re.MULTILINE) == ["input", "contrast"]


def test_start_of_a_job(tmp_path):
    told = benchmark("job_start.py", "--repeats", "1", cwd=tmp_path)
    assert re.search(r"^ours [\d.]+ s, an empty Snakefile's [\d.]+ s", told, re.MULTILINE)


def test_share_of_sampling(tmp_path):
    foundation = listed(stable_diffusion(tmp_path / "sd"))
    rows = pd.DataFrame({"class": 0, "index": range(4), "seed": range(4), "prompt": "a photo of a one"})
    shards.write_table(rows, tmp_path / "plan.parquet")
    told = benchmark(
        *("sampling_share.py", "--foundation", foundation, "--plan", tmp_path / "plan.parquet"),
        *("--steps", "2", "--batch-size", "4"),
    )
    share, unet, vae = map(
        float, re.search(r"^CPU: ([\d.]+)% of .* U-Net \(([\d.]+)%\) and VAE \(([\d.]+)%\)", told, re.M).groups()
    )
    assert 0 < share < 100 and abs(share - unet - vae) < 0.2


@pytest.mark.parametrize("more", [(), *repetitions((("--all-at-once",),))])
def test_memory_of_feedback(more):
    """At 768 px, which is only counted: four pictures that are decoded in turn take less than together, and under 3 times the usual."""
    told = benchmark("feedback_unclip.py", "--batch-sizes", "4", *more)
    exact, decoder, pooled = (
        float(found) for found in re.findall(r" [\d.]+ \(([\d.]+) times\)", told.splitlines()[-1])
    )
    assert exact > decoder >= 1 and pooled >= 1 and (exact < 3) == (not more)


def test_cost_of_the_check_of_inputs():
    told = benchmark("input_checks.py")
    assert re.findall(r"^(\S+): [\d.]+ s for a gigabyte$", told, re.MULTILINE) == ["index.parquet", "weights.bin"]


def test_what_feedback_costs(tmp_path):
    foundation = listed(stable_diffusion(tmp_path / "sd"))
    networks.save(
        Network("small", 4, 3, [0.5] * 3, [0.5] * 3), tmp_path / "guide.safetensors", {"picture_size": [8, 8]}
    )
    told = benchmark(
        *("feedback.py", "--foundation", foundation, "--guide", tmp_path / "guide.safetensors"),
        *("--pictures", "2", "--batch-size", "2", "--steps", "3", "--turns", "1"),
    )
    assert re.search(r"^CPU: [\d.]+ ms a picture without feedback$", told, re.MULTILINE)
    shown = r"^(\w+): ([\d.]+) times as long .*, ([\d.]+) times the memory .*, cosine to exact ([\d.-]+)$"
    found = re.findall(shown, told, re.M)
    assert [mode for mode, *_ in found] == ["exact", "decoder", "pooled"] and found[0][3] == "1.000"
    assert all(-1 <= float(cosine) <= 1 and float(longer) > 0 for _, longer, _, cosine in found)
    assert float(found[0][2]) >= float(found[1][2]) >= float(found[2][2]) >= 1


def test_textual_inversion_beside_the_usual_script(tmp_path):
    foundation = listed(stable_diffusion(tmp_path / "sd"))
    told = benchmark(
        "textual_inversion.py", "--foundation", foundation, "--classes", "2", "--turns", "1", "--passes", "1"
    )
    assert re.search(r"^CPU: 2 classes at once, 2 pictures of each$", told, re.MULTILINE)
    faster = float(re.search(r"^steps of a class in a second: .*, ([\d.]+) times as many$", told, re.MULTILINE)[1])
    shares = [float(share) for share in re.findall(r"a share of ([\d.]+)$", told, re.MULTILINE)]
    assert faster > 0 and len(shares) == 4 and max(shares) < 1
    assert shares[2:] == [0.6, 0.5]  # of Stable Diffusion 1.5, which are counted
