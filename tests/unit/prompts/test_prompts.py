"""Prompts of a data set's classes, and their way into a plan."""

import unicodedata

import numpy as np
import open_clip
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_subset import NAMES, subset

from pipeline.artifacts import shards
from pipeline.config.prompts import PROMPTS
from pipeline.data.readable import is_visible
from pipeline.prompts.table import PromptTable
from pipeline.stages import plan, prompts


def settings(**given):
    return PROMPTS[given.get("kind", "templates")](**given).settings()


def test_the_default_is_saus_sentence(run):
    found = run(prompts, settings())
    assert found["text"].tolist() == ["A photo of a aquarium fish.", "A photo of a owl.", "A photo of a wren."]
    assert found["class"].tolist() == [0, 1, 2] and found["class_name"].tolist() == NAMES
    assert set(found["prompt"]) == {0} and set(found["origin"]) == {"A photo of a {class}."}


def test_clip_has_80_sentences(run):
    found = run(prompts, settings(kind="clip_templates"))
    assert found.groupby("class").size().tolist() == [80] * 3
    assert found["text"].is_unique and found["text"].str.contains("aquarium fish|owl|wren").all()
    assert {"a photo of a owl.", "a bad photo of a owl.", "itap of a owl."} <= set(found["text"])
    assert "a photo of the {class}." in set(found["origin"])


def test_a_file_in_any_order_of_its_rows(run, tmp_path):
    rows = "class;text\nwren;one wren\nowl;an owl, at night\naquarium_fish;a fish\nowl;two owls\n"
    (tmp_path / "own.csv").write_text(rows, encoding="utf-8-sig")
    found = run(prompts, settings(kind="file", path="own.csv"), "--path", tmp_path / "own.csv")
    assert found["text"].tolist() == ["a fish", "an owl, at night", "two owls", "one wren"]
    assert found["prompt"].tolist() == [0, 0, 1, 0] and set(found["origin"]) == {"own.csv"}


@pytest.mark.parametrize(
    ("text", "told"),
    {
        "an unknown class": ("class,text\nowl,an owl\nbat,a bat\n", "line 3: there is no class 'bat'; the classes are"),
        "a class without a prompt": (
            "class,text\nowl,an owl\n",
            "2 of 3 classes have no prompt, the first 'aquarium_fish'",
        ),
        "no text": (
            "class,text\nwren,x\naquarium_fish,x\nowl, \n",
            "a prompt of the class 'owl' has no text; remove it",
        ),
        "no column": (
            "class,prompt\nowl,an owl\n",
            "own.csv has the columns class, prompt; it must have class and text",
        ),
        "nothing": ("", "own.csv has the columns "),
        "no rows": ("class,text\n", "own.csv has no rows"),
    }.values(),
)
def test_a_wrong_file_is_one_sentence(run, tmp_path, text, told):
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(SystemExit) as ended:
        run(prompts, settings(kind="file", path="own.csv"), "--path", tmp_path / "own.csv")
    assert told in ended.value.code


@pytest.mark.parametrize("name", ["_", "\u200b", "\xa0 \u2060", "\x07"])
@pytest.mark.parametrize("kind", ["templates", "clip_templates"])
def test_a_class_name_without_tokens_is_one_sentence(run, tmp_path, name, kind):
    subset(tmp_path, names=["owl", name, "wren"])
    with pytest.raises(SystemExit) as ended:
        run(prompts, settings(kind=kind))
    told = "has nothing that a model can read; rename the class, or give a prompt file"
    assert ended.value.code == f"error: the class name {name!r} {told}"


def test_a_file_may_describe_a_class_whose_name_has_no_tokens(run, tmp_path):
    subset(tmp_path, names=["owl", "_", "wren"])
    (tmp_path / "own.csv").write_text("class,text\n_,a bat\nowl,an owl\nwren,a wren\n")
    found = run(prompts, settings(kind="file", path="own.csv"), "--path", tmp_path / "own.csv")
    assert found["text"].tolist() == ["an owl", "a bat", "a wren"]
    (tmp_path / "own.csv").write_text("class,text\n_,\u200b \nowl,an owl\nwren,a wren\n")
    with pytest.raises(SystemExit, match="a prompt of the class '_' has no text; remove it"):
        run(prompts, settings(kind="file", path="own.csv"), "--path", tmp_path / "own.csv")


@given(text=st.text(max_size=8))
def test_what_is_visible_has_tokens_for_clip(text):
    ids = open_clip.tokenize(text)[0]
    if is_visible(text):
        assert (ids != 0).sum() > 2, "more than the beginning and the end"
    assert is_visible("\N{BIRD}") and is_visible("\u9ce5") and not is_visible(" \u200b")


@pytest.mark.parametrize("template", ["a photo", "{}", "{name} {class}", "a {class", "{class}}"])
def test_a_template_without_a_class_is_refused(template):
    with pytest.raises(ValueError, match=r"is not a template \(|must have \{class\} in it"):
        PROMPTS["templates"](templates=(template,))


def test_prompts_of_a_class_take_turns_in_a_plan(run, tmp_path):
    run(prompts, settings(templates=["a {class}", "two {class}s", "no {class}"]))
    config = {
        "fill_to": "max",
        "per_class": None,
        "fill_range": [0, 1],
        "cells": "class",
        "surplus": 0,
        "classes": None,
        "shots": ["many", "medium", "few"],
        "seed": 0,
    }
    whole = run(plan, config, "--prompts", tmp_path / "prompts.parquet")
    assert whole["prompt"].tolist() == [
        *("a owl", "two owls", "no owl"),
        *("a wren", "two wrens", "no wren", "a wren"),
    ]
    later = run(plan, config | {"fill_range": [0.5, 1]}, "--prompts", tmp_path / "prompts.parquet")
    together = whole.merge(later, on=["class", "index"], suffixes=("", "_later"))
    assert len(together) == len(later) and (together["prompt"] == together["prompt_later"]).all()


def test_a_plan_of_groups_fills_in_their_contexts(tmp_path, run):
    rows = [("owl", 0, "train", "dim"), ("wren", 1, "train", "dim"), ("wren", 1, "test", "rock_wall")]
    table = pd.DataFrame(rows, columns=["class_name", "class", "split", "context"])
    shards.write_table(table.assign(group=table["class_name"] + ", " + table["context"]), tmp_path / "manifest.parquet")
    config = {"kind": "templates", "templates": ["{class} in {context}", "a {class}"]}
    run(prompts, config)
    asked = {
        "fill_to": 2,
        "per_class": None,
        "fill_range": [0, 1],
        "surplus": 0,
        "classes": None,
        "shots": ["few"],
        "cells": "group",
        "seed": 0,
    }
    planned = run(plan, asked, "--prompts", tmp_path / "prompts.parquet")
    assert planned["prompt"].tolist() == ["owl in dim", "wren in dim", "wren in rock wall", "a wren"]
    with pytest.raises(SystemExit):
        run(plan, asked | {"cells": "class"}, "--prompts", tmp_path / "prompts.parquet")


@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=6), block=st.integers(1, 7), data=st.data())
def test_any_blocks_of_the_table_give_the_same_prompts(tmp_path_factory, counts, block, data):
    labels = np.repeat(np.arange(len(counts)), counts)
    table = pd.DataFrame({"class": labels, "text": [f"prompt {place}" for place in range(len(labels))]})
    path = tmp_path_factory.mktemp("prompts") / "prompts.parquet"
    shards.write_blocks((table[start : start + block] for start in range(0, len(table), block)), path)
    classes = np.array(data.draw(st.lists(st.integers(0, len(counts) - 1), min_size=1, max_size=20)))
    indices = np.array(data.draw(st.lists(st.integers(0, 30), min_size=len(classes), max_size=len(classes))))
    expected = [
        table.loc[table["class"] == label, "text"].iloc[index % counts[label]]
        for label, index in zip(classes, indices, strict=True)
    ]
    assert PromptTable(path).of(classes, indices).tolist() == expected


def test_a_file_may_write_accents_in_the_other_way(run, tmp_path):
    subset(tmp_path, names=["grün", unicodedata.normalize("NFD", "weiß ü"), "wren"])
    (tmp_path / "own.csv").write_text(f"class,text\n{unicodedata.normalize('NFD', 'grün')},a\nweiß ü,b\nwren,c\n")
    found = run(prompts, settings(kind="file", path="own.csv"), "--path", tmp_path / "own.csv")
    assert found["text"].tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("text", ["an owl", None, "a"], "own.parquet, row 2: text is missing; give it, or delete the row"),
        ("text", [["a", "b"], ["c"], ["d"]], "own.parquet, row 1: text must be a text, but is array"),
        ("class", [1.5, 1.5, 1.5], "own.parquet, row 1: class must be a text, but is 1.5"),
    ],
)
def test_a_parquet_file_with_other_values_than_texts_is_one_sentence(run, tmp_path, column, values, told):
    subset(tmp_path, names=["owl", "1", "wren"])
    table = pd.DataFrame({"class": ["owl", "1", "wren"], "text": ["a", "b", "c"]}).astype(object)
    table[column] = values
    table.to_parquet(tmp_path / "own.parquet")
    with pytest.raises(SystemExit) as ended:
        run(prompts, settings(kind="file", path="own.parquet"), "--path", tmp_path / "own.parquet")
    assert told in ended.value.code


def test_a_parquet_file_may_have_whole_numbers_as_classes(run, tmp_path):
    subset(tmp_path, names=["0", "1", "2"])
    pd.DataFrame({"class": [0.0, 1.0, 2.0], "text": ["a", "b", "c"]}).to_parquet(tmp_path / "own.parquet")
    found = run(prompts, settings(kind="file", path="own.parquet"), "--path", tmp_path / "own.parquet")
    assert found["class_name"].tolist() == ["0", "1", "2"]
