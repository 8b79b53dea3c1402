"""What `make setup` does in a folder that was moved, or unpacked without links."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from workflow_helpers import REPOSITORY


@pytest.fixture
def checkout(tmp_path) -> Path:
    """The Makefile, what it reads, and an environment, with blanks and quotes in the path."""
    root = tmp_path / "user's folder" / "first"
    root.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        (root / name).write_text((REPOSITORY / name).read_text())
    for name in ("local", "slurm"):
        (root / "profiles" / name).mkdir(parents=True)
        (root / "profiles" / name / "profile.yaml").write_text("cores: 1")
        (root / name).symlink_to(f"profiles/{name}")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root / ".venv"], check=True, cwd=root)
    (root / ".venv/installed").touch()
    return root


def make(root: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    ran = subprocess.run(
        ["make", "PYTHON=false", *arguments], cwd=root, env=environment, text=True, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_a_moved_checkout_gets_a_new_environment(checkout):
    assert "venv" not in make(checkout, "--dry-run", "setup").replace("profiles", "")
    moved = checkout.rename(checkout.with_name("second"))
    steps = make(moved, "--dry-run", "setup")
    assert (
        "made anew" in steps and "rm -rf .venv" in steps and "false -m venv .venv" in steps and "pip install" in steps
    )
    make(moved, ".venv-moved")
    assert not (moved / ".venv").exists()
    assert "made anew" not in make(moved, "--dry-run", "setup")


def test_links_that_became_text_files_are_links_again(checkout):
    """As in an archive that Windows unpacked; one of them is lost."""
    (checkout / "local").unlink()
    (checkout / "local").write_text("profiles/local")
    (checkout / "slurm").unlink()
    make(checkout, "setup")
    for name in ("local", "slurm"):
        assert (checkout / name / "profile.yaml").read_text() == "cores: 1"
        assert (checkout / name).readlink() == Path(f"profiles/{name}")
    assert make(checkout, "setup") == ""


def test_an_interrupted_installation_starts_anew_and_a_whole_one_is_kept(checkout):
    python = checkout / "python"  # `-m venv` makes an environment whose pip does nothing
    python.write_text('#!/bin/sh\n[ "$2" != venv ] || { mkdir -p .venv/bin; ln -sf "$PWD/python" .venv/bin/python; }\n')
    python.chmod(0o755)
    half = checkout / ".venv/half"
    half.touch()
    (checkout / "pyproject.toml").touch()  # its packages changed
    make(checkout, "PYTHON=./python", "setup")
    assert half.exists()
    (checkout / ".venv/installed").unlink()
    make(checkout, "PYTHON=./python", "setup")
    assert not half.exists() and (checkout / ".venv/installed").exists()
