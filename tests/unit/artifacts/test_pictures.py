"""Picture files as people have them: every kind becomes RGB, upright; what is damaged is refused with a reason."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from pipeline.artifacts.pictures import ENDINGS, FORMATS, Unreadable, decode, encode, is_picture, prepared

GRADIENT = np.linspace(0, 255, 20 * 30 * 3).reshape(20, 30, 3).astype(np.uint8)


def file(image: Image.Image, format: str, **keys) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **keys)
    return buffer.getvalue()


RGB = Image.fromarray(GRADIENT)
KINDS = {
    "jpeg": (file(RGB, "JPEG", quality=95), RGB, 12),
    "png": (file(RGB, "PNG"), RGB, 0),
    "webp": (file(RGB, "WEBP", lossless=True), RGB, 0),
    "bmp": (file(RGB, "BMP"), RGB, 0),
    "grey jpeg": (file(RGB.convert("L"), "JPEG", quality=95), RGB.convert("L").convert("RGB"), 12),
    "palette": (file(RGB.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"), RGB, 60),
    "two levels": (file(RGB.convert("1"), "PNG"), RGB.convert("1").convert("RGB"), 0),
    "cmyk jpeg": (file(RGB.convert("CMYK"), "JPEG", quality=95), RGB, 25),
}


@pytest.mark.parametrize(("data", "expected", "tolerance"), KINDS.values(), ids=KINDS)
def test_every_kind_becomes_rgb(data, expected, tolerance):
    found = decode(data)
    assert found.dtype == np.uint8 and found.shape == (20, 30, 3)
    assert np.abs(found.astype(int) - np.asarray(expected).astype(int)).max() <= tolerance


def test_sixteen_bits_become_eight():
    levels = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    found = decode(file(Image.fromarray(levels), "PNG"))
    assert found.min() == 0 and found.max() == 255
    assert (found[..., 0] == levels // 257).all() and (found[..., 0] == found[..., 2]).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_what_is_transparent_becomes_white(mode):
    image = Image.new("RGBA", (4, 4), (200, 200, 200, 255))
    image.putpixel((0, 0), (0, 0, 0, 0))
    data = file(image.convert(mode), "TIFF" if mode == "PA" else "PNG")
    found = decode(data)
    assert (found[0, 0] == 255).all() and (np.abs(found[1, 1].astype(int) - 200) <= 1).all()


def test_a_palette_with_a_transparent_colour():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.putpixel((0, 0), 0)
    found = decode(file(image, "PNG", transparency=0))
    assert (found[0, 0] == 255).all() and found[1, 1].tolist() == [10, 20, 30]


def test_a_transparent_level_of_16_bits_becomes_white():
    image = Image.fromarray(np.array([[0, 1000], [1001, 65535]], np.uint16))
    found = decode(file(image, "PNG", transparency=1000))
    assert found[..., 0].tolist() == [[0, 255], [3, 255]]


def test_an_rgb_picture_with_a_transparent_colour():
    image = Image.new("RGB", (4, 4), (10, 20, 30))
    image.putpixel((0, 0), (1, 2, 3))
    found = decode(file(image, "PNG", transparency=(1, 2, 3)))
    assert (found[0, 0] == 255).all() and found[1, 1].tolist() == [10, 20, 30]


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_notes_that_cannot_be_read_say_nothing(format):
    data = file(RGB, format, exif=b"Exif\0\0no such thing", **({"lossless": True} if format == "WEBP" else {}))
    assert (decode(data) == GRADIENT).all()
    assert prepared(data)[0] == data and decode(prepared(data, 10)[0]).shape == (10, 15, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_the_camera_notes(orientation):
    turned = {
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2), 6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2), 8: lambda a: a.transpose(1, 0, 2)[::-1],
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert (decode(file(RGB, "PNG", exif=exif)) == turned(GRADIENT)).all()


def test_a_square_is_the_middle_of_the_picture():
    levels = np.zeros((20, 60, 3), np.uint8)
    levels[:, 20:40] = 200
    assert (decode(encode(levels), side=20) == 200).all()
    assert decode(encode(levels), side=10).shape == (10, 10, 3)
    assert decode(encode(levels), side=32).shape == (32, 32, 3)


def deep_png(levels: np.ndarray, colour: int = 0) -> bytes:
    """A PNG of 16 bits, whatever its levels are."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


TWELVE_BITS = np.linspace(0, 4095, 64).round().astype(np.uint16).reshape(8, 8)
DEEP = {
    "16-bit png": deep_png(TWELVE_BITS),
    "16-bit tiff": file(Image.fromarray(TWELVE_BITS), "TIFF"),
    "32-bit tiff": file(Image.fromarray(TWELVE_BITS.astype(np.int32)), "TIFF"),
    "16-bit jpeg 2000": file(Image.fromarray(TWELVE_BITS), "JPEG2000", irreversible=False),
}


@pytest.mark.parametrize("data", DEEP.values(), ids=DEEP)
def test_twelve_bits_in_a_deeper_file_are_measured_and_scaled_by_the_declared_level(data):
    untouched = prepared(data)
    assert untouched.data == data and untouched.brightest == 4095
    for side in (None, 8):
        stored = prepared(data, side, levels=4095)
        assert stored.suffix == "png" and stored.brightest == 4095
        assert (decode(stored.data)[..., 0] == TWELVE_BITS.astype(int) * 255 // 4095).all()
    assert prepared(data, levels=65535) == untouched
    assert prepared(file(RGB, "PNG"), levels=4095) == prepared(file(RGB, "PNG")), "8 bits have their own white"


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_colours_are_measured_and_refused_at_another_white(colour, channels):
    data = deep_png(np.stack([TWELVE_BITS] * (channels - channels % 2) + [TWELVE_BITS] * (channels % 2), -1), colour)
    assert prepared(data).brightest == 4095 and prepared(data, levels=65535).data == data
    with pytest.raises(Unreadable, match="16-bit colours can only be read if 65535 is white; convert them to 8 bits"):
        prepared(data, levels=4095)


def test_long_notes_and_profiles_do_not_make_pixels_unreadable():
    notes = PngImagePlugin.PngInfo()
    notes.add_text("history", "x" * 3_000_000, zip=True)
    data = file(RGB, "PNG", pnginfo=notes, icc_profile=bytes(3_000_000))
    assert (decode(data) == GRADIENT).all() and prepared(data).data == data


@pytest.mark.parametrize("format", ["EPS", "PDF", "ICO", "SGI", "TGA"])
def test_formats_that_pillow_has_but_that_are_not_allowed_are_refused(format, tmp_path):
    """Pillow hands PostScript to Ghostscript, which runs programs."""
    data = file(RGB, format)
    for read in (prepared, decode, lambda data: decode(data, 8)):
        with pytest.raises(Unreadable, match="cannot identify image"):
            read(data)
    (tmp_path / "picture.png").write_bytes(data)
    assert not is_picture(tmp_path / "picture.png")


def test_the_endings_are_pillows_for_the_allowed_formats():
    Image.init()
    known = {ending for ending, format in Image.registered_extensions().items() if format in (*FORMATS, "MPO")}
    assert set(ENDINGS) == known and {".jfif", ".jpe", ".avif", ".tif"} < known
    for format in FORMATS:
        assert format in Image.OPEN


def test_a_thin_picture_is_cut_before_it_is_scaled():
    levels = np.zeros((1, 30_000, 3), np.uint8)
    levels[:, 14_990:15_010] = 90
    assert (decode(encode(levels), side=224) == 90).all()


# What is stored


@pytest.mark.parametrize("name", KINDS)
def test_originals_are_untouched(name):
    data, _, _ = KINDS[name]
    stored, suffix, _ = prepared(data)
    assert stored == data
    assert suffix == {"jpeg": "jpg", "grey jpeg": "jpg", "cmyk jpeg": "jpg", "webp": "webp", "bmp": "bmp"}.get(
        name, "png"
    )


def test_large_pictures_are_stored_smaller_and_small_ones_as_they_are():
    large = Image.fromarray(np.full((90, 150, 3), 77, np.uint8))
    for format, kept in (("JPEG", "JPEG"), ("WEBP", "JPEG"), ("PNG", "PNG"), ("BMP", "PNG")):
        stored, suffix, _ = prepared(file(large, format), 30)
        image = Image.open(io.BytesIO(stored))
        assert image.size == (50, 30) and image.format == kept and image.mode == "RGB"
        assert suffix == {"JPEG": "jpg", "PNG": "png"}[kept]
        assert np.abs(decode(stored).astype(int) - 77).max() <= 3
        assert prepared(file(large, format), 90)[0] == file(large, format)


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it has so many pixels."""

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


jpeg = KINDS["jpeg"][0]
fractions = file(Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)), "TIFF")
DAMAGED = {
    "empty": (b"", "the file is empty"),
    "text": (b"this is no picture", "UnidentifiedImageError: cannot identify image file$"),
    "truncated jpeg": (jpeg[:-50], "truncated"),
    "truncated png": (KINDS["png"][0][:-40], "OSError|SyntaxError|broken|truncated"),
    "truncated webp": (KINDS["webp"][0][:-40], "."),
    "bomb": (bomb(20_000, 20_000), "DecompressionBombError|20000 x 20000 pixels"),
    "fractions": (fractions, "levels are fractions of an unknown scale"),
    "smaller bomb": (bomb(10_000, 8_900), "10000 x 8900 pixels, more than 80,000,000"),
}


@pytest.mark.parametrize(("data", "reason"), DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("side", [None, 8])
def test_damaged_pictures_are_refused_with_a_reason(data, reason, side):
    with pytest.raises(Unreadable, match=reason):
        prepared(data, side)
    with pytest.raises(Unreadable, match=reason):
        decode(data)
