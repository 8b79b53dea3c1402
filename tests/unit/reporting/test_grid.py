"""Pictures of grids and sheets: spread over a whole class and its groups, with labels that can be read."""

import unicodedata
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.artifacts import shards
from pipeline.artifacts.pictures import encode
from pipeline.reporting.grid import Row, picture_grid
from pipeline.reporting.spread import spread
from pipeline.stages import describe, grid


def test_a_choice_is_spread_over_the_whole_table():
    assert spread(pd.DataFrame({"key": range(100)}), 4)["key"].tolist() == [12, 37, 62, 87]
    assert spread(pd.DataFrame({"key": range(3)}), 8)["key"].tolist() == [0, 1, 2]
    assert not len(spread(pd.DataFrame({"key": [], "group": []}), 8))


def test_each_group_has_its_share_and_a_small_one_all():
    """PACS: the first pictures of a class were art paintings only."""
    table = pd.DataFrame({"group": ["art"] * 400 + ["cartoon"] * 300 + ["photo"] + ["sketch"] * 50})
    assert spread(table, 8)["group"].value_counts().to_dict() == {"art": 3, "cartoon": 2, "sketch": 2, "photo": 1}
    many = pd.DataFrame({"group": [f"group {number:03d}" for number in range(100)] * 2})
    assert spread(many, 4)["group"].tolist() == [f"group {number:03d}" for number in (12, 37, 62, 87)]


@given(st.lists(st.sampled_from(["a", "b", "c", None])), st.integers(1, 12))
def test_a_choice_is_as_large_as_it_may_be_and_fair(groups, most):
    table = pd.DataFrame({"group": pd.Series(groups, dtype=object)})
    found = spread(table, most)
    assert found.index.is_monotonic_increasing and found.index.is_unique
    sizes, shares = (rows["group"].value_counts(dropna=False) for rows in (table, found))
    if len(sizes) > most:
        assert shares.tolist() == [1] * most
        return
    assert len(found) == min(most, len(table))
    least = shares.min() if len(shares) else 0
    assert all(shares[name] == sizes[name] or shares[name] >= shares.max() - 1 for name in sizes.index), least


def pool(folder, name, rows, first=0):
    """A shard of grey pictures, of which each has its own level, and its index."""
    records = [
        (f"{key}", encode(np.full((8, 8, 3), level, np.uint8)), "png", dict(about))
        for key, (level, about) in enumerate(rows, first)
    ]
    index = shards.write(folder / f"{name}.tar", records)
    shards.write_table(index, folder / f"{name}.parquet")
    return folder / f"{name}.parquet"


def about(label, split="train", group="art"):
    names = {"class_name": f"class {label}", "source": f"{label}.png", "digest": f"digest {label}"}
    return {"class": label, **names, "split": split, "group": group}


@pytest.fixture
def manifest(tmp_path):
    rows = [(level, about(0, group="art" if level < 150 else "photo")) for level in range(200)]
    return pool(tmp_path, "manifest", [*rows, (230, about(1)), (240, about(1, "test"))])


def drawn(shown, monkeypatch, stage, *given):
    """The levels of the pictures that a stage shows, for each row and heading."""
    seen = []
    monkeypatch.setattr(
        f"pipeline.{shown}", lambda rows, *others: seen.extend(rows) or picture_grid(rows, *others), raising=True
    )
    stage.main(stage.arguments().parse_args(list(map(str, given))))
    return [[[int(picture[0, 0, 0]) for picture in block] for block in row.blocks] for row in seen]


def test_a_grid_is_spread_over_groups_and_shards_whatever_the_shards(tmp_path, manifest, monkeypatch):
    generated = [(level, about(0, group="art" if level % 2 else "photo")) for level in range(160)]
    found = []
    for name, ends in {"one": [0, 160], "three": [0, 50, 51, 160]}.items():
        indices = [pool(tmp_path, f"{name}-{start}", generated[start:end], start) for start, end in pairwise(ends)]
        given = ["--manifest", manifest, "--output", tmp_path / f"{name}.png", "--indices", *indices]
        found.append(drawn("stages.grid.picture_grid", monkeypatch, grid, *given))
    assert found[0] == found[1]
    (real, made), (other, none) = found[0]
    assert real == [18, 56, 93, 131, 156, 168, 181, 193]
    assert sorted(level % 2 for level in made) == [0] * 4 + [1] * 4 and min(made) < 30 and max(made) > 130
    assert other == [230] and none == []
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "three.png").read_bytes()


def test_a_surplus_is_not_shown(tmp_path, manifest):
    asked = [(level, about(0) | {"surplus": False}) for level in range(20)]
    more = [(level, about(0) | {"surplus": True}) for level in range(20, 40)]
    for name, parts in {"asked": [asked], "more": [asked[:10] + more[:5], more[5:] + asked[10:]]}.items():
        indices = [pool(tmp_path, f"{name}-{part}", rows, 100 * part) for part, rows in enumerate(parts)]
        given = ["--manifest", manifest, "--output", tmp_path / f"{name}.png", "--indices", *indices]
        grid.main(grid.arguments().parse_args(list(map(str, given))))
    assert (tmp_path / "asked.png").read_bytes() == (tmp_path / "more.png").read_bytes()


def test_an_empty_pool_has_a_grid(tmp_path, manifest, monkeypatch):
    index = pd.read_parquet(pool(tmp_path, "pool", [(5, about(0))])).iloc[:0]
    shards.write_table(index, tmp_path / "pool.parquet")
    given = ["--manifest", manifest, "--output", tmp_path / "grid.png", "--indices", tmp_path / "pool.parquet"]
    assert [made for _, made in drawn("stages.grid.picture_grid", monkeypatch, grid, *given)] == [[], []]


def test_a_sheet_is_spread_over_groups(tmp_path, manifest, monkeypatch):
    given = ["--manifest", manifest, "--pictures", manifest, "--output", tmp_path / "described"]
    ((first,), (second,)) = drawn("reporting.grid.picture_grid", monkeypatch, describe, *given)
    assert sum(level < 150 for level in first) == 6 == sum(level >= 150 for level in first)
    assert second == [230]


def test_accents_are_drawn():
    def label(text):
        return np.asarray(picture_grid([Row(text, (np.zeros((0, 8, 8, 3)),))], ("real",), 1, 32, "")).tobytes()

    texts = ["Zoé", "Zoè", "Zoë", "Złoty", "Zþoty", "Ωραία", "Ψραία", "Жук", "Щук"]
    assert len({label(text) for text in texts}) == len(texts), "a font without them draws all as boxes"
    assert label(unicodedata.normalize("NFD", "Zoé")) == label("Zoé")
    assert label("two\nlines\n") == label("two lines")
