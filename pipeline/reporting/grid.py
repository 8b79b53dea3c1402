"""A grid of real beside generated pictures, one row a class."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont


class Row(NamedTuple):
    """A class's label and its pictures, uint8 [N, H, W, 3] each; fewer than the grid's columns leave gaps."""

    label: str
    real: np.ndarray
    generated: np.ndarray


def picture_grid(rows: list[Row], columns: int, side: int, title: str) -> Image.Image:
    """Real pictures left, generated ones right, `columns` of each a row, scaled to `side` pixels."""
    font = ImageFont.load_default(13)
    widest = max(int(font.getlength(row.label)) for row in rows)
    gap, left, top = 2, widest + 12, 44
    cell, split = side + gap, 16
    width = left + 2 * columns * cell + split
    width = max(width, int(font.getlength(title)) + 12)
    image = Image.new("RGB", (width, top + len(rows) * cell + gap), "white")
    draw = ImageDraw.Draw(image)
    draw.text((6, 4), title, "black", font)
    generated_left = left + columns * cell + split
    draw.text((left, 24), "real", "dimgray", font)
    draw.text((generated_left, 24), "generated", "dimgray", font)
    for line, row in enumerate(rows):
        y = top + line * cell
        draw.text((6, y + side // 2), row.label, "black", font, anchor="lm")
        for x, pictures in ((left, row.real), (generated_left, row.generated)):
            for column, picture in enumerate(pictures[:columns]):
                scaled = Image.fromarray(picture).resize((side, side), Image.Resampling.NEAREST)
                image.paste(scaled, (x + column * cell, y))
    return image
