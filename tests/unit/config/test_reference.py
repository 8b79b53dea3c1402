"""docs/config.md, the reference of the config."""

from workflow_helpers import REPOSITORY

from pipeline.config.reference import reference, undocumented


def test_the_reference_is_current():
    assert (REPOSITORY / "docs/config.md").read_text() == reference(), "run: make docs"


def test_every_key_has_a_meaning():
    assert undocumented() == []


def test_the_reference_shows_types_limits_and_defaults():
    page = reference()
    for line in (
        "| `tau` | number, at least 0 | `1.0` | Weight of the class-balancing term; 0 is plain DDPM. |",
        "| `imbalance_factor` | number, at least 1 |  | Pictures in the largest class divided by pictures in the smallest. |",
        "| `data_sampler` | mapping by `kind` | `instance` | ",
        "| `generated_weight` | number, at least 0, at most 1 | `1.0` | omega of Eq. 4. |",
    ):
        assert line in page
