"""Lease GPUs of this machine for a command, so that two jobs never share one.

    python -m pipeline.jobs.lease --gpus 1 -- python -m pipeline.stages.sample ...

The command takes this process's place, and CUDA_VISIBLE_DEVICES names GPUs that no other job holds; it waits where too few are free.
A lease is a lock on a file that the command keeps open: however it ends, by SIGKILL too, its GPUs are free again.

To choose from are the GPUs that CUDA_VISIBLE_DEVICES names, or else all of the machine, numbered as nvidia-smi does. Name them
one way on a machine: here, a number and the UUID of the same GPU are two. Where there is no GPU, the command just runs. In a Slurm job that
was given just as many, or with --gpus 0, nothing is locked, and Slurm's choice is left as it is.
"""

import argparse
import fcntl
import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from pipeline.errors import InputError

FOLDER = Path("/tmp/counterweight-gpus")  # one for all users and jobs, and so not where TMPDIR says


def lease(count: int) -> list[str]:
    """Wait for `count` of the visible GPUs; they are this process's, and that of what it becomes, until it ends.

    Raises InputError where there are fewer. On a machine without GPUs, and in a Slurm job that has just as many, or that asked for its GPUs
    in another way and so for 0 here, nothing is locked.
    """
    devices = visible()
    if not devices:
        return []
    if count > len(devices):
        raise InputError(
            f"{count} GPUs are asked for, but this job can have at most {len(devices)} ({', '.join(devices)}); "
            "lower the classifier's `gpus`, or let CUDA_VISIBLE_DEVICES name more"
        )
    job = os.getenv("SLURM_JOB_ID")
    if job and count in (0, len(devices)):
        return devices
    # inside an allocation, numbers are the allocation's own
    files = {device: FOLDER / f"{f'slurm-{job}-' if job else ''}{device.replace('/', '_')}" for device in devices}
    waited = False
    while (held := _lock(files, count)) is None:
        if not waited:
            all_leased = f"a GPU: all {len(files)} are leased"
            some_leased = f"{count} GPUs: of {len(files)}, fewer are free"
            print(f"waiting for {all_leased if count == 1 else some_leased}; lslocks tells by whom", file=sys.stderr)
        waited = True
        time.sleep(random.uniform(0.5, 1.5))  # two that want the same do not meet again and again
    return held


def visible() -> list[str]:
    """The GPUs to choose from, as CUDA_VISIBLE_DEVICES names them."""
    given = os.getenv("CUDA_VISIBLE_DEVICES")
    if given is None:
        # /proc/driver/nvidia is quicker, but in some containers has GPUs that are not theirs
        command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        try:
            asked = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return []
        if asked.returncode:
            why = " ".join(f"{asked.stdout} {asked.stderr}".split())
            print(f"nvidia-smi finds no GPU, so none is leased: {why}", file=sys.stderr)
            return []
        return asked.stdout.split()
    # as CUDA does: what stands behind a name that is none is not there
    return re.match(r"((\d+|(GPU|MIG)-[^,\s]+)\s*(,\s*|$))*", given.strip())[0].replace(",", " ").split()


def _lock(files: dict[str, Path], count: int) -> list[str] | None:
    """`count` devices, whose files are now locked; or None, and nothing is: who kept some could wait for another for ever."""
    held: dict[str, int] = {}
    for device, path in files.items():
        if len(held) == count:
            break
        file = _opened(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held[device] = file
        except BlockingIOError:
            os.close(file)
    if len(held) < count:
        for file in held.values():
            os.close(file)
        return None
    for file in held.values():
        os.set_inheritable(file, True)
    return list(held)


def _opened(path: Path) -> int:
    """The lock file, made where it is not there, and readable for all users: that is enough to lock it."""
    mask = os.umask(0)
    path.parent.mkdir(0o1777, exist_ok=True)
    # first made, then opened: in such a folder, Linux refuses O_CREAT for a file of somebody else
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o444))
    os.umask(mask)
    return os.open(path, os.O_RDONLY)


def main() -> None:
    """Parse, lease, and become the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, required=True, help="how many")
    parser.add_argument("command", nargs="+", help="what to run, after --")
    given = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # a rule's shell ignores them, which who waits must not take over
        signal.signal(number, signal.SIG_DFL)
    try:
        leased = lease(given.gpus)
    except InputError as error:
        sys.exit(f"error: {error}")
    if leased or not given.gpus:
        os.environ |= {"CUDA_VISIBLE_DEVICES": ",".join(leased), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    os.environ["COUNTERWEIGHT_LAUNCHER"] = str(os.getpid())  # for workers that are to end with it
    try:
        os.execvp(given.command[0], given.command)
    except OSError as error:
        sys.exit(f"error: cannot run {given.command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
