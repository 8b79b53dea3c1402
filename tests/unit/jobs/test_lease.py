"""GPUs are leased: two jobs never have the same, and whoever dies gives up his; with pretended devices, and real kills."""

import errno
import fcntl
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from select import select
from typing import TextIO

import pytest
from workflow_helpers import REPOSITORY, make_copy, snakemake

from pipeline.errors import InputError
from pipeline.jobs import lease

HOLDER = """
import os, sys
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def devices(monkeypatch) -> list[str]:
    """Three pretended devices that nobody else has, which are all that this process sees."""
    names = [f"GPU-{uuid.uuid4()}" for _ in range(3)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(names))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    yield names
    for name in names:
        for path in lease.FOLDER.glob(f"*{name}"):
            path.unlink()


@pytest.fixture
def start():
    """Start `python -m pipeline.jobs.lease --gpus N -- python -c CODE ...` with pipes to it; what still runs is killed at the end."""
    started = []

    def one(gpus: int, code: str = HOLDER, *arguments: str, visible: list[str] | None = None) -> subprocess.Popen:
        command = [sys.executable, "-m", "pipeline.jobs.lease", "--gpus", str(gpus), "--", sys.executable, "-c", code]
        environment = os.environ | ({"CUDA_VISIBLE_DEVICES": ",".join(visible)} if visible else {})
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen([*command, *arguments], text=True, env=environment, **pipes))
        return started[-1]

    yield one
    for job in started:
        job.kill()
        with job:
            pass


def said(*streams: TextIO) -> str:
    """The next line of one of them; waits for it at most as long as no machine is busy."""
    ready, _, _ = select(streams, [], [], 120)
    return ready[0].readline().strip()


def leased(job: subprocess.Popen) -> set[str]:
    """What a HOLDER has; waits until it has it."""
    return set(said(job.stdout).split(","))


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until it holds, at most as long as no machine is busy."""
    ends = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


# What there is to lease


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("0,1", ["0", "1"]),
        (" 2 , 0", ["2", "0"]),
        ("GPU-8932f937-d72c,MIG-GPU-8932f937/1/0", ["GPU-8932f937-d72c", "MIG-GPU-8932f937/1/0"]),
        ("0,-1,1", ["0"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_devices_are_those_that_cuda_would_see(given, found, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert lease.visible() == found


@pytest.mark.parametrize("said", ["0, GPU-a\n1, GPU-b\n2, GPU-c\n", None])
def test_without_a_choice_all_devices_of_the_machine_are_there(said, tmp_path, monkeypatch):
    """As the driver's own tool says; where it fails or is not there, there are none."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    lease._of_machine.cache_clear()
    assert lease.visible() == []
    driver_says(tmp_path, f"printf {said!r}" if said else "echo no driver; exit 9")
    assert lease.visible() == (["0", "1", "2"] if said else [])


def driver_says(folder: Path, command: str) -> None:
    """Put an nvidia-smi into a folder of the PATH that runs a line of the shell."""
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{command}\n")
    tool.chmod(0o755)
    lease._of_machine.cache_clear()


def test_a_driver_that_does_not_answer_is_told(tmp_path, monkeypatch):
    driver_says(tmp_path, "exec sleep 60")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(lease, "PATIENCE", 0.5)
    with pytest.raises(InputError, match="nvidia-smi gave no answer within"):
        lease.lease(1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert lease.lease(1) == []


@pytest.mark.parametrize("twice", ["0,1,0", "0,0", "0,{}"])
def test_a_device_that_is_named_twice_is_told(start, devices, twice, tmp_path, monkeypatch):
    """Else a job that wants both would wait for itself."""
    driver_says(tmp_path, f"printf '0, {devices[0]}\\n1, {devices[1]}\\n'")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    out, errors = start(2, visible=[twice.format(devices[0])]).communicate()
    assert not out and errors.startswith("error: CUDA_VISIBLE_DEVICES names a GPU twice: 0,")


# Disks without locks


def test_a_disk_without_locks_is_told_and_the_job_runs(devices, monkeypatch, capsys):
    """As on Lustre, if it is mounted without `flock`."""

    def refuse(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert {lease.lease(1)[0] for _ in range(30)} == set(devices)
    assert capsys.readouterr().err.count(f"warning: {lease.FOLDER} is on a disk without locks") == 30


def test_a_folder_that_cannot_be_made_is_told(start, devices, tmp_path):
    (tmp_path / "file").touch()
    code = f"from pathlib import Path; from pipeline.jobs import lease; lease.FOLDER = Path('{tmp_path}/file'); lease.main()"
    command = [sys.executable, "-c", code, "--gpus", "1", "--", "true"]
    ran = subprocess.run(command, text=True, capture_output=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr == f"error: {tmp_path}/file: File exists; jobs lock their GPUs there\n"


def test_without_devices_a_command_just_runs(start, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    out, errors = start(2, "import sys; print('ran', *sys.argv[1:]); sys.exit(3)", "with", "--its own").communicate()
    assert (out, errors) == ("ran with --its own\n", "")


def test_a_command_has_the_number_and_the_exit_status_of_what_leased_for_it(start, devices):
    job = start(1, "import os, sys; print(os.getpid()); sys.exit(3)")
    assert int(job.stdout.read()) == job.pid and job.wait() == 3


def test_more_than_there_are_is_one_sentence(start, devices):
    job = start(4)
    out, errors = job.communicate()
    assert job.returncode == 1 and not out
    assert errors.startswith("error: 4 GPUs are requested, but this job can have at most 3 (GPU-")
    assert errors.count("\n") == 1


def test_who_asks_for_no_gpu_sees_none(start, devices):
    assert leased(start(0)) == {""}


def test_a_command_that_is_not_there_keeps_nothing(start, devices):
    command = [sys.executable, "-m", "pipeline.jobs.lease", "--gpus", "3", "--", "/no/such/command"]
    ran = subprocess.run(command, text=True, capture_output=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr == "error: cannot run /no/such/command: No such file or directory\n"
    assert leased(start(3)) == set(devices)


# Who has what


def test_each_job_has_a_device_of_its_own(start, devices):
    held = [leased(start(1)) for _ in devices]
    assert set.union(*held) == set(devices) and all(len(some) == 1 for some in held)


def test_a_job_that_has_to_wait_says_so_once_and_runs_when_another_ends(start, devices):
    first, *others = [start(1) for _ in devices]
    had = leased(first)
    for other in others:
        leased(other)
    waiting = start(1)
    assert said(waiting.stdout, waiting.stderr) == "waiting for a GPU: all 3 are leased; lslocks shows by whom"
    time.sleep(2)  # it looks again meanwhile
    first.communicate()
    assert leased(waiting) == had
    assert waiting.communicate()[1] == ""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_job_gives_up_its_devices(start, devices, how):
    job = start(2)
    had = leased(job)
    job.send_signal(how)
    assert job.wait() != 0
    assert leased(start(3)) == set(devices) >= had


def test_a_job_killed_while_it_waits_leaves_the_queue(start, devices):
    job = start(3)
    leased(job)
    waiting = start(2)
    said(waiting.stdout, waiting.stderr)
    waiting.kill()
    job.communicate()
    assert leased(start(3)) == set(devices)


def test_two_that_want_two_of_three_never_wait_for_each_other(start, devices):
    """Nor do they keep a device from somebody who can run with it."""
    first = start(2)
    held = leased(first)
    both = [start(2), start(2)]
    for job in both:
        assert said(job.stdout, job.stderr) == "waiting for 2 GPUs: fewer of the 3 are free; lslocks shows by whom"
    single = start(1)
    assert leased(single) == set(devices) - held
    single.communicate()
    first.communicate()
    (ready, *_), _, _ = select([job.stdout for job in both], [], [])
    for job in sorted(both, key=lambda job: job.stdout is not ready):
        assert len(leased(job)) == 2
        job.communicate()


def test_a_child_that_shares_the_work_shares_the_lease(start, devices):
    """A killed job's device is in use for as long as what it forked lives."""
    job = start(3, "import os, time; child = os.fork() or os.getpid(); os.write(1, b'%d\\n' % child); time.sleep(1000)")
    child = next(pid for pid in (int(job.stdout.readline()), int(job.stdout.readline())) if pid != job.pid)
    job.kill()
    job.wait()
    waiting = start(1)
    assert said(waiting.stdout, waiting.stderr).startswith("waiting for a GPU: all 3 are leased")
    os.kill(child, signal.SIGKILL)
    assert leased(waiting) < set(devices)


CHECKED = """
import os, sys, time
from pathlib import Path

def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False

folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
for device in os.environ["CUDA_VISIBLE_DEVICES"].split(","):
    holder = folder / device
    if holder.exists() and (pid := holder.read_text()) and alive(pid):
        (folder / "shared").write_text(f"{pid} and {os.getpid()} have {device}")
    holder.write_text(str(os.getpid()))
time.sleep(seconds)
"""


@pytest.mark.parametrize("seed", range(3))
def test_no_device_ever_has_two_holders(start, devices, seed, tmp_path):
    """Many jobs that want one to three devices, many of them killed at any moment: before, while and after they lease."""
    chance = random.Random(seed)
    jobs: list[subprocess.Popen] = []
    while len(jobs) < 30:
        running = [job for job in jobs if job.poll() is None]
        if len(running) < 6:
            jobs.append(start(chance.choice([1, 1, 2, 3]), CHECKED, str(tmp_path), str(chance.uniform(0, 0.3))))
        time.sleep(chance.uniform(0, 0.1))
        if running and chance.random() < 0.4:
            chance.choice(running).kill()
    codes = {job.wait() for job in jobs}
    assert codes == {0, -signal.SIGKILL}
    assert not (tmp_path / "shared").exists(), (tmp_path / "shared").read_text()
    assert {path.name for path in tmp_path.iterdir()} == set(devices)
    assert leased(start(3)) == set(devices)


# Under a scheduler


def test_jobs_may_call_their_devices_the_same(start, monkeypatch):
    """Slurm counts each job's devices from 0, and without nvidia-smi nobody knows which they are."""
    number = str(10**6 + random.randrange(10**6))
    for job, node in (("7", "a"), ("8", "a"), ("7", "b")):  # also a job that was sent again to another node
        monkeypatch.setenv("SLURM_JOB_ID", f"{job}{number}")
        monkeypatch.setenv("SLURMD_NODENAME", node)
        assert leased(start(1, visible=[number])) == {number}
    for path in lease.FOLDER.glob(f"*{number}"):
        path.unlink()


def test_one_device_has_one_holder_whoever_asks_and_by_whatever_name(start, devices, tmp_path, monkeypatch):
    """A plain shell, a Slurm job, and a shell that kept SLURM_JOB_ID after its job had ended."""
    driver_says(tmp_path, f"printf '0, {devices[0]}\\n'")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    asked = [("7", "0", 1), ("8", "0", 0), (None, devices[0], 1), (None, devices[0][:16], 1)]
    for job, name, count in asked:
        monkeypatch.delenv("SLURM_JOB_ID", raising=False)
        if job:
            monkeypatch.setenv("SLURM_JOB_ID", job)
        holder = start(count, visible=[name])
        assert leased(holder) == {name}
        for other, other_name, other_count in asked:
            monkeypatch.delenv("SLURM_JOB_ID", raising=False)
            if other:
                monkeypatch.setenv("SLURM_JOB_ID", other)
            waiting = start(other_count, visible=[other_name])
            assert said(waiting.stdout, waiting.stderr).startswith("waiting for a GPU: all 1 are leased")
            waiting.kill()
        holder.communicate()


def test_gpus_that_slurm_was_asked_for_in_another_way_are_left(start, devices, monkeypatch):
    """As with gpu=0 and gres=gpu:1, for a Slurm that does not know --gpus."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert leased(start(0, visible=devices[:1])) == {devices[0]}


def test_jobs_inside_an_allocation_share_its_devices_out(start, devices, monkeypatch):
    """`salloc --gpus 3` and then the local profile, or grouped jobs."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert set.union(*(leased(start(1)) for _ in devices)) == set(devices)


# Several processes of one job

WORKER = """
import os, sys, time
from pathlib import Path

folder = Path(sys.argv[1])
(folder / f"began-{os.environ['LOCAL_RANK']}").write_text(str(os.getpid()))
while not (folder / "go").exists():
    time.sleep(0.05)
from pipeline.jobs.device import device
device()
(folder / f"works-{os.environ['LOCAL_RANK']}").touch()
time.sleep(1000)
"""


@pytest.mark.parametrize(
    "late", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["that work", "that only start"]
)
def test_workers_end_with_their_launcher(devices, late, tmp_path):
    """torchrun starts them without the descriptors of its locks, so that they would go on beside the next job."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script, tmp_path]
    launcher = subprocess.Popen([sys.executable, "-m", "pipeline.jobs.lease", "--gpus", "2", "--", *map(str, run)])
    wait_for(lambda: len([path for path in tmp_path.glob("began-*") if path.read_text()]) == 2)
    workers = [int(path.read_text()) for path in tmp_path.glob("began-*")]
    try:
        if not late:
            (tmp_path / "go").touch()
            wait_for(lambda: len(list(tmp_path.glob("works-*"))) == 2)
        assert all(map(alive, workers))
        launcher.kill()
        launcher.wait()
        (tmp_path / "go").touch()
        wait_for(lambda: not any(map(alive, workers)))
        assert late == (not list(tmp_path.glob("works-*")))
    finally:
        for pid in filter(alive, workers):
            os.kill(pid, signal.SIGKILL)


# In the workflow

RECORDER = '''"""Notes each stage's devices, and when it had them; Python runs a sitecustomize by itself."""

import atexit, json, os, sys, time
from pathlib import Path


def record(began=time.monotonic()):
    stage = getattr(getattr(sys.modules["__main__"], "__spec__", None), "name", "")
    if stage.startswith("pipeline.stages."):
        about = {"stage": stage, "device": os.environ["CUDA_VISIBLE_DEVICES"], "began": began, "ended": time.monotonic()}
        Path(__file__).with_name(f"{os.getpid()}.stage.json").write_text(json.dumps(about))


atexit.register(record)
'''


def test_as_many_jobs_run_at_once_as_gpus_are_visible_or_else_cores_have_memory(devices, monkeypatch):
    assert lease.at_once(cores=2) == 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    kilobytes = int(Path("/proc/meminfo").read_text().split()[1])
    assert [lease.at_once(cores) for cores in (1, 10**6)] == [1, max(1, round(kilobytes * 1024 / 4e9))]


@pytest.mark.slow
def test_jobs_of_a_workflow_have_a_device_each(devices, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(devices[:2]))
    root = make_copy(tmp_path / "micro")
    (root / "sitecustomize.py").write_text(RECORDER)
    wanted = [f"results/demo/evaluate/ce/seed-{seed}/metrics.json" for seed in range(3)]
    ran = snakemake(root, "--cores", "6", "--", *wanted)
    assert ran.returncode == 0, ran.stdout
    jobs = [json.loads(path.read_text()) for path in root.glob("*.stage.json")]
    on_gpu = [job for job in jobs if job["stage"].rpartition(".")[2] in ("classifier", "evaluate")]
    assert len(on_gpu) == 6 and {job["device"] for job in on_gpu} == set(devices[:2])
    for device in devices[:2]:
        times = sorted((job["began"], job["ended"]) for job in on_gpu if job["device"] == device)
        assert all(one[1] < other[0] for one, other in itertools.pairwise(times))


@pytest.mark.slow
def test_more_gpus_than_the_run_has_is_told_before_it_starts(devices, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices[0])
    root = make_copy(tmp_path / "micro")
    config = root / "workflow_config.yaml"
    config.write_text(config.read_text().replace("scheme: plain", "scheme: plain\n    gpus: 2"))
    ran = snakemake(root, "all_demo")
    assert ran.returncode == 1 and not list(root.glob("results/**/*.*"))
    assert ": gpus is 2, but this run has only 1; start it with --resources gpu=2, on a machine that" in ran.stdout
