"""Folders and tables of one's own pictures: what is listed, what is skipped and counted, and how natural tails are split."""

import os
from pathlib import Path

import pandas as pd
import pytest
import trees
from listing import count, listed, settings

from pipeline import kinds
from pipeline.data.groups import contexts_of, group_names
from pipeline.data.stored import each_row
from pipeline.errors import InputError

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


def test_contexts_make_groups_of_each_class(tmp_path):
    birds(tmp_path, a=3, b=3)
    rows = [(f"{c}/{i}.png", c, ("", "dim", "rock")[i], ("train", "train", "test")[i]) for c in "ab" for i in range(3)]
    pd.DataFrame(rows, columns=["path", "class", "context", "split"]).to_csv(tmp_path / "t.csv", index=False)
    found = listed(tmp_path, "image_folder", path="birds", table="t.csv")
    assert sorted(found["group"].dropna()) == ["a, dim", "a, rock", "b, dim", "b, rock"]
    assert found["group"].isna().equals(found["context"].isna()) and found["group"].isna().sum() == 2
    assert [row["context"] for row in each_row(found)].count(None) == 2
    assert group_names(found) == ["a, dim", "a, rock", "b, dim", "b, rock"] and contexts_of(found).tolist() == [
        0,
        1,
        0,
        1,
    ]


BAD_TABLES = {
    "group and context": (
        "path,class,group,context\na/0.png,a,x,y\n",
        r"has the columns group and context; remove one",
    ),
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
    "empty class": ("path,class\na/0.png,\n", r"line 2: the class is missing; give one, or delete the line"),
    "case": ("path,class\na/0.png,Owl\na/1.png,owl\n", r"'Owl' and 'owl' differ only in case"),
    "split": ("path,class,split\na/0.png,a,dev\n", r"split 'dev' is unknown; allowed: train, val, test"),
    "missing file": ("path,class\na/9.png,a\n", r"1 of 1 listed files are not in .*first: a/9.png"),
    "twice": ("path,class\na/0.png,a\na/0.png,b\n", r"lists a/0.png twice"),
    "no rows": ("path,class\n", r"has no rows"),
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
        "'owl' and 'owl ' differ only in case, blanks, underscores or the encoding of",
    )
    refused(
        birds(tmp_path / "line", **{"tawny owl": 2, "tawny_owl": 2}),
        "'tawny owl' and 'tawny_owl' differ only in case, blanks, underscores or the encoding of",
    )
    refused(
        birds(tmp_path / "accent", **{"caf\u00e9": 2, "cafe\u0301": 2}),
        "differ only in case, blanks, underscores or the encoding of accents",
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


def test_a_share_of_what_is_left_is_for_choices(tmp_path):
    birds(tmp_path, **TAIL)
    table = listed(tmp_path, "image_folder", path="birds", test_share=0.2, val_share=0.2)
    assert count(table, "test") == {"auk": 4, "emu": 2, "jay": 1, "owl": 1}  # as without
    assert count(table, "val") == {"auk": 3, "emu": 2, "jay": 1}
    assert count(table, "train") == {"auk": 14, "emu": 6, "jay": 2, "owl": 1, "tit": 1}
    alone = listed(tmp_path, "image_folder", path="birds", test_share=0.2)
    held_out = [set(one.loc[one["split"] == "test", "source"]) for one in (table, alone)]
    assert held_out[0] == held_out[1]


def test_shares_are_held_out_of_a_table_with_splits(tmp_path):
    birds(tmp_path, a=10, b=10)
    rows = [f"{name}/{i}.png,{name},train" for name in "ab" for i in range(10)]
    trees.put(tmp_path, {"t.csv": "\n".join(["path,class,split", *rows])})
    table = listed(tmp_path, "image_folder", path="birds", table="t.csv", test_share=0.2, val_share=0.25)
    assert [count(table, split) for split in ("test", "val", "train")] == [{"a": n, "b": n} for n in (2, 2, 6)]


def test_a_share_for_choices_beside_a_validation_split_is_refused(tmp_path):
    for split in ("train", "val", "test"):
        birds(tmp_path / split, a=3, b=3)
    with pytest.raises(
        InputError, match=r"val_share is 0.2, but the data set has a validation split; remove val_share"
    ):
        listed(tmp_path, "image_folder", path="birds", val_share=0.2)


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
