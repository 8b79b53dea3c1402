"""docs/extending.md, executed: a data set, a generator, a score and a loss of one's own."""

import json
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from workflow_helpers import REPOSITORY, make_copy, snakemake

PAGE = REPOSITORY / "docs/extending.md"
BLOCK = re.compile(r"```(?:python|yaml)\n# (\S+) \((new file|at the end|in place of yours)\)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A copy of the repository with what the page says."""
    root = make_copy(tmp_path_factory.mktemp("extended") / "copy")
    shutil.rmtree(root / "papers")
    shutil.copytree(REPOSITORY / "papers", root / "papers")
    for name, place, text in BLOCK.findall(PAGE.read_text()):
        file = root / name
        assert file.exists() == (place != "new file"), name
        file.parent.mkdir(exist_ok=True)
        with open(file, "a" if place == "at the end" else "w") as opened:
            opened.write(text)
    return root


@pytest.fixture(scope="module")
def extended(written):
    """The same, in which the page's command has run."""
    command = re.search(r"^    snakemake --profile local (\w+)$", PAGE.read_text(), re.MULTILINE)[1]
    ran = snakemake(written, "--cores", "2", "--resources", "gpu=2", "--", command)
    assert ran.returncode == 0, ran.stdout
    return written


@pytest.mark.parametrize("check", [("check",), ("format", "--check")], ids=" ".join)
def test_the_pages_code_passes_lint(written, check):
    ruff = [sys.executable, "-m", "ruff", *check, "--config", REPOSITORY / "pyproject.toml", "pipeline"]
    ran = subprocess.run(ruff, cwd=written, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.slow
def test_the_page_works_as_it_says(extended):
    results = extended / "results/dots"
    assert not (results / "generator").exists()  # no training, and so no job for it
    index = pd.read_parquet(results / "sample/dots/shard-00000.parquet")
    assert index["class"].value_counts().to_dict() == {1: 28, 2: 36}  # 40, 12 and 4 pictures are filled to 40
    scored = pd.read_parquet(results / "score/dots/shard-00000.parquet")
    assert scored["brightness"].between(30, 80).all()
    selection = json.loads((results / "select/dots/summary.json").read_text())
    assert (selection["generated"], selection["kept"]) == (64, 64)
    assert "| dots " in (results / "summary.md").read_text()


@pytest.mark.slow
def test_a_new_kind_is_estimated_too(extended):
    estimated = snakemake(extended, "--cores", "2", "--resources", "gpu=2", "--", "cost_dots")
    assert estimated.returncode == 0, estimated.stdout
    page = (extended / "results/dots/cost/cost.md").read_text()
    assert "| sample " in page and "| generator " not in page
