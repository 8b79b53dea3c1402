"""The benchmarks run as their docstrings say, in small; what they print is nobody's figure here."""

import os
import re
import subprocess
import sys

import pytest
from workflow_helpers import REPOSITORY


def benchmark(name, *arguments, cwd=REPOSITORY):
    return subprocess.run(
        [sys.executable, REPOSITORY / "benchmarks" / name, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": ""},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_shares_of_saus_step(precision):
    told = benchmark("sau_step.py", "--width", "2", "--steps", "1", "--precision", precision)
    assert re.findall(r"^(\w+): [\d.]+ ms, [\d.]+ % of the step$", told, re.MULTILINE) == ["input", "contrast"]


def test_start_of_a_job(tmp_path):
    told = benchmark("job_start.py", "--repeats", "1", cwd=tmp_path)
    assert re.search(r"^ours [\d.]+ s, an empty Snakefile's [\d.]+ s", told, re.MULTILINE)
