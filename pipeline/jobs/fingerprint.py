"""Fingerprints of a stage's code, which comments, docstrings and time stamps do not change.

Data files count as code: a module `X.py` is fingerprinted with the files `X.tsv`, `X.csv`, `X.txt` and so on beside it.
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

from pipeline.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


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
        if module in found:
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
    tree = ast.parse(path.read_text(), str(path))
    imported = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise InputError(f"{path}: write absolute imports, because relative ones are not followed")
            imported += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        body = getattr(node, "body", None)
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and body:
            node.body = [statement for statement in body if not _is_text(statement)]  # an attribute's docstring, too
    local = tuple(name for name in imported if name.split(".")[0] == module.split(".")[0] and _path(name, root))
    return ast.dump(tree), local


def _data(path: Path) -> list[str]:
    """Name and hash of each data file of the module at `path`. `X.pyc` and an editor's `X.tsv~` do not count."""
    files = [file for file in path.parent.glob(f"{path.stem}.*") if not re.search(r"\.py[^.]*$|~$", file.name)]
    return [f"{file.name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}" for file in sorted(files)]


def _is_text(statement: ast.stmt) -> bool:
    value = getattr(statement, "value", None)
    return isinstance(statement, ast.Expr) and isinstance(value, ast.Constant) and isinstance(value.value, str)


def _path(module: str, root: Path) -> Path | None:
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
