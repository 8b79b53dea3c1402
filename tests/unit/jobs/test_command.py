"""What every stage does about signals, other attempts, bad input and faulty disks; with real processes."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from workflow_helpers import REPOSITORY

from pipeline.artifacts.atomic import replacing
from pipeline.errors import Superseded
from pipeline.jobs import claim
from pipeline.jobs.checkpoint import Checkpoint, Pieces


def started(folder: Path, body: str, run: str = "a run") -> subprocess.Popen:
    """A stage of its own whose `main(args)` is `body`, with its output `folder/out/made`."""
    script = folder / "stage.py"
    lines = "from pathlib import Path\nimport time\nfrom pipeline.jobs import command\nfrom pipeline.artifacts.atomic import replacing\n"
    lines += "from pipeline.errors import InputError\n\ndef main(args):\n" + textwrap.indent(
        textwrap.dedent(body), "    "
    )
    lines += "\nparser = command.parser(None, config=False)\nparser.add_argument('--output', type=Path)\n"
    script.write_text(lines + "command.run(main, parser)\n")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "COUNTERWEIGHT_RUN": run}
    return subprocess.Popen(
        [sys.executable, str(script), "--output", str(folder / "out" / "made")],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def ended(process: subprocess.Popen) -> str:
    told, _ = process.communicate(timeout=120)
    return told


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in (folder / "out").rglob("*") if path.is_file())


WRITES = """
(args.output.parent / "began").touch()
time.sleep({wait})
with replacing(args.output) as part:
    part.write_text({text!r})
"""


def test_a_stage_leaves_its_output_and_nothing_else(tmp_path):
    process = started(tmp_path, WRITES.format(wait=0, text="a"))
    assert ended(process) == ""
    assert process.returncode == 0
    assert left(tmp_path) == ["out/began", "out/made"]


def test_an_attempt_that_another_one_has_replaced_stops_before_it_writes(tmp_path):
    lost = started(tmp_path, WRITES.format(wait=4, text="lost"))
    wait_for(tmp_path / "out/began", lost)
    retry = started(tmp_path, WRITES.format(wait=0, text="retry"))
    assert ended(retry) == ""
    made = (tmp_path / "out/made").stat().st_mtime_ns
    assert "this attempt stops" in ended(lost)
    assert lost.returncode == 1
    assert (tmp_path / "out/made").read_text() == "retry"
    assert (tmp_path / "out/made").stat().st_mtime_ns == made
    assert left(tmp_path) == ["out/began", "out/made"]


@pytest.mark.parametrize("fault", [None, SystemExit(143), OSError(errno.ESTALE, "stale"), RuntimeError("CUDA error")])
def test_an_attempt_that_is_replaced_while_it_writes_leaves_the_others_part_alone(tmp_path, monkeypatch, fault):
    monkeypatch.setattr(claim, "_held", None)
    path = tmp_path / "made"
    claim.claim(path)
    with pytest.raises(Superseded), replacing(path) as part:
        part.write_text("lost")
        (tmp_path / ".made.claim").write_text("process 1 on another node")
        part.unlink()
        part.write_text("retry, half")
        if fault:
            raise fault
    assert not path.exists()
    assert part.read_text() == "retry, half"
    claim.release()
    assert (tmp_path / ".made.claim").read_text() == "process 1 on another node"


FAILS = "(args.output.parent / 'tries').open('a').write('x')\nraise InputError('the side is 0; at least 1 is allowed')"


def test_bad_input_ends_the_next_attempt_at_once_but_not_the_next_run(tmp_path):
    for run, tries in (("one", "x"), ("one", "x"), ("one", "x"), ("another", "xx"), ("another", "xx")):
        process = started(tmp_path, FAILS, run)
        assert "error: the side is 0; at least 1 is allowed" in ended(process)
        assert process.returncode == 1
        assert (tmp_path / "out/tries").read_text() == tries
    assert ended(started(tmp_path, WRITES.format(wait=0, text="a"), "a third")) == ""
    assert left(tmp_path) == ["out/began", "out/made", "out/tries"]


def test_what_is_no_fault_of_the_input_is_tried_again(tmp_path):
    first = "(args.output.parent / 'tries').open('a').write('x')\nraise RuntimeError('a bit flipped')"
    assert "a bit flipped" in ended(started(tmp_path, first))
    assert ended(started(tmp_path, WRITES.format(wait=0, text="a"))) == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stage_without_checkpoints_ends_at_once_and_leaves_no_part(tmp_path, number):
    body = "with replacing(args.output) as part:\n    part.touch()\n    (args.output.parent / 'began').touch()\n    time.sleep(60)"
    process = started(tmp_path, body)
    wait_for(tmp_path / "out/began", process)
    process.send_signal(number)
    assert ended(process) == ""
    assert process.returncode == 128 + number
    assert left(tmp_path) == ["out/began"]


COUNTS = """
import torch
from pipeline.jobs.checkpoint import Checkpoint
checkpoint = Checkpoint(args.output.parent / "checkpoints", {}, None, [], minutes={minutes})
state = checkpoint.load() or {"step": 0}
for step in range(state["step"], 200):
    time.sleep(0.02)
    (args.output.parent / "began").write_text(str(step))
    if checkpoint.due():
        checkpoint.save({"step": step + 1})
with replacing(args.output) as part:
    part.write_text(str(state["step"]))
checkpoint.finish()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_training_stage_saves_before_it_ends_and_goes_on_from_there(tmp_path, number):
    never = COUNTS.replace("{minutes}", "1e9")
    process = started(tmp_path, never)
    wait_for(tmp_path / "out/began", process)
    while int((tmp_path / "out/began").read_text() or 0) < 12:  # steps, some of which a file that is just written hides
        time.sleep(0.02)
    process.send_signal(number)
    assert "stopped as asked; the next run continues from" in ended(process)
    assert process.returncode == 128 + number
    done = int((tmp_path / "out/began").read_text()) + 1
    assert ended(started(tmp_path, never)) == ""
    assert int((tmp_path / "out/made").read_text()) == done > 10
    (folder,) = (tmp_path / "out/checkpoints").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["finished", "last.pt"], "until the output is accepted"


TRAINS_WITH_OTHERS = """
import os, sys, time
from pathlib import Path

from pipeline.jobs import stopping

stopping.listen()
stopping.defer()
folder = Path(sys.argv[1])
(folder / f"began-{os.environ['RANK']}").touch()
while not stopping.wished():
    time.sleep(0.05)
time.sleep(0.5)
(folder / f"saved-{os.environ['RANK']}").touch()
stopping.end()
"""


def test_processes_of_one_training_save_though_torchrun_repeats_the_signal(tmp_path):
    """At a time limit, Slurm tells every process, and torchrun tells its own once more."""
    script = tmp_path / "train.py"
    script.write_text(TRAINS_WITH_OTHERS)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script, tmp_path]
    launcher = subprocess.Popen(run, env=os.environ | {"PYTHONPATH": str(REPOSITORY)})
    for rank in (0, 1):
        wait_for(tmp_path / f"began-{rank}", launcher)
    for process in [*psutil.Process(launcher.pid).children(recursive=True), launcher]:
        process.send_signal(signal.SIGTERM)
    assert launcher.wait(timeout=120) != 0
    assert sorted(path.name for path in tmp_path.glob("saved-*")) == ["saved-0", "saved-1"]


def test_a_training_stage_that_is_killed_goes_on_from_its_last_checkpoint(tmp_path):
    often = COUNTS.replace("{minutes}", "0.001")
    process = started(tmp_path, often)
    wait_for(tmp_path / "out/began", process)
    time.sleep(1)
    process.kill()
    ended(process)
    assert ended(started(tmp_path, often)) == ""
    assert int((tmp_path / "out/made").read_text()) > 5


def test_a_checkpoint_that_the_disk_does_not_give_is_not_taken_for_a_damaged_one(tmp_path):
    """The training would begin anew, and replace what days have made."""
    checkpoint = Checkpoint(tmp_path, {}, None, [], minutes=1)
    checkpoint.path.mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        checkpoint.load()


def test_a_damaged_checkpoint_is_told_and_not_used(tmp_path, capsys):
    checkpoint = Checkpoint(tmp_path, {}, None, [], minutes=1)
    assert checkpoint.load() is None
    checkpoint.save({"weights": torch.arange(1000.0)})
    assert torch.equal(checkpoint.load()["weights"], torch.arange(1000.0))
    whole = checkpoint.path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1  # in the weights
    for data in (bytes(flipped), whole[:-20], b"", b"text"):
        checkpoint.path.write_bytes(data)
        assert checkpoint.load() is None
        assert "is damaged" in capsys.readouterr().out


def test_a_disk_that_cannot_be_written_is_told_in_a_sentence(tmp_path):
    process = started(tmp_path, "import errno\nraise OSError(errno.ENOSPC, 'No space left on device', 'there')")
    assert ended(process) == "error: there: No space left on device; fix that and run snakemake again\n"
    assert process.returncode == 1
    assert left(tmp_path) == []


WRITERS = {
    "torch": "import torch\ntorch.save({'a': torch.randn(2**20)}, part)",
    "safetensors": "import torch\nfrom safetensors.torch import save_file\nsave_file({'a': torch.randn(2**20)}, part)",
    "numpy": "import numpy\nnumpy.save(part.open('wb'), numpy.random.rand(2**20))",
    "parquet": "import numpy, pandas\npandas.DataFrame({'a': numpy.random.rand(2**20)}).to_parquet(part)",
    "text": "part.write_text('x' * 2**23)",
}


@pytest.mark.parametrize("library", WRITERS)
def test_a_full_disk_is_told_in_a_sentence_whatever_the_library_calls_it(tmp_path, small_disk, library):
    small_disk(tmp_path / "out", "1m")
    process = started(tmp_path, "with replacing(args.output) as part:\n" + textwrap.indent(WRITERS[library], "    "))
    told = ended(process)
    assert told.startswith("error: ") and told.endswith(": No space left on device; fix that and run snakemake again\n")
    assert told.count("\n") == 1 and process.returncode == 1
    assert left(tmp_path) == []


@pytest.mark.parametrize("library", WRITERS)
def test_a_limit_on_the_size_of_files_is_told_in_a_sentence(tmp_path, library):
    """As of `ulimit -f`, or of a disk that takes no larger files."""
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (2**20,) * 2)\n"
    body = f"{limit}with replacing(args.output) as part:\n" + textwrap.indent(WRITERS[library], "    ")
    told = ended(process := started(tmp_path, body))
    assert told.startswith("error: ") and told.endswith(": File too large; fix that and run snakemake again\n")
    assert told.count("\n") == 1 and process.returncode == 1
    assert left(tmp_path) == []


MEMORY = {
    "python": "bytearray(2**40)",
    "numpy": "import numpy\nnumpy.zeros(2**40)",
    "torch": "import torch\ntorch.zeros(2**40)",
}


@pytest.mark.parametrize("library", MEMORY)
def test_want_of_memory_is_told_in_a_sentence(tmp_path, library):
    process = started(
        tmp_path, f"import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**36,) * 2)\n{MEMORY[library]}"
    )
    told = ended(process)
    assert told.startswith("error: ") and "out of memory" in told and told.count("\n") == 1
    assert "give the job more (mem_mb), or lower batch_size" in told


def test_want_of_memory_names_the_key_that_helps(tmp_path):
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**36,) * 2)\n"
    told = ended(started(tmp_path, f"{limit}args.config = dict(batch_size=2, classes_at_once=16)\nbytearray(2**40)"))
    assert "give the job more (mem_mb), or lower classes_at_once" in told


# Threads

CONVOLVES = """
import faulthandler

import torch

from pipeline.jobs.device import device

device()
faulthandler.dump_traceback_later(100, exit=True)
pictures, weights, bias = (torch.ones(*shape, requires_grad=True) for shape in ((48, 32, 8, 8), (1, 32, 3, 3), (1,)))
torch.nn.functional.conv2d(pictures, weights, bias, padding=1).sum().backward()
print(bias.grad.item())
"""


def test_a_stage_waits_for_no_thread_that_openmp_does_not_give(tmp_path, monkeypatch):
    """On a CPU with AVX2, this convolution's gradient waits for ever if more threads are asked for."""
    for name, value in {"OMP_THREAD_LIMIT": "1", "OMP_DYNAMIC": "TRUE", "OMP_MAX_ACTIVE_LEVELS": "0"}.items():
        monkeypatch.setenv(name, value)
    assert ended(started(tmp_path, CONVOLVES)) == "3072.0\n"


# Pieces of a shard


def pieces_of(folder, settings=None, inputs=()):
    return Pieces(folder, settings or {}, None, inputs)


def counted(total, size, made):
    """Makes rows `done`.. of arange(total), `size` at a time, and notes where each piece begins."""

    def make(done):
        for start in range(done, total, size):
            made.append(start)
            yield np.arange(start, min(start + size, total))

    return make


def test_a_shard_is_continued_at_its_first_missing_piece(tmp_path):
    made = []
    first = pieces_of(tmp_path).continued(counted(10, 3, made))
    assert [next(first).tolist() for _ in range(2)] == [[0, 1, 2], [3, 4, 5]]
    first.close()
    whole = np.concatenate(list(pieces_of(tmp_path).continued(counted(10, 3, made))))
    assert whole.tolist() == list(range(10))
    assert made == [0, 3, 6, 9]
    whole = np.concatenate(list(pieces_of(tmp_path).continued(counted(10, 3, made))))
    assert whole.tolist() == list(range(10))
    assert made == [0, 3, 6, 9]
    pieces_of(tmp_path).finish()  # without a scheduler that accepts the outputs
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGE = {
    "cut short": lambda content: content[:-1],
    "empty": lambda content: b"",
    "a bit of the numbers": lambda content: flipped(content, 130),
    "a bit of the header": lambda content: flipped(content, 60),
    "a bit of the checksum": lambda content: flipped(content, -2),
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_piece_and_those_after_it_are_made_again(tmp_path, damage, capsys):
    made = []
    list(pieces_of(tmp_path).continued(counted(10, 3, made)))
    (damaged,) = tmp_path.rglob("00001.npy")
    whole = damaged.read_bytes()
    damaged.write_bytes(DAMAGE[damage](whole))
    assert np.concatenate(list(pieces_of(tmp_path).continued(counted(10, 3, made)))).tolist() == list(range(10))
    assert made == [0, 3, 6, 9, 3, 6, 9]
    assert f"{damaged} is damaged; it and the pieces after it are made again" in capsys.readouterr().out
    assert damaged.read_bytes() == whole


def test_pieces_of_rows_with_names_are_continued(tmp_path):
    rows = np.zeros(2, [("picture", np.uint8, (2, 2)), ("redrawn", bool)])
    rows["picture"][1], rows["redrawn"] = 7, [False, True]
    list(pieces_of(tmp_path).continued(lambda done: iter([rows])))
    (found,) = pieces_of(tmp_path).continued(lambda done: iter([]))
    assert (found == rows).all() and found.dtype == rows.dtype


def test_pieces_of_other_settings_or_inputs_are_not_continued(tmp_path):
    weights = tmp_path / "weights"
    weights.write_text("a")
    made = []
    list(pieces_of(tmp_path / "p", {"steps": 1}, [weights]).continued(counted(4, 2, made)))
    list(pieces_of(tmp_path / "p", {"steps": 2}, [weights]).continued(counted(4, 2, made)))
    weights.write_text("b")
    list(pieces_of(tmp_path / "p", {"steps": 1}, [weights]).continued(counted(4, 2, made)))
    assert made == [0, 2] * 3
