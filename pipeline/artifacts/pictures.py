"""Picture files: decoding of raw pictures in any format, encoding, and checks before raw pictures are stored."""

import contextlib
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, PngImagePlugin

FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "AVIF": (".avif", ".avifs"),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    "QOI": (".qoi",),
}
"""Formats that are read, by Pillow's names, and their endings. Pillow decodes these itself; for PostScript it starts a program."""
ENDINGS = tuple(ending for endings in FORMATS.values() for ending in endings)
MOST_PIXELS = 80_000_000
"""Pictures with more pixels are refused before they fill the memory."""
WHITE = 65535
"""The level that is white in files of 16 or 32 bits, unless the data set gives another."""
SUFFIX = {"png": "png", "jpeg": "jpg", "webp": "webp", "jpeg2000": "jp2"}

# a text or a colour profile of over 1 MiB does not make the pixels unreadable
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY


class Unreadable(ValueError):
    """Not a picture, or a damaged one; the text is the reason."""


class Prepared(NamedTuple):
    """A picture to store."""

    data: bytes
    suffix: str
    brightest: int | None
    """The highest level in a file of 16 or 32 bits; of its upper 8 bits, in colour. None for other files."""


def decode(data: bytes, side: int | None = None) -> np.ndarray:
    """Decode a picture's file to uint8 [H, W, 3], RGB, upright; with `side`, to a square of `side` pixels.

    Grey, palette and CMYK pictures become RGB, 16-bit levels 8-bit (65535 is white), and transparent pixels white. The
    camera's orientation (EXIF) is applied. For a square, the middle is cut out and scaled to `side`. Raises Unreadable.
    """
    image, _, _ = _opened(data)
    if side and image.size != (side, side):
        image = ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def encode(picture: np.ndarray, format: str = "png", quality: int = 95, side: int | None = None) -> bytes:
    """Encode a picture, uint8 [H, W, 3] or [H, W]. `quality`, 0 to 100, is for jpeg and webp; `side` resizes, in pixels."""
    image = Image.fromarray(picture)
    if side and image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.LANCZOS)
    return _encoded(image, format, quality)


def prepared(data: bytes, shorter_side: int | None = None, levels: int | None = None) -> Prepared:
    """Check a raw file and give what to store: the file untouched, or scaled down and RGB.

    A shorter side of more than `shorter_side` pixels is scaled down to it. Scaled pictures become a JPEG of quality 95, or a
    PNG if the original is lossless. `levels` is the level that is white in files of 16 or 32 bits, by default 65535; with
    another one, they become PNGs of 8 bits. Raises Unreadable if the file cannot be decoded to its end.
    """
    if shorter_side is None and _is_whole_jpeg(data):
        return Prepared(data, "jpg", None)
    image, kind, brightest = _opened(data, levels or WHITE)
    scaled = brightest is not None and (levels or WHITE) != WHITE
    if shorter_side is not None and min(image.size) > shorter_side:
        scale = shorter_side / min(image.size)
        size = [max(shorter_side, round(length * scale)) for length in image.size]
        image, scaled = image.resize(size, Image.Resampling.LANCZOS), True
    if not scaled:
        return Prepared(data, SUFFIX.get(kind, kind), brightest)
    kind = "jpeg" if kind in ("jpeg", "webp", "mpo", "avif") else "png"
    return Prepared(_encoded(image, kind, 95), SUFFIX[kind], brightest)


def is_picture(path: Path) -> bool:
    """Whether a file begins as one of FORMATS does."""
    try:
        with Image.open(path, formats=tuple(FORMATS)):
            return True
    except Exception:  # each of Pillow's formats has exceptions of its own
        return False


def _is_whole_jpeg(data: bytes) -> bool:
    """Whether the data are a faultless JPEG. For small pictures, this decoder takes a tenth of Pillow's time.

    It also refuses some JPEGs that can be decoded, so Pillow has the last word.
    """
    if not data.startswith(b"\xff\xd8"):
        return False
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        if height * width > MOST_PIXELS:
            return False
        simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1, min_factor=8)
    except ValueError:
        return False
    return True


def _opened(data: bytes, levels: int = WHITE) -> tuple[Image.Image, str, int | None]:
    """The picture, decoded to its end, RGB and upright, its file's format, and the brightest level of more than 8 bits."""
    if not data:
        raise Unreadable("the file is empty")
    try:
        image = Image.open(io.BytesIO(data), formats=tuple(FORMATS))
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels, more than {MOST_PIXELS:,} in all")
        cut_off = any(";16" in str(tile.args) for tile in image.tile) and not image.mode.startswith("I")
        image.load()
        if cut_off and levels != WHITE:
            raise ValueError("16-bit colours can only be read if 65535 is white; convert them to 8 bits")
        brightest = _brightest(image, cut_off)
        return _rgb(image, levels), (image.format or "").lower(), brightest
    except Exception as error:  # each of Pillow's decoders has exceptions of its own
        reason = str(error).split(" <_io.BytesIO")[0]
        raise Unreadable(f"{type(error).__name__}: {reason}") from None


def _brightest(image: Image.Image, cut_off: bool) -> int | None:
    """The highest level, if the file has more than 8 bits. If they are `cut_off`, Pillow has kept the upper 8 of 16."""
    if cut_off:
        extrema = image.getextrema()
        colours = extrema[:-1] if image.mode in ("LA", "RGBA") else extrema
        pairs = [colours] if isinstance(colours[0], int | float) else colours
        return 256 * int(max(high for _, high in pairs)) + 255
    return int(np.asarray(image).max()) if image.mode.startswith("I") else None


def _rgb(image: Image.Image, levels: int) -> Image.Image:
    with contextlib.suppress(Exception):  # an unreadable orientation is ignored
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16-bit or 32-bit grey
        values = np.asarray(image).astype(np.int64)
        grey = values.clip(0, levels) * 255 // levels
        if isinstance(level := image.info.get("transparency"), int):
            grey[values == level] = 255  # white, as below
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode == "F":
        raise ValueError("levels are fractions of an unknown scale")
    return image.convert("RGB")


def _encoded(image: Image.Image, format: str, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **({} if format == "png" else {"quality": quality}))
    return buffer.getvalue()
