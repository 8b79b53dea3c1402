"""Shards: what is written is read again, by us and by webdataset, whole or not at all, and damage is named."""

import hashlib
import io
import json
import os
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.artifacts import shards
from pipeline.artifacts.atomic import replacing
from pipeline.artifacts.pictures import SUFFIX, encode
from pipeline.errors import InputError


def pictures(count, side=8, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (count, side, side, 3), np.uint8)


def records(made, suffix="png", **encoding):
    for i, picture in enumerate(made):
        provenance = {"class": i % 3, "class_name": f"c{i % 3}", "seed": 2**62 + i}
        yield f"{i % 3:05d}-{i:07d}", encode(picture, **encoding), suffix, provenance


@pytest.fixture
def shard(tmp_path):
    """A shard of five pictures; returns its path, pictures and index."""
    path, made = tmp_path / "pool" / "shard-00000.tar", pictures(5)
    return path, made, shards.write(path, records(made))


# What is written is read again


def rows(count):
    return pd.DataFrame({"key": [f"k{i}" for i in range(count)], "seed": np.arange(count) + 2**62})


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(1, 9))
def test_tables_written_in_blocks_come_back_whole_and_in_parts(sizes, count):
    table = rows(sum(sizes))
    ends = np.cumsum(sizes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        shards.write_blocks((table[end - size : end] for size, end in zip(sizes, ends, strict=True)), path)
        pd.testing.assert_frame_equal(shards.read_table(path), table)
        for shard in range(count):
            part = table.iloc[shards.rows_of(len(table), shard, count)].reset_index(drop=True)
            pd.testing.assert_frame_equal(shards.read_part(path, shard, count), part)


def test_optional_columns_are_read_where_a_table_has_them(tmp_path):
    table = rows(3).assign(group=["a", "b", "a"], more=1)
    for name, made in (("with", table), ("without", table.drop(columns="group"))):
        shards.write_table(made, tmp_path / f"{name}.parquet")
    found = shards.read_table(tmp_path / "with.parquet", ["key"], shards.OPTIONAL)
    pd.testing.assert_frame_equal(found, table[["key", "group"]])
    assert list(shards.read_table(tmp_path / "without.parquet", ["key"], shards.OPTIONAL)) == ["key"]
    (tmp_path / "with.parquet").write_bytes(b"text")
    for name, fault in (("with", "is damaged"), ("absent", "is missing")):
        with pytest.raises(InputError, match=rf"{name}\.parquet {fault}"):
            shards.read_table(tmp_path / f"{name}.parquet", ["key"], shards.OPTIONAL)


def test_a_pool_is_read_without_its_surplus(tmp_path):
    table = rows(5).assign(surplus=[False, True, False, True, False])
    shards.write_table(table, tmp_path / "with.parquet")
    pd.testing.assert_frame_equal(shards.read_asked(tmp_path / "with.parquet", ["key"]), table[["key"]].iloc[::2])
    shards.write_table(rows(2), tmp_path / "without.parquet")
    pd.testing.assert_frame_equal(shards.read_asked(tmp_path / "without.parquet", ["key"]), rows(2)[["key"]])


def test_a_part_is_read_without_the_rest(tmp_path):
    path, table = tmp_path / "t.parquet", rows(50)
    shards.write_blocks((table[i : i + 10] for i in range(0, 50, 10)), path)
    with pq.ParquetFile(path) as file:
        columns = [file.metadata.row_group(group).column(0) for group in range(5)]
        starts = [column.dictionary_page_offset for column in columns]
    data = bytearray(path.read_bytes())
    data[starts[0] : starts[2]] = bytes(starts[2] - starts[0])  # the first two row groups
    path.write_bytes(data)
    assert shards.read_part(path, 1, 2)["key"].tolist() == table["key"].tolist()[25:]
    with pytest.raises(InputError, match=r"t\.parquet is damaged"):
        shards.read_part(path, 0, 2)


def test_blocks_without_rows_do_not_decide_the_types(tmp_path):
    nothing = pd.DataFrame([], columns=["key", "seed"])
    shards.write_blocks([nothing, rows(2), nothing], tmp_path / "some.parquet")
    pd.testing.assert_frame_equal(shards.read_table(tmp_path / "some.parquet"), rows(2))
    shards.write_blocks([nothing, nothing], tmp_path / "none.parquet")
    assert list(shards.read_table(tmp_path / "none.parquet")) == ["key", "seed"]


@given(st.integers(1, 9), st.integers(1, 6), st.randoms(use_true_random=False))
def test_pictures_come_back_in_any_order_and_number(count, side, random):
    made = pictures(count, side, seed=random.randint(0, 999))
    with tempfile.TemporaryDirectory() as folder:
        index = shards.write(Path(folder) / "s.tar", records(made))
        rows = [random.randrange(count) for _ in range(random.randint(1, 12))]
        assert (shards.read_pictures(index.iloc[rows], Path(folder)) == made[rows]).all()


@given(
    st.dictionaries(
        st.text("abcdefghij", min_size=1).filter(lambda name: name not in {"key", "shard", "offset", "size", "crc32"}),
        st.integers(-(2**63), 2**63 - 1) | st.text() | st.booleans(),
        max_size=4,
    )
)
def test_provenance_comes_back_from_index_and_tar(provenance):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.tar"
        index = shards.write(path, [("k", encode(pictures(1)[0]), "png", provenance)])
        shards.write_table(index, path.with_suffix(".parquet"))
        (row,) = shards.read_table(path.with_suffix(".parquet")).to_dict("records")
        (record,) = webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False)
    assert {key: row[key] for key in provenance} == provenance
    assert json.loads(record["json"]) == provenance


def test_index_has_a_row_for_each_record(shard):
    path, _, index = shard
    assert index["key"].tolist() == [
        "00000-0000000",
        "00001-0000001",
        "00002-0000002",
        "00000-0000003",
        "00001-0000004",
    ]
    assert list(index) == ["key", "class", "class_name", "seed", "shard", "offset", "size", "crc32"]
    assert set(index["shard"]) == {path.name} and index["seed"].iloc[0] == 2**62


def test_offsets_point_to_the_pictures_bytes(shard):
    path, made, index = shard
    data = path.read_bytes()
    for row, picture in zip(index.itertuples(), made, strict=True):
        file = data[row.offset : row.offset + row.size]
        assert file == encode(picture) and file.startswith(b"\x89PNG")


def test_shards_are_read_by_webdataset(shard):
    path, made, index = shard
    found = list(webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False).decode("rgb8"))
    assert [record["__key__"] for record in found] == index["key"].tolist()
    assert all((record["png"] == picture).all() for record, picture in zip(found, made, strict=True))
    assert [record["json"]["class_name"] for record in found] == index["class_name"].tolist()


def test_same_records_give_the_same_bytes(tmp_path):
    digests = set()
    for name in ("one", "other"):
        shards.write(tmp_path / name / "s.tar", records(pictures(5)))
        digests.add(hashlib.sha256((tmp_path / name / "s.tar").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_times_and_owners_are_fixed(shard):
    with tarfile.open(shard[0]) as tar:
        about = {(member.mtime, member.uid, member.gid, member.uname, member.gname, member.mode) for member in tar}
    assert about == {(0, 0, 0, "", "", 0o644)}


def test_tables_over_several_shards_keep_their_order(tmp_path):
    parts, made = [], pictures(9)
    for i in range(3):
        index = shards.write(tmp_path / f"shard{i}" / "s.tar", records(made[3 * i : 3 * i + 3]))
        parts.append(index.assign(shard=f"shard{i}/s.tar"))
    order = [8, 0, 4, 4, 7, 1]
    table = pd.concat(parts).iloc[order]
    assert (shards.read_pictures(table, tmp_path) == made[order]).all()


def test_an_empty_shard_is_a_shard(tmp_path):
    path = tmp_path / "s.tar"
    index = shards.write(path, [])
    shards.write_table(index, path.with_suffix(".parquet"))
    table = shards.read_table(path.with_suffix(".parquet"))
    assert len(table) == 0 and {"key", "class", "class_name", "shard", "offset", "size", "crc32"} <= set(table)
    assert shards.read_pictures(table, tmp_path).shape == (0, 0, 0, 3)
    assert list(webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False)) == []


# How pictures are stored


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_lossy_formats_come_back_nearly(tmp_path, format):
    smooth = np.add.outer(np.arange(16), np.arange(16))[None, :, :, None].repeat(3, -1).astype(np.uint8) * 8
    index = shards.write(tmp_path / "s.tar", records(smooth, SUFFIX[format], format=format, quality=95))
    found = shards.read_pictures(index, tmp_path).astype(int)
    assert 0 < abs(found - smooth).max() < 16
    (record,) = webdataset.WebDataset(str(tmp_path / "s.tar"), shardshuffle=False, empty_check=False)
    assert Image.open(io.BytesIO(record[SUFFIX[format]])).format == format.upper()


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_less_quality_takes_less_room(format):
    picture = pictures(1, 32)[0]
    assert len(encode(picture, format, quality=20)) < len(encode(picture, format, quality=95))


def test_png_is_exact_whatever_the_quality():
    picture = pictures(1)[0]
    assert (np.asarray(Image.open(io.BytesIO(encode(picture, "png", quality=1)))) == picture).all()


def test_pictures_are_resized_to_the_side_asked(tmp_path):
    even = np.full((1, 8, 8, 3), (10, 200, 90), np.uint8)
    index = shards.write(tmp_path / "s.tar", records(even, side=5))
    found = shards.read_pictures(index, tmp_path)
    assert found.shape == (1, 5, 5, 3) and (found[0] == (10, 200, 90)).all()


def test_grey_pictures_come_back_as_rgb(tmp_path):
    grey = pictures(2)[..., 0]
    index = shards.write(tmp_path / "s.tar", records(grey))
    found = shards.read_pictures(index, tmp_path)
    assert found.shape == (2, 8, 8, 3) and all((found[..., channel] == grey).all() for channel in range(3))


# Damage, and interruptions


def test_a_damaged_byte_is_named_with_file_and_record(shard):
    path, _, index = shard
    data = bytearray(path.read_bytes())
    data[index["offset"].iloc[3] + 40] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"{path} is damaged at record 00000-0000003; say `make repair`"):
        shards.read_pictures(index, path.parent)
    assert len(shards.read_pictures(index.drop(index=3), path.parent)) == 4


def test_a_truncated_shard_is_named(shard):
    path, _, index = shard
    os.truncate(path, int(index["offset"].iloc[4]) + 10)
    with pytest.raises(InputError, match=f"{path} is damaged at record 00001-0000004"):
        shards.read_pictures(index, path.parent)


def test_a_missing_shard_is_named(shard):
    path, _, index = shard
    path.unlink()
    with pytest.raises(InputError, match=f"{path} is missing, but its index is there; say `make repair`"):
        shards.read_pictures(index, path.parent)


@pytest.mark.parametrize("kept", [0, 10, 0.5, -1])
def test_a_truncated_table_is_named(shard, kept):
    path, _, index = shard
    table = path.with_suffix(".parquet")
    shards.write_table(index, table)
    size = table.stat().st_size
    os.truncate(table, int(kept * size) if isinstance(kept, float) else kept % size)
    for read in (shards.read_table, lambda path: shards.read_part(path, 0, 1)):
        with pytest.raises(InputError, match=f"{table} is damaged: .*; say `make repair`"):
            read(table)


@pytest.mark.parametrize("read", [shards.read_table, lambda path: shards.read_part(path, 0, 1)])
def test_a_missing_table_is_named(tmp_path, read):
    with pytest.raises(InputError, match=r"none\.parquet is missing"):
        read(tmp_path / "none.parquet")


def test_a_table_of_an_earlier_version_is_told_with_the_column_that_it_lacks(tmp_path):
    path = tmp_path / "manifest.parquet"
    shards.write_table(pd.DataFrame({"key": ["0"], "class": [0]}), path)
    for wanted in ({"columns": ["key", "split"]}, {"needs": ["split"]}, {"columns": ["key"], "needs": ["split"]}):
        with pytest.raises(
            InputError, match=rf"lacks the column 'split', because an .* again: snakemake .* -R {path} -- {path}"
        ):
            shards.read_table(path, **wanted)
    assert list(shards.read_table(path, needs=["key"])) == ["key", "class"]


def test_pictures_of_different_sizes_are_refused(tmp_path):
    mixed = [*pictures(1, 8), *pictures(1, 9)]
    index = shards.write(tmp_path / "s.tar", records(mixed))
    with pytest.raises(InputError, match=r"have different sizes: \[\(8, 8, 3\), \(9, 9, 3\)\]; give `side`"):
        shards.read_pictures(index, tmp_path)


def test_a_shard_that_fails_midway_leaves_nothing(tmp_path):
    def failing():
        yield from records(pictures(2))
        raise RuntimeError("the sampler fell over")

    with pytest.raises(RuntimeError, match="fell over"):
        shards.write(tmp_path / "s.tar", failing())
    assert list(tmp_path.iterdir()) == []


def test_a_shard_that_fails_midway_leaves_the_old_one(shard):
    path, _, _ = shard
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError):
        shards.write(path, (1 / 0 for _ in range(1)))
    assert path.read_bytes() == before and [file.name for file in path.parent.iterdir()] == [path.name]


def test_nothing_is_at_the_path_before_all_is_written(tmp_path):
    target = tmp_path / "new" / "file.json"
    with replacing(target) as part:
        part.write_text("half")
        assert not target.exists() and part.suffix == ".json"
    assert target.read_text() == "half"


@given(st.dictionaries(st.text("abcé-0", min_size=1, max_size=30), st.binary(max_size=1500), max_size=4))
def test_archives_are_what_tarfile_writes(files):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.tar"
        shards.write(path, ((key, data, "png", {"class": 1}) for key, data in files.items()))
        expected = io.BytesIO()
        with tarfile.open(fileobj=expected, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for key, data in files.items():
                for name, content in ((f"{key}.png", data), (f"{key}.json", b'{"class": 1}')):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        assert path.read_bytes() == expected.getvalue()


def test_a_key_too_long_for_an_archive_is_told(tmp_path):
    with pytest.raises(InputError, match="too long for an archive"):
        shards.write(tmp_path / "s.tar", [("k" * 96, b"", "png", {})])
    assert not list(tmp_path.iterdir())


def test_a_tables_other_files_are_checked_with_it(tmp_path):
    weights, table = tmp_path / "unet/weights.bin", tmp_path / "history.parquet"
    weights.parent.mkdir()
    weights.write_bytes(b"0123")
    shards.write_table(pd.DataFrame({"step": [1]}), table, beside=[weights])
    shards.require_whole(table)
    for damage in (lambda: weights.write_bytes(b"0124"), weights.unlink):
        damage()
        with pytest.raises(InputError, match=r"unet/weights\.bin is missing or damaged; say `make repair`"):
            shards.require_whole(table)
    weights.write_bytes(b"0123")
    table.write_bytes(table.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"history\.parquet is missing or damaged"):
        shards.require_whole(table)
    table.unlink()
    with pytest.raises(InputError, match=r"history\.parquet is missing; say `make repair`"):
        shards.require_whole(table)
