"""Feedback on the demo's small foundation: over 200 pictures, each criterion rises, and another classifier mostly sees the class."""

import json
import subprocess
import sys

import pytest
from workflow_helpers import environment, make_copy_with_presets, snakemake

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def effect(tmp_path_factory):
    root = make_copy_with_presets(tmp_path_factory.mktemp("effect") / "copy", more=("benchmarks",))
    files = {
        "--foundation": "results/foundations/demo_mini/foundation.parquet",
        "--guide": "results/demo/classifier/demo_ce/seed-0/weights.safetensors",
        "--features": "results/demo/features/demo_ce/seed-0/features.safetensors",
        "--judge": "results/demo/classifier/demo_rest/seed-0/weights.safetensors",
    }
    made = snakemake(root, "--", *files.values())
    assert made.returncode == 0, made.stdout
    ran = subprocess.run(
        [sys.executable, "benchmarks/feedback_effect.py", *(word for pair in files.items() for word in pair)],
        cwd=root, env=environment(root), text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    print(ran.stdout)
    return json.loads(ran.stdout)


@pytest.mark.parametrize("criterion", ["loss", "entropy", "hardness"])
def test_each_criterion_rises_beyond_its_interval(effect, criterion):
    found = effect[criterion]
    assert found["pictures"] == 200
    low, high = found["interval"]
    assert 0 < low < found["difference"] < high
    assert found["difference"] == pytest.approx(found["with"] - found["without"])


def test_another_classifier_mostly_sees_the_class_with_entropy_and_more_than_chance_with_all(effect):
    assert effect["entropy"]["judge_with"] > 70
    assert all(found["judge_with"] > 50 for found in effect.values())  # of 10 classes
