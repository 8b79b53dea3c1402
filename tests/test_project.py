"""The repository itself: pins agree, rooms are kept, published tables name recipes that exist."""

import ast
import csv
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from pipeline.config.vary import SINGULAR
from pipeline.config.workflow import Workflow

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = sorted((ROOT / "resources" / "published").glob("*_[0-9].csv"))
STAGES = sorted(path.stem for path in (ROOT / "pipeline" / "stages").glob("[a-z]*.py"))


def pins(lines):
    """Normalised name -> version of `name==version` lines."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in (line.split("==") for line in lines)}


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def flow():
    raw = yaml.safe_load((ROOT / "workflow_config.yaml").read_text())
    return Workflow(raw)


def test_lock_holds_the_pins_of_pyproject(project):
    locked = pins((ROOT / "requirements.lock").read_text().split())
    wanted = pins(project["dependencies"] + project["optional-dependencies"]["dev"])
    assert {name: locked.get(name) for name in wanted} == wanted


def test_conda_environment_holds_the_pins_of_pyproject(project):
    environment = yaml.safe_load((ROOT / "envs" / "counterweight.yaml").read_text())
    assert pins(environment["dependencies"][-1]["pip"]) == pins(project["dependencies"])


def test_lock_names_no_address():
    assert not re.search(r"://|@|--|\+cpu|\+cu", (ROOT / "requirements.lock").read_text())


def test_rules_and_stages_pair_one_to_one():
    rules = sorted(path.stem for path in (ROOT / "rules").glob("*.smk") if path.stem not in ("common", "cluster"))
    assert rules == [stage for stage in STAGES if stage != "__init__"]


@pytest.mark.parametrize("path", sorted((ROOT / "pipeline").rglob("*.py")), ids=lambda path: path.name)
def test_imports_run_one_way(path):
    """Only stages know the command line, nobody but config knows config, and nothing knows Snakemake."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    room = path.relative_to(ROOT / "pipeline").parts[0]
    assert not any(name.split(".")[0] == "snakemake" for name in names)
    assert room == "config" or not any(name.startswith("pipeline.config") for name in names)
    assert room == "stages" or not any(name.startswith("pipeline.stages") for name in names)
    assert room == "stages" or "argparse" not in names or path.name in ("command.py", "lease.py")


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_tables_name_recipes_that_exist(path, flow):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["row", "dataset", "recipe", "metric", "published", "note"]
    for row in rows:
        assert row["published"] == "" or float(row["published"]) >= 0
        assert row["published"] or row["note"], f"{row['row']} has neither a figure nor a reason"
        if row["recipe"]:
            assert flow.run(row["recipe"], row["dataset"])


def test_papers_settings_are_those_of_the_full_recipes(flow):
    """Whatever differs from the paper must show, so the full recipe itself must show nothing."""
    full = {
        "diffult": [
            ("diffult", "cifar100_lt"),
            ("diffult_cifar10", "cifar10_lt"),
            ("diffult_imagenet_r50", "imagenet_lt"),
        ],
        "sau": [("sau", "cifar100_lt"), ("sau_cifar10", "cifar10_lt"), ("sau_imagenet_r50", "imagenet_lt")],
    }
    for paper, recipe, dataset in [(paper, *run) for paper, runs in full.items() for run in runs]:
        with open(ROOT / "resources" / "published" / f"{paper}_settings.csv", newline="") as file:
            settings = list(csv.DictReader(file))
        assert {row["key"].split(".")[0] for row in settings} <= set(SINGULAR)
        run = flow.run(recipe, dataset)
        for row in settings:
            if not row["family"] or flow.family(dataset) in row["family"].split():
                values = [plain(value) for value in flow.setting(run, row["key"])]
                assert values == [yaml.safe_load(row["value"])], row["key"]


def plain(value):
    """A setting as YAML and JSON have it."""
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def test_the_tables_of_diffult_and_sau_are_there():
    assert [path.stem for path in PUBLISHED] == [
        *(f"diffult_{number}" for number in range(1, 8)),
        *(f"sau_{number}" for number in range(1, 5)),
    ]
