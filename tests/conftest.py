"""Fixtures that several tests share: the raw CIFAR files, a finished run, and a CPU with a fixed number of threads."""

import fcntl
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from workflow_helpers import REPOSITORY, copy_of, micro_run, planned

# Before torch is imported: each worker has one core. Threads that wait for a busy core spin, which takes ten times as long
os.environ["OMP_NUM_THREADS"] = "1"

# What is started in the background ignores SIGINT, and so would all that the tests start and interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)

# Nothing fails because the machine is busy, and the same examples are tried everywhere
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("steady")

LONGEST = (
    "test_slurm",
    "test_training",  # which need not wait for the finished run
    "test_failures",
    "test_verify",
    "test_chaos",
    "test_text_to_image_workflow",
    "test_rerun_matrix",
    "test_workflow",
    "test_mistakes",
    "test_records",
)
"""Files whose tests start first, so that no worker is left alone with one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


CIFAR = ("cifar-10-batches-bin", "cifar-100-binary")


def made_once(tmp_path_factory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first of the workers of this run makes, by `make(folder)`, and the others use."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = base / name, base / f"{name}.done"
    with open(base / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make(folder)
            done.touch()
    return folder


@pytest.fixture(autouse=True)
def outside_a_job(monkeypatch):
    """Artifacts that a test writes say nothing of their making, unless it begins a job."""
    monkeypatch.setattr("pipeline.artifacts.made._current", None)


@pytest.fixture(autouse=True)
def in_full_precision():
    """A stage that ran on a GPU has lowered the precision of its process, which is this one's, on the CPU too."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_float32_matmul_precision("highest")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of packed data sets that lies beside the repository."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


@pytest.fixture(scope="session")
def cifar_root(request, tmp_path_factory) -> Path:
    """A data root with `cifar-10-batches-bin` and `cifar-100-binary`: the user's own, or unpacked from `shared_data`."""
    root = os.getenv("COUNTERWEIGHT_DATA")
    if root and all((Path(root) / folder).is_dir() for folder in CIFAR):
        return Path(root)
    if importlib.util.find_spec("pillow_jxl") is None:
        pytest.skip(
            f"no CIFAR: COUNTERWEIGHT_DATA names no folder with {' and '.join(CIFAR)}, and pillow_jxl is not installed"
        )
    packed = request.getfixturevalue("shared_data")
    spec = importlib.util.spec_from_file_location("unpack", packed / "unpack.py")
    unpack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(unpack)
    return made_once(tmp_path_factory, "raw", unpack.main)


@pytest.fixture(scope="session")
def cpu():
    """The CPU as stages use it: equal bits are promised for a fixed number of threads."""
    import torch

    from pipeline.jobs.device import THREADS

    torch.set_num_threads(THREADS)
    return torch.device("cpu")


@pytest.fixture
def small_disk():
    """Makes a folder a disk of its own, of so many bytes (`1m`, say), or changes that disk's size; needs root."""
    mounted = []

    def mount(folder: Path, size: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        option = f"remount,size={size}" if folder in mounted else f"size={size}"
        ran = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", option, "tmpfs", folder], capture_output=True, text=True, check=False
        )
        if ran.returncode:
            pytest.skip(f"no disk can be mounted here: {ran.stderr.strip()}")
        mounted.append(folder)

    yield mount
    for folder in dict.fromkeys(mounted):
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A run of the micro config, from the first stage to the tables; not to be changed."""
    return made_once(tmp_path_factory, "micro", micro_run)


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """A copy of the finished run, to be changed."""
    return copy_of(finished, tmp_path / "copy")


@pytest.fixture(scope="session")
def commands(finished) -> dict[str, list[str]]:
    """Every job of the micro run, with the arguments of its stage."""
    return planned(finished, "--forceall", "--", "all_demo", "table_diffult_9")
