"""The repository itself: pins agree, rooms are kept, published tables name recipes that exist."""

import ast
import csv
import graphlib
import json
import re
import tomllib
from fnmatch import fnmatch

import pytest
import yaml
from workflow_helpers import REPOSITORY, repository_config

from pipeline.config.foundations import Folder
from pipeline.config.prompts import Endpoint
from pipeline.config.times import timed_rows, timed_tables
from pipeline.config.vary import SINGULAR

PUBLISHED = sorted((REPOSITORY / "papers").glob("*/table_*.csv"))
STAGES = sorted(path.stem for path in (REPOSITORY / "pipeline" / "stages").glob("[a-z]*.py"))


def pins(lines):
    """Normalised name -> version of `name==version` lines."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in (line.split("==") for line in lines)}


PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def project():
    return PYPROJECT["project"]


@pytest.fixture(scope="module")
def flow():
    return repository_config()


def test_lock_holds_the_pins_of_pyproject(project):
    locked = pins((REPOSITORY / "requirements.lock").read_text().split())
    wanted = pins(project["dependencies"] + project["optional-dependencies"]["dev"])
    assert {name: locked.get(name) for name in wanted} == wanted


def test_conda_environment_holds_the_pins_of_pyproject(project):
    environment = yaml.safe_load((REPOSITORY / "envs" / "counterweight.yaml").read_text())
    assert pins(environment["dependencies"][-1]["pip"]) == pins(project["dependencies"])


def test_data_files_beside_modules_are_installed_and_read_by_one():
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["pipeline"]
    installed = {path for pattern in patterns for path in (REPOSITORY / "pipeline").glob(pattern)}
    files = {
        path for path in (REPOSITORY / "pipeline").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    data = {path for path in files if path.suffix != ".py"}
    assert data == installed != set()
    assert not [path for path in data if not path.with_suffix(".py").is_file()], "a fingerprint would miss them"


def test_lock_names_no_address():
    assert not re.search(r"://|@|--|\+cpu|\+cu", (REPOSITORY / "requirements.lock").read_text())


def test_rules_and_stages_pair_one_to_one():
    """A recipe's report is made by the stage of the summary."""
    rules = sorted(
        path.stem
        for path in (REPOSITORY / "rules").glob("*.smk")
        if path.stem not in ("common", "flow", "records", "cluster", "models", "checks", "targets", "sent", "node")
    )
    rules.remove("recipe")
    assert rules == [stage for stage in STAGES if stage not in ("__init__", "predict")]  # which people run by hand


def test_the_stages_examples_have_all_settings(flow):
    """--help shows how to run a stage by hand; settings that are cut short there ("...") are not looked at."""
    demo, pool = flow.part("datasets", "demo"), flow.part("pools", "demo")
    settings = {
        "subset": demo.settings(),
        "store": demo.storing_settings(),
        "manifest": demo.gathering_settings(),
        "classes": {"source": "digits"},
        "fetch": flow.part("foundations", "sd15").fetching_settings(),
        "foundation": Folder(kind="folder", path="models/mine").settings(),
        "ask": Endpoint(kind="endpoint", url="https://api.openai.com/v1", model="gpt-4o-mini").asking_settings(),
        "prompts": flow.part("prompts", "plain").settings(),
        "plan": pool.plan_settings(),
        "sample": pool.sampling_settings(flow.parts),
        "score": flow.part("scores", "demo").settings(),
        "select": flow.part("filters", "demo").selecting_settings(flow.parts),
        "search": flow.part("searches", "subpopbench").choosing_settings(),
        "quality": flow.part("qualities", "demo").settings(),
        "comparison": flow.part("comparisons", "ldm_fg_11").settings(),
    }
    shown = {}
    for stage in STAGES:
        docstring = ast.get_docstring(ast.parse((REPOSITORY / "pipeline" / "stages" / f"{stage}.py").read_text()))
        if (given := re.search(r"--config '(\{.*?\})' ", docstring, re.DOTALL)) and "..." not in given[1]:
            shown[stage] = json.loads(given[1]).keys()
    assert shown == {stage: found.keys() for stage, found in settings.items()}


def test_groups_that_do_not_make_their_top1_have_a_note():
    """In tables of figures on CIFAR-100-LT with imbalance factor 100, of whose classes 35 are many and 30 few."""
    rows = [
        row
        for path in PUBLISHED
        for row in csv.DictReader(path.read_text().splitlines())
        if row["dataset"] == "cifar100_lt"
    ]
    looked_at = 0
    for one in (row for row in rows if row["metric"] == "many" and row["published"]):
        of_row = {row["metric"]: row for row in rows if (row["row"], row["recipe"]) == (one["row"], one["recipe"])}
        if {"top1", "medium", "few"} <= of_row.keys():
            figures = {metric: float(row["published"]) for metric, row in of_row.items()}
            together = 0.35 * figures["many"] + 0.35 * figures["medium"] + 0.3 * figures["few"]
            assert abs(together - figures["top1"]) <= 0.1 or one["note"], one["row"]
            looked_at += 1
    assert looked_at > 5


MODULES = sorted((REPOSITORY / "pipeline").rglob("*.py"))


def imported_by(path):
    """Dotted names of the modules, and of what is taken from them."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY / "pipeline")))
def test_rooms_keep_to_their_own(path):
    """Only stages know the command line, only config knows config but for the table of artifacts, and nothing knows Snakemake."""
    names = imported_by(path)
    room = path.relative_to(REPOSITORY / "pipeline").parts[0]
    assert not any(name.split(".")[0] == "snakemake" for name in names)
    of_config = {name for name in names if name.startswith("pipeline.config")}
    artifacts = {name for name in of_config if name.startswith("pipeline.config.artifacts")}
    assert room == "config" or of_config <= (artifacts if room == "stages" else set())
    assert room == "stages" or not any(name.startswith("pipeline.stages") for name in names)
    assert room in ("stages", "jobs") or "argparse" not in names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY / "pipeline")))
def test_no_file_that_is_read_can_run_code(path):
    """A pickle can run code. torch.load reads pickles by default; NumPy and pandas read them only if asked to."""
    names = imported_by(path)
    assert not {"pickle", "joblib", "shelve", "marshal", "dill", "cloudpickle"} & {name.split(".")[0] for name in names}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            called = ast.unparse(node.func)
            assert called != "torch.load" or given.get("weights_only") == "True"
            assert "allow_pickle" not in given and not called.endswith("read_pickle")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY / "pipeline")))
def test_text_files_are_utf8_whatever_the_locale(path):
    for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        is_text = name in ("read_text", "write_text")
        if isinstance(call.func, ast.Name) and name == "open":
            mode = next((ast.literal_eval(given) for given in call.args[1:2]), "r")
            is_text = "b" not in mode
        assert not is_text or "encoding" in {keyword.arg for keyword in call.keywords}, f"line {call.lineno}"


def test_imports_run_one_way_between_rooms():
    rooms = {path.name for path in (REPOSITORY / "pipeline").iterdir() if path.is_dir()}
    graph = {room: set() for room in rooms}
    for path in MODULES:
        room = path.relative_to(REPOSITORY / "pipeline").parts[0]
        if room in rooms:
            found = {
                name.split(".")[1] for name in imported_by(path) if name.startswith("pipeline.") and name.count(".") > 0
            }
            graph[room] |= found & rooms - {room}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: f"{path.parent.name} {path.stem}")
def test_published_tables_name_recipes_that_exist(path, flow):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ["row", "dataset", "recipe", "stand_in", "metric", "published", "note"]
    assert list(rows[0]) == [name for name in columns if name != "stand_in" or path.parent.name == "sau"]
    for row in rows:
        assert None not in row, f"{row['row']} has a comma that is not quoted"
        assert row["published"] == "" or float(row["published"]) >= 0
        assert row["published"] or row["note"], f"{row['row']} has neither a figure nor a reason"
        if row["recipe"]:
            run = flow.run(row["recipe"], row["dataset"])
            if path.parent.name in ("fill_up", "ldm_fg"):  # which are nothing without a foundation
                continue
            needs_foundation = "foundations" in flow.needed(run.dataset, [run])
            assert bool(row.get("stand_in")) == needs_foundation
            if needs_foundation:
                stand_in = flow.run(row["stand_in"], row["dataset"])
                assert "foundations" not in flow.needed(run.dataset, [stand_in])
                assert (stand_in.seeds, stand_in.varied) == (run.seeds, run.varied)


KNOWN_DIFFERENCES = {  # of a paper's recipes, or of one recipe
    "diffult": {},
    "sau": {},
    "fill_up": {},
    "ldm_fg": {},
    "imagenet_glmc": {"classifier.warmup_epochs": 10},  # its code has an epoch more, above the full rate
}


def test_papers_settings_are_those_of_the_full_recipes(flow):
    """Whatever differs from the paper must show, so the full recipe itself must show nothing but what is known to."""
    full = {
        "diffult": [
            ("diffult", "cifar100_lt"),
            ("diffult", "cifar10_lt"),
            ("imagenet_diffult", "imagenet_lt"),
            ("crt", "cifar100_lt"),
            ("imagenet_ce", "imagenet_lt"),
        ],
        "sau": [
            ("sau", "cifar100_lt"),
            ("sau", "cifar10_lt"),
            ("sau_imagenet", "imagenet_lt"),
            ("sau_imagenet_ce", "imagenet_lt"),
            ("sau_glmc", "cifar100_lt"),
            ("glmc", "cifar100_lt"),
            ("imagenet_glmc", "imagenet_lt"),
            ("mixup", "cifar10_lt"),
        ],
        "fill_up": [
            *(
                (recipe, "imagenet100_lt")
                for recipe in ("fill_up", "fill_up_1", "fill_up_real", "fill_up_a", "fill_up_b", "fill_up_d")
            ),
            *(("fill_up", dataset) for dataset in ("imagenet_lt", "places_lt", "inaturalist2018")),
            *(("fill_up_1", dataset) for dataset in ("imagenet_lt", "places_lt", "inaturalist2018")),
            ("fill_up_places", "places_lt"),
            ("fill_up_full", "imagenet_lt_full"),
        ],
        "ldm_fg": [
            *(
                (recipe, "imagenet_lt")
                for recipe in ("ldm_fg", "ldm_fg_loss", "ldm_fg_plain", "ldm_fg_real", "ldm_fg_mixed")
            ),
            ("ldm_fg_places", "places_lt"),
            *((recipe, "nico") for recipe in ("nico_erm", "nico_crt", "nico_text", "nico_fg", "nico_fg_hardness")),
        ],
    }
    for paper, recipe, dataset in [(paper, *run) for paper, runs in full.items() for run in runs]:
        with open(REPOSITORY / "papers" / paper / "settings.csv", newline="") as file:
            settings = list(csv.DictReader(file))
        assert {row["key"].split(".")[0] for row in settings} <= {*SINGULAR, "run"}
        run, known = flow.run(recipe, dataset), KNOWN_DIFFERENCES[paper] | KNOWN_DIFFERENCES.get(recipe, {})
        for row in settings:
            families, recipes = row["family"].split(), row["recipes"].split()
            is_meant = not families or flow.family(dataset) in families
            if is_meant and (not recipes or any(fnmatch(recipe, pattern) for pattern in recipes)):
                values = [plain(value) for value in flow.setting(run, row["key"])]
                published = yaml.safe_load(row["value"])
                assert values in ([], [known.get(row["key"], published)]), (recipe, row["key"])
                assert row["key"] not in known or known[row["key"]] != published


@pytest.mark.parametrize("path", sorted((REPOSITORY / "papers").glob("*/settings.csv")), ids=lambda p: p.parent.name)
def test_every_published_setting_is_one_of_some_run(path, flow):
    """Else a misspelt pattern or key would hide a difference."""
    tables = [*path.parent.glob("table_*.csv"), *path.parent.glob("figure_*.csv")]
    rows = [row for file in tables for row in csv.DictReader(file.read_text().splitlines()) if row["recipe"]]
    runs = [flow.run(*names) for names in dict.fromkeys((row["recipe"], row["dataset"]) for row in rows)]
    for row in csv.DictReader(path.read_text().splitlines()):
        patterns = row["recipes"].split() or ["*"]
        of_family = [run for run in runs if not row["family"] or flow.family(run.dataset) in row["family"].split()]
        for pattern in patterns:
            meant = [run for run in of_family if fnmatch(run.recipe.split("~")[0], pattern)]
            assert meant, (row["key"], pattern)
        assert any(flow.setting(run, row["key"]) for run in of_family), row["key"]


def plain(value):
    """A setting as YAML and JSON have it."""
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


@pytest.mark.parametrize("path", sorted((REPOSITORY / "papers").glob("*/figure_*.csv")), ids=lambda p: p.stem)
def test_published_figures_name_recipes_that_exist(path, flow):
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert list(rows[0]) == ["panel", "series", "x", "row", "dataset", "recipe", "metric", "published", "note"]
    for row in rows:
        run = flow.run(row["recipe"], row["dataset"])
        assert row["published"] or row["note"]
        varied = [float(value) for value in row["recipe"].partition("=")[2:] if value]
        if row["x"] not in ("1300", "4", "50") and (row["x"], row["recipe"]) != (
            "1.0",
            "ldm_fg",
        ):  # which are the paper's own settings
            assert run.varied and varied == [float(row["x"])], row


def test_the_papers_tables_are_there(flow):
    assert timed_tables(REPOSITORY / "papers").keys() == {"ldm_fg_4"}
    for row in timed_rows(flow, REPOSITORY / "papers/ldm_fg/times_4.csv"):
        assert row["settings"]["draw"]["steps"] == 30
    assert [f"{path.parent.name}_{path.stem.removeprefix('table_')}" for path in PUBLISHED] == [
        *(f"diffult_{number}" for number in range(1, 8)),
        *(f"fill_up_{number}" for number in (1, 3, 4, 5, 6, "a10", "a7", "a8", "a9")),
        *(f"ldm_fg_{number}" for number in (1, 2, 3, 5, 6, 7)),  # the fourth is of times
        *(f"sau_{number}" for number in range(1, 5)),
    ]
