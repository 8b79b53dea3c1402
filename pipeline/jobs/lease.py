"""Lease GPUs of this machine for a command, so that two jobs never share one.

    python -m pipeline.jobs.lease --gpus 1 -- python -m pipeline.stages.sample ...

The command replaces this process, and CUDA_VISIBLE_DEVICES names GPUs that no other job holds. While too few are free, it waits.
A lease is a lock on a file that the command keeps open. It ends with the command, even after SIGKILL.

The GPUs to choose from are those in CUDA_VISIBLE_DEVICES, or else all of the machine, numbered as nvidia-smi does. A GPU has one
lock, named by its UUID, whoever asks and by whatever name: a plain shell, a Slurm job, or a shell that a Slurm job has left behind.
Without a GPU, the command just runs. In a Slurm job, --gpus 0 takes all that are visible.
"""

import argparse
import functools
import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from pipeline import locks
from pipeline.errors import InputError

FOLDER = Path("/tmp/counterweight-gpus")  # shared by all users and jobs, so TMPDIR does not count
PATIENCE = 60
"""Seconds that nvidia-smi may take; with a broken driver, it never ends."""
_UUID = re.compile(r"(GPU|MIG)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def lease(count: int) -> list[str]:
    """Wait for `count` of the visible GPUs, lock them, and return their names.

    The locks end with this process, or with the command that replaces it. Raises InputError if fewer GPUs are visible. Nothing
    is locked on a machine without GPUs. A Slurm job that requests its GPUs in another way has a `count` of 0 and gets all that
    are visible. If the disk of FOLDER has no locks, it warns and chooses at random.
    """
    devices = visible()
    if not devices:
        return []
    if count > len(devices):
        raise InputError(
            f"{count} GPUs are requested, but this job can have at most {len(devices)} ({', '.join(devices)}); "
            "lower the classifier's `gpus`, or name more GPUs in CUDA_VISIBLE_DEVICES"
        )
    if "SLURM_JOB_ID" in os.environ:
        count = count or len(devices)
    names = _identities(devices)
    if len(set(names.values())) < len(devices):
        raise InputError(f"CUDA_VISIBLE_DEVICES names a GPU twice: {','.join(devices)}; name each once")
    files = {device: FOLDER / name.replace("/", "_") for device, name in names.items()}
    waited = False
    while (held := _lock(files, count)) is None:
        if not waited:
            all_leased = f"a GPU: all {len(files)} are leased"
            some_leased = f"{count} GPUs: fewer of the {len(files)} are free"
            print(f"waiting for {all_leased if count == 1 else some_leased}; lslocks shows by whom", file=sys.stderr)
        waited = True
        time.sleep(random.uniform(0.5, 1.5))  # random, so that two jobs do not collide again and again
    return held


def at_once(cores: int) -> int:
    """Jobs that this machine runs at once, of those that would like a GPU.

    One for each visible GPU; without any, one for each of the `cores` that has 4 GB of memory.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # bytes
    return len(visible()) or max(1, min(cores, round(memory / 4e9)))


def visible() -> list[str]:
    """Names of the GPUs to choose from, as in CUDA_VISIBLE_DEVICES."""
    given = os.getenv("CUDA_VISIBLE_DEVICES")
    if given is None:
        return list(_of_machine())
    # as in CUDA, devices after an invalid name are ignored
    return re.match(r"((\d+|(GPU|MIG)-[^,\s]+)\s*(,\s*|$))*", given.strip())[0].replace(",", " ").split()


def _identities(devices: list[str]) -> dict[str, str]:
    """Device -> its UUID, the name by which all users of the machine mean it. A shortened UUID is completed.

    Without nvidia-smi, it is the device's own name. In a Slurm job, a number is then the job's own on this node, because Slurm
    counts the GPUs of each job from 0, and one machine may be several nodes.
    """
    uuids = {} if all(map(_UUID.fullmatch, devices)) else _of_machine()
    prefix = f"slurm-{job}-{os.getenv('SLURMD_NODENAME', '')}-" if (job := os.getenv("SLURM_JOB_ID")) else ""
    found = {}
    for device in devices:
        whole = [uuid for uuid in uuids.values() if uuid.startswith(device) and not device.isdecimal()]
        found[device] = uuids.get(device) or (whole or [prefix * device.isdecimal() + device])[0]
    return found


@functools.cache
def _of_machine() -> dict[str, str]:
    """Number -> UUID of each GPU that nvidia-smi shows. Raises InputError if it does not answer."""
    # /proc/driver/nvidia is quicker, but some containers see other containers' GPUs there
    command = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except FileNotFoundError:
        return {}
    except subprocess.TimeoutExpired:
        raise InputError(
            f"nvidia-smi gave no answer within {PATIENCE} s, so the GPU's driver may have failed; restart the machine,"
            ' or set CUDA_VISIBLE_DEVICES="" to use the CPU'
        ) from None
    if asked.returncode:
        why = " ".join(f"{asked.stdout} {asked.stderr}".split())
        print(f"nvidia-smi finds no GPU, so none is leased: {why}", file=sys.stderr)
        return {}
    return dict(line.split(", ") for line in asked.stdout.splitlines())


def _lock(files: dict[str, Path], count: int) -> list[str] | None:
    """Lock the files of `count` devices and return these devices, or lock none and return None.

    Holding some while waiting for more could deadlock.
    """
    held: dict[str, int] = {}
    for device, path in files.items():
        if len(held) == count:
            break
        file = _opened(path)
        try:
            has_locks = locks.lock(file, wait=False)
        except BlockingIOError:
            os.close(file)
            continue
        held[device] = file
        if not has_locks:
            print(f"warning: {path.parent} is on a disk without locks, so jobs may share a GPU", file=sys.stderr)
            return random.sample(list(files), count)
    if len(held) < count:
        for file in held.values():
            os.close(file)
        return None
    for file in held.values():
        os.set_inheritable(file, True)
    return list(held)


def _opened(path: Path) -> int:
    """Open a lock file, made if missing. All users can read it, which is enough to lock it."""
    mask = os.umask(0)
    path.parent.mkdir(0o1777, exist_ok=True)
    # two steps, because in a sticky folder Linux refuses O_CREAT for another user's file
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o444))
    os.umask(mask)
    return os.open(path, os.O_RDONLY)


def main() -> None:
    """Parse the arguments, lease GPUs, and become the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, required=True, help="number of GPUs")
    parser.add_argument("command", nargs="+", help="the command to run, after --")
    given = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # the rule's shell ignores them, but a waiting job must not
        signal.signal(number, signal.SIG_DFL)
    try:
        leased = lease(given.gpus)
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.filename}: {error.strerror}; jobs lock their GPUs there")
    if leased or not given.gpus:
        os.environ |= {"CUDA_VISIBLE_DEVICES": ",".join(leased), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    os.environ["COUNTERWEIGHT_LAUNCHER"] = str(os.getpid())  # workers end with this process
    try:
        os.execvp(given.command[0], given.command)
    except OSError as error:
        sys.exit(f"error: cannot run {given.command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
