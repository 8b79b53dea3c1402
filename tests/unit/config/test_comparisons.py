"""Comparisons: the pools of their cells, and what is refused."""

import pytest
from examples import painted, refused

from pipeline.config import reads, targets
from pipeline.config.workflow import Workflow

SCALES = {"draw.guidance_scale": [1.0, 5.0], "draw.steps": [10, 20, 30]}
SOME = {"pool": "painted", "datasets": ["cifar100_lt"], "classes": ["bee", "cattle"], "rows": {"draw.steps": [10, 20]}}


def compared(**changed):
    return painted(comparisons={"some": {key: value for key, value in (SOME | changed).items() if value is not None}})


def test_a_cell_is_the_pool_with_a_few_pictures_and_its_values():
    rows, columns = ({key: values} for key, values in SCALES.items())
    flow = Workflow(compared(rows=rows, columns=columns))
    whole, cells = flow.part("pools", "painted"), flow.part("comparisons", "some").cells
    assert len(cells) == len(set(cells)) == 6
    found = [flow.part("pools", cell) for cell in cells]
    assert [(cell.draw.guidance_scale, cell.draw.steps) for cell in found] == [
        (scale, steps) for scale in (1.0, 5.0) for steps in (10, 20, 30)
    ]
    assert all((cell.classes, cell.per_class, cell.fill_to) == (("bee", "cattle"), 1, None) for cell in found)
    assert all((cell.shards, cell.batch_size, cell.seed) == (1, 2, whole.seed) for cell in found)
    assert flow.part("comparisons", "some").settings() == {
        "classes": ["bee", "cattle"],
        "pictures": 1,
        "rows": ["draw.guidance_scale 1.0", "draw.guidance_scale 5.0"],
        "columns": ["draw.steps 10", "draw.steps 20", "draw.steps 30"],
    }
    where = {"dataset": "cifar100_lt", "name": cells[0], "shard": "00000"}
    assert reads.shard(flow, "sample", where) == "0 of 1"


def test_without_columns_a_row_has_several_pictures():
    flow = Workflow(compared(pictures=5))
    cells = [flow.part("pools", cell) for cell in flow.part("comparisons", "some").cells]
    assert [(cell.draw.steps, cell.per_class, cell.batch_size) for cell in cells] == [(10, 5, 10), (20, 5, 10)]
    assert flow.part("comparisons", "some").settings()["pictures"] == 5


def test_values_that_are_written_alike_are_cells_of_their_own():
    texts = ["ugly, blurry", "ugly blurry"]
    flow = Workflow(compared(rows={"draw.negative_prompt": texts}))
    cells = flow.part("comparisons", "some").cells
    assert [flow.part("pools", cell).draw.negative_prompt for cell in cells] == texts


def test_rows_replace_those_that_it_extends():
    raw = compared()
    raw["comparisons"]["more"] = {"extends": "some", "rows": {"seed": [3, 4, 5]}}
    flow = Workflow(raw)
    found = [flow.part("pools", cell) for cell in flow.part("comparisons", "more").cells]
    assert [(cell.seed, cell.draw.steps) for cell in found] == [(seed, found[0].draw.steps) for seed in (3, 4, 5)]


def test_its_folders_are_of_use():
    flow = Workflow(compared())
    found = targets.folders(flow)
    (first, _) = flow.part("comparisons", "some").cells
    assert {"results/cifar100_lt/comparison/some", f"results/cifar100/sample/{first}"} <= set(found)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"rows": {}}, "comparisons.some.rows"),
        (
            {"rows": {"draw.stepz": [10]}},
            "pools.painted (varied by comparisons.some).draw.text_to_image: unknown key 'stepz'",
        ),
        ({"rows": {"draw.": [10]}}, "pools.painted (varied by comparisons.some).draw.text_to_image: unknown key ''"),
        ({"rows": {"draw.steps": []}}, "comparisons.some: draw.steps has no values; give at least one"),
        ({"columns": {"draw.steps": [3]}}, "comparisons.some: rows and columns have the same key, draw.steps"),
        ({"columns": {"seed": [3]}, "pictures": 2}, "comparisons.some: pictures is for a comparison without columns"),
        ({"datasets": ["cifar"]}, "comparisons.some: unknown datasets 'cifar'"),
        ({"columns": {"shards": [1, 2]}}, "comparisons.some: shards cannot vary, because a comparison sets it itself"),
        ({"rows": {"where.cifar100_lt.seed": [1]}}, "comparisons.some: where.cifar100_lt.seed cannot vary, because"),
        ({"cells": ["painted"]}, "comparisons.some: cells are set by the workflow; remove them"),
        ({"pool": "painter"}, "comparisons.some: unknown pool 'painter' (did you mean 'painted'?)"),
        ({"rows": {"cells": ["class", "group"]}}, "comparisons.some: cells cannot vary"),
    ],
)
def test_what_cannot_be_compared_is_refused(changed, told):
    assert told in refused(compared(**changed))
