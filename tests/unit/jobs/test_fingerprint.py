"""Fingerprints: what counts as a change of code, and what does not."""

import ast
import json
import shutil
import subprocess

import pytest

from pipeline.errors import InputError
from pipeline.jobs.fingerprint import PLUMBING, ROOT, check, covered, fingerprint

FILES = {
    "app/__init__.py": "",
    "app/stage.py": '"""Doc."""\nimport json\nfrom app import helper, spoken\n\n\ndef main():\n    from app.lazy import work\n    work()\n',
    "app/helper.py": "from app.deep import value\n",
    "app/deep.py": "value = 1\n",
    "app/lazy.py": "def work():\n    return 2\n",
    "app/spoken.py": """\
import argparse

_REMEDY = "give another one"


def ask(value):
    assert value, "a value is needed"
    if value < 0:
        raise ValueError(f"{value} is too small; {_REMEDY}") from None
    print(f"{value} is fine", flush=True)
    parser = argparse.ArgumentParser(description="Asks.")
    parser.add_argument("--value", default="one", help="a value")
    return f"{value:>{3}} of", "named"
""",
    "app/other.py": "x = 1\n",
    "app/deep.tsv": "name\tcount\n",
    "app/other.csv": "1,2\n",
}


@pytest.fixture
def tree(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def of_stage(tree):
    return fingerprint(["app.stage"], tree)


SAME = {
    "comment": ("app/stage.py", "import json", "import json  # for later"),
    "docstring": ("app/stage.py", '"""Doc."""', '"""Another."""'),
    "docstring of an attribute": ("app/deep.py", "value = 1\n", 'value = 1\n"""What it is."""\n'),
    "layout": ("app/lazy.py", "return 2", "return (\n        2\n    )"),
    "text of an error": ("app/spoken.py", "is too small", "is below zero"),
    "cause of an error": ("app/spoken.py", " from None", ""),
    "what is printed": ("app/spoken.py", "is fine", "is good"),
    "printing at all": ("app/spoken.py", '    print(f"{value} is fine", flush=True)\n', ""),
    "text of an assertion": ("app/spoken.py", "a value is needed", "no value"),
    "text of help": ("app/spoken.py", 'help="a value"', 'help="any value", metavar="N"'),
    "what to do": ("app/spoken.py", "give another one", "give a larger one"),
    "unrelated module": ("app/other.py", "x = 1", "x = 2"),
    "data of an unrelated module": ("app/other.csv", "1,2", "1,3"),
}
CHANGED = {
    "own code": ("app/stage.py", "work()\n", "work(); work()\n"),
    "imported module": ("app/helper.py", "value", "value as v"),
    "module imported by an imported one": ("app/deep.py", "value = 1", "value = 2"),
    "module imported within a function": ("app/lazy.py", "return 2", "return 3"),
    "kind of an error": ("app/spoken.py", "ValueError", "TypeError"),
    "an assertion": ("app/spoken.py", "assert value,", "assert value + 1,"),
    "default of an option": ("app/spoken.py", 'default="one"', 'default="two"'),
    "text that is returned": ("app/spoken.py", '"named"', '"called"'),
    "text around a value": ("app/spoken.py", "} of", "} from"),
    "package": ("app/__init__.py", "", "y = 1\n"),
    "data of an imported module": ("app/deep.tsv", "count", "pictures"),
}


def edit(tree, name, old, new):
    path = tree / name
    path.write_text(path.read_text().replace(old, new) if old else new)


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_does_not_count(tree, change):
    before = of_stage(tree)
    edit(tree, *change)
    assert of_stage(tree) == before


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_what_counts(tree, change):
    before = of_stage(tree)
    edit(tree, *change)
    assert of_stage(tree) != before


def test_added_docstring_does_not_count(tree):
    before = of_stage(tree)
    edit(tree, "app/lazy.py", "def work():\n", 'def work():\n    """Two."""\n')
    assert of_stage(tree) == before


@pytest.mark.parametrize("name", ["deep.txt", "stage.json", "__init__.csv"])
def test_added_data_file_of_a_modules_own_name_counts(tree, name):
    before = of_stage(tree)
    (tree / "app" / name).write_text("1\n")
    added = of_stage(tree)
    assert added != before
    (tree / "app" / name).rename(tree / "app" / f"{name}.renamed")
    assert of_stage(tree) not in (before, added)


@pytest.mark.parametrize("name", ["deep.pyc", "deep.py~", "deep.tsv~", "deeper.tsv", "data.tsv", ".deep.tsv.swp"])
def test_other_files_beside_modules_do_not_count(tree, name):
    before = of_stage(tree)
    (tree / "app" / name).write_text("1\n")
    assert of_stage(tree) == before


RECORDED = "282b85e3915f"
"""Start of the fingerprint of FILES, on every Python."""
PYODIDE = {"0.26.4": "3.12.1", "0.27.7": "3.12.7", "0.29.0": "3.13"}
"""Release of Pyodide, which is Python for Node.js -> version of Python."""
ON_NODE = """
const { loadPyodide } = await import(process.argv[2] + "/pyodide.mjs");
const python = await loadPyodide({ indexURL: process.argv[2] + "/" });
for (const [place, folder] of [["/code", process.argv[3]], ["/tree", process.argv[4]]]) {
    python.FS.mkdir(place);
    python.FS.mount(python.FS.filesystems.NODEFS, { root: folder }, place);
}
console.log(python.runPython(`
import sys
sys.path.insert(0, "/code")
sys.dont_write_bytecode = True
from pathlib import Path
from pipeline.jobs.fingerprint import fingerprint
chr(10).join([sys.version.split()[0], fingerprint(${process.argv[5]}), fingerprint(["app.stage"], Path("/tree"))])
`));
"""


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm brings other versions of Python")
@pytest.mark.parametrize("release", PYODIDE)
def test_all_stages_have_the_same_fingerprint_on_other_pythons(release, tree, tmp_path):
    subprocess.run(["npm", "install", "--silent", f"pyodide@{release}"], cwd=tmp_path, check=True)
    (tmp_path / "run.mjs").write_text(ON_NODE)
    stages = sorted(f"pipeline.stages.{path.stem}" for path in (ROOT / "pipeline" / "stages").glob("[a-z]*.py"))
    command = ["node", "run.mjs", str(tmp_path / "node_modules" / "pyodide"), str(ROOT), str(tree), json.dumps(stages)]
    told = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    version, *found = told.splitlines()
    assert version.startswith(PYODIDE[release])
    assert found == [fingerprint(stages), of_stage(tree)]


def test_an_empty_text_in_a_format_does_not_count(tree, monkeypatch):
    """The first releases of Python 3.12 end a format such as >{3} with one."""

    class Ended(ast.NodeTransformer):
        def visit_JoinedStr(self, node):
            self.generic_visit(node)
            return ast.JoinedStr([*node.values, ast.Constant("")])

    copy, parse = shutil.copytree(tree, tree / "copy"), ast.parse
    monkeypatch.setattr(ast, "parse", lambda *given: Ended().visit(parse(*given)))
    ended = of_stage(copy)
    monkeypatch.undo()
    assert ended == of_stage(tree)


def test_the_fingerprint_is_the_recorded_one(tree):
    """Recorded on Python 3.11. It may change only if all artifacts shall be made again."""
    assert json.loads(of_stage(tree))["sha256"].startswith(RECORDED)


def test_plumbing_does_not_count(tmp_path):
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    before = {stage: fingerprint(modules, tmp_path) for stage, modules in STAGES.items()}
    for module in PLUMBING:
        path = tmp_path.joinpath(*module.split(".")).with_suffix(".py")
        path.write_text(path.read_text() + "\nADDED = 1\n")
    assert {stage: fingerprint(modules, tmp_path) for stage, modules in STAGES.items()} == before


def test_is_sorted_json_in_any_order_of_modules(tree):
    one = fingerprint(["app.stage", "app.other"], tree)
    assert one == fingerprint(["app.other", "app.stage", "app.other"], tree)
    assert json.loads(one)["modules"] == ["app.other", "app.stage"]


def test_covers_what_is_imported(tree):
    assert covered(["app.stage"], tree) == {"app", "app.stage", "app.helper", "app.spoken", "app.deep", "app.lazy"}


def test_relative_imports_are_refused(tree):
    edit(tree, "app/helper.py", "from app.deep", "from .deep")
    with pytest.raises(InputError, match=r"helper\.py: write absolute imports"):
        of_stage(tree)


def test_missing_module_is_named(tree):
    with pytest.raises(InputError, match=r"app\.absent"):
        fingerprint(["app.absent"], tree)


def test_check_refuses_edited_code_and_accepts_its_own():
    planned = fingerprint(["pipeline.stages.plan"])
    check(planned)
    edited = json.dumps(json.loads(planned) | {"sha256": "0" * 64}, sort_keys=True)
    with pytest.raises(InputError, match=r"pipeline\.stages\.plan was edited after this run was planned"):
        check(edited)


@pytest.mark.parametrize("text", ["", "{}", "[]", "nonsense"])
def test_check_refuses_what_is_no_fingerprint(text):
    with pytest.raises(InputError, match="is not a fingerprint"):
        check(text)


STAGES = {
    "generator": ["pipeline.stages.generator", "pipeline.generators.cbdm.train"],
    "sample": ["pipeline.stages.sample", "pipeline.generators.cbdm.sample"],
    "classifier": ["pipeline.stages.classifier", "pipeline.classifiers.losses.cross_entropy"],
    "score d3": ["pipeline.stages.score", "pipeline.scores.d3"],
    "plan": ["pipeline.stages.plan"],
    "subset of CIFAR-10": ["pipeline.stages.subset", "pipeline.data.cifar10"],
    "subset of ImageNet-LT": ["pipeline.stages.subset", "pipeline.data.imagenet"],
    "subset of ImageNet100-LT": ["pipeline.stages.subset", "pipeline.data.imagenet100"],
}
TOUCHES = {
    "generators/cbdm/loss.py": {"generator"},
    "generators/cbdm/initial_weights.py": {"generator"},
    "generators/drawn.py": {"sample"},
    "generators/cbdm/sample.py": {"sample"},
    "generators/cbdm/unet.py": {"generator", "sample"},
    "classifiers/losses/cross_entropy.py": {"classifier"},
    "classifiers/losses/weighted_cross_entropy.py": set(),
    "scores/d1.py": set(),
    "scores/d3.py": {"score d3"},
    "generators/plan.py": {"plan"},
    "artifacts/shards.py": set(STAGES),
    "config/pools.py": set(),
    "data/imagenet_classes.tsv": {"subset of ImageNet-LT", "subset of ImageNet100-LT"},
    "data/imagenet100_classes.tsv": {"subset of ImageNet100-LT"},
}


@pytest.mark.parametrize("name", TOUCHES)
def test_an_edit_touches_the_stages_that_use_it(tmp_path, name):
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    before = {stage: fingerprint(modules, tmp_path) for stage, modules in STAGES.items()}
    path = tmp_path / "pipeline" / name
    path.write_text(path.read_text() + "\nADDED\t= 1\n")
    after = {stage: fingerprint(modules, tmp_path) for stage, modules in STAGES.items()}
    assert {stage for stage in STAGES if before[stage] != after[stage]} == TOUCHES[name]
