"""GPT-2's tokenizer (Radford et al. 2019) from its merges alone, because the merges decide the vocabulary."""

import gzip
import zlib
from pathlib import Path

from transformers import GPT2Tokenizer

from pipeline.errors import InputError

END = "<|endoftext|>"
WANTED = "GPT-2's merges, a file called vocab.bpe or merges.txt"


def read_tokenizer(path: Path) -> GPT2Tokenizer:
    """The tokenizer of a file of merges, one pair a line, which may be packed by gzip.

    Its tokens are the 256 bytes, a token for each merge, and the end of a text, in this order. Raises InputError if the file is
    missing or damaged.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except FileNotFoundError:
        raise InputError(f"{path} is missing; give {WANTED}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{path} is damaged ({error}); give {WANTED}") from None
    lines = [line for line in text.replace("\r", "").split("\n") if line]
    lines = lines[1:] if text.startswith("#version") else lines
    merges = [tuple(line.split(" ")) for line in lines]
    letters = _letters()
    tokens = dict.fromkeys(letters)
    for line, merge in zip(lines, merges, strict=True):
        if len(merge) != 2 or not all(part in tokens for part in merge):
            raise InputError(f"{path}: '{line}' is not a pair of earlier tokens; give {WANTED}")
        tokens["".join(merge)] = None
    vocabulary = {token: place for place, token in enumerate([*tokens, END])}
    return GPT2Tokenizer(vocabulary, merges, pad_token=END)


def _letters() -> list[str]:
    """GPT-2's spelling of the 256 bytes: printable ones are themselves and come first, the others follow from 256."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [*map(chr, printable), *(chr(256 + place) for place in range(256 - len(printable)))]
