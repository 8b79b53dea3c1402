"""A grid of pictures, one row per class: real beside generated ones, or real ones alone."""

import unicodedata
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont


class Row(NamedTuple):
    """A class's label and its pictures, uint8 [N, H, W, 3] for each heading; missing pictures leave gaps."""

    label: str
    blocks: tuple[np.ndarray, ...]


def picture_grid(rows: list[Row], headings: tuple[str, ...], columns: int, side: int, title: str) -> Image.Image:
    """Draw a grid: under each heading, `columns` pictures per row from left to right, scaled to `side` pixels."""
    # accents are not drawn alone, nor line breaks at all
    rows = [row._replace(label=" ".join(unicodedata.normalize("NFC", row.label).splitlines())) for row in rows]
    font = _font()
    widest = max((int(font.getlength(row.label)) for row in rows), default=0)
    gap, left, top = 2, widest + 12, 44
    cell, split = side + gap, 16
    block = max(columns * cell, *(int(font.getlength(heading)) for heading in headings))
    lefts = [left + number * (block + split) for number in range(len(headings))]
    width = lefts[-1] + block + gap
    width = max(width, int(font.getlength(title)) + 12)
    image = Image.new("RGB", (width, top + len(rows) * cell + gap), "white")
    draw = ImageDraw.Draw(image)
    draw.text((6, 4), title, "black", font)
    for x, heading in zip(lefts, headings, strict=True):
        draw.text((x, 24), heading, "dimgray", font)
    for line, row in enumerate(rows):
        y = top + line * cell
        draw.text((6, y + side // 2), row.label, "black", font, anchor="lm")
        for x, pictures in zip(lefts, row.blocks, strict=True):
            for column, picture in enumerate(pictures[:columns]):
                scaled = Image.fromarray(picture).resize((side, side), Image.Resampling.NEAREST)
                image.paste(scaled, (x + column * cell, y))
    return image


def _font() -> ImageFont.FreeTypeFont:
    """A font with accents, Greek and Cyrillic, which comes with matplotlib; Pillow's own has none of them."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), 12)
