"""From a folder of files to shards and a manifest, through the stages' command lines: originals, rejections, duplicates."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import trees
from PIL import Image, ImageOps
from workflow_helpers import REPOSITORY

from pipeline.artifacts import shards
from pipeline.config.resolve import SCHEMA, build
from pipeline.data.manifest import duplicates
from pipeline.errors import InputError
from pipeline.kinds import load


def run(stage: str, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", f"pipeline.stages.{stage}", *map(str, arguments)]
    return subprocess.run(
        command, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )


BIRDS = {"source": "image_folder", "path": "birds"}


def make(raw: Path, output: Path, count: int = 1, dataset=BIRDS, **keys) -> subprocess.CompletedProcess:
    """Subset, store and manifest of raw pictures under `output`; the last or the first failed stage's run."""
    part = build(SCHEMA, "datasets", "some", {**dataset, **keys})
    ran = run("subset", "--config", json.dumps(part.settings()), "--raw", raw, "--output", output / "pictures.parquet")
    stored = [output / f"real/shard-{shard:05d}.tar" for shard in range(count)]
    for shard, path in enumerate(stored):
        if ran.returncode == 0:
            ran = run("store", "--config", json.dumps(part.storing_settings()), "--raw", raw, "--shard", f"{shard} of {count}",
                      "--pictures", output / "pictures.parquet", "--output", path)  # fmt: skip
    if ran.returncode == 0:
        ran = run("manifest", "--config", json.dumps(part.gathering_settings()), "--indices",
                  *(path.with_suffix(".parquet") for path in stored), "--rejected",
                  *(path.with_suffix(".rejected.parquet") for path in stored),
                  "--output", output / "manifest.parquet")  # fmt: skip
    return ran


def make_here(raw: Path, output: Path, **keys) -> None:
    """As `make`, in this process: a hundred times as fast."""
    part = build(SCHEMA, "datasets", "some", {**BIRDS, **keys})
    pictures, shard = output / "pictures.parquet", output / "real/shard-00000"
    for stage, settings, *arguments in (
        ("subset", part.settings(), "--raw", raw, "--output", pictures),
        (
            "store",
            part.storing_settings(),
            "--raw",
            raw,
            "--shard",
            "0 of 1",
            "--pictures",
            pictures,
            "--output",
            f"{shard}.tar",
        ),
        (
            "manifest",
            part.gathering_settings(),
            "--indices",
            f"{shard}.parquet",
            "--rejected",
            f"{shard}.rejected.parquet",
            "--output",
            output / "manifest.parquet",
        ),
    ):
        run_here(stage, "--config", json.dumps(settings), *arguments)


def run_here(name: str, *arguments) -> None:
    stage = load("stages", name)
    stage.main(stage.arguments().parse_args(list(map(str, arguments))))


@pytest.fixture
def birds(tmp_path) -> Path:
    """Pictures of 20 x 20 in two classes of 6, with a test split of one each."""
    files = {}
    for label, name in enumerate(("owl", "wren")):
        files |= {f"train/{name}/{i}.jpg": trees.picture(10 * label + i, side=20) for i in range(6)}
        files |= {f"test/{name}/t.png": trees.picture(100 + label, side=24, format="PNG")}
    return trees.put(tmp_path / "birds", files)


def test_originals_lie_in_the_shards_untouched(birds, tmp_path):
    ran = make(birds, tmp_path / "made", count=3)
    assert ran.returncode == 0, ran.stdout
    manifest = shards.read_table(tmp_path / "made/manifest.parquet")
    assert manifest["split"].value_counts().to_dict() == {"train": 12, "test": 2}
    assert manifest["shard"].nunique() == 3 and manifest["key"].is_unique
    for row in manifest.itertuples():
        data = (tmp_path / "made" / row.shard).read_bytes()[row.offset : row.offset + row.size]
        assert data == (birds / row.source).read_bytes()
    assert not len(pd.read_parquet(tmp_path / "made/rejected.parquet"))


def test_the_number_of_shards_changes_no_record(birds, tmp_path):
    tables = []
    for count in (1, 4):
        assert make(birds, tmp_path / str(count), count).returncode == 0
        manifest = shards.read_table(tmp_path / str(count) / "manifest.parquet")
        tables.append(manifest.drop(columns=["shard", "offset"]))
    pd.testing.assert_frame_equal(*tables)


def test_pictures_of_different_sizes_are_read_at_a_side(birds, tmp_path):
    assert make(birds, tmp_path / "made").returncode == 0
    manifest = shards.read_table(tmp_path / "made/manifest.parquet")
    with pytest.raises(ValueError, match=r"different sizes.*give `side`"):
        shards.read_pictures(manifest, tmp_path / "made")
    assert shards.read_pictures(manifest, tmp_path / "made", side=12).shape == (14, 12, 12, 3)


def test_store_side_makes_what_is_stored_smaller(birds, tmp_path):
    assert make(birds, tmp_path / "made", store_side=10).returncode == 0
    manifest = shards.read_table(tmp_path / "made/manifest.parquet")
    assert shards.read_pictures(manifest, tmp_path / "made").shape == (14, 10, 10, 3)


def test_a_few_unreadable_pictures_are_left_out_and_listed(birds, tmp_path):
    (birds / "train/owl/2.jpg").write_bytes(b"")
    whole = (birds / "train/wren/3.jpg").read_bytes()
    (birds / "train/wren/3.jpg").write_bytes(whole[: len(whole) // 2])
    ran = make(birds, tmp_path / "made", count=2, most_rejected=0.2)
    assert ran.returncode == 0, ran.stdout
    rejected = pd.read_parquet(tmp_path / "made/rejected.parquet").set_index("source")
    assert set(rejected.index) == {"train/owl/2.jpg", "train/wren/3.jpg"}
    assert rejected.loc["train/owl/2.jpg", "reason"] == "the file is empty"
    assert "Truncated" in rejected.loc["train/wren/3.jpg", "reason"]
    manifest = shards.read_table(tmp_path / "made/manifest.parquet")
    assert len(manifest) == 12 and not set(manifest["source"]) & set(rejected.index)


def test_too_many_unreadable_pictures_stop_with_the_list(birds, tmp_path):
    for i in range(4):
        (birds / f"train/owl/{i}.jpg").write_bytes(b"nothing")
    ran = make(birds, tmp_path / "made")
    assert ran.returncode == 1 and "Traceback" not in ran.stdout
    said = ran.stdout.splitlines()[-1]
    assert said.startswith("error: 4 of 14 pictures cannot be read; most_rejected allows a share of 0.001")
    assert "train/owl/0.jpg" in said and "real/*.rejected.parquet" in said
    assert f"-R {tmp_path}/made/pictures.parquet -- {tmp_path}/made/manifest.parquet" in said
    assert not (tmp_path / "made/manifest.parquet").exists()
    assert len(pd.read_parquet(tmp_path / "made/real/shard-00000.rejected.parquet")) == 4


def test_three_unreadable_pictures_are_no_error_unless_none_is_allowed(birds, tmp_path):
    for i in range(3):
        (birds / f"train/owl/{i}.jpg").write_bytes(b"nothing")
    make_here(birds, tmp_path / "made")
    assert len(shards.read_table(tmp_path / "made/rejected.parquet")) == 3
    with pytest.raises(InputError, match=r"^3 of 14 pictures cannot be read"):
        make_here(birds, tmp_path / "none", most_rejected=0)


def deep(highest: int, wide: bool = False) -> bytes:
    """A grey TIFF of 16 or 32 bits with levels up to `highest`."""
    levels = np.linspace(0, highest, 64).round().reshape(8, 8).astype(np.int32 if wide else np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "TIFF")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("highest", "wide", "levels", "told"),
    [
        (
            4095,
            False,
            None,
            "in 14 files of 16 or 32 bits is 4,095, so that all pictures would be dark; .* example 4095, or to 65535",
        ),
        (
            255,
            True,
            None,
            "is 255, so that all .* dark; set `levels` of the data set to the level that is white, for example 255",
        ),
        (16383, False, None, "is 16,383, so that all pictures would be dark"),
        (100_000, True, None, "is 100,000, and levels over 65,535 would all be white; .* for example 131071"),
        (65535, False, 4095, "is 65,535, and levels over 4,095 would all be white"),
        (65535, False, None, None),
        (40_000, False, None, None),
        (4095, False, 4095, None),
        (255, True, 255, None),
        (4095, False, 65535, None),
    ],
)
def test_levels_of_deep_files_are_measured(tmp_path, highest, wide, levels, told):
    names = [
        f"{split}/{name}/{i}.tif"
        for name in ("owl", "wren")
        for split, n in (("train", 6), ("test", 1))
        for i in range(n)
    ]
    raw = trees.put(tmp_path / "birds", {name: deep(highest - i, wide) for i, name in enumerate(names)})
    if told:
        with pytest.raises(InputError, match=f"^the highest level .*{told}"):
            make_here(raw, tmp_path / "made", levels=levels)
        return
    make_here(raw, tmp_path / "made", levels=levels)
    manifest = shards.read_table(tmp_path / "made/manifest.parquet")
    assert manifest["brightest"].max() == highest
    shown = shards.read_pictures(manifest, tmp_path / "made").max()
    assert shown == highest * 255 // (levels or 65535)


def test_a_description_has_what_was_skipped_and_the_brightest_levels(birds, tmp_path, capsys):
    trees.put(birds, {"train/owl/a.heic": "", "train/owl/@eaDir/1.jpg": "", "loose.png": ""})
    dark = Image.new("RGB", (20, 20), (9, 9, 9))
    for i in range(6):
        dark.save(birds / f"train/wren/{i}.jpg")
    (birds / "test/wren/again.jpg").write_bytes((birds / "train/owl/0.jpg").read_bytes())
    (birds / "train/tit").mkdir()
    dark.save(birds / "train/tit/0.png")
    made = tmp_path / "made"
    make_here(birds, made, smallest_class=2)
    assert "2 pictures are in two classes, first test/wren/again.jpg and train/owl/0.jpg" in capsys.readouterr().out
    inputs = ("--manifest", made / "manifest.parquet", "--pictures", made / "pictures.parquet")
    run_here("describe", *inputs, "--output", made / "d")
    classes = pd.read_csv(made / "d/classes.csv").set_index("class_name")["brightest"]
    assert classes["wren"] == 9 and classes["owl"] > 100
    said = (made / "d/summary.md").read_text()
    for line in (
        rf"brightest level +\| {classes['owl']} of 255; in wren 9 ",
        r"pictures in two classes +\| 2, first test/wren/again.jpg and train/owl/0.jpg",
        rf"files with the ending \.heic +\| 1 +\| first {birds}/train/owl/a\.heic",
        rf"files and folders called @eaDir +\| 1 +\| first {birds}/train/owl/@eaDir",
        rf"pictures beside the folders of classes +\| 1 +\| first {birds}/loose\.png",
        r"classes with fewer pictures than smallest_class +\| 1 +\| tit ",
    ):
        assert re.search(line, said), said


def test_a_class_without_test_pictures_is_listed_and_has_no_accuracy(tmp_path, capsys):
    files = {
        f"{name}/{i}.jpg": trees.picture(i, side=20)
        for name, n in (("owl", 9), ("tit", 1), ("wren", 6))
        for i in range(n)
    }
    raw = trees.put(tmp_path / "birds", files)
    make_here(raw, tmp_path / "made", test_share=0.2)
    assert "1 classes have no test picture, and no accuracy of their own: tit" in capsys.readouterr().out


def test_a_class_that_loses_all_its_pictures_is_told(birds, tmp_path):
    for i in range(6):
        (birds / f"train/owl/{i}.jpg").write_bytes(b"nothing")
    ran = make(birds, tmp_path / "made", most_rejected=0.9)
    assert ran.returncode == 1 and "no training picture of owl can be read" in ran.stdout.splitlines()[-1]


def test_a_class_that_loses_all_its_test_pictures_is_told(birds, tmp_path):
    for path in (birds / "test/owl").iterdir():
        path.write_bytes(b"nothing")
    ran = make(birds, tmp_path / "made", most_rejected=0.9)
    assert ran.returncode == 1 and "no test picture of owl can be read" in ran.stdout.splitlines()[-1]


def test_nothing_but_unreadable_pictures_is_told(birds, tmp_path):
    for path in birds.rglob("*.*"):
        path.write_bytes(b"nothing")
    ran = make(birds, tmp_path / "made")
    assert ran.returncode == 1 and ran.stdout.splitlines()[-1].startswith("error: 14 of 14 pictures cannot be read")


def test_a_raw_file_that_has_gone_meanwhile_stops_the_job(birds, tmp_path):
    """A disk that is not there is no reason to reject pictures."""
    assert make(birds, tmp_path / "made").returncode == 0
    (birds / "train/owl/2.jpg").unlink()
    part = build(SCHEMA, "datasets", "some", BIRDS)
    ran = run("store", "--config", json.dumps(part.storing_settings()), "--raw", birds, "--shard", "0 of 1",
              "--pictures", tmp_path / "made/pictures.parquet", "--output", tmp_path / "again/s.tar")  # fmt: skip
    assert ran.returncode == 1
    assert ran.stdout.splitlines()[-1] == (
        f"error: {birds}/train/owl/2.jpg: No such file or directory; fix that and run snakemake again"
    )
    assert not list((tmp_path / "again").iterdir())


def test_a_test_picture_that_is_a_training_picture_too_is_reported(birds, tmp_path):
    (birds / "test/wren/copy.jpg").write_bytes((birds / "train/owl/4.jpg").read_bytes())
    ran = make(birds, tmp_path / "made", count=2)
    assert ran.returncode == 0 and "1 test pictures are also training pictures" in ran.stdout
    (row,) = pd.read_parquet(tmp_path / "made/duplicates.parquet").to_dict("records")
    assert (row["test_source"], row["train_source"]) == ("test/wren/copy.jpg", "train/owl/4.jpg")
    manifest = shards.read_table(tmp_path / "made/manifest.parquet").set_index("key")
    assert manifest.loc[row["test_key"], "source"] == row["test_source"]
    assert not len(duplicates(manifest.reset_index().query("split == 'train'")))


def test_many_copies_of_one_picture_are_one_duplicate_each():
    manifest = pd.DataFrame(
        {"digest": "same", "split": ["train", "test"] * 40_000, "key": [f"{i}" for i in range(80_000)]}
    )
    found = duplicates(manifest.assign(source=manifest["key"]))
    assert len(found) == 40_000 and set(found["train_key"]) == {"0"}


def test_the_thousand_real_imagenet_pictures_take_imagenets_road(shared_data, tmp_path):
    """The 1,000 sample pictures under file names that the official 90-class lists give, eleven or twelve a class."""
    raw, output = tmp_path / "imagenet", tmp_path / "made"
    lists = trees.real_imagenet(shared_data, raw)
    ran = make(raw, output, count=2, dataset={"source": "imagenet"})
    assert ran.returncode == 0, ran.stdout
    manifest = shards.read_table(output / "manifest.parquet")
    assert manifest["split"].value_counts().to_dict() == {split: len(rows) for split, rows in lists.items()}
    assert manifest["class"].nunique() == 90
    assert not len(pd.read_parquet(output / "rejected.parquet")) and not len(
        pd.read_parquet(output / "duplicates.parquet")
    )
    pictures = shards.read_pictures(manifest, output, side=64)
    for i in (0, 500, 999):
        shown = ImageOps.fit(Image.open(raw / manifest["source"][i]).convert("RGB"), (64, 64), Image.Resampling.LANCZOS)
        assert (pictures[i] == np.asarray(shown)).all()
