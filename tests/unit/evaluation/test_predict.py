"""The stage `predict`: the figures of `evaluate` on the same pictures, from the weights alone, and what it refuses."""

import json
import os
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import save_file

from pipeline.artifacts import shards
from pipeline.classifiers import network as networks
from pipeline.config.resolve import SCHEMA, build
from pipeline.data.raw import FileSource
from pipeline.data.stored import each_row, records
from pipeline.errors import InputError
from pipeline.jobs import command
from pipeline.stages import classifier, evaluate, predict

NAMES = [f"class {label}" for label in range(7)]


def trained(root, side, store_side, sizes, levels=None):
    """A classifier trained for an epoch on random pictures below root/raw, and its predictions for the test split."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(28):
        source = f"{NAMES[number % 7]}/{number}.png"
        (root / "raw" / source).parent.mkdir(parents=True, exist_ok=True)
        height, width = sizes(random)
        coarse = Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8))
        fine = coarse.resize((width, height), Image.Resampling.BICUBIC)
        if levels:  # grey, in 16 bits
            fine = Image.fromarray(np.asarray(fine.convert("L"), np.uint16) * (levels // 255))
        fine.save(root / "raw" / source)
        rows.append((f"{number}", source, number % 7, NAMES[number % 7], "train" if number < 14 else "test"))
    pictures = pd.DataFrame(rows, columns=["key", "source", "class", "class_name", "split"])
    stored = records(each_row(pictures), FileSource(root / "raw", list), store_side, [], levels)
    index = shards.write(root / "real.tar", stored)
    shards.write_table(index, root / "manifest.parquet")
    keys = {"data": ["real"], "backbone": "small", "width": 4, "epochs": 1, "warmup_epochs": 0, "batch_size": 4}
    settings = build(SCHEMA, "classifiers", "some", keys | {"side": side, "augment": []}).settings()
    settings["stored"] = {"source": "image_folder", "store_side": store_side, "levels": levels}
    given = ["--manifest", root / "manifest.parquet", "--seed", 0]
    run(classifier, *given, "--config", json.dumps(settings), "--output", root)
    run(evaluate, *given, "--weights", root / "weights.safetensors", "--output", root)
    return pd.read_parquet(root / "predictions.parquet")


def run(stage, *given):
    stage.main(stage.arguments().parse_args(list(map(str, given))))


def predicted(root, *pictures):
    run(predict, "--weights", root / "weights.safetensors", "--output", root / "found.csv", *pictures)
    return pd.read_csv(root / "found.csv")


def any_size(random):
    return random.integers(70, 160, 2)


@pytest.mark.parametrize(
    ("side", "store_side", "sizes", "levels"),
    [
        (16, None, any_size, None),
        (16, 30, any_size, None),
        (72, 80, any_size, None),
        (None, None, lambda random: (12, 12), None),
        (None, None, lambda random: (12, 16), None),
        (16, None, any_size, 4095),
    ],
)
def test_predictions_are_those_of_evaluate(side, store_side, sizes, levels, tmp_path):
    """From the raw files, and so the weights say in which size, and with which white, a data set's pictures are stored."""
    expected = trained(tmp_path, side, store_side, sizes, levels)
    found = predicted(tmp_path, tmp_path / "raw").set_index("file")
    assert list(found) == ["class", "probability", *(f"{n}_{i}" for i in range(2, 6) for n in ("class", "probability"))]
    assert len(found) == 28
    found = found.loc[[f"{tmp_path}/raw/{file}" for file in expected["file"]]]
    assert found["class"].tolist() == expected["predicted_name"].tolist()
    assert found["probability"].tolist() == expected["top_probability"].round(6).tolist()
    several = found[[f"probability{place}" for place in ("", "_2", "_3", "_4", "_5")]].to_numpy()
    assert (np.diff(several, axis=1) <= 0).all() and (several.sum(1) <= 1).all()
    assert all(
        len({row[f"class{place}"] for place in ("", "_2", "_3", "_4", "_5")}) == 5 for _, row in found.iterrows()
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A classifier of stored pictures, 12 px wide."""
    folder = tmp_path_factory.mktemp("trained")
    trained(folder, None, None, lambda random: (12, 12))
    return folder


def test_pictures_of_any_size_are_scaled_to_the_stored_ones(root, tmp_path):
    large = Image.open(root / "raw/class 0/0.png").resize((600, 600), Image.Resampling.NEAREST)
    large.save(tmp_path / "large.png")
    one, other = predicted(root, root / "raw/class 0/0.png", tmp_path / "large.png").itertuples()
    assert (one[2], one.probability) == (other[2], pytest.approx(other.probability, abs=0.02))


def test_unreadable_files_are_skipped_and_listed(root, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG but not really")
    found = predicted(root, tmp_path / "broken.png", root / "raw/class 0/0.png", root / "raw/class 0/0.png")
    assert found["file"].tolist() == [f"{root}/raw/class 0/0.png"]
    said = capsys.readouterr().out
    assert (
        f"skipped {tmp_path}/broken.png: UnidentifiedImageError" in said and "1 pictures predicted, 1 skipped" in said
    )
    with pytest.raises(InputError, match="none of the 1 files can be read as a picture"):
        predicted(root, tmp_path / "broken.png")


def test_a_name_that_is_no_text_stays_the_name(root, tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / name).write_bytes((root / "raw/class 0/0.png").read_bytes())
    run(predict, "--weights", root / "weights.safetensors", "--output", tmp_path / "found.csv", tmp_path / name)
    assert b"caf\xe9.png,class " in (tmp_path / "found.csv").read_bytes()


def test_what_predict_cannot_do_is_one_sentence(root, tmp_path):
    picture = root / "raw/class 0/0.png"
    networks.save(networks.Network("small", 4, 2, [0.5] * 3, [0.5] * 3), tmp_path / "old.safetensors", {"steps": 1})
    save_file({"a": np.zeros(1)}, tmp_path / "other.safetensors")
    for weights, words in (
        ("missing.safetensors", "missing.safetensors is missing"),
        ("old.safetensors", "is of an earlier version, without the names of its classes; train the classifier again"),
        ("other.safetensors", r"is no classifier; give a weights\.safetensors of results/<dataset>/classifier"),
    ):
        with pytest.raises(InputError, match=words):
            run(predict, "--weights", tmp_path / weights, "--output", tmp_path / "found.csv", picture)
    with pytest.raises(InputError, match=r"nothing\.png is missing; give folders or files of pictures"):
        predicted(root, picture, tmp_path / "nothing.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty has no pictures"):
        predicted(root, tmp_path / "empty")


def test_pictures_that_are_no_squares_as_the_stored_ones_must_be_of_their_size(tmp_path):
    trained(tmp_path, None, None, lambda random: (12, 16))
    Image.new("RGB", (20, 20)).save(tmp_path / "square.png")
    with pytest.raises(InputError, match="are 20 x 20 pixels, but the classifier was trained on 16 x 12; scale them"):
        predicted(tmp_path, tmp_path / "square.png")


def test_the_command_line_takes_files_and_folders(root, tmp_path, monkeypatch):
    given = ["predict", "--weights", root / "weights.safetensors", root / "raw/class 0", root / "raw/class 1/1.png"]
    monkeypatch.setattr(sys, "argv", list(map(str, [*given, "--output", tmp_path / "new/found.csv"])))
    command.run(predict.main, predict.arguments())
    assert len(pd.read_csv(tmp_path / "new/found.csv")) == 5
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["found.csv"]


def test_a_folder_as_output_is_told_before_the_work(tmp_path):
    with pytest.raises(InputError, match=r"is a folder; give --output a file, .*predictions\.csv for example"):
        run(predict, "--weights", tmp_path / "none.safetensors", "--output", tmp_path, tmp_path)


def test_a_folder_or_a_table_as_weights_is_no_classifier(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "table.csv").write_text("a,b")
    for weights in (tmp_path, tmp_path / "table.csv"):
        with pytest.raises(
            InputError, match=r"is no classifier; give a weights\.safetensors of results/<dataset>/classif"
        ):
            run(predict, "--weights", weights, "--output", tmp_path / "found.csv", tmp_path / "a.png")
