"""Picture files: decoding of raw pictures in any format, encoding, and checks before raw pictures are stored."""

import contextlib
import io

import numpy as np
import simplejpeg
from PIL import Image, ImageOps

MOST_PIXELS = 80_000_000
"""Pictures with more pixels are refused before they fill the memory."""
SUFFIX = {"png": "png", "jpeg": "jpg", "webp": "webp"}


class Unreadable(ValueError):
    """Not a picture, or a damaged one; the text is the reason."""


def decode(data: bytes, side: int | None = None) -> np.ndarray:
    """Decode a picture's file to uint8 [H, W, 3], RGB, upright; with `side`, to a square of `side` pixels.

    Grey, palette and CMYK pictures become RGB, 16-bit levels 8-bit, and transparent pixels white. The camera's orientation
    (EXIF) is applied. For a square, the shorter side is scaled to `side`, and the middle is cropped. Raises Unreadable.
    """
    image, _ = _opened(data)
    if side and image.size != (side, side):
        image = ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def encode(picture: np.ndarray, format: str = "png", quality: int = 95, side: int | None = None) -> bytes:
    """Encode a picture, uint8 [H, W, 3] or [H, W]. `quality`, 0 to 100, is for jpeg and webp; `side` resizes, in pixels."""
    image = Image.fromarray(picture)
    if side and image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.LANCZOS)
    return _encoded(image, format, quality)


def prepared(data: bytes, shorter_side: int | None = None) -> tuple[bytes, str]:
    """Check a raw file and give the bytes to store, and their suffix: the file untouched, or scaled down and RGB.

    A shorter side of more than `shorter_side` pixels is scaled down to it. Scaled pictures become a JPEG of quality 95, or a
    PNG if the original is lossless. Raises Unreadable if the file cannot be decoded to its end.
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


def _opened(data: bytes) -> tuple[Image.Image, str]:
    """The picture, decoded to its end, RGB and upright, and its file's format."""
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
    with contextlib.suppress(Exception):  # an unreadable orientation is ignored
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
