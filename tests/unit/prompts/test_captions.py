"""Captions of the real pictures by BLIP-2, whatever language model is inside it."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from tiny_models import blip2, gpt2, listed

from pipeline.config.prompts import PROMPTS
from pipeline.foundations.language_model import load
from pipeline.prompts import captions
from pipeline.stages import prompts


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: blip2(folder / name, seed, language=name) for name, seed in (("opt", 1), ("t5", 0))}


def settings(**given):
    short = {"kind": "captions", "foundation": "f", "max_new_tokens": 6, "batch_size": 2, "start": "a photo of"}
    return PROMPTS["captions"](**short | given).settings()


@pytest.mark.parametrize("language", ["opt", "t5"])
@pytest.mark.parametrize("start", ["", pytest.param("a photo of", marks=pytest.mark.slow)])
def test_every_training_picture_gets_its_caption(run, models, language, start, monkeypatch):
    monkeypatch.setattr(captions, "usable", lambda text: True)
    found = run(prompts, settings(start=start), "--foundation", listed(models[language]))
    assert found["origin"].tolist() == [*(f"train-0-{i}" for i in range(5)), "train-1-0", "train-1-1", "train-2-0"]
    assert found["class"].tolist() == [0] * 5 + [1] * 2 + [2]
    assert found["text"].str.startswith(start).all() and found["text"].str.count("a photo of").max() <= 1
    assert (found["text"].str.len() > len(start)).all()


@pytest.mark.slow
@pytest.mark.parametrize("language", ["opt", "t5"])
def test_a_caption_is_the_one_that_the_library_gives_for_the_picture_alone(
    run, models, language, tmp_path, monkeypatch
):
    monkeypatch.setattr(captions, "usable", lambda text: True)
    found = run(prompts, settings(), "--foundation", listed(models[language]))
    assert found["text"].nunique() > 4
    loaded = load(models[language])
    manifest = pd.read_parquet(tmp_path / "manifest.parquet").set_index("key")
    for row in found.itertuples():
        (picture,) = captions.shards.read_pictures(manifest.loc[[row.origin]].reset_index(), tmp_path)
        batch = loaded.processor(images=[picture], text=["a photo of"], return_tensors="pt")
        tokens = loaded.model.generate(**batch, max_new_tokens=6, do_sample=False, num_beams=1)
        alone = loaded.tokenizer.decode(tokens[0], skip_special_tokens=True)
        assert row.text == " ".join((alone if language == "opt" else f"a photo of {alone}").split())


@pytest.mark.slow
def test_batches_and_kills_change_nothing(run, models, tmp_path, monkeypatch):
    monkeypatch.setattr(captions, "usable", lambda text: True)
    path = listed(models["opt"])
    expected = run(prompts, settings(batch_size=4), "--foundation", path)
    real, read = captions.shards.read_pictures, []

    def read_pictures(rows, folder):
        read.extend(rows["key"])
        if len(read) == 6:
            raise KeyboardInterrupt
        return real(rows, folder)

    monkeypatch.setattr(captions.shards, "read_pictures", read_pictures)
    with pytest.raises(KeyboardInterrupt):
        run(prompts, settings(batch_size=4), "--foundation", path)
    found = run(prompts, settings(batch_size=4), "--foundation", path)
    assert found.equals(expected) and len(read) == 6 + 4  # the first batch is not read again


def test_pictures_are_spread_evenly_over_a_class(run, models, monkeypatch):
    monkeypatch.setattr(captions, "usable", lambda text: True)
    found = run(prompts, settings(per_class=2), "--foundation", listed(models["opt"]))
    assert found["origin"].tolist() == ["train-0-2", "train-0-4", "train-1-0", "train-1-1", "train-2-0"]
    rows = pd.DataFrame({"class": np.repeat([1, 0], [10, 3]), "key": range(13)})
    assert captions.spread(rows, 5)["key"].tolist() == [10, 11, 12, 1, 3, 5, 7, 9]


def test_captions_without_letters_are_left_out_and_counted(run, models, monkeypatch, capsys):
    place = iter(range(8))
    monkeypatch.setattr(captions, "usable", lambda text: next(place) not in (1, 6))
    found = run(prompts, settings(), "--foundation", listed(models["opt"]))
    assert len(found) == 6 and "captions had no letters; they are left out" in capsys.readouterr().out
    monkeypatch.setattr(captions, "usable", lambda text: False)
    with pytest.raises(SystemExit, match="no picture of the class 'aquarium_fish' got a caption; give a `start`"):
        run(prompts, settings(max_new_tokens=5), "--foundation", listed(models["opt"]))


def test_another_model_is_refused(run, tmp_path):
    with pytest.raises(SystemExit, match="has a GPT2LMHeadModel, but captions need BLIP-2; name another foundation"):
        run(prompts, settings(), "--foundation", listed(gpt2(tmp_path / "gpt2")))


@pytest.mark.parametrize("file", ["config.json", "processor_config.json"])
def test_an_old_copy_that_says_too_little_is_refused(run, models, tmp_path, file):
    copy = shutil.copytree(models["opt"], tmp_path / "old")
    values = json.loads((copy / file).read_text())
    for key in ("image_token_index", "image_token_id", "num_query_tokens"):
        if file == "config.json" or key == "num_query_tokens":
            values[key] = None if "token_i" in key or file != "config.json" else values[key]
    (copy / file).write_text(json.dumps(values))
    with pytest.raises(SystemExit, match="does not say which token stands for a picture"):
        run(prompts, settings(), "--foundation", listed(copy))
