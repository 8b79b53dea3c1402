"""Modules of a config's kinds: `load("scores", "d1")` is the module pipeline/scores/d1.py."""

import importlib
from types import ModuleType


def load(family: str, kind: str) -> ModuleType:
    """The module `pipeline.<family>.<kind>`; the config's schema has checked that it exists."""
    return importlib.import_module(f"pipeline.{family}.{kind}")
