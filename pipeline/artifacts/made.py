"""What an artifact's seal says about its making: the settings, the code and the inputs of its job.

So a run can tell what an artifact is without the scheduler's records: after these were lost, or in another folder.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts import digests
from pipeline.errors import InputError

KEY = "counterweight"
"""Key of the metadata of Parquet and safetensors files."""
_current: dict[str, Any] | None = None


def begin(statement: Mapping[str, Any]) -> None:
    """Let all artifacts that this process writes from now on say this."""
    global _current
    _current = dict(statement)


def current() -> dict[str, Any] | None:
    """What artifacts of this process say; None outside a job."""
    return _current


def metadata() -> dict[str, str]:
    """Metadata of a safetensors file that is to be sealed."""
    return {KEY: json.dumps({"seal": digests.BLANK, "made": _current})}


def statement(
    settings: Mapping[str, Any] | None, code: str | None, shard: str | None, inputs: Mapping[str, str]
) -> dict[str, Any]:
    """A job's settings, the fingerprint of its code, its shard as `0 of 2`, its inputs (path -> digest), and their names alone.

    Where `results/` lies does not count, so artifacts in a store lead to the same bytes.
    """
    named = {re.sub("^.*/(?=results/)", "", path): digest for path, digest in inputs.items()}
    listed = "".join(f"{path}\0{digest}\n" for path, digest in sorted(named.items()))
    return {
        "settings": settings,
        "code": code,
        "shard": shard,
        "inputs": hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest(),
        "names": hashlib.sha256("\0".join(sorted(named)).encode("utf-8", "surrogateescape")).hexdigest(),
    }


def about(path: Path) -> dict[str, Any]:
    """All that a sealed file says about itself, or {} if it cannot be read; the statement is in `made`."""
    try:
        if path.suffix == ".parquet":
            return _of_table(path)
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, "numpy") as file:
                return json.loads(file.metadata()[KEY])
        return json.loads(path.read_text(encoding="utf-8"))
    except Exception:  # damaged files raise many kinds of errors
        return {}


def _of_table(path: Path) -> dict[str, Any]:
    """The value of KEY in a Parquet file's metadata, without a library for Parquet, which takes half a second to import."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(size - 8)  # the length of the metadata, and the format's name
        length = int.from_bytes(file.read(4), "little")
        file.seek(size - 8 - length)
        metadata = file.read(length)
    # the key, the type of a text, the text's length as a number of one byte or more, and the text
    found = re.search(re.escape(KEY.encode()) + rb"\x18[\x80-\xff]*[\x00-\x7f](\{.*)", metadata, re.DOTALL)
    return json.JSONDecoder().raw_decode(found[1].decode("ascii", "replace"))[0]


def digest_of(path: Path) -> str:
    """A file's digest, from its own seal or from the sealed table beside it, without a check."""
    return digests.stated(path) or _beside(path) or digests.digest(path)


def checked_digest(path: Path) -> str:
    """A file's digest, as `digest_of` gives it. Raises InputError if its bytes differ from those that were written."""
    if stated := digests.stated(path):
        found, whole = stated, digests.is_whole(path)
    else:
        found = digests.digest(path)
        whole = _beside(path) in (found, None)
    if not whole:
        raise InputError(f"{path} is damaged: its bytes differ from those that were written; say `make repair`")
    return found


def _beside(path: Path) -> str | None:
    tables: Iterable[Path] = sorted(path.parent.glob("*.parquet"))
    return next((found for table in tables if (found := about(table).get("beside", {}).get(path.name))), None)
