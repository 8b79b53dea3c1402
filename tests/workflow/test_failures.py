"""What goes wrong on real machines: each ends in a sentence or a clean retry, and the next run ends with the right bytes.

docs/failures.md is the table of these tests; kills at random moments are in test_chaos.py, Slurm's own cases in test_slurm.py.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from runs import Run
from workflow_helpers import EVERYTHING, bytes_under, make_copy, planned, repetitions, set_option, snakemake, stage

pytestmark = pytest.mark.slow

GRID = "results/demo/grid/cbdm.png"
WEIGHTS = "results/demo/classifier/ce/seed-1/weights.safetensors"


@pytest.fixture(scope="session")
def commands(finished) -> dict[str, list[str]]:
    """Every job of the micro run, with the arguments of its stage."""
    return planned(finished, "--forceall", "--", "all_demo")


def assert_told(told: str, *words: str) -> None:
    """Without a traceback, and with all words in one line; a job that fails is not taken for one that succeeded."""
    assert "Traceback" not in told, told
    assert "completed successfully" not in told, told
    assert any(all(word in line for word in words) for line in told.splitlines()), told


def assert_as_before(root: Path, finished: Path, *targets: str) -> None:
    """A run of the targets succeeds, and all results are those of the undisturbed run."""
    again = snakemake(root, *targets)
    assert again.returncode == 0, again.stdout
    assert bytes_under(root / "results") == bytes_under(finished / "results")
    assert planned(root, "all_demo") == {}


# Damaged inputs


@pytest.mark.parametrize(
    ("job", "option"),
    [
        ("score by_ce shard-00000.parquet", "--features"),
        ("select likely selected.parquet", "--scores"),
        *repetitions(
            ("features ce seed-0 features.safetensors", "--weights"),
            ("sample cbdm shard-00000.tar", "--plan"),
            ("classifier two_stage seed-0", "--init"),
            ("evaluate ce seed-0", "--weights"),
            ("quality by_ce quality.json", "--weights"),
        ),
    ],
)
def test_a_changed_byte_of_an_input_ends_a_stage_before_it_works(finished, commands, tmp_path, job, option):
    arguments = commands[job]
    damaged = tmp_path / "results" / Path(arguments[arguments.index(option) + 1])
    shutil.copytree(finished / Path(arguments[arguments.index(option) + 1]).parent, damaged.parent)
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    output = tmp_path / "made" / Path(arguments[arguments.index("--output") + 1]).name
    changed = set_option(set_option(arguments, "--output", str(output)), option, str(damaged))
    ran = stage(finished, job.split()[0], *changed)
    assert ran.returncode != 0
    assert_told(ran.stdout, f"error: {damaged} is damaged", "make repair")
    assert not output.exists()


@pytest.mark.parametrize("name", ["evaluate/ce/seed-1/metrics.json", *repetitions(("quality/by_ce/quality.json",))])
def test_a_changed_digit_of_a_result_reaches_no_summary(copy, name):
    path, page = copy / "results/demo" / name, copy / "results/demo/summary.md"
    times, text = path.stat(), path.read_text()
    at = re.search(r"\.\d", text).start() + 1
    path.write_text(f"{text[:at]}{9 - int(text[at])}{text[at + 1 :]}")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    page.unlink()
    ran = snakemake(copy, "results/demo/summary.md")
    assert ran.returncode != 0 and not page.exists()
    assert_told(ran.stdout, f"error: results/demo/{name} is damaged: its bytes differ", "make repair")


# Disks


@pytest.mark.parametrize(
    "job",
    ["classifier ce seed-1", "sample cbdm shard-00000.tar", *repetitions(("generator cbdm",), ("grid cbdm.png",))],
)
def test_a_full_disk_ends_a_stage_with_a_sentence(finished, commands, tmp_path, small_disk, job):
    made = Path(commands[job][commands[job].index("--output") + 1])
    whole = finished / made
    expected = (
        bytes_under(whole)
        if whole.is_dir()
        else {path.name: path.read_bytes() for path in whole.parent.glob(f"{made.stem}.*")}
    )
    there = tmp_path / "disk" / made.name if whole.is_dir() else tmp_path / "disk" / "shards" / made.name
    folder = there if whole.is_dir() else there.parent
    small_disk(tmp_path / "disk", str(max(map(len, expected.values())) // 2 + 2**13))
    name, arguments = job.split()[0], set_option(commands[job], "--output", str(there))
    ran = stage(finished, name, *arguments)
    assert ran.returncode == 1
    assert_told(ran.stdout, "error: ", str(there.parent), "No space left on device; fix that and run snakemake again")
    small_disk(tmp_path / "disk", "64m")
    ran = stage(finished, name, *arguments)
    assert ran.returncode == 0, ran.stdout
    assert bytes_under(folder) == expected


@pytest.mark.nightly
def test_a_disk_that_is_full_in_mid_run_is_told_and_the_next_run_completes(finished, tmp_path, small_disk):
    root = make_copy(tmp_path / "copy")
    used = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    kept = shutil.copytree(root, tmp_path / "kept", symlinks=True)
    small_disk(root, f"{used + 3 * 2**20}")
    shutil.copytree(kept, root, symlinks=True, dirs_exist_ok=True)
    ran = snakemake(root, *EVERYTHING)
    assert ran.returncode != 0
    assert "No space left on device" in ran.stdout
    small_disk(root, "64m")
    snakemake(root, "--unlock")
    assert_as_before(root, finished, *EVERYTHING)


@pytest.fixture
def write_protected():
    """Makes a folder read-only, also for root; returns what ends that."""
    mounted = []

    def protect(folder: Path):
        for options in (["--bind", folder, folder], ["-o", "remount,bind,ro", folder]):
            ran = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
            if ran.returncode:
                pytest.skip(f"nothing can be mounted here: {ran.stderr.strip()}")
            mounted.append(folder)

    def free():
        while mounted:
            subprocess.run(["umount", "--lazy", mounted.pop()], check=False)

    yield protect, free
    free()


@pytest.mark.parametrize("left", [True, False], ids=["of which some is there", "of which nothing is there"])
def test_results_that_cannot_be_written_are_told_and_the_next_run_completes(copy, finished, write_protected, left):
    protect, free = write_protected
    folder = (copy / WEIGHTS).parent
    for file in [copy / WEIGHTS] if left else folder.iterdir():
        file.unlink()
    protect(copy / "results")
    ran = snakemake(copy, WEIGHTS)
    free()
    assert ran.returncode != 0
    assert_told(
        ran.stdout, "Write-protected output files" if left else "results/ cannot be written: its disk is read-only"
    )
    assert_as_before(copy, finished, WEIGHTS)


def test_results_on_another_disk_are_made_there(copy, finished, tmp_path, small_disk):
    disk = tmp_path / "disk"
    small_disk(disk, "64m")
    shutil.copytree(copy / "results", disk / "results")
    shutil.rmtree(copy / "results")
    (copy / "results").symlink_to(disk / "results")
    shutil.rmtree(disk / "results/demo/generator")
    (disk / "results/demo/sample/cbdm/shard-00001.tar").unlink()
    (copy / WEIGHTS).unlink()
    wanted = ("results/demo/sample/cbdm/shard-00001.tar", WEIGHTS)
    assert_as_before(copy, finished, *wanted)
    assert (copy / "results").is_symlink()


# Locks


def begun(root: Path, wanted: str, pattern: str) -> Run:
    """A run that makes `wanted` anew, at a moment at which the stage that is to make it runs."""
    (root / wanted).unlink()
    run = Run(root, wanted)
    assert run.wait_until(lambda: run.signal(0, pattern)), run.told
    return run


def test_a_lock_that_a_kill_left_is_told_and_the_next_run_completes(copy, finished):
    begun(copy, WEIGHTS, "pipeline.stages.classifier").kill()
    ran = snakemake(copy, WEIGHTS)
    assert ran.returncode != 0
    assert_told(ran.stdout, "the remaining lock was likely caused by a kill signal", "--unlock")
    assert snakemake(copy, "--unlock").returncode == 0
    assert_as_before(copy, finished, WEIGHTS)


def test_a_second_run_at_once_is_refused_and_the_first_completes(copy, finished):
    first = begun(copy, WEIGHTS, "pipeline.stages.classifier")
    first.signal(signal.SIGSTOP)  # or it might end before the second looks
    second = snakemake(copy, WEIGHTS)
    first.signal(signal.SIGCONT)
    assert second.returncode != 0
    assert_told(second.stdout, "Directory cannot be locked", "no other Snakemake process")
    assert first.process.wait() == 0, first.told
    assert_as_before(copy, finished, WEIGHTS)


# Jobs that fail or are killed, and what they continue from


FAILS_AT_THE_END = """import atexit, os, sys
if "pipeline.stages.plan" in sys.orig_argv:
    atexit.register(os._exit, 3)
"""


def test_a_stage_that_fails_after_its_outputs_are_there_is_a_job_that_fails(copy, finished):
    plan = "results/demo/plan/cbdm/plan.parquet"
    (copy / plan).unlink()
    (copy / "sitecustomize.py").write_text(FAILS_AT_THE_END)
    assert snakemake(copy, plan).returncode != 0
    assert not (copy / plan).exists()
    (copy / "sitecustomize.py").unlink()
    assert_as_before(copy, finished, plan)


def long_training(root: Path, name: str) -> tuple[str, Path]:
    """Make a training of the micro config long enough to be met in the middle; returns its target and its folder."""
    config = root / "workflow_config.yaml"
    text = config.read_text()
    changed = text.replace("epochs: 2\n", "epochs: 60\n").replace("steps: 6\n", "steps: 150\n")
    config.write_text(changed)
    target = {"classifier": WEIGHTS, "generator": "results/demo/generator/cbdm/history.parquet"}[name]
    return target, root / Path(target).parent


@pytest.fixture(params=["classifier", *repetitions(("generator",))])
def training(request, copy, tmp_path):
    """(root, target, folder, the bytes that an uninterrupted run has made of it) of a longer training."""
    target, folder = long_training(copy, request.param)
    (copy / target).unlink()
    made = snakemake(copy, target)
    assert made.returncode == 0, made.stdout
    expected = bytes_under(folder)
    (copy / target).unlink()
    return copy, target, folder, expected


def checkpoint_of(folder: Path) -> Path | None:
    return next(iter(folder.glob("checkpoints/*/last.pt")), None)


def test_a_training_that_is_told_to_end_saves_and_the_next_run_continues(training):
    """SIGTERM to every process of the job, as Slurm sends it at the time limit."""
    root, target, folder, expected = training
    run = Run(root, target, "--config", "checkpoint_minutes=0.01")
    assert run.wait_until(lambda: checkpoint_of(folder)), run.told
    before = checkpoint_of(folder).stat().st_mtime_ns
    for word in ("-c", "tee", f"pipeline.stages.{Path(target).parts[2]}"):  # bash, and what it started
        run.signal(signal.SIGTERM, word)
    assert run.process.wait() != 0
    assert not run.processes(), "the job outlived its run"
    assert "stopped as asked; the next run continues from" in run.told
    assert checkpoint_of(folder).stat().st_mtime_ns > before
    again = snakemake(root, target)
    assert again.returncode == 0, again.stdout
    assert_told(again.stdout, "continuing ", "checkpoints/")
    assert bytes_under(folder) == expected


@pytest.mark.parametrize("damage", ["changed bytes", *repetitions(("truncated",), ("empty",))])
def test_a_damaged_checkpoint_is_told_and_the_run_begins_anew(training, damage):
    root, target, folder, expected = training
    run = Run(root, target, "--config", "checkpoint_minutes=0.01")
    assert run.wait_until(lambda: checkpoint_of(folder)), run.told
    run.kill()
    checkpoint = checkpoint_of(folder)
    data = bytearray(checkpoint.read_bytes())
    for at in range(len(data) // 3, len(data) // 3 + 100):  # more than the format's padding
        data[at] ^= 1
    checkpoint.write_bytes({"truncated": data[: len(data) // 2], "empty": b"", "changed bytes": data}[damage])
    snakemake(root, "--unlock")
    again = snakemake(root, target)
    assert again.returncode == 0, again.stdout
    assert_told(again.stdout, "last.pt is damaged", "starting over")
    assert bytes_under(folder) == expected


def test_a_disk_that_is_full_at_a_checkpoint_keeps_the_last_one(training, small_disk):
    root, target, folder, expected = training
    run = Run(root, target, "--config", "checkpoint_minutes=0.01")
    assert run.wait_until(lambda: checkpoint_of(folder)), run.told
    run.kill()
    size, saved = checkpoint_of(folder).stat().st_size, checkpoint_of(folder).read_bytes()
    kept = shutil.copytree(folder, folder.with_name("kept"))
    used = sum(2**12 * -(-path.stat().st_size // 2**12) for path in kept.rglob("*") if path.is_file())
    small_disk(folder, str(used + size // 2 + 2**12))
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    shutil.rmtree(kept)
    snakemake(root, "--unlock")
    full = snakemake(root, target, "--config", "checkpoint_minutes=0")
    assert full.returncode != 0
    assert_told(full.stdout, "error: ", "last.pt", "No space left on device")
    assert checkpoint_of(folder).read_bytes() == saved
    small_disk(folder, "64m")
    again = snakemake(root, target)
    assert again.returncode == 0, again.stdout
    assert_told(again.stdout, "continuing ")
    assert bytes_under(folder) == expected


def test_a_stage_that_the_kernel_kills_for_memory_is_told_and_the_next_run_completes(copy, finished):
    run = begun(copy, WEIGHTS, "pipeline.stages.classifier")
    run.signal(signal.SIGKILL, "pipeline.stages.classifier")
    assert run.process.wait() != 0
    assert_told(run.told, "error: ", "killed", "out of memory", "mem_mb")
    assert_as_before(copy, finished, WEIGHTS)


def test_a_stage_that_outlives_snakemake_is_taken_over_or_made_again(training):
    """Only the process of Snakemake is killed, as a login node does; the stage goes on, and ends unrecorded."""
    root, target, folder, expected = training
    run = Run(root, target, "--config", "checkpoint_minutes=0.01")
    assert run.wait_until(lambda: checkpoint_of(folder)), run.told
    run.process.kill()
    run.process.wait()
    snakemake(root, "--unlock")
    again = snakemake(root, target)
    assert again.returncode == 0, again.stdout
    while run.processes():
        time.sleep(0.05)
    assert bytes_under(folder) == expected
