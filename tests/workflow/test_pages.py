"""README and docs/: the commands that they name exist, and what they say of recipes and results holds."""

import re
import shlex
import subprocess
import sys

import pytest
import yaml
from PIL import Image
from workflow_helpers import REPOSITORY, environment, repository_config

from pipeline.config.artifacts import made_by
from pipeline.config.differences import published_tables
from pipeline.config.presets import combined, preset_layers
from pipeline.config.resolve import deep_merge
from pipeline.config.workflow import Workflow

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
GUIDE = (REPOSITORY / "docs/config_guide.md").read_text()
FILES = (REPOSITORY / "docs/files.md").read_text()
COMMAND = re.compile(r"snakemake (?:-n )?--profile \w+ (?:--[^`#\n]* -- |--force )?([a-z]\w+(?:/\S*)?)")
"""Finds the first target of a command."""
OF_MICRO = {"classifier/demo_ce/": "classifier/ce/", "sample/demo": "sample/cbdm", "generator/demo": "generator/cbdm"}
"""Paths of the demo -> those of the micro run."""


def test_the_readme_is_one_page():
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 120


@pytest.fixture(scope="module")
def flow():
    return repository_config()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_of_commands_exist(page, flow):
    """Those of `snakemake ... TARGET`, but for the data sets of examples and for paths with <names>."""
    known = {"verify"} | {f"all_{family}" for family in flow.families()}
    known |= {f"table_{table}" for table in published_tables(REPOSITORY / "papers") if "_figure_" not in table}
    known |= {f"recipe_{recipe}" for recipe in flow.parts["recipes"]}
    known |= {f"describe_{dataset}" for dataset in flow.parts["datasets"]}
    known |= {f"cost_{run.dataset}" for runs in flow.families().values() for run in runs}
    found = COMMAND.findall(page.read_text())
    assert found or page.name not in ("README.md", "data.md", "cluster.md", "config_guide.md")
    for target in found:
        if not target.endswith(("_my_birds", "_dots")) and "my_birds/" not in target and "<" not in target:
            assert target in known or made_by(target.strip("`")), target


def test_the_guide_lists_the_main_runs_of_each_family(flow):
    table = GUIDE.partition("## Which recipes run")[2].partition("The other recipes")[0]
    listed = {}
    for line in re.findall(r"^\| (`.*) \| (.*) \|$", table, re.MULTILINE):
        families, runs = (re.findall(r"`(\w+)`", cell) for cell in line)
        listed |= {family: set(runs) for family in families}
    found = {family: {run.recipe.partition("~")[0] for run in runs} for family, runs in flow.families().items()}
    assert listed == found


def test_the_guides_line_makes_rivals_main(flow):
    own = yaml.safe_load(re.search(r"^- `(recipes: .*?)` in your config", GUIDE, re.MULTILINE)[1])
    changed = Workflow(combined(preset_layers(REPOSITORY / "papers"), own)).families()
    for family in ("cifar10_lt", "cifar100_lt"):
        added = {run.recipe for run in changed[family]} - {run.recipe for run in flow.families()[family]}
        assert {"ldam_drw", "cmo", "glmc"} < added


def test_results_can_be_used_as_the_page_says(finished, tmp_path):
    page = FILES
    for name, other in OF_MICRO.items():
        assert name in page
        page = page.replace(name, other)
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    code += f"from diffusers import UNet2DModel\nunet = {re.search('UNet2DModel.from_pretrained[^`]*', page)[0]}\n"
    code += "print(len(generated), *pictures.shape, *features.shape, *logits.shape, unet.config.num_class_embeds)\n"
    python = [sys.executable, "-c", code]
    ran = subprocess.run(python, cwd=finished, env=environment(finished), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    count, *found = map(int, ran.stdout.split())
    assert count > 0 and found == [count, 8, 8, 3, count, found[5], count, 10, 11]

    unpacked = tmp_path / "FOLDER"
    unpacked.mkdir()
    command = re.search(r"`(tar xf .*?)`", page)[1].replace("FOLDER", str(unpacked))
    subprocess.run(shlex.split(command), cwd=finished, check=True)
    assert len(list(unpacked.glob("*.json"))) == len(list(unpacked.glob("*.png"))) == count
    assert Image.open(next(unpacked.glob("*.png"))).size == (8, 8)


def test_the_pages_on_text_to_image_models_have_a_config_that_works():
    page = (REPOSITORY / "docs/text_to_image.md").read_text()
    own = {}
    pages = page + "".join((REPOSITORY / f"docs/{name}.md").read_text() for name in ("fill_up", "feedback"))
    for block in re.findall(r"```yaml\n(.*?)```", pages, re.DOTALL):
        own = deep_merge(own, yaml.safe_load(block))
    readme = (REPOSITORY / "README.md").read_text()
    birds = yaml.safe_load(re.search(r"\n    datasets:\n.*?\n\n", readme, re.DOTALL)[0])
    both = {section: {**birds.get(section, {}), **own.get(section, {})} for section in birds.keys() | own.keys()}
    flow = Workflow(combined(preset_layers(REPOSITORY / "papers"), both))
    assert {"birds_sd15", "birds_fill_up"} <= {run.classifier for run in flow.families()["my_birds"]}
    assert flow.part("pools", "birds_led").feedback.criterion == "entropy"
    listed = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    presets = combined(preset_layers(REPOSITORY / "papers"), {})
    assert listed == set(presets["foundations"])
