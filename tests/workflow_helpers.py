"""A copy of the repository with a workflow that takes a minute or two, for tests that run Snakemake for real.

The fixture `finished` is made once a session; a test that changes anything takes `copy`. Paths in Snakemake's records are
relative (but for tables, whose published figures it knows by absolute paths) and copies keep their times, so a copy is
as up to date as what it was copied from.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pipeline.config.presets import combined, preset_layers, read
from pipeline.config.workflow import Workflow
from pipeline.jobs import fingerprint

REPOSITORY = Path(__file__).resolve().parent.parent
EVERYTHING = ("all_demo", "table_diffult_9", "describe_demo")
"""Targets of a micro run, which has the same bytes each time."""

RECORDER = '''"""Notes, when a stage ends, which of our modules it has loaded; Python runs a sitecustomize by itself."""

import atexit
import json
import sys
import time
from pathlib import Path


def record():
    stage = getattr(getattr(sys.modules["__main__"], "__spec__", None), "name", "")
    if stage.startswith("pipeline.stages."):
        folder = Path(__file__).with_name("loaded")
        folder.mkdir(exist_ok=True)
        about = {"stage": stage.rsplit(".", 1)[1], "arguments": sys.argv[1:]}
        about["modules"] = sorted(name for name in sys.modules if name.split(".")[0] == "pipeline")
        (folder / f"{time.time_ns()}.json").write_text(json.dumps(about))


atexit.register(record)
'''

PUBLISHED = """\
row,dataset,recipe,metric,published,note
CE,demo,ce,top1,38.3,
DiffuLT,demo,diffult,top1,51.5,a remark
DiffuLT,demo,diffult,fd_scorer,,not printed
all kept,demo,diffult_filters~filter.keep=all,few,20.5,
another method,demo,,top1,47.0,not ours
"""

SETTINGS = """\
key,value,family,recipes,says
generator.tau,1.0,,,paper
generator.steps,300000,,,code
classifier.epochs,200,demo,,code
classifier.width,16,cifar100_lt,,another family
classifier.momentum,0.5,,diffult_*,recipes of that name
filter.keep,\"\"\"all\"\"\",,ce diffult*,paper
"""


def repetitions(*cases: tuple) -> list:
    """Cases of a test that take another's way through the code once more: `make test-nightly` runs them."""
    return [pytest.param(*case, marks=pytest.mark.nightly) for case in cases]


def make_copy(root: Path) -> Path:
    """The repository's code under `root`, with the micro config and a small published table of its own."""
    root.mkdir(parents=True)
    for name in ("rules", "pipeline", "profiles", "envs"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "local", "slurm"):
        shutil.copy2(REPOSITORY / name, root / name, follow_symlinks=False)
    shutil.copy2(REPOSITORY / "tests" / "micro.yaml", root / "workflow_config.yaml")
    paper = root / "papers" / "diffult"  # without presets, which the micro config would be laid over
    paper.mkdir(parents=True)
    (paper / "table_9.csv").write_text(PUBLISHED)
    (paper / "settings.csv").write_text(SETTINGS)
    (root / "sitecustomize.py").write_text(RECORDER)
    return root


def make_copy_with_presets(root: Path, config: str | None = None, more: tuple[str, ...] = ()) -> Path:
    """The repository's code and presets under `root`, `more` of its folders, and this config, or the repository's own."""
    root.mkdir(parents=True)
    for name in ("rules", "pipeline", "profiles", "envs", "papers", *more):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "local", "slurm", "workflow_config.yaml"):
        shutil.copy(REPOSITORY / name, root / name, follow_symlinks=False)
    if config is not None:
        (root / "workflow_config.yaml").write_text(config)
    return root


def micro_run(root: Path) -> Path:
    """A copy of the workflow at `root` in which EVERYTHING has been made."""
    make_copy(root)
    began = time.monotonic()
    made = snakemake(root, "--cores", "4", "--resources", "gpu=2", "--", *EVERYTHING)
    assert made.returncode == 0, made.stdout
    print(f"the micro run took {time.monotonic() - began:.0f} s")
    return root


def copy_of(root: Path, target: Path) -> Path:
    """All of `root`, times included, as `target`."""
    return shutil.copytree(root, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "log", "loaded"))


def copy_with(root: Path, target: Path, added: dict[str, dict]) -> Path:
    """`copy_of`, with more entries in its config: section -> name -> keys."""
    copy_of(root, target)
    config = yaml.safe_load((target / "workflow_config.yaml").read_text())
    for section, entries in added.items():
        config.setdefault(section, {}).update(entries)
    (target / "workflow_config.yaml").write_text(yaml.safe_dump(config))
    return target


def snakemake(root: Path, *arguments: str, profile: str = "local") -> subprocess.CompletedProcess:
    """Run `snakemake --profile local ARGUMENTS` in `root`; stdout holds all that it says."""
    return _run(root, [sys.executable, "-m", "snakemake", "--profile", profile, *arguments])


def stage(root: Path, name: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run a stage's command line in `root`; stdout holds all that it says."""
    return _run(root, [sys.executable, "-m", f"pipeline.stages.{name}", *map(str, arguments)])


def planned(root: Path, *arguments: str) -> dict[str, list[str]]:
    """What `snakemake -n ARGUMENTS` would run: `stage name detail` -> the arguments of the stage's command line.

    The key is the output's path, so `results/demo/sample/cbdm/shard-00001.tar` makes it `sample cbdm shard-00001.tar`.
    """
    told = snakemake(root, "-n", "-p", *arguments)
    assert told.returncode == 0, told.stdout
    jobs = {}
    for line in re.findall(r"-m pipeline\.stages\.(.*)", told.stdout):
        name, *given = shlex.split(line.split(" 2>&1 |")[0])
        path = Path(given[given.index("--output") + 1]).parts[2:]
        jobs[" ".join([name, *(path[1:] if path[:1] == (name,) else path)])] = given
    counted = re.search(r"^total +(\d+)$", told.stdout, re.MULTILINE)
    targets = set(re.findall(r"^(?:all|recipe|table|cost|describe)_\w+ +1$", told.stdout, re.MULTILINE))
    assert len(jobs) == (int(counted[1]) - len(targets) if counted else 0), told.stdout
    assert bool(jobs) != ("Nothing to be done" in told.stdout), told.stdout
    return jobs


def modules_beside_fingerprints(root: Path) -> dict[str, set[str]]:
    """Stages that have run in `root` -> our modules that they have loaded and that their `--code` does not speak of."""
    missed: dict[str, set[str]] = {}
    for path in (root / "loaded").iterdir():
        record = json.loads(path.read_text())
        code = json.loads(record["arguments"][record["arguments"].index("--code") + 1])
        packages = {module.rpartition(".")[0] for module in fingerprint.PLUMBING}
        beside = set(record["modules"]) - fingerprint.covered(code["modules"], root) - fingerprint.PLUMBING - packages
        missed.setdefault(record["stage"], set()).update(beside)
    return missed


def repository_config() -> Workflow:
    """The repository's presets and config, resolved."""
    return Workflow(combined(preset_layers(REPOSITORY / "papers"), read(REPOSITORY / "workflow_config.yaml")))


def bytes_under(folder: Path) -> dict[str, bytes]:
    """Every file under `folder`, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def set_option(arguments: list[str], option: str, value: str) -> list[str]:
    """The arguments with another value for `option`."""
    at = arguments.index(option) + 1
    return [*arguments[:at], value, *arguments[at + 1 :]]


def edit_json(arguments: list[str], option: str, **changes) -> list[str]:
    """The arguments with other values in the JSON that `option` gives."""
    return set_option(arguments, option, json.dumps(json.loads(arguments[arguments.index(option) + 1]) | changes))


def environment(root: Path) -> dict[str, str]:
    """Variables for a Snakemake or a stage that runs in `root`."""
    return {name: value for name, value in os.environ.items() if name != "COUNTERWEIGHT_DATA"} | {
        "PYTHONPATH": str(root),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _run(root: Path, command: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        command,
        cwd=root,
        env=environment(root),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
