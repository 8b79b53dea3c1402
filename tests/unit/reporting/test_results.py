"""Rows and tables of results: whose chance a deviation shows."""

import json

import pandas as pd
import pytest

from pipeline.artifacts import shards
from pipeline.reporting.results import over_seeds, read_runs
from pipeline.stages import summary, tables


@pytest.fixture
def runs(tmp_path):
    """A run of two seeds with a pool of their own, and one of two seeds with one pool."""

    def written(name, **about):
        (tmp_path / name).write_text(json.dumps(about))
        return str(tmp_path / name)

    metrics = {"real_pictures": 9, "generated_pictures": 4, "steps": 6}
    of_seed = [
        written(f"seed{seed}.json", seed=seed, network="b, width 4", metrics=metrics | {"top1": 60.0 + seed})
        for seed in (0, 1)
    ]
    pools = [written(f"pool{seed}.json", metrics={"fd_scorer": 10.0 + 2 * seed}) for seed in (0, 1)]
    run = {"dataset": "d", "metrics": of_seed, "differs": [], "sees_rest": ""}
    return [
        run | {"recipe": "all", "qualities": pools, "seeds_of": "classifier, pool"},
        run | {"recipe": "one", "qualities": pools[:1], "seeds_of": "classifier"},
    ]


def test_pools_of_their_own_have_a_deviation_and_a_shared_one_has_none(runs):
    found = over_seeds(read_runs(runs)).set_index(["recipe", "metric"])
    assert found.loc[("all", "fd_scorer"), ["mean", "seeds"]].tolist() == [11, 2]
    assert found.loc[("all", "fd_scorer"), "deviation"] == pytest.approx(2**0.5)
    assert found.loc[("one", "fd_scorer"), ["mean", "seeds"]].tolist() == [10, 1]
    assert pd.isna(found.loc[("one", "fd_scorer"), "deviation"])


def cells(path, row):
    (line,) = (line for line in path.read_text().splitlines() if line.startswith(f"| {row} "))
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_a_summary_says_whose_chance_its_deviations_show(runs, tmp_path):
    summary.main(summary.arguments().parse_args(["--config", json.dumps({"runs": runs}), "--output", str(tmp_path)]))
    page = tmp_path / "summary.md"
    assert "seeds of the classifier, or of the parts named beside the number of seeds" in page.read_text()
    assert cells(page, "all")[2] == "2 (classifier, pool)" and cells(page, "one")[2] == "2"


def test_a_table_says_whose_chance_its_deviations_show(runs, tmp_path):
    (tmp_path / "published.csv").write_text(
        "row,dataset,recipe,metric,published,note\nA,d,all,top1,1,\nO,d,better,top1,1,\nX,d,,top1,1,not ours\n"
    )
    for run, recipe in zip(runs, ["all", "better"], strict=True):
        run |= {"stands_for": [recipe], "differs": [f"instead of {recipe}"] if recipe == "better" else []}
    given = ["--published", str(tmp_path / "published.csv"), "--output", str(tmp_path / "table.csv")]
    tables.main(tables.arguments().parse_args(["--config", json.dumps({"runs": runs}), *given]))
    page = tmp_path / "table.md"
    assert "seeds of the classifier, or of the parts named beside the number of seeds" in page.read_text()
    assert [cells(page, row)[5] for row in "AOX"] == ["2 (classifier, pool)", "2", "–"]
    found = pd.read_csv(tmp_path / "table.csv", keep_default_na=False).set_index("row")
    assert found["seeds_of"].to_dict() == {"A": "classifier, pool", "O": "classifier", "X": ""}
    assert found["recipe"].to_dict() == {"A": "all", "O": "one", "X": ""}
    assert found["differs"].to_dict() == {"A": "", "O": "instead of better", "X": ""}


def test_runs_that_see_left_out_pictures_stand_apart(runs, tmp_path):
    shards.write_table(
        pd.DataFrame({"file": []}),
        tmp_path / "small/foundation.parquet",
        about={"kind": "mini", "zero_shot_top1": 92.25},
    )
    runs[1] |= {"sees_rest": "mini"}
    given = ["--config", json.dumps({"runs": runs}), "--output", str(tmp_path)]
    args = summary.arguments().parse_args(given)
    args.inputs = {"foundations": [tmp_path / "small/foundation.parquet"]}
    summary.main(args)
    page = (tmp_path / "summary.md").read_text()
    above, below = page.split("## With pictures that the others do not have")
    assert "| all " in above and "| one (mini) " not in above
    assert "| one (mini) " in below and "| all " not in below
    assert "The CLIP of small alone names 92.2 % of the test pictures rightly, of its own data set" in below
    long = pd.read_csv(tmp_path / "results.csv", keep_default_na=False)
    assert dict(zip(long["recipe"], long["sees_rest"], strict=True)) == {"all": "", "one": "mini"}
