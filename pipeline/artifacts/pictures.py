"""Picture files: decoding of whatever people have, encoding of what we make, and a check of what is to be stored."""

import contextlib
import io

import numpy as np
import simplejpeg
from PIL import Image, ImageOps

MOST_PIXELS = 80_000_000
"""Larger pictures are refused before they fill the memory."""
SUFFIX = {"png": "png", "jpeg": "jpg", "webp": "webp"}


class Unreadable(ValueError):
    """Not a picture, or a damaged one; the text is the reason."""


def decode(data: bytes, side: int | None = None) -> np.ndarray:
    """A picture's file as uint8 [H, W, 3], RGB, upright; `side` makes it a square of so many pixels.

    Grey, palette and CMYK become RGB, 16-bit levels become 8-bit, what is transparent becomes white, and a camera's note
    on how it was held is followed. For a square, the shorter side is scaled to `side` and the middle is kept. Raises
    Unreadable.
    """
    image, _ = _opened(data)
    if side and image.size != (side, side):
        image = ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def encode(picture: np.ndarray, format: str = "png", quality: int = 95, side: int | None = None) -> bytes:
    """A picture's file: uint8 [H, W, 3] or [H, W] -> bytes. `quality` is for jpeg and webp; `side` in pixels."""
    image = Image.fromarray(picture)
    if side and image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.LANCZOS)
    return _encoded(image, format, quality)


def prepared(data: bytes, shorter_side: int | None = None) -> tuple[bytes, str]:
    """A raw file as it is stored, and its suffix: untouched, or no larger than `shorter_side` pixels and RGB.

    What is made smaller becomes a JPEG of quality 95, or a PNG where the original is lossless. Raises Unreadable for what
    cannot be decoded to its end.
    """
    if shorter_side is None and _is_whole_jpeg(data):
        return data, "jpg"
    image, kind = _opened(data)
    if shorter_side is None or min(image.size) <= shorter_side:
        return data, SUFFIX.get(kind, kind)
    scale = shorter_side / min(image.size)
    image = image.resize([max(shorter_side, round(length * scale)) for length in image.size], Image.Resampling.LANCZOS)
    kind = "jpeg" if kind in ("jpeg", "webp", "mpo") else "png"
    return _encoded(image, kind, 95), SUFFIX[kind]


def _is_whole_jpeg(data: bytes) -> bool:
    """Whether the data are a JPEG without any fault, by a decoder that takes a tenth of Pillow's time for a small one.

    Where it has a complaint, which need not be fatal, Pillow decides.
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


def _opened(data: bytes) -> tuple[Image.Image, str]:
    """The picture, decoded to its end, RGB and upright, and the kind of its file."""
    if not data:
        raise Unreadable("the file is empty")
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels, more than {MOST_PIXELS:,} in all")
        image.load()
        return _rgb(image), (image.format or "").lower()
    except Exception as error:  # each of Pillow's decoders has exceptions of its own
        reason = str(error).replace("<_io.BytesIO object", "file").split(" at 0x")[0]
        raise Unreadable(f"{type(error).__name__}: {reason}") from None


def _rgb(image: Image.Image) -> Image.Image:
    with contextlib.suppress(Exception):  # notes that cannot be read say nothing
        image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode.startswith("I"):  # 16-bit grey
        return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("levels are fractions of an unknown scale")
    return image.convert("RGB")


def _encoded(image: Image.Image, format: str, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **({} if format == "png" else {"quality": quality}))
    return buffer.getvalue()
