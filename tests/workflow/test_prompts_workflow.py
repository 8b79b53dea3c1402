"""Prompts from language models, captions, an endpoint and a table, as jobs of the workflow."""

import os
import shutil

import pandas as pd
import pytest
import yaml
from local_endpoint import Endpoint
from tiny_models import blip2, gpt2
from workflow_helpers import copy_of, modules_beside_fingerprints, planned, snakemake

pytestmark = pytest.mark.slow

KEY = "sk-of-a-test"
NAMES = ("written", "captioned", "asked", "own")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def path_of(name):
    """Captions are of the data set's own pictures; all other prompts lie once for the data sets of a source."""
    return f"results/{'demo' if name == 'captioned' else 'digits'}/prompts/{name}/prompts.parquet"


TARGETS = [path_of(name) for name in NAMES]


def table(root, name):
    return pd.read_parquet(root / path_of(name))


@pytest.fixture(scope="module")
def server():
    one = Endpoint(key=KEY)
    yield one
    one.close()


@pytest.fixture(scope="module")
def begun(finished, tmp_path_factory, server):
    """A copy of the micro run, with prompts in its config, of which nothing has been made."""
    root = copy_of(finished, tmp_path_factory.mktemp("prompts") / "micro")
    gpt2(root / "models/gpt2")
    blip2(root / "models/blip2", 1)
    (root / "own.csv").write_text("class,text\n" + "".join(f"{name},the digit {name}\n" for name in DIGITS))
    config = yaml.safe_load((root / "workflow_config.yaml").read_text())
    config["foundations"] = {name: {"kind": "folder", "path": f"models/{name}"} for name in ("gpt2", "blip2")}
    short = {"system": "Say", "query": "the {class}", "per_class": 3}
    config["prompts"] = {
        "written": {"kind": "language_model", "foundation": "gpt2", "max_new_tokens": 6, "batch_size": 4, **short},
        "captioned": {"kind": "captions", "foundation": "blip2", "start": "a", "per_class": 2, "max_new_tokens": 6},
        "asked": {"kind": "endpoint", "url": server.url, "model": "gpt", "key_variable": "A_KEY", **short},
        "own": {"kind": "file", "path": "own.csv"},
    }
    (root / "workflow_config.yaml").write_text(yaml.safe_dump(config))
    return root


@pytest.fixture(scope="module")
def made(begun):
    os.environ["A_KEY"] = KEY
    ran = snakemake(begun, *TARGETS)
    assert ran.returncode == 0, ran.stdout
    assert KEY not in ran.stdout
    return begun


@pytest.fixture
def copy(made, tmp_path):
    return copy_of(made, tmp_path / "copy")


def test_each_kind_writes_its_prompts(made, server):
    tables = {name: table(made, name) for name in NAMES}
    assert all(found["class"].nunique() == 10 for found in tables.values())
    assert len(tables["written"]) == 30 and set(tables["written"]["origin"]) == {"results/foundations/gpt2"}
    keys = pd.read_parquet(made / "results/demo/subset/manifest.parquet").query("split == 'train'")["key"]
    assert set(tables["captioned"]["origin"]) <= set(keys)
    assert len(tables["asked"]) == 30 == len(server.asked)
    assert tables["own"]["text"].tolist() == [f"the digit {name}" for name in DIGITS]
    assert planned(made, *TARGETS) == {}


def test_every_module_that_its_jobs_load_is_in_their_fingerprints(made):
    missed = modules_beside_fingerprints(made)
    assert {"ask", "prompts", "foundation"} <= set(missed) and not any(missed.values())


def test_the_key_is_in_no_file(made):
    found = [
        path
        for path in made.rglob("*")
        if path.is_file() and not path.is_symlink() and KEY.encode() in path.read_bytes()
    ]
    assert found == []


def test_without_a_key_nothing_starts(begun, tmp_path, monkeypatch):
    root = copy_of(begun, tmp_path / "copy")
    shutil.rmtree(root / "results/digits/prompts", ignore_errors=True)
    monkeypatch.delenv("A_KEY", raising=False)
    ran = snakemake(root, path_of("asked"))
    assert ran.returncode == 1 and "Traceback" not in ran.stdout
    assert "prompts.asked: the environment variable A_KEY is not set; set it to your key for http://127" in ran.stdout
    assert not (root / "results/digits/prompts").exists()


def test_answers_that_are_lost_are_not_paid_for_again(copy, server):
    before, asked = table(copy, "asked"), len(server.asked)
    shutil.rmtree(copy / "results/digits/prompts/asked")
    ran = snakemake(copy, path_of("asked"))
    assert ran.returncode == 0, ran.stdout
    assert table(copy, "asked").equals(before) and len(server.asked) == asked


def test_another_text_of_an_answer_asks_nothing(copy, server):
    asked = len(server.asked)
    config = yaml.safe_load((copy / "workflow_config.yaml").read_text())
    config["prompts"]["asked"]["text"] = "{answer}"
    (copy / "workflow_config.yaml").write_text(yaml.safe_dump(config))
    assert set(planned(copy, path_of("asked"))) == {"prompts asked prompts.parquet"}
    ran = snakemake(copy, path_of("asked"))
    assert ran.returncode == 0 and len(server.asked) == asked
    assert table(copy, "asked")["text"].str.startswith("A photo of the ").all()


def test_a_table_counts_by_what_it_says(copy):
    target = path_of("own")
    shutil.rmtree(copy / ".snakemake")
    assert planned(copy, target) == {}
    path = copy / "own.csv"
    times = path.stat()
    path.write_text(path.read_text().replace("the digit three", "number three"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert set(planned(copy, target)) == {"prompts own prompts.parquet"}
