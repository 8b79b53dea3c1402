"""Every source on a made-up tree in its owners' layout: which pictures it finds, as what, and what it says where some are missing."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import trees

from pipeline import kinds
from pipeline.config.datasets import SOURCES
from pipeline.config.resolve import SCHEMA, build
from pipeline.data import imagenet, imagenet_pareto
from pipeline.data.imagenet100_classes import COUNTS
from pipeline.data.imagenet_classes import CLASSES
from pipeline.data.shots import shots
from pipeline.data.subset import subset
from pipeline.errors import InputError

WNIDS = trees.WNIDS


def settings(source: str, **keys) -> dict:
    """A data set's settings as the config makes them."""
    return build(SCHEMA, "datasets", "some", {"source": source, **keys}).settings()


def listed(folder: Path, source: str, **keys) -> pd.DataFrame:
    """The subset's table for a folder of raw pictures."""
    given = settings(source, **keys)
    return subset(kinds.load("data", source).open_source(folder, given).pictures(), given)


def count(table: pd.DataFrame, split: str) -> dict[str, int]:
    return table.loc[table["split"] == split, "class_name"].value_counts(sort=False).to_dict()


KEYS = {"fashion_mnist": {"imbalance_factor": 10}, "image_folder": {"path": "birds"}}


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_says_where_its_files_are_looked_for_and_how_to_get_them(source, tmp_path):
    location = kinds.load("data", source).LOCATION
    if location.needs and not location.fetched:
        complaint = location.complain(tmp_path / "nothing")
        assert str(tmp_path / "nothing") in complaint and location.how_to_get in complaint
        (tmp_path / "empty").mkdir()
        assert location.needs[0] == "." or location.needs[0].split("|")[0] in location.complain(tmp_path / "empty")
        with pytest.raises(InputError, match="nothing"):
            listed(tmp_path / "nothing", source, **KEYS.get(source, {}))


# ImageNet


def imagenet_of(monkeypatch, *wnids):
    """An ImageNet of these classes only."""
    few = {wnid: CLASSES[wnid] for wnid in wnids}
    for module in ("imagenet_classes", "imagenet_folders"):
        monkeypatch.setattr(f"pipeline.data.{module}.CLASSES", few)


@pytest.mark.parametrize("flat", [False, True])
def test_imagenet_lt_is_what_the_lists_say(tmp_path, flat):
    root = trees.imagenet(tmp_path, {WNIDS[0]: 6, WNIDS[7]: 4}, flat=flat)
    table = listed(root, "imagenet")
    assert count(table, "train") == {"tench": 3, CLASSES[WNIDS[7]]: 2}
    assert count(table, "val") == {"tench": 3, CLASSES[WNIDS[7]]: 2}
    assert count(table, "test") == {"tench": 2, CLASSES[WNIDS[7]]: 2}
    assert set(table["class"]) == {0, 1} and table["key"].is_unique
    source = imagenet.open_source(root, settings("imagenet"))
    assert all(source.read(name).startswith(b"\xff\xd8") for name in table["source"])


def test_rest_is_what_the_lists_leave_out(tmp_path):
    root = trees.imagenet(tmp_path, {WNIDS[0]: 6, WNIDS[7]: 4})
    for wnid in (WNIDS[0], WNIDS[7]):
        trees.put(root, {f"train/{wnid}/unlisted.JPEG": trees.picture(1)})
    table = listed(root, "imagenet", rest=True)
    assert count(table, "rest") == {"tench": 1, CLASSES[WNIDS[7]]: 1}
    assert table.groupby("class_name")["class"].nunique().eq(1).all()
    assert count(listed(root, "imagenet"), "rest") == {}


def test_labels_that_are_not_imagenets_are_told(tmp_path):
    root = trees.imagenet(tmp_path, {WNIDS[0]: 6, WNIDS[1]: 4})
    file = root / "ImageNet_LT_train.txt"
    for other in (5, 1000):
        file.write_text("\n".join(line.replace(" 1", f" {other}") for line in file.read_text().splitlines()))
        with pytest.raises(
            InputError, match=rf"{WNIDS[1]}_0.JPEG the label {other}; labels must be positions among the sorted"
        ):
            listed(root, "imagenet")
        file.write_text(file.read_text().replace(f" {other}", " 1"))


def test_official_imagenet_lists_have_the_published_counts(shared_data):
    """The per-class counts of the full list, whose rows are not at hand, and the 90-class rows that are."""
    known = json.loads(gzip.decompress((shared_data / "splits/imagenet_classes.json.gz").read_bytes()))
    counts = np.array([entry["lt_train_count"] for entry in known])
    assert counts.sum() == 115_846
    assert [(shots(counts) == shot).sum() for shot in ("many", "medium", "few")] == [385, 479, 136]
    assert [entry["wnid"] for entry in known] == WNIDS
    assert [entry["clip_name"] for entry in known] == list(CLASSES.values())


def test_pareto_selection_needs_no_lists_and_keeps_the_bounds(tmp_path, monkeypatch):
    counts = imagenet_pareto.pareto_counts(1000)
    assert counts[0] == 1280 and counts.min() == 5 and (np.diff(counts) <= 0).all()
    imagenet_of(monkeypatch, *WNIDS[:3])
    monkeypatch.setattr(imagenet_pareto, "LARGEST", 12)
    monkeypatch.setattr(imagenet_pareto, "SMALLEST", 2)
    root = trees.imagenet(tmp_path, dict.fromkeys(WNIDS[:3], 12))
    for name in imagenet.LISTS.values():
        (root / name).unlink()
    with pytest.raises(InputError, match=r"lacks ImageNet_LT_train.txt.*source: imagenet_pareto"):
        listed(root, "imagenet")
    table = listed(root, "imagenet_pareto", rest=True)
    assert sorted(count(table, "train").values(), reverse=True) == imagenet_pareto.pareto_counts(3).tolist()
    assert len(table[table["split"].isin(["train", "rest"])]) == 36
    assert sum(count(table, "test").values()) == 6
    largest = max(count(table, "train"), key=count(table, "train").get)
    (wnid,) = [wnid for wnid in WNIDS[:3] if CLASSES[wnid] == largest]
    for i in range(3):
        (root / f"train/{wnid}/{wnid}_{i}.JPEG").unlink()
    assert count(listed(root, "imagenet_pareto"), "train")[largest] == 9, "no more than a class has"


def test_imagenet100_has_fill_ups_counts():
    assert len(COUNTS) == 100 and sum(COUNTS.values()) == 19_051
    expected = [int(1000 * (1 / 200) ** (i / 99)) for i in range(100)]
    assert sorted(COUNTS.values(), reverse=True) == expected
    groups = shots(np.array(list(COUNTS.values()))).tolist()
    assert [groups.count(shot) for shot in ("many", "medium", "few")] == [43, 31, 26]
    assert set(COUNTS) <= set(CLASSES)


def test_imagenet100_is_drawn_from_the_folders(tmp_path, monkeypatch):
    few = {"n01494475": 4, "n01601694": 1}
    monkeypatch.setattr("pipeline.data.imagenet100_classes.COUNTS", few)
    root = trees.imagenet(tmp_path, dict.fromkeys(few, 5))
    table = listed(root, "imagenet100", rest=True)
    assert count(table, "train") == {"hammerhead shark": 4, "American dipper": 1}
    assert count(table, "rest") == {"hammerhead shark": 1, "American dipper": 4}
    assert count(table, "test") == {"hammerhead shark": 2, "American dipper": 2}
    again = listed(root, "imagenet100", rest=True)
    other = listed(root, "imagenet100", rest=True, selection_seed=1)
    assert again.equals(table) and not other.equals(table)


def test_a_class_with_too_few_pictures_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.data.imagenet100_classes.COUNTS", {WNIDS[0]: 9})
    root = trees.imagenet(tmp_path, {WNIDS[0]: 5})
    with pytest.raises(InputError, match="class 0 has 5 training pictures, fewer than the 9 asked"):
        listed(root, "imagenet100")


def test_a_flat_val_folder_without_lists_is_told(tmp_path, monkeypatch):
    root = trees.imagenet(tmp_path, {WNIDS[0]: 5}, flat=True)
    with pytest.raises(InputError, match=r"val is flat.* folder for each WordNet id"):
        listed(root, "imagenet100")


def test_listed_files_that_are_missing_are_counted_and_the_first_named(tmp_path):
    root = trees.imagenet(tmp_path, {WNIDS[0]: 20})
    for i in range(0, 14, 2):
        (root / f"train/{WNIDS[0]}/{WNIDS[0]}_{i}.JPEG").unlink()
    with pytest.raises(InputError, match=r"7 of 22 listed files are not in .*_0\.JPEG, .*_8\.JPEG\)") as told:
        listed(root, "imagenet")
    assert "_10.JPEG" not in str(told.value)


# Places


def test_places_lt_is_what_the_lists_say(tmp_path):
    root = trees.places(tmp_path, {"airfield": 5, "airplane_cabin": 1})
    trees.put(root, {"train/airfield/unlisted.jpg": trees.picture(3)})
    table = listed(root, "places")
    assert count(table, "train") == {"airfield": 5, "airplane cabin": 1}
    assert count(table, "val") == count(table, "test") == {"airfield": 2, "airplane cabin": 2}
    assert count(listed(root, "places", rest=True), "rest") == {"airfield": 1}


def test_official_places_lists_have_the_published_counts(shared_data, tmp_path, monkeypatch):
    for split in ("train", "val", "test"):
        packed = shared_data / f"splits/Places_LT_{split}.txt.gz"
        trees.put(tmp_path, {f"Places_LT_{split}.txt": gzip.decompress(packed.read_bytes())})
    for folder in ("train", "val"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr("pipeline.data.files.require_files", lambda *_: None)
    table = listed(tmp_path, "places")
    counts = np.bincount(table.loc[table["split"] == "train", "class"])
    assert counts.sum() == 62_500 and counts.max() == 4980 and counts.min() == 5 and len(counts) == 365
    assert [(shots(counts) == shot).sum() for shot in ("many", "medium", "few")] == [131, 163, 71]
    assert (table["split"] == "val").sum() == 7300 and (table["split"] == "test").sum() == 36_500


def test_one_label_for_two_folders_is_told(tmp_path):
    root = trees.places(tmp_path, {"airfield": 2, "alley": 2})
    file = root / "Places_LT_train.txt"
    file.write_text(file.read_text().replace(" 1", " 0"))
    with pytest.raises(InputError, match=r"different folders one label \(first: .*alley"):
        listed(root, "places")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("train/airfield/1.jpg", "line 1: 'train/airfield/1.jpg' must be a path, a space and a label"),
        ("train/airfield/1.jpg x", "line 1: .* must be a path, a space and a label"),
        ("../../etc/passwd 0", "line 1: '../../etc/passwd' lies outside"),
        ("/etc/passwd 0", "line 1: '/etc/passwd' lies outside"),
        ("", "is empty"),
    ],
)
def test_a_wrong_line_of_a_list_is_told(tmp_path, line, told):
    root = trees.places(tmp_path, {"airfield": 2})
    (root / "Places_LT_train.txt").write_text(line + "\n")
    with pytest.raises(InputError, match=rf"Places_LT_train.txt.*{told}"):
        listed(root, "places")


# iNaturalist


def test_inaturalist_is_the_same_from_lists_and_from_annotations(tmp_path):
    lines = trees.inaturalist(tmp_path, [4, 1, 2])
    lists = {f"iNaturalist18_{split}.txt": "\n".join(rows) for split, rows in lines.items()}
    annotations = {}
    for split, rows in lines.items():
        images = [{"id": i, "file_name": row.split()[0]} for i, row in enumerate(rows)]
        labels = [{"image_id": i, "category_id": int(row.split()[1])} for i, row in enumerate(rows)]
        annotations[f"{split}2018.json"] = json.dumps({"images": images[::-1], "annotations": labels})
    names = {"categories.json": json.dumps([{"id": i, "name": f"Parus {i}"} for i in range(3)])}
    trees.put(tmp_path, lists | names)
    first = listed(tmp_path, "inaturalist2018")
    assert count(first, "train") == {"Parus 0": 4, "Parus 1": 1, "Parus 2": 2}
    assert count(first, "test") == {"Parus 0": 1, "Parus 1": 1, "Parus 2": 1}
    for name in lists:
        (tmp_path / name).unlink()
    with pytest.raises(InputError, match=r"lacks iNaturalist18_train.txt or train2018.json"):
        listed(tmp_path, "inaturalist2018")
    trees.put(tmp_path, annotations)
    second = listed(tmp_path, "inaturalist2018")
    columns = ["source", "class", "class_name", "split"]
    by_source = [table[columns].sort_values("source", ignore_index=True) for table in (first, second)]
    assert by_source[0].equals(by_source[1])
    (tmp_path / "categories.json").write_text("[")
    with pytest.raises(InputError, match=r"categories.json is damaged"):
        listed(tmp_path, "inaturalist2018")


def test_official_inaturalist_list_is_read(shared_data, tmp_path, monkeypatch):
    rows = gzip.decompress((shared_data / "splits/iNaturalist18_val.txt.gz").read_bytes())
    trees.put(tmp_path, {"iNaturalist18_train.txt": rows, "iNaturalist18_val.txt": rows, "train_val2018/x": b""})
    monkeypatch.setattr("pipeline.data.files.require_files", lambda *_: None)
    table = listed(tmp_path, "inaturalist2018")
    assert (table["split"] == "test").sum() == 24_426 and table["class"].nunique() == 8142


# NICO++


def test_nico_follows_subpopbench(tmp_path):
    groups = {
        ("autumn", "bear"): 100,
        ("dim", "bear"): 75,
        ("autumn", "cat"): 20,
        ("water", "cat"): 76,
        ("water", "ant"): 77,
    }
    table = listed(trees.nico(tmp_path, groups), "nico")
    assert sorted(table["class_name"].unique()) == ["ant", "bear", "cat"]
    assert table.groupby("class_name")["class"].first().to_dict() == {"ant": 0, "bear": 1, "cat": 2}
    sizes = table.groupby(["group", "split"]).size().to_dict()
    for (context, label), total in groups.items():
        held_out = min(total, 75)
        expected = {"val": held_out // 3, "test": held_out - held_out // 3, "train": total - held_out}
        found = {split: sizes.get((f"{label}, {context}", split), 0) for split in expected}
        assert found == expected, (context, label)


def test_nico_does_not_depend_on_the_order_of_files_or_on_other_groups(tmp_path, monkeypatch):
    root = trees.nico(tmp_path / "a", {("dim", "bear"): 90, ("dim", "cat"): 80})
    table = listed(root, "nico")
    trees.nico(root, {("autumn", "bear"): 80, ("dim", "ant"): 80})
    more = listed(root, "nico")
    splits = [found.set_index("source")["split"] for found in (table, more)]
    assert splits[1][splits[0].index].equals(splits[0])
    scan = os_scandir_reversed(monkeypatch)
    assert listed(root, "nico").equals(more)
    assert scan["calls"]


def test_nicos_labels_that_differ_in_case_only_are_told(tmp_path):
    root = trees.nico(tmp_path, {("dim", "bear"): 80, ("rock", "Bear"): 80})
    with pytest.raises(InputError, match="'Bear' and 'bear' differ only in case"):
        listed(root, "nico")


def os_scandir_reversed(monkeypatch):
    """Make folders list their entries the other way round."""
    import os

    real, seen = os.scandir, {"calls": 0}

    class Reversed:
        def __init__(self, folder):
            self._entries = real(folder)

        def __enter__(self):
            seen["calls"] += 1
            return reversed(list(self._entries))

        def __exit__(self, *_):
            self._entries.close()

    monkeypatch.setattr(os, "scandir", Reversed)
    return seen


# Fashion-MNIST


@pytest.mark.parametrize("packed", [True, False])
def test_fashion_mnist_is_read_packed_or_not(tmp_path, packed):
    root = trees.fashion_mnist(tmp_path, packed)
    table = listed(root, "fashion_mnist", imbalance_factor=2, largest_class=4)
    train = np.array(list(count(table, "train").values()))
    assert train.max() == 4 and train.min() == 2
    assert sum(count(table, "test").values()) == 20
    assert sum(count(table, "train").values()) + sum(count(table, "rest").values()) == 40


def test_idx_files_that_do_not_fit_each_other_are_told(tmp_path):
    root = trees.fashion_mnist(tmp_path, packed=False)
    labels = (root / "t10k-labels-idx1-ubyte").read_bytes()
    (root / "train-labels-idx1-ubyte").write_bytes(labels)
    with pytest.raises(InputError, match="has 40 pictures for 20 labels of 10 classes"):
        listed(root, "fashion_mnist", imbalance_factor=2)
    trees.fashion_mnist(tmp_path, packed=False)
    (root / "t10k-labels-idx1-ubyte").write_bytes(labels[:-1] + b"\x0a")
    with pytest.raises(InputError, match="has 20 pictures for 20 labels of 11 classes"):
        listed(root, "fashion_mnist", imbalance_factor=2)


@pytest.mark.parametrize(
    "damage", [b"", b"\0\0\x08\x03\0\0", b"not gzip at all", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xff\xff\xff"]
)
def test_a_damaged_idx_file_is_told(tmp_path, damage):
    root = trees.fashion_mnist(tmp_path, packed=True)
    (root / "train-images-idx3-ubyte.gz").write_bytes(damage)
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte.gz is damaged .*dataset-fashion-mnist"):
        listed(root, "fashion_mnist", imbalance_factor=2)
    trees.fashion_mnist(tmp_path / "plain", packed=False)
    (tmp_path / "plain/t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x09abc")
    with pytest.raises(InputError, match="t10k-labels-idx1-ubyte is damaged"):
        listed(tmp_path / "plain", "fashion_mnist", imbalance_factor=2)


# One's own pictures


def birds(root: Path, **classes: int) -> Path:
    return trees.put(
        root, {f"{name}/{i}.png": trees.picture(i, format="PNG") for name, n in classes.items() for i in range(n)}
    )


def test_a_folder_a_class_with_a_held_out_test_split(tmp_path):
    birds(tmp_path, wren=10, robin=6, owl=5)
    trees.put(
        tmp_path, {"wren/notes.txt": "no picture", "wren/.hidden.png": b"", "wren/more/deep.JPG": trees.picture(9)}
    )
    table = listed(tmp_path, "image_folder", path="birds", test_per_class=2)
    assert count(table, "test") == {"owl": 2, "robin": 2, "wren": 2}
    assert count(table, "train") == {"owl": 3, "robin": 4, "wren": 9}
    assert "wren/more/deep.JPG" in set(table["source"])
    tail = listed(tmp_path, "image_folder", path="birds", test_per_class=1, imbalance_factor=2, largest_class=4)
    assert count(tail, "train") == {"owl": 4, "robin": 2, "wren": 2}
    assert sum(count(tail, "rest").values()) == len(table) - 3 - 8


@pytest.mark.parametrize(
    "names", [("train", "valid", "test"), ("Training", "Val", "Testing"), ("train", "val", "test")]
)
def test_folders_of_splits_in_several_spellings(tmp_path, names):
    for name, number in zip(names, (4, 3, 2), strict=True):
        birds(tmp_path / name, wren=number, robin=number)
    table = listed(tmp_path, "image_folder", path="birds")
    for split, number in (("train", 4), ("val", 3), ("test", 2)):
        assert count(table, split) == {"robin": number, "wren": number}


def test_a_class_may_be_called_valid(tmp_path):
    table = listed(birds(tmp_path, valid=3, invalid=3), "image_folder", path="birds", test_per_class=1)
    assert count(table, "train") == {"invalid": 2, "valid": 2}


def test_folders_of_splits(tmp_path):
    birds(tmp_path / "train", wren=4, robin=3)
    birds(tmp_path / "test", wren=2, robin=2)
    table = listed(tmp_path, "image_folder", path="birds")
    assert count(table, "train") == {"robin": 3, "wren": 4} and count(table, "test") == {"robin": 2, "wren": 2}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_of_pictures(tmp_path, suffix):
    birds(tmp_path, a=3, b=3)
    rows = [
        (f"{c}/{i}.png", f"{c} bird", "dusk" if i else "dawn", "test" if i == 2 else "train")
        for c in "ab"
        for i in range(3)
    ]
    table = pd.DataFrame(rows, columns=["path", "class", "group", "split"])
    table.to_csv(tmp_path / "t.csv", index=False) if suffix == "csv" else table.to_parquet(tmp_path / "t.parquet")
    found = listed(tmp_path, "image_folder", path="birds", table=f"t.{suffix}")
    assert count(found, "train") == {"a bird": 2, "b bird": 2} and count(found, "test") == {"a bird": 1, "b bird": 1}
    assert set(found["group"]) == {"dawn", "dusk"}


BAD_TABLES = {
    "missing file, first": ("path,class\na/8.png,a\na/9.png,a\n", r"2 of 2 listed files are not in .*first: a/8.png"),
    "folder": ("path,class\na,a\n", r"1 of 1 listed files are not in .*first: a\)"),
    "line after a blank and a quoted line": (
        'path,class\n\n"a/\n0.png",a\n/etc/passwd,x\n',
        r"line 5: '/etc/passwd' lies outside",
    ),
    "too many cells": ("path,class\na/0.png,a\na/1.png,a, bird\n", r"line 3: 3 columns instead of 2; put quotes"),
    "too few cells": ("path,class\n\na/0.png\n", r"line 3: 1 columns instead of 2"),
    "extra column": ("path,class,label_id\na/0.png,a,0\n", r"the column 'label_id' is unknown; remove it"),
    "repeated column": ("path,class,class\na/0.png,a,0\n", r"the column 'class' is there twice; remove one"),
    "open quote": ('path,class\n"a/0.png,a\n', r"line 2: unexpected end of data"),
    "empty file": ("", r"must have path and class"),
    "outside": ("path,class\n../../etc/passwd,x\n", r"line 2: '../../etc/passwd' lies outside"),
    "absolute": ("path,class\na/0.png,a\n/etc/passwd,x\n", r"line 3: '/etc/passwd' lies outside"),
    "no class column": ("path,label\na/0.png,x\n", r"has the columns path, label; it must have path and class"),
    "class with a slash": ("path,class\na/0.png,a/b\n", r"line 2: class 'a/b' is not a valid file name"),
    "class that is two dots": ("path,class\na/0.png,..\n", r"line 2: class '\.\.' is not a valid file name"),
    "empty class": ("path,class\na/0.png,\n", r"line 2: class '' is not a valid file name"),
    "case": ("path,class\na/0.png,Owl\na/1.png,owl\n", r"'Owl' and 'owl' differ only in case"),
    "split": ("path,class,split\na/0.png,a,dev\n", r"split 'dev' is unknown; allowed: train, val, test"),
    "missing file": ("path,class\na/9.png,a\n", r"1 of 1 listed files are not in .*first: a/9.png"),
    "twice": ("path,class\na/0.png,a\na/0.png,b\n", r"lists a/0.png twice"),
    "no rows": ("path,class\n", r"lists no pictures"),
    "no path": ("path,class\n,a\n", r"line 2: '' lies outside"),
}


@pytest.mark.parametrize(("content", "told"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_bad_table_is_told(tmp_path, content, told):
    birds(tmp_path, a=3)
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(InputError, match=told):
        listed(tmp_path, "image_folder", path="birds", table="t.csv", test_per_class=1)


def test_tables_as_spreadsheets_write_them(tmp_path):
    birds(tmp_path, a=3, b=3)
    rows = [("path", "class"), *((f"{c}/{i}.png", c) for c in "ab" for i in range(3))]
    plain = "".join(f"{path},{label}\n" for path, label in rows)
    absolute = plain.replace("a/", f"{tmp_path}/a/")
    kinds = [plain.encode("utf-8-sig"), plain.replace(",", ";").encode(), plain.replace(",", "\t").encode()]
    kinds += [plain.replace("\n", "\r\n").encode(), absolute.encode()]
    found = []
    for content in [plain.encode(), *kinds]:
        (tmp_path / "t.csv").write_bytes(content)
        found.append(listed(tmp_path, "image_folder", path="birds", table="t.csv", test_per_class=1))
    assert all(table.equals(found[0]) for table in found) and len(found[0]) == 6


def test_a_table_or_list_in_another_encoding_is_told_with_its_byte(tmp_path):
    birds(tmp_path, a=3)
    (tmp_path / "t.csv").write_bytes("path,class\na/0.png,caf\u00e9\n".encode("cp1252"))
    with pytest.raises(
        InputError, match=r"t.csv, line 2: the byte 0xe9 is not UTF-8; save the file as UTF-8 .*CSV UTF-8"
    ):
        listed(tmp_path, "image_folder", path="birds", table="t.csv", test_per_class=1)
    root = trees.places(tmp_path / "places", {"airfield": 2, "bar": 2})
    file = root / "Places_LT_train.txt"
    content = file.read_bytes()
    file.write_bytes(b"\xef\xbb\xbf" + content)
    assert count(listed(root, "places"), "train") == {"airfield": 2, "bar": 2}
    file.write_bytes(content + "\ntrain/caf\u00e9/1.jpg 0".encode("cp1252"))
    with pytest.raises(InputError, match=r"train.txt, line 5: the byte 0xe9 is not UTF-8"):
        listed(root, "places")


@pytest.mark.parametrize("name", ["birds.csv", "birds"])
def test_a_table_that_is_no_file_is_told(tmp_path, name):
    birds(tmp_path, a=3, b=3)
    (tmp_path / "birds").mkdir()
    os.mkfifo(tmp_path / "birds.csv")
    with pytest.raises(InputError, match=rf"{name} is no file; set the data set's `table` to a CSV or Parquet file in"):
        listed(tmp_path, "image_folder", path="birds", table=name, test_per_class=1)


# Whatever lies in a folder of pictures


def skipped(folder: Path, **keys) -> dict[str, tuple[int, str]]:
    """What a listing leaves out: kind -> number and which."""
    given = settings("image_folder", path="birds", **keys)
    source = kinds.load("data", "image_folder").open_source(folder, given)
    source.pictures()
    return {kind: (number, which) for kind, number, which in source.skipped()}


def test_all_that_the_decoder_reads_is_listed_and_the_rest_is_counted(tmp_path):
    birds(tmp_path, owl=3, wren=3)
    taken = {"owl/a.jfif": "JPEG", "owl/b.JPE": "JPEG", "owl/c.avif": "AVIF", "owl/d": "PNG", "wren/e.jp2": "JPEG2000"}
    left = ["owl/f.heic", "owl/g.HEIC", "wren/h.txt", "wren/LICENSE", "loose.jpg", "wren/.hidden.jpg"]
    trees.put(tmp_path, {name: trees.picture(1, format=format) for name, format in taken.items()})
    trees.put(tmp_path, dict.fromkeys(left, "text"))
    table = listed(tmp_path, "image_folder", path="birds", test_per_class=1)
    assert len(table) == 11 and set(taken) < set(table["source"])
    assert skipped(tmp_path) == {
        "files with the ending .heic": (2, f"first {tmp_path}/owl/f.heic"),
        "files with the ending .txt": (1, f"first {tmp_path}/wren/h.txt"),
        "files without ending": (1, f"first {tmp_path}/wren/LICENSE"),
        "hidden files and folders": (1, f"first {tmp_path}/wren/.hidden.jpg"),
        "pictures beside the folders of classes": (1, f"first {tmp_path}/loose.jpg"),
    }


def test_folders_of_file_servers_are_no_pictures_and_no_classes(tmp_path):
    birds(tmp_path, owl=3, wren=3)
    found = ("@eaDir", "__MACOSX", "#recycle", "lost+found", "$RECYCLE.BIN", "System Volume Information")
    for name in found:
        birds(tmp_path / name, owl=2)
        birds(tmp_path / "owl" / name, a=2)
    table = listed(tmp_path, "image_folder", path="birds", test_per_class=1)
    assert count(table, "train") == {"owl": 2, "wren": 2} and len(table) == 6
    assert {kind: number for kind, (number, _) in skipped(tmp_path).items()} == {
        f"files and folders called {name}": 2 for name in found
    }


def test_a_class_of_unknown_endings_is_told_with_them(tmp_path):
    birds(tmp_path, owl=2)
    trees.put(tmp_path, {f"wren/{i}.heic": "" for i in range(3)})
    with pytest.raises(InputError, match=r"wren has no pictures .* \(there are 3 files with the ending .heic\)"):
        skipped(tmp_path)


def test_a_pipe_or_a_link_to_nothing_is_told(tmp_path):
    birds(tmp_path / "pipe", owl=2, wren=2)
    os.mkfifo(tmp_path / "pipe/owl/p.jpg")
    birds(tmp_path / "link", owl=2, wren=2)
    (tmp_path / "link/owl/p.jpg").symlink_to("nothing")
    for name in ("pipe", "link"):
        with pytest.raises(
            InputError, match=r"owl/p.jpg is no file but a pipe, a device or a link to nothing; remove it"
        ):
            skipped(tmp_path / name)
    source = kinds.load("data", "image_folder").open_source(tmp_path / "pipe", settings("image_folder", path="b"))
    assert source.read("owl/p.jpg") == b"", "one that came later is an empty file, and nobody waits for it"


@pytest.mark.parametrize("name", ["owl/caf\udce9.png", "caf\udce9/0.png"])
def test_names_that_are_not_utf8_are_told(tmp_path, name):
    birds(tmp_path, owl=2, wren=2)
    trees.put(tmp_path, {name: trees.picture(1, format="PNG")})
    with pytest.raises(InputError, match=r": 1 names are not UTF-8 \(first: caf\\xe9(\.png)?\); rename them") as told:
        skipped(tmp_path)
    str(told.value).encode()


def test_bad_folders_are_told(tmp_path):
    def refused(root, told, **keys):
        with pytest.raises(InputError, match=told):
            listed(root, "image_folder", **{"path": "birds", "test_per_class": 1, **keys})

    refused(tmp_path / "absent", "absent is missing: set the data set's `path`")
    (tmp_path / "none").mkdir()
    refused(tmp_path / "none", "none has no folders; it must have one for each class")
    birds(tmp_path / "empty", a=2)
    (tmp_path / "empty/b").mkdir()
    refused(tmp_path / "empty", r"empty/b has no pictures \(\.jpg")
    refused(birds(tmp_path / "case", Owl=2, owl=2), "'Owl' and 'owl' differ only in case")
    refused(
        birds(tmp_path / "few", a=5, b=2),
        "test_per_class is 2, but class 'b' has 2 training pictures, and one must stay; test_share: 0.2 holds out .*; smallest_class",
        test_per_class=2,
    )
    refused(
        birds(tmp_path / "none_held", a=5, b=2),
        "no test split.*test_share.*test_per_class.*folds.*smallest_class",
        test_per_class=None,
    )
    birds(tmp_path / "mixed", train=2, wren=2)
    refused(tmp_path / "mixed", r"folders of splits \(train\) and of classes \(wren\) side by side.*`splits: false`")
    given = listed(tmp_path / "mixed", "image_folder", path="birds", test_per_class=1, splits=False)
    assert count(given, "train") == {"train": 1, "wren": 1}
    refused(birds(tmp_path / "untrained", val=2, test=2), "which are splits, but no folder train; set `splits: false`")
    refused(
        birds(tmp_path / "two_vals", train=2, val=2, valid=2), "val and valid for one split; merge them, or .*false`"
    )
    circle = birds(tmp_path / "circle", a=2)
    (circle / "a/again").symlink_to(circle)
    refused(circle, "a/again/a links back to .*circle/a, a folder above it")
    (tmp_path / "self/a").mkdir(parents=True)
    (tmp_path / "self/a/loop.jpg").symlink_to("loop.jpg")
    refused(tmp_path / "self", "loop.jpg cannot be read: Too many levels of symbolic links")
    uneven = birds(tmp_path / "uneven", a=5, b=6, c=10)
    tail = {"imbalance_factor": 2, "test_per_class": 1}
    refused(uneven, "needs 9 training pictures of class 'a', which has 4; set largest_class to 4 or less", **tail)
    birds(tmp_path / "lost/train", a=3)
    birds(tmp_path / "lost/test", a=3, b=3)
    refused(tmp_path / "lost", "1 classes have no train picture: b", test_per_class=None)
    birds(tmp_path / "cases/train", Owl=3)
    birds(tmp_path / "cases/test", owl=3)
    refused(tmp_path / "cases", "'Owl' and 'owl' differ only in case", test_per_class=None)
    refused(
        birds(tmp_path / "blank", **{"owl": 2, "owl ": 2}),
        "'owl' and 'owl ' differ only in case, blanks or the encoding of",
    )
    refused(
        birds(tmp_path / "accent", **{"caf\u00e9": 2, "cafe\u0301": 2}),
        "differ only in case, blanks or the encoding of accents",
    )
    refused(
        birds(tmp_path / "alone", pictures=4),
        "one class, 'pictures', but a classifier needs two; is the folder one level",
    )
    given = birds(tmp_path / "given/train", a=3).parent
    birds(given / "test", a=3)
    refused(given, "test_per_class is 1, but the data set has a test split; remove test_per_class")


# Splits of natural tails


TAIL = {"auk": 21, "emu": 10, "jay": 4, "owl": 2, "tit": 1}


def test_a_share_is_held_out_of_each_class_but_never_the_last_picture(tmp_path):
    birds(tmp_path, **TAIL)
    table = listed(tmp_path, "image_folder", path="birds", test_share=0.2)
    assert count(table, "test") == {"auk": 4, "emu": 2, "jay": 1, "owl": 1}
    assert count(table, "train") == {"auk": 17, "emu": 8, "jay": 3, "owl": 1, "tit": 1}
    most = listed(tmp_path, "image_folder", path="birds", test_share=0.99)
    assert count(most, "train") == dict.fromkeys(TAIL, 1)


def test_small_classes_are_left_out_and_numbers_have_no_gaps(tmp_path):
    birds(tmp_path, **TAIL)
    table = listed(tmp_path, "image_folder", path="birds", test_per_class=3, smallest_class=4)
    assert count(table, "train") == {"auk": 18, "emu": 7, "jay": 1}
    assert sorted(table["class"].unique()) == [0, 1, 2]
    with pytest.raises(InputError, match="no class has the 50 training pictures that smallest_class asks for"):
        listed(tmp_path, "image_folder", path="birds", test_per_class=3, smallest_class=50)


def test_folds_are_stratified_and_each_picture_is_in_the_test_split_of_one(tmp_path):
    birds(tmp_path, **{name: number for name, number in TAIL.items() if number > 1})
    tested, keys = [], {"path": "birds", "folds": 5}
    for fold in range(5):
        table = listed(tmp_path, "image_folder", fold=fold, **keys)
        assert len(table) == 37 and table["key"].is_unique
        assert listed(tmp_path, "image_folder", fold=fold, **keys).equals(table)
        numbers = count(table, "test")
        assert numbers["auk"] in (4, 5) and numbers["emu"] == 2 and numbers.get("jay", 0) <= 1
        assert set(count(table, "train")) == {"auk", "emu", "jay", "owl"}
        tested += table.loc[table["split"] == "test", "source"].tolist()
    assert len(tested) == len(set(tested)) == 37
    other = listed(tmp_path, "image_folder", fold=0, selection_seed=1, **keys)
    assert set(other.loc[other["split"] == "test", "source"]) != set(tested[:8])
    birds(tmp_path, tit=1)
    with pytest.raises(
        InputError, match=r"class 'tit' has 1 training pictures, but folds need two .* smallest_class: 2"
    ):
        listed(tmp_path, "image_folder", **keys)
    assert len(listed(tmp_path, "image_folder", smallest_class=2, **keys)) == 37


def test_validation_pictures_are_not_held_out(tmp_path):
    birds(tmp_path / "train", a=3, b=4)
    birds(tmp_path / "val", a=5, b=5)
    table = listed(tmp_path, "image_folder", path="birds", test_per_class=2)
    assert count(table, "val") == {"a": 5, "b": 5} and count(table, "train") == {"a": 1, "b": 2}
    with pytest.raises(InputError, match="class 'a' has 3 training pictures, and one must stay"):
        listed(tmp_path, "image_folder", path="birds", test_per_class=4)


def test_a_picture_in_two_lists_is_told(tmp_path):
    root = trees.places(tmp_path, {"airfield": 3})
    line = (root / "Places_LT_train.txt").read_text().splitlines()[0]
    with open(root / "Places_LT_test.txt", "a") as file:
        file.write("\n" + line)
    with pytest.raises(InputError, match=rf"Places-LT lists {line.split()[0]} twice"):
        listed(root, "places")


def test_annotations_of_another_shape_are_told(tmp_path):
    lines = trees.inaturalist(tmp_path, [2, 2])
    trees.put(tmp_path, {f"iNaturalist18_{split}.txt": "\n".join(rows) for split, rows in lines.items()})
    for wrong in ("{}", '[{"id": 0}]', "[1]"):
        trees.put(tmp_path, {"categories.json": wrong})
        with pytest.raises(InputError, match=r"categories.json is not the competition's"):
            listed(tmp_path, "inaturalist2018")
    (tmp_path / "categories.json").unlink()
    (tmp_path / "iNaturalist18_val.txt").unlink()
    for wrong in (
        "[]",
        '{"images": []}',
        '{"images": [{"id": 1}], "annotations": [{"image_id": 1, "category_id": 0}]}',
    ):
        trees.put(tmp_path, {"val2018.json": wrong})
        with pytest.raises(InputError, match=r"val2018.json is not the competition's"):
            listed(tmp_path, "inaturalist2018")


def test_an_unreadable_folder_is_told(tmp_path, monkeypatch):
    """Root reads everything, so the refusal is the operating system's by proxy."""
    import os

    birds(tmp_path, a=2, b=2)
    real = os.scandir

    def scandir(folder):
        if Path(folder).name == "b":
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match="b cannot be read: Permission denied"):
        listed(tmp_path, "image_folder", path="birds", test_per_class=1)
