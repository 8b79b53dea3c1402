"""The two-dimensional toy: feedback moves points into the rare modes, and not out of all modes."""

import subprocess
import sys

import pytest
from PIL import Image
from workflow_helpers import REPOSITORY


@pytest.mark.slow
def test_feedback_fills_the_rare_modes_of_the_toy(tmp_path):
    path = tmp_path / "toy.png"
    ran = subprocess.run(
        [sys.executable, "benchmarks/feedback_toy.py", "--output", str(path)],
        cwd=REPOSITORY, env={"PYTHONPATH": str(REPOSITORY), "MPLCONFIGDIR": str(tmp_path)}, text=True, capture_output=True, check=True,
    )  # fmt: skip
    lines = [line.split() for line in ran.stdout.splitlines()]
    rare, far, right = (
        [float(line[line.index(word) + step]) for line in lines]
        for word, step in (("%", -1), ("mode,", 1), ("right", -2))
    )
    assert rare[0] == 10 and abs(rare[1] - 10) < 4 and rare[2] > 35
    assert max(far) <= 3
    assert right[2] > right[0] + 5 and right[2] > right[1] + 5
    with Image.open(path) as picture:
        assert picture.size == (960, 350) and len(picture.convert("RGB").getcolors(10**6)) > 50
