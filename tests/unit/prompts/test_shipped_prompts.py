"""The prompt files that ship with the project."""

import json
from pathlib import Path

import open_clip
import pytest
from workflow_helpers import REPOSITORY

from pipeline.config import presets
from pipeline.config.workflow import Workflow
from pipeline.data import user_table
from pipeline.data.imagenet100_classes import COUNTS
from pipeline.data.imagenet_classes import CLASSES

FOLDER = REPOSITORY / "papers/prompts"
EACH = {"cifar10": (10, 8), "cifar100": (100, 6), "imagenet100": (100, 5)}


def read(name):
    return user_table.read(FOLDER / f"{name}.csv", required=("class", "text"))


@pytest.mark.parametrize("name", EACH)
def test_every_class_has_its_number_of_different_prompts(name):
    table, (classes, prompts) = read(name), EACH[name]
    assert table.groupby("class").size().tolist() == [prompts] * classes
    assert table["text"].is_unique
    assert table["text"].str.fullmatch(r"\S+( \S+){4,24}").all(), "5 to 25 words, single blanks"
    assert table["text"].str.isascii().all()


def test_the_classes_of_imagenet100_are_those_of_the_data_module():
    assert set(read("imagenet100")["class"]) == {CLASSES[wnid] for wnid in COUNTS}


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_classes_of_cifar_are_those_of_its_files(name, shared_data):
    names = json.loads((shared_data / name / "classes.json").read_text())["fine"]
    assert set(read(name)["class"]) == set(names)


@pytest.mark.parametrize("name", EACH)
def test_no_prompt_is_longer_than_clip_reads(name):
    tokens = open_clip.SimpleTokenizer(context_length=200)(read(name)["text"].tolist())
    assert (tokens != 0).sum(1).max() <= 77


def test_the_presets_name_them_wherever_the_repository_lies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flow = Workflow(presets.combined(presets.preset_layers(REPOSITORY / "papers"), {}))
    for name in EACH:
        assert Path(flow.part("prompts", f"{name}_scenes").path) == FOLDER / f"{name}.csv"
    own = {"prompts": {"cifar10_scenes": {"path": "own.csv"}}}
    flow = Workflow(presets.combined(presets.preset_layers(REPOSITORY / "papers"), own))
    assert flow.part("prompts", "cifar10_scenes").path == "own.csv"
