"""Modules of a config's kinds: `load("scores", "d1")` is the module pipeline/scores/d1.py."""

import importlib
from types import ModuleType


def load(package: str, kind: str) -> ModuleType:
    """The module `pipeline.<package>.<kind>`; the config's schema has checked that it exists."""
    return importlib.import_module(f"pipeline.{package}.{kind}")
