"""Reading pictures for training: the pixels are the plain ones, in the order asked, whoever decodes them and when."""

import io
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms.functional import center_crop, resize

from pipeline.artifacts import shards
from pipeline.artifacts.pictures import Unreadable, decode
from pipeline.classifiers.augment.geometry import resized_crop_boxes
from pipeline.classifiers.input import reader
from pipeline.classifiers.input.random_numbers import Draws
from pipeline.classifiers.input.reader import AHEAD, InMemory, OnDisk, open_pictures
from pipeline.errors import InputError

CPU = torch.device("cpu")
SIDE = 35  # a middle of 40


def picture(seed, size):
    """A smooth picture with some detail, `size` being (width, height)."""
    levels = np.random.RandomState(seed).randint(0, 256, (9, 9, 3), np.uint8)
    return Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC)


def file(image, format="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def table_of(path, files):
    return shards.write(path, ((f"p{i}", data, "jpg", {"class": 0}) for i, data in enumerate(files)))


def colour_of(number):
    return [50 * (number % 5), 40 * (number // 5), 250 - 20 * number]


def plain(numbers):
    """Files that are told apart by their one colour."""
    return [file(Image.new("RGB", (12, 10), tuple(colour_of(number))), "PNG") for number in numbers]


def numbers_in(batch):
    """Which of the plain files a batch shows."""
    known = {tuple(colour_of(number)): number for number in range(12)}
    assert all(len(square.flatten(1).unique(dim=1).T) == 1 for square in batch)
    return [known[tuple(square[:, 0, 0].tolist())] for square in batch]


def uniforms(views, count, seed=0):
    return lambda step: Draws(seed, step, 0, count).uniform(views, 11, 2)


def nearly(square, expected):
    """Whether two resizers agree: both round twice, so that a level of 256 may be two off, but most are equal."""
    off = abs(square.permute(1, 2, 0).numpy().astype(int) - np.asarray(expected))
    return off.max() <= 2 and off.mean() < 0.2


def reading_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("pictures")]


@pytest.fixture
def mixed(tmp_path):
    """A table of pictures of many sizes, its folder, and its files."""
    sizes = [(60, 45), (45, 60), (40, 40), (41, 83), (200, 30), (36, 35), (20, 27), (35, 35)]
    files = [file(picture(i, size), quality=90) for i, size in enumerate(sizes)]
    return table_of(tmp_path / "s.tar", files), tmp_path, files


@pytest.fixture
def twelve(tmp_path):
    """Twelve plain pictures in two tables, in folders of their own and three shards, and the tables."""
    first = table_of(tmp_path / "real" / "a.tar", plain(range(5)))
    second = [
        table_of(tmp_path / "made" / "x" / "a.tar", plain(range(5, 9))).assign(shard="x/a.tar"),
        table_of(tmp_path / "made" / "y" / "a.tar", plain(range(9, 12))).assign(shard="y/a.tar"),
    ]
    return [(first, tmp_path / "real"), (pd.concat(second), tmp_path / "made")]


# The pixels


def test_the_middle_is_torchvisions(mixed):
    table, folder, files = mixed
    ((found,),) = OnDisk([(table, folder)], SIDE, CPU, 2).batches([np.arange(len(files))])
    assert found.shape == (len(files), 3, SIDE, SIDE) and found.dtype == torch.uint8
    for square, data in zip(found, files, strict=True):
        expected = center_crop(resize(Image.fromarray(decode(data)), 40), SIDE)
        assert nearly(square, expected)


def test_the_middle_of_a_picture_stored_at_the_right_size_is_exact(tmp_path):
    files = [file(picture(i, (256, 256))) for i in range(3)]
    table = table_of(tmp_path / "s.tar", files)
    ((found,),) = OnDisk([(table, tmp_path)], 224, CPU, 1).batches([torch.arange(3)])
    stored = shards.read_pictures(table, tmp_path)
    assert (found.permute(0, 2, 3, 1).numpy() == stored[:, 16:240, 16:240]).all()


@pytest.mark.parametrize("size", [(1, 30_000), (30_000, 1), (2, 12_000)])
def test_a_thin_picture_is_cut_before_it_is_scaled(tmp_path, size, monkeypatch):
    """Scaled as a whole to a middle of 224 pixels, it would take 5.9 GB."""
    levels = np.full((*size[::-1], 3), 10, np.uint8)
    middle = [slice(length // 2 - 2, length // 2 + 2) if length > 2 else slice(None) for length in levels.shape[:2]]
    levels[tuple(middle)] = 90
    table = table_of(tmp_path / "s.tar", [file(Image.fromarray(levels), "PNG")])
    largest = []
    resized = reader._resized
    monkeypatch.setattr(reader, "_resized", lambda *given: largest.append(given[1] * given[2]) or resized(*given))
    ((found,),) = OnDisk([(table, tmp_path)], 224, CPU, 1).batches([np.arange(1)])
    assert found.shape == (1, 3, 224, 224) and (found == 90).all() and max(largest) <= 8 * 256 * 256


def test_a_picture_up_to_eight_times_as_long_as_wide_is_scaled_as_before(tmp_path):
    image = picture(0, (400, 50))
    table = table_of(tmp_path / "s.tar", [file(image, "PNG")])
    ((found,),) = OnDisk([(table, tmp_path)], SIDE, CPU, 1).batches([np.arange(1)])
    assert nearly(found[0], center_crop(resize(image, 40), SIDE))


def test_views_are_the_drawn_boxes(mixed):
    table, folder, files = mixed
    views = (0.08, None, 0.5)
    drawn = uniforms(3, len(files))
    (found,) = OnDisk([(table, folder)], SIDE, CPU, 2).batches([np.arange(len(files))], views, drawn)
    assert len(found) == 3
    ((middle,),) = OnDisk([(table, folder)], SIDE, CPU, 2).batches([np.arange(len(files))])
    assert torch.equal(found[1], middle)
    for view in (0, 2):
        for i, data in enumerate(files):
            image = Image.fromarray(decode(data))
            boxes = resized_crop_boxes(drawn(0)[i : i + 1, view], image.height, image.width, views[view])
            top, left, height, width = boxes[0].tolist()
            box = image.crop((left, top, left + width, top + height))
            assert nearly(found[view][i], box.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


@given(
    st.lists(st.tuples(*[st.floats(0, 1, exclude_max=True, width=32)] * 2), min_size=11, max_size=11),
    st.integers(1, 700),
    st.integers(1, 700),
    st.sampled_from([0.05, 0.08, 0.2, 1.0]),
)
def test_boxes_are_those_of_the_augmentation(numbers, height, width, smallest):
    expected = resized_crop_boxes(torch.tensor([numbers]), height, width, smallest)[0].tolist()
    assert list(reader._resized_crop_box(numbers, height, width, smallest)) == expected


def exif(orientation):
    notes = Image.Exif()
    notes[0x0112] = orientation
    return notes


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
BASE = picture(0, (51, 37))
KINDS = {
    "plain": file(BASE),
    "4:4:4": file(BASE, subsampling=0),
    "4:2:2": file(BASE, subsampling=1),
    "progressive": file(BASE, progressive=True),
    "levels kept as RGB": file(BASE, keep_rgb=True),
    "grey": file(BASE.convert("L")),
    "CMYK": file(BASE.convert("CMYK")),
    "upright": file(BASE, exif=exif(1)),
    "held sideways": file(BASE, exif=exif(6)),
    "held sideways, by XMP": file(BASE, xmp=XMP),
    "notes damaged": file(BASE, exif=b"Exif\0\0" + b"MM\0*\xff\xff\xff\xff"),
    "png": file(BASE, "PNG"),
    "png with alpha": file(BASE.convert("RGBA"), "PNG"),
    "png of a palette": file(BASE.quantize(), "PNG"),
    "webp": file(BASE, "WEBP"),
}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_decoded_as_everywhere_else(kind):
    found, expected = reader._decoded(KINDS[kind]), decode(KINDS[kind])
    assert found.dtype == np.uint8 and np.array_equal(found, expected)


def test_plain_jpegs_do_without_the_slow_decoder(monkeypatch):
    monkeypatch.setattr(reader, "decode", None)
    for kind in ("plain", "4:4:4", "4:2:2", "progressive", "grey", "upright"):
        assert reader._decoded(KINDS[kind]).shape == (37, 51, 3)
    with pytest.raises(TypeError):
        reader._decoded(KINDS["held sideways"])


def test_too_large_a_jpeg_is_refused(monkeypatch):
    monkeypatch.setattr("pipeline.artifacts.pictures.MOST_PIXELS", 1000)
    monkeypatch.setattr(reader, "MOST_PIXELS", 1000)
    with pytest.raises(Unreadable, match="51 x 37 pixels, more than 1,000 in all"):
        reader._decoded(KINDS["plain"])


def test_no_whole_file_gives_warnings(tmp_path):
    files = [data for kind, data in KINDS.items() if kind != "notes damaged"]
    table = table_of(tmp_path / "s.tar", files)
    batches = OnDisk([(table, tmp_path)], SIDE, CPU, 2).batches(
        [np.arange(len(files))], (1.0,), uniforms(1, len(files))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(batches)) == 1


# What they depend on


@pytest.mark.parametrize("workers", [2, 5])
def test_pixels_do_not_depend_on_the_number_of_workers(mixed, workers):
    table, folder, files = mixed
    orders = [np.random.RandomState(step).randint(0, len(files), 6) for step in range(9)]
    alone, together = (
        list(OnDisk([(table, folder)], SIDE, CPU, count).batches(orders, (0.08, 0.2), uniforms(2, 6)))
        for count in (1, workers)
    )
    assert len(alone) == len(together) == 9
    assert all(
        torch.equal(a, b) for one, other in zip(alone, together, strict=True) for a, b in zip(one, other, strict=True)
    )


def test_two_processes_see_the_halves_of_a_batch(mixed):
    table, folder, files = mixed
    rows = np.arange(len(files))
    whole = list(OnDisk([(table, folder)], SIDE, CPU, 2).batches([rows, rows], (0.08,), uniforms(1, 8)))
    for mine in (slice(0, 4), slice(4, 8)):
        half = OnDisk([(table, folder)], SIDE, CPU, 2).batches(
            [rows[mine]] * 2, (0.08,), lambda step, mine=mine: Draws(0, step, 0, 8, mine).uniform(1, 11, 2)
        )
        assert all(torch.equal(one[mine], other) for (one,), (other,) in zip(whole, half, strict=True))
    assert not torch.equal(whole[0][0], whole[1][0])


def test_a_repeated_picture_has_crops_of_its_own(mixed):
    table, folder, _ = mixed
    ((found,),) = OnDisk([(table, folder)], SIDE, CPU, 2).batches([np.zeros(4, int)], (0.08,), uniforms(1, 4))
    assert len({square.numpy().tobytes() for square in found}) == 4


# The order


def test_pictures_come_in_the_order_asked_over_all_tables(twelve):
    data = OnDisk(twelve, SIDE, CPU, 3)
    assert len(data) == 12
    orders = [np.array([11, 0, 5, 4]), torch.tensor([9, 9, 9, 8]), np.array([3]), np.arange(12)[::-1]]
    found = [numbers_in(view) for (view,) in data.batches(orders)]
    assert found == [rows.tolist() for rows in orders]


def test_tables_are_taken_by_place_whatever_their_index(twelve):
    (first, folder), _ = twelve
    shuffled = first.iloc[[4, 2, 0]]
    ((found,),) = OnDisk([(shuffled, folder)], SIDE, CPU, 1).batches([np.arange(3)])
    assert numbers_in(found) == [4, 2, 0]


@given(st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=5), max_size=9))
def test_in_memory_gives_the_rows_asked(orders):
    pictures = np.random.RandomState(0).randint(0, 256, (9, 4, 5, 3), np.uint8)
    data = InMemory(pictures, CPU)
    assert len(data) == 9
    found = list(data.batches([np.array(rows) for rows in orders], (None, 0.08, None)))
    assert len(found) == len(orders)
    for views, rows in zip(found, orders, strict=True):
        assert len(views) == 3 and views[0] is views[1] is views[2]
        assert np.array_equal(views[0].permute(0, 2, 3, 1).numpy(), pictures[rows])


def test_small_squares_are_held_in_memory_and_large_ones_read(twelve):
    assert isinstance(open_pictures(twelve, 65, CPU), OnDisk)
    for side in (64, None):
        data = open_pictures(twelve, side, CPU)
        assert isinstance(data, InMemory)
        ((found,),) = data.batches([torch.tensor([7, 0, 7])])
        assert numbers_in(found) == [7, 0, 7] and found.shape[2:] == ((64, 64) if side else (10, 12))


def test_more_pictures_than_memory_are_refused_before_they_are_read(twelve):
    (table, folder), *_ = twelve
    many = table.iloc[np.zeros(10**7, int)]
    with pytest.raises(
        InputError, match=r"1000000000 pictures need \d{4,} GB of memory, but there are only \d+ GB; use fewer, or"
    ):
        open_pictures([(many, folder)] * 100, 64, CPU)


def test_tables_of_different_sizes_need_a_side(twelve, tmp_path):
    other = table_of(tmp_path / "s.tar", [file(picture(0, (9, 9)))])
    with pytest.raises(InputError, match=f"{tmp_path} have different sizes; give the classifier's `side`, in pixels"):
        open_pictures([*twelve, (other, tmp_path)], None, CPU)


# Damage, and early ends


def damage(table, folder, row):
    path = folder / table["shard"].iloc[row]
    data = bytearray(path.read_bytes())
    data[int(table["offset"].iloc[row]) + 30] ^= 1
    path.write_bytes(data)
    return path


def test_a_damaged_record_is_named_when_its_batch_is_due(twelve):
    table, folder = twelve[1]
    path = damage(table, folder, 5)
    batches = OnDisk(twelve, SIDE, CPU, 2).batches([np.array([0, 1]), np.array([2, 10]), np.array([3])])
    assert numbers_in(next(batches)[0]) == [0, 1]
    with pytest.raises(InputError, match=f"^{path} is damaged at record p1; say `make repair`"):
        next(batches)
    assert not reading_threads()


def test_damage_elsewhere_does_no_harm(twelve):
    table, folder = twelve[1]
    damage(table, folder, 5)
    ((found,),) = OnDisk(twelve, SIDE, CPU, 2).batches([np.array([9, 11])])
    assert numbers_in(found) == [9, 11]


def test_a_missing_shard_is_named(twelve):
    path = twelve[0][1] / "a.tar"
    path.unlink()
    with pytest.raises(InputError, match=f"^{path} is missing, but its index is there; say `make repair`"):
        next(OnDisk(twelve, SIDE, CPU, 2).batches([np.array([7, 1])]))


@pytest.mark.parametrize("data", [b"", b"no picture", KINDS["plain"][:-200], KINDS["png"][:-50]])
def test_what_cannot_be_decoded_is_named(tmp_path, data):
    table = table_of(tmp_path / "s.tar", [data])
    with pytest.raises(InputError, match=rf"^{tmp_path / 's.tar'}, record p0 cannot be decoded: "):
        next(OnDisk([(table, tmp_path)], SIDE, CPU, 1).batches([np.array([0])]))


def test_no_thread_is_left_at_the_end(twelve):
    batches = OnDisk(twelve, SIDE, CPU, 3).batches([np.arange(12)] * 8)
    next(batches)
    assert reading_threads()
    list(batches)
    assert not reading_threads()


def test_no_thread_is_left_where_the_consumer_stops(twelve):
    for batch in OnDisk(twelve, SIDE, CPU, 3).batches([np.arange(12)] * 8):
        assert reading_threads() and batch
        break
    del batch
    assert not reading_threads()


def test_no_thread_is_left_where_the_consumer_fails(twelve):
    batches = OnDisk(twelve, SIDE, CPU, 3).batches([np.arange(12)] * 8)
    with pytest.raises(ZeroDivisionError):
        for _ in batches:
            1 / 0  # noqa: B018
    batches.close()
    assert not reading_threads()


def test_no_thread_is_left_where_the_order_fails(twelve):
    def failing():
        yield np.arange(12)
        raise RuntimeError("the sampler fell over")

    with pytest.raises(RuntimeError, match="fell over"):
        list(OnDisk(twelve, SIDE, CPU, 3).batches(failing()))
    assert not reading_threads()


def test_no_more_is_read_ahead_than_said(twelve, monkeypatch):
    asked, reads = [], []
    decoded = reader._decoded
    monkeypatch.setattr(reader, "_decoded", lambda data: reads.append(1) or decoded(data))

    def orders():
        for step in range(40):
            asked.append(step)
            yield np.arange(12)

    batches = OnDisk(twelve, SIDE, CPU, 4).batches(orders())
    assert not asked
    for used, _ in enumerate(batches, 1):
        assert len(asked) == min(40, used + AHEAD)
        assert 12 * used <= len(reads) <= 12 * (used + AHEAD)
    assert len(reads) == 12 * 40


def test_the_next_batches_are_read_while_one_is_in_use(twelve):
    data = OnDisk(twelve, SIDE, CPU, 2)
    all_read = threading.Event()
    read, left = data._read, [12 * (1 + AHEAD)]

    def counted(*arguments):
        read(*arguments)
        left[0] -= 1
        if not left[0]:
            all_read.set()

    data._read = counted
    batches = data.batches([np.arange(12)] * 20)
    next(batches)
    assert all_read.wait(30)
    batches.close()
