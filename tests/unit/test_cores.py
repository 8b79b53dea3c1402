"""The number of cores is known on every system, and asked for in one place."""

import os

from workflow_helpers import REPOSITORY

from pipeline.cores import cores


def test_a_scheduler_may_leave_a_process_fewer_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5}, raising=False)
    assert cores() == 2


def test_a_system_that_does_not_tell_has_all_cores(monkeypatch):
    """As macOS."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


def test_nothing_else_asks_the_system():
    asking = {path.name for path in (REPOSITORY / "pipeline").rglob("*.py") if "sched_getaffinity" in path.read_text()}
    assert asking == {"cores.py"}
