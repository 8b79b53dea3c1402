"""docs/config.md, the reference of the config."""

import re

import pytest
from workflow_helpers import REPOSITORY

from pipeline.config.reference import reference


@pytest.fixture(scope="module")
def page():
    return reference()


def test_the_reference_is_current(page):
    assert (REPOSITORY / "docs/config.md").read_text() == page, "run: make docs"


def test_every_key_has_a_meaning(page):
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert [row[0] for row in rows if row[-1].strip(" |") == ""] == []


def test_no_heading_is_there_twice(page):
    headings = re.findall("^#.*", page, re.MULTILINE)
    assert sorted(set(headings)) == sorted(headings)
    assert {"### classifiers, loss: `focal`", "### classifiers, class_weights: `effective_number`"} <= set(headings)


def test_the_reference_shows_types_limits_and_defaults(page):
    for line in (
        "| `tau` | number, at least 0 | `1.0` | Weight of the class-balancing term; 0 is plain DDPM. |",
        "| `imbalance_factor` | number, at least 1 |  | Pictures in the largest class divided by pictures in the smallest. |",
        "| `patch_sampler` | mapping by `kind`: `instance`, `power` | `instance` | ",
        "| `class_weights` | `null`, or mapping by `kind`: `effective_number`, `inverse_power` | `null` | ",
        "| `generated_weight` | number, at least 0, at most 1 | `1.0` | omega of Eq. 4. |",
        "`sau`, `group_dro`, `irm`, `lisa`. The default is `plain`.",
        "`kind` chooses the type: `classifier`, `clip`, `copies`. The default is `classifier`.",
        "`kind` chooses the type: `cbdm`, `text_to_image`, `image_to_image`, `image_variation`, `unclip`, `glide`, "
        "`textual_inversion`, `lora`.\n",
        "\nn^-power for a class of n pictures.\n",
        "`extends: ce`",
    ):
        assert line in page, line
