"""What has changed in a folder of raw data, and what it costs to look."""

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipeline.artifacts import made, shards
from pipeline.config.presets import read
from pipeline.config.raw_data import changed_raw_data, raw_folder
from pipeline.config.workflow import Workflow
from pipeline.data import folders


@pytest.fixture
def birds(tmp_path) -> Path:
    for name in ("owl", "wren"):
        (tmp_path / "birds" / name).mkdir(parents=True)
        for i in range(3):
            (tmp_path / "birds" / name / f"{i}.jpg").write_bytes(bytes(i))
    (tmp_path / "birds/birds.csv").write_text("path,class\n")
    return tmp_path / "birds"


def add(birds):
    (birds / "wren/9.jpg").write_bytes(b"")


def remove(birds):
    (birds / "owl/1.jpg").unlink()


def resize(birds):
    with open(birds / "owl/1.jpg", "ab") as file:
        file.write(b"x")
    os.utime(birds / "owl/1.jpg", ns=(0, 0))


def edit_table(birds):
    os.utime(birds / "birds.csv", ns=(0, 0))


def several(birds):
    for name in ("8", "9"):
        (birds / f"wren/{name}.jpg").write_bytes(b"")
    for change in (remove, edit_table):
        change(birds)


def add_class(birds):
    shutil.copytree(birds / "owl", birds / "tit")


CHANGES = {
    "added": (add, "1 added, first wren/9.jpg", "1 changed, first wren/"),
    "removed": (remove, "1 removed, first owl/1.jpg", "1 changed, first owl/"),
    "another size": (resize, "1 changed, first owl/1.jpg", None),
    "a table": (edit_table, "1 changed, first birds.csv", "1 changed, first birds.csv"),
    "several": (
        several,
        "2 added, first wren/8.jpg; 1 removed, first owl/1.jpg; 1 changed, first birds.csv",
        "3 changed, first birds.csv",
    ),
    "a class": (add_class, "3 added, first tit/0.jpg", "1 changed, first ./"),
    "nothing": (lambda birds: None, None, None),
    "all gone": (shutil.rmtree, None, None),
    "all but the folder gone": (lambda birds: (shutil.rmtree(birds), birds.mkdir()), None, None),
}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(("change", "files", "of_folders"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_told_with_numbers_and_an_example(birds, monkeypatch, large, change, files, of_folders):
    if large:
        monkeypatch.setattr(folders, "MOST_FILES", 6)
    before = folders.unpacked(folders.packed(folders.signature(birds)))
    assert folders.changes(before, birds) is None
    for path in before:
        os.utime(birds / path, ns=(5, 5))  # so that the clock's steps do not matter
    before = folders.signature(birds)
    change(birds)
    if large and change is shutil.rmtree:
        assert not birds.exists()
    assert folders.changes(before, birds) == (of_folders if large else files)


def test_hidden_names_and_a_servers_folders_are_no_change(birds):
    before = folders.signature(birds)
    (birds / "owl/@eaDir").mkdir()
    for name in ("owl/@eaDir/1.jpg", "owl/.DS_Store", "Thumbs.db"):
        (birds / name).write_bytes(b"x")
    assert folders.changes(before, birds) is None and len(before) == 7


def test_links_are_followed_once(birds):
    (birds / "owl/again").symlink_to(birds)
    (birds / "more").symlink_to(birds / "wren")
    found = folders.signature(birds)
    assert "more/1.jpg" in found and not [path for path in found if path.startswith("owl/again/owl")]


def test_a_folder_that_has_grown_over_the_limit_is_told(birds, monkeypatch):
    before = folders.signature(birds)
    monkeypatch.setattr(folders, "MOST_FILES", 10)
    for i in range(10, 16):
        (birds / f"wren/{i}.jpg").write_bytes(b"")
    assert folders.changes(before, birds) == "more than 3 added"


def test_names_that_are_not_utf8_are_shown_escaped(birds):
    before = folders.unpacked(folders.packed(folders.signature(birds)))
    (birds / "owl/caf\udce9.jpg").write_bytes(b"")
    assert folders.changes(before, birds) == "1 added, first owl/caf\\xe9.jpg"
    assert folders.changes(folders.unpacked(folders.packed(folders.signature(birds))), birds) is None


def test_a_table_states_its_raw_data_to_readers_without_parquet(tmp_path):
    path = tmp_path / "pictures.parquet"
    about = {"raw": "x" * 2_000_000, "skipped": [["files with the ending .heic", 2, "first caf\u00e9.heic"]]}
    table = pd.DataFrame({"counterweight": ["counterweight"]})
    shards.write_table(table, path, about=about)
    shards.require_whole(path)
    metadata = json.loads(pq.read_metadata(path).metadata[made.KEY.encode()])
    assert made.about(path) == metadata and metadata.items() > about.items()
    path.write_bytes(path.read_bytes()[:-100])
    assert made.about(path) == {}
    path.write_bytes(b"")
    assert made.about(path) == {}


def flow_of(tmp_path, root: str) -> Workflow:
    config = {
        "data_root": root,
        "datasets": {"birds": {"source": "image_folder", "path": "birds", "test_share": 0.5}},
    }
    (tmp_path / "config.yaml").write_text(str(config))
    return Workflow(read(tmp_path / "config.yaml"))


def test_the_sentence_names_the_data_set_the_folder_and_the_command(birds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flow = flow_of(tmp_path, str(tmp_path))
    assert changed_raw_data(flow, "birds") is None, "there is no subset yet"
    path = Path("results/birds/subset/pictures.parquet")
    shards.write_table(pd.DataFrame({"key": ["0"]}), path)
    assert changed_raw_data(flow, "birds") is None, "it says nothing of its raw data"
    shards.write_table(pd.DataFrame({"key": ["0"]}), path, about={"raw": folders.packed(folders.signature(birds))})
    assert changed_raw_data(flow, "birds") is None
    add(birds)
    assert changed_raw_data(flow, "birds") == (
        f"raw data of birds changed since its subset was made (1 added, first wren/9.jpg, in {birds}); to take the change: "
        "snakemake --profile local -R results/birds/subset/pictures.parquet -- all_birds"
    )


def test_a_tilde_is_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert raw_folder(flow_of(tmp_path, "~/data"), "birds") == f"{tmp_path}/data/birds"
    assert raw_folder(flow_of(tmp_path, "~no_such_user/data"), "birds") == "~no_such_user/data/birds"


def test_of_a_large_folder_no_file_is_looked_at(birds, monkeypatch):
    monkeypatch.setattr(folders, "MOST_FILES", 6)
    before = folders.signature(birds)
    looked_at = []
    stat = Path.stat
    monkeypatch.setattr(Path, "stat", lambda path: looked_at.append(path.relative_to(birds)) or stat(path))
    monkeypatch.setattr(os, "scandir", None)
    assert folders.changes(before, birds) is None
    assert sorted(map(str, looked_at)) == [".", "birds.csv", "owl", "wren"]
