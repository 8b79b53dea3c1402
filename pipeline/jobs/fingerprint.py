"""Fingerprints of the code that decides a stage's results, the same on every version of Python.

All modules that a stage imports count, directly or not, except PLUMBING. Within a module, comments, docstrings, layout and
the texts of messages do not count: what `raise`, `print` and `assert` say, what a variable `_REMEDY` holds, and a command line's
help. Data files count as code: a module `X.py` is fingerprinted with the files `X.tsv`, `X.csv`, `X.txt` and so on beside it.

Snakemake tracks neither imports nor a shell command's script. So each rule passes the fingerprint of its stage as a
parameter, and the job checks it again before it works.
"""

import ast
import functools
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
PLUMBING = frozenset(
    {
        "pipeline.cores",
        "pipeline.errors",
        "pipeline.locks",
        "pipeline.artifacts.atomic",
        "pipeline.artifacts.digests",
        "pipeline.artifacts.made",
        "pipeline.jobs.checkpoint",
        "pipeline.jobs.claim",
        "pipeline.jobs.command",
        "pipeline.jobs.fingerprint",
        "pipeline.jobs.inputs",
        "pipeline.jobs.overlap",
        "pipeline.jobs.progress",
        "pipeline.jobs.stopping",
    }
)
"""Modules that decide how a job runs, and not what its results are."""


def fingerprint(modules: Iterable[str], root: Path = ROOT) -> str:
    """Sorted JSON: `modules` (dotted names), and the SHA-256 of their code and of all code that they import from `root`."""
    named = sorted(set(modules))
    digest = hashlib.sha256()
    for module, code in sorted(_closure(named, root).items()):
        digest.update(f"{module}\0{code}\0".encode())
    return json.dumps({"modules": named, "sha256": digest.hexdigest()}, sort_keys=True)


def covered(modules: Iterable[str], root: Path = ROOT) -> set[str]:
    """The modules that `fingerprint(modules)` covers."""
    return set(_closure(modules, root))


def check(planned: str) -> None:
    """Raise InputError if the code has changed since `planned`, a fingerprint, was made."""
    try:
        modules = json.loads(planned)["modules"]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise InputError(
            f"--code '{planned}' is not a fingerprint; leave it out when you run a stage by hand"
        ) from None
    if fingerprint(modules) != planned:
        raise InputError(
            f"the code of {', '.join(modules)} was edited after this run was planned; start snakemake again"
        )


def _closure(modules: Iterable[str], root: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in found or module in PLUMBING:
            continue
        path = _path(module, root)
        if path is None:
            raise InputError(f"there is no module {module} under {root}")
        code, imported = _read(path, path.stat().st_mtime_ns, module, root)
        found[module] = "\0".join([code, *_data(path)])
        waiting += imported
        packages = (".".join(module.split(".")[:depth]) for depth in range(1, module.count(".") + 1))
        waiting += [package for package in packages if _path(package, root)]  # which need no __init__.py
    return found


@functools.cache
def _read(path: Path, modified: int, module: str, root: Path) -> tuple[str, tuple[str, ...]]:
    """(normalised code, local modules that it imports). The argument `modified` makes the cache notice an edit."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    imported = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise InputError(f"{path}: write absolute imports, because relative ones are not followed")
            imported += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    local = tuple(name for name in imported if name.split(".")[0] == module.split(".")[0] and _path(name, root))
    return _dumped(tree), local


def _dumped(value: Any) -> str:
    """Syntax as text. Python's own `ast.dump` differs between versions, because new ones add empty fields."""
    if isinstance(value, list):
        return f"[{','.join(_dumped(item) for item in value if not _only_speaks(item))}]"
    if not isinstance(value, ast.AST):
        return repr(value)
    if isinstance(value, ast.Raise) and isinstance(value.exc, ast.Call):
        return f"Raise({_dumped(value.exc.func)})"
    if isinstance(value, ast.JoinedStr):  # the first releases of 3.12 end a format such as >{3} with an empty text
        value = ast.JoinedStr([part for part in value.values if getattr(part, "value", None) != ""])
    silent = _SILENT.get(type(value), ())
    fields = [
        f"{name}={_dumped(field)}"
        for name, field in ast.iter_fields(value)
        if field is not None and field != [] and name not in silent
    ]
    return f"{type(value).__name__}({','.join(fields)})"


_SILENT = {ast.Raise: ("cause",), ast.Assert: ("msg",), ast.Constant: ("kind",)}
"""Fields that do not change what code does, as far as results go."""
_HELP = ("description", "epilog", "help", "metavar", "how_to_get")
"""Arguments with texts for a command line's help, or for a message."""
_REMEDIES = ("remedy", "_REMEDY")
"""Variables that hold a part of a message: what to do."""


def _only_speaks(node: Any) -> bool:
    """Whether a statement or an argument is a docstring, a message or a text of help."""
    if isinstance(node, ast.keyword):
        return node.arg in _HELP
    if isinstance(node, ast.Assign):
        return all(isinstance(target, ast.Name) and target.id in _REMEDIES for target in node.targets)
    if not isinstance(node, ast.Expr):
        return False
    call = node.value
    if isinstance(call, ast.Call):
        return isinstance(call.func, ast.Name) and call.func.id == "print"
    return isinstance(call, ast.Constant) and isinstance(call.value, str)


def _data(path: Path) -> list[str]:
    """Name and hash of each data file of the module at `path`. `X.pyc` and an editor's `X.tsv~` do not count."""
    files = [file for file in path.parent.glob(f"{path.stem}.*") if not re.search(r"\.py[^.]*$|~$", file.name)]
    return [f"{file.name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}" for file in sorted(files)]


def _path(module: str, root: Path) -> Path | None:
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
