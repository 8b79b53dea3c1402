"""The classes of a source: those of every subset, with the same labels."""

import pytest
import trees
from listing import listed

from pipeline.artifacts import shards
from pipeline.data.classes import class_names
from pipeline.stages import classes

TREES = {
    "digits": lambda root: root,
    "fashion_mnist": lambda root: trees.fashion_mnist(root, packed=True),
    "imagenet": lambda root: trees.imagenet(root, {trees.WNIDS[0]: 6, trees.WNIDS[7]: 4}),  # labels 0 and 7
    "nico": lambda root: trees.nico(root, {("dim", "bear"): 80, ("dim", "cat"): 78, ("rock", "cat"): 5}),
}


@pytest.mark.parametrize("source", TREES)
def test_a_sources_classes_are_those_of_its_subsets(tmp_path, source):
    TREES[source](tmp_path / "raw")
    given = [
        "--config",
        f'{{"source": "{source}"}}',
        "--raw",
        tmp_path / "raw",
        "--output",
        tmp_path / "classes.parquet",
    ]
    classes.main(classes.arguments().parse_args(list(map(str, given))))
    found = shards.read_table(tmp_path / "classes.parquet")
    long_tail = {"imbalance_factor": 2, "largest_class": 4} if source in ("digits", "fashion_mnist") else {}
    for seed in (0, 1):
        names = class_names(listed(tmp_path / "raw", source, selection_seed=seed, **long_tail)).tolist()
        assert found.to_dict("list") == {"class": list(range(len(names))), "class_name": names}
