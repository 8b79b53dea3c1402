"""Fingerprints of code: what a stage would run, whatever its comments, docstrings and time stamps.

Snakemake tracks neither imports nor a shell command's script, so each rule gives the fingerprint of its stage
as a parameter, and the job checks it again before it works.
"""

import ast
import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def fingerprint(modules: Iterable[str], root: Path = ROOT) -> str:
    """Sorted JSON: `modules` (dotted names) and the hash of their code and of all that they import from `root`."""
    named = sorted(set(modules))
    digest = hashlib.sha256()
    for module, code in sorted(_closure(named, root).items()):
        digest.update(f"{module}\0{code}\0".encode())
    return json.dumps({"modules": named, "sha256": digest.hexdigest()}, sort_keys=True)


def covered(modules: Iterable[str], root: Path = ROOT) -> set[str]:
    """The modules that `fingerprint(modules)` speaks of."""
    return set(_closure(modules, root))


def check(planned: str) -> None:
    """Raise InputError where the code is no longer the one that `planned`, a fingerprint, was made of."""
    try:
        modules = json.loads(planned)["modules"]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise InputError(f"'{planned}' is no fingerprint of code; leave it out when you run a stage by hand") from None
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
        found[module], imported = _read(path, path.stat().st_mtime_ns, module, root)
        waiting += imported
        waiting += [".".join(module.split(".")[:depth]) for depth in range(1, module.count(".") + 1)]
    return found


@functools.cache
def _read(path: Path, modified: int, module: str, root: Path) -> tuple[str, tuple[str, ...]]:
    """(normalised code, local modules it imports); `modified` makes an edit during a process count."""
    tree = ast.parse(path.read_text(), str(path))
    imported = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise InputError(f"{path}: write absolute imports, for relative ones are not followed")
            imported += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        body = getattr(node, "body", None)
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and body:
            node.body = [statement for statement in body if not _is_text(statement)]  # an attribute's docstring, too
    local = tuple(name for name in imported if name.split(".")[0] == module.split(".")[0] and _path(name, root))
    return ast.dump(tree), local


def _is_text(statement: ast.stmt) -> bool:
    value = getattr(statement, "value", None)
    return isinstance(statement, ast.Expr) and isinstance(value, ast.Constant) and isinstance(value.value, str)


def _path(module: str, root: Path) -> Path | None:
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
