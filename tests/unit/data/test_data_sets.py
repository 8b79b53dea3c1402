"""Every source on a made-up tree in its owners' layout: which pictures it finds, as what, and what it says where some are missing."""

import gzip
import json
import os

import numpy as np
import pytest
import trees
from listing import count, listed, settings

from pipeline import kinds
from pipeline.config.datasets import SOURCES
from pipeline.data import imagenet, imagenet_pareto
from pipeline.data.imagenet100_classes import COUNTS
from pipeline.data.imagenet_classes import CLASSES
from pipeline.data.shots import shots
from pipeline.errors import InputError

WNIDS = trees.WNIDS


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
