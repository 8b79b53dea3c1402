"""docs/extending.md, executed: a data set, a generator, a score and a loss of one's own."""

import json
import re
import shutil

import pandas as pd
import pytest
from workflow_helpers import REPOSITORY, make_copy, snakemake

PAGE = REPOSITORY / "docs/extending.md"
BLOCK = re.compile(r"```(?:python|yaml)\n# (\S+) \((new file|at the end)\)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the repository with what the page says, in which its command has run."""
    root = make_copy(tmp_path_factory.mktemp("extended") / "copy")
    shutil.rmtree(root / "papers")
    shutil.copytree(REPOSITORY / "papers", root / "papers")
    (root / "workflow_config.yaml").unlink()
    for name, place, text in BLOCK.findall(PAGE.read_text()):
        file = root / name
        assert file.exists() == (place == "at the end"), name
        file.parent.mkdir(exist_ok=True)
        with open(file, "a") as written:
            written.write(text)
    command = re.search(r"^    snakemake --profile local (\w+)$", PAGE.read_text(), re.MULTILINE)[1]
    ran = snakemake(root, "--cores", "2", "--resources", "gpu=2", "--", command)
    assert ran.returncode == 0, ran.stdout
    return root


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
