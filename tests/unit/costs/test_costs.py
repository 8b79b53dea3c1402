"""What a run will take: jobs counted by hand, times by plain arithmetic, and errors of given figures."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from workflow_helpers import REPOSITORY, make_copy, repository_config, snakemake

from pipeline.config import costs
from pipeline.config.workflow import Workflow
from pipeline.costs import estimate, figures, report
from pipeline.costs.figures import Figure
from pipeline.costs.jobs import Job, jobs
from pipeline.costs.wall_time import critical_seconds, wall_seconds
from pipeline.errors import InputError

TRAIN = np.array([110, 73, 48, 32, 21, 14, 9, 6, 4, 2])  # tests/micro.yaml: 110 to 110 / 40, rounded down
COUNTS = {"train": TRAIN, "val": np.zeros(10, int), "test": np.full(10, 50), "rest": 120 - TRAIN}
GROUPS = pd.DataFrame({"class": np.repeat(np.arange(10), 2), "group": [f"g{i}" for i in range(20)]})
GROUPS["train"] = np.stack(
    [TRAIN, 0 * TRAIN], 1
).ravel()  # two groups of each class, one of them without training pictures
MADE = [0, 0, 0, 0, 9, 16, 21, 24, 26, 28]  # what is lacking to 30


def workflow(path=REPOSITORY / "tests" / "micro.yaml", **changes):
    raw = yaml.safe_load(path.read_text())
    for place, value in changes.items():
        section, name, key = place.split("__")
        raw[section][name][key] = value
    return Workflow(raw)


def counted(flow, dataset="demo"):
    """As the cost stage gets it: through JSON."""
    runs = [run for runs in flow.families().values() for run in runs if run.dataset == dataset]
    return json.loads(json.dumps(costs.counted(flow, dataset, runs)))


def listed(**changes):
    return jobs(counted(workflow(**changes)), COUNTS)


def work(found: list[Job], stage: str, part: str, piece: str = "") -> dict[str, float]:
    """Of one job: `stage part quantity` -> amount."""
    (job,) = [job for job in found if (job.stage, job.part, job.piece) == (stage, part, piece)]
    return {" ".join(figure): amount for figure, amount in job.work.items()}


# The list of jobs


def test_the_micro_configs_jobs_by_hand():
    assert Counter((job.stage, job.part) for job in listed()) == {
        ("subset", "demo"): 1,
        ("store", "demo"): 1,
        ("manifest", "demo"): 1,
        ("generator", "cbdm"): 1,
        ("plan", "cbdm"): 1,
        ("sample", "cbdm"): 2,
        ("grid", "cbdm"): 1,
        ("features", "ce"): 1,
        ("score", "by_ce"): 2,
        ("select", "likely"): 1,
        ("select", "likely~keep=all"): 1,
        ("classifier", "ce"): 2,
        ("classifier", "ce_long"): 1,
        ("classifier", "diffult"): 1,
        ("classifier", "diffult~filter.keep=all"): 1,
        ("classifier", "two_stage"): 1,
        ("evaluate", "ce"): 2,
        ("evaluate", "ce_long"): 1,
        ("evaluate", "diffult"): 1,
        ("evaluate", "diffult~filter.keep=all"): 1,
        ("evaluate", "two_stage"): 1,
        ("quality", "by_ce"): 1,
        ("summary", "demo"): 1,
    }


def test_the_micro_configs_work_by_hand():
    found = listed()
    real, made = TRAIN.sum(), sum(MADE)
    assert (real, made) == (319, 124)
    start = {"start others seconds a job": 1}
    generators_start = {"start generators seconds a job": 1}
    assert work(found, "store", "demo", "shard 0") == start | {
        "store demo seconds a picture": 1700,  # 1,200 to train on or left over, 500 to test with
        "store demo bytes a picture": 1700,
    }
    kept = {"bytes of weights": 1, "bytes of a checkpoint": 1}
    assert work(found, "generator", "cbdm") == generators_start | {
        "generator cbdm seconds a picture": 6 * 8,
        **{f"generator cbdm {name}": 1 for name in kept},
    }
    assert work(found, "sample", "cbdm", "shard 1") == generators_start | {
        "sample cbdm seconds a picture and step": 64 * 4,  # 62 pictures are 8 batches of 8
        "sample cbdm bytes a picture": 62,
    }
    assert work(found, "features", "ce", "seed 0") == start | {
        "evaluate ce seconds a picture": 500,
        "features ce bytes a picture": 319,
    }
    # shard 0: 9, 16, 21 and 16 of 24 pictures, each beside the real ones of its class
    assert work(found, "score", "by_ce", "shard 0")["score by_ce seconds a pair"] == 9 * 21 + 16 * 14 + 21 * 9 + 16 * 6
    assert work(found, "score", "by_ce", "shard 1")["score by_ce seconds a pair"] == 8 * 6 + 26 * 4 + 28 * 2
    trainings = {"ce": 2 * 319, "ce_long": 2 * 443, "diffult": 2 * 443, "two_stage": 2 * 443}
    for name, pictures in trainings.items():
        assert work(found, "classifier", name, "seed 0") == start | {
            f"classifier {name} seconds a picture": pictures,
            f"evaluate {name} seconds a picture": 2 * 500,  # the test split is watched
            **{f"classifier {name} {quantity}": 1 for quantity in kept},
        }
    assert work(found, "evaluate", "ce", "seed 1") == start | {"evaluate ce seconds a picture": 500}
    assert work(found, "quality", "by_ce") == start | {"evaluate ce seconds a picture": 1500 + 500}


def test_a_job_needs_what_its_rule_reads():
    found = listed()

    def needs(stage, part, piece=""):
        (job,) = [job for job in found if (job.stage, job.part, job.piece) == (stage, part, piece)]
        return {" ".join(filter(None, found[place][:3])) for place in job.needs}

    pool = {"sample cbdm shard 0", "sample cbdm shard 1"}
    scores = {"score by_ce shard 0", "score by_ce shard 1"}
    assert needs("sample", "cbdm", "shard 1") == {"generator cbdm", "plan cbdm"}
    assert needs("score", "by_ce", "shard 1") == {
        "manifest demo", "features ce seed 0", "classifier ce seed 0", "sample cbdm shard 1"
    }  # fmt: skip
    assert needs("select", "likely") == {"manifest demo"} | pool | scores
    assert needs("classifier", "ce", "seed 1") == {"manifest demo"}
    assert needs("classifier", "ce_long", "seed 0") == {"manifest demo", "select likely"}
    assert needs("classifier", "two_stage", "seed 0") == {
        "manifest demo", "select likely", "classifier ce seed 0", *pool
    }  # fmt: skip
    assert all(place < number for number, job in enumerate(found) for place in job.needs)


def test_a_surplus_is_drawn_and_scored_but_not_trained_on_or_measured():
    more, plain = listed(pools__cbdm__surplus=0.5), listed()
    extra = [-(-number // 2) for number in MADE]
    drawn = sum(work(more, "sample", "cbdm", f"shard {shard}")["sample cbdm bytes a picture"] for shard in (0, 1))
    assert drawn == sum(MADE) + sum(extra)
    pairs = [
        sum(work(found, "score", "by_ce", f"shard {shard}")["score by_ce seconds a pair"] for shard in (0, 1))
        for found in (more, plain)
    ]
    assert pairs[0] - pairs[1] == (extra * TRAIN).sum()
    for job in (("classifier", "diffult", "seed 0"), ("quality", "by_ce")):
        assert work(more, *job) == work(plain, *job)


def test_a_filter_that_fills_keeps_what_is_lacking():
    found = work(listed(filters__likely__fill_to=20), "classifier", "diffult", "seed 0")
    assert found["classifier diffult seconds a picture"] == 2 * (319 + np.maximum(0, 20 - TRAIN).sum())


def test_a_filter_that_keeps_the_first_few_keeps_no_more():
    assert work(listed(filters__likely__first=10), "classifier", "diffult", "seed 0")[
        "classifier diffult seconds a picture"
    ] == 2 * (319 + 9 + 5 * 10)


def test_several_gpus_share_a_batch():
    found = jobs(counted(workflow(classifiers__ce__gpus=2)), COUNTS | {"test": np.full(10, 110)})
    (job,) = [job for job in found if job[:3] == ("classifier", "ce", "seed 0")]
    assert job.gpus == 2
    assert job.work[Figure("classifier", "ce", "seconds a picture")] == 319  # two epochs, half of each
    # two epochs, 550 of the test split each, in batches of 500
    assert job.work[Figure("evaluate", "ce", "seconds a picture")] == 2 * 1000


def test_fewer_looks_at_the_test_split_cost_less():
    found = jobs(counted(workflow(classifiers__ce__epochs=5, classifiers__ce__test_every=2)), COUNTS)
    (job,) = [job for job in found if job[:3] == ("classifier", "ce", "seed 0")]
    assert job.work[Figure("evaluate", "ce", "seconds a picture")] == 3 * 500  # after the epochs 2, 4 and 5


def test_seeds_of_pools_and_generators_are_more_jobs():
    found = listed(recipes__diffult__seeds=[0, 1], recipes__diffult__seeds_of=["classifier", "pool", "generator"])
    more = Counter((job.stage, job.piece if job.stage == "evaluate" else "") for job in found)
    more.subtract((job.stage, job.piece if job.stage == "evaluate" else "") for job in listed())
    assert +more == {
        **dict.fromkeys([(stage, "") for stage in ("generator", "plan", "select", "classifier", "quality", "grid")], 1),
        **dict.fromkeys([(stage, "") for stage in ("sample", "score")], 2),
        ("evaluate", "seed 1"): 1,
    }
    trained = {job.part: job.needs for job in found if job.stage == "classifier"}
    assert {found[place].part for place in trained["diffult~pool.seed=1~generator.seed=1"]} > {
        "cbdm~seed=1~generator.seed=1"
    }


def test_the_validation_split_is_evaluated_with_the_test_split():
    found = jobs(counted(workflow()), COUNTS | {"val": np.full(10, 10)})
    (job,) = [job for job in found if job[:3] == ("evaluate", "ce", "seed 0")]
    assert job.work[Figure("evaluate", "ce", "seconds a picture")] == 1000  # 500 and 100, in batches of 500


@pytest.mark.slow
def test_the_list_of_jobs_is_the_one_that_snakemake_plans():
    families = ("demo", "cifar100_lt_quick", "imagenet_lt", "fashion_mnist_lt")  # each of one data set
    flow = repository_config()
    for family in families:
        told = snakemake(REPOSITORY, "-n", "--forceall", "--quiet", "rules", "--", f"all_{family}")
        assert told.returncode == 0, told.stdout
        rows = [line.split() for line in told.stdout.split("-\n", 1)[1].splitlines()]
        planned = {row[0]: int(row[1]) for row in rows[: [row[:1] for row in rows].index(["total"])]}
        del planned[f"all_{family}"]
        found = jobs(counted(flow, family), COUNTS)
        assert Counter(job.stage for job in found) == planned, family


def test_a_pool_of_groups_fills_each_of_them():
    raw = yaml.safe_load((REPOSITORY / "tests" / "micro.yaml").read_text())
    raw["datasets"]["demo"] = {"source": "image_folder", "path": "birds", "table": "t.csv", "test_share": 0.2}
    raw["pools"]["cbdm"] |= {"cells": "group", "fill_to": "max"}
    found = jobs(counted(Workflow(raw)), COUNTS, GROUPS)
    of_pictures = Figure("sample", "cbdm", figures.BYTES_A_PICTURE)
    assert sum(job.work.get(of_pictures, 0) for job in found) == (GROUPS["train"].max() - GROUPS["train"]).sum() == 1881


def test_the_figures_that_are_wanted_are_those_that_the_jobs_use():
    flow = repository_config()
    for runs in flow.families().values():
        for dataset in {run.dataset for run in runs}:
            config = counted(flow, dataset)
            timed = costs.timed(flow, dataset, [run for run in runs if run.dataset == dataset])
            assert figures.wanted(config) == figures.wanted(timed)
            used = {figure for job in jobs(config, COUNTS, GROUPS) for figure in job.work}
            unused = set(figures.wanted(config)) - used
            assert used <= set(figures.wanted(config))
            assert {figure.stage for figure in unused} <= {"features"}, "only of scorers are features kept"


# Time on so many GPUs


@st.composite
def graphs(draw):
    """(jobs, seconds, GPUs that are enough for the largest job)."""
    found, seconds = [], []
    for number in range(draw(st.integers(1, 12))):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        found.append(Job("a", "b", str(number), draw(st.integers(0, 3)), {}, sorted(needs)))
        seconds.append(draw(st.floats(0, 100)))
    return found, seconds, draw(st.integers(3, 6))


@given(graphs())
def test_wall_time_lies_between_its_bounds(graph):
    found, seconds, gpus = graph
    wall = wall_seconds(found, seconds, gpus)
    gpu_seconds = sum(job.gpus * own for job, own in zip(found, seconds, strict=True))
    assert wall >= critical_seconds(found, seconds) * (1 - 1e-9)
    assert wall >= gpu_seconds / gpus * (1 - 1e-9)
    assert wall <= sum(seconds) * (1 + 1e-9)


@given(graphs())
def test_with_gpus_for_all_only_the_longest_chain_counts(graph):
    found, seconds, _ = graph
    assert wall_seconds(found, seconds, 100) == pytest.approx(critical_seconds(found, seconds))


@given(graphs())
def test_jobs_of_one_gpu_take_at_most_grahams_bound(graph):
    found, seconds, gpus = graph
    found = [job._replace(gpus=1) for job in found]
    assert wall_seconds(found, seconds, gpus) <= (sum(seconds) / gpus + critical_seconds(found, seconds)) * (1 + 1e-9)


def test_a_schedule_by_hand():
    found = [
        Job("a", "", "0", 1, {}, []),
        Job("a", "", "1", 1, {}, []),
        Job("a", "", "2", 2, {}, [0]),
        Job("a", "", "3", 0, {}, [2]),
    ]
    seconds = [3, 5, 2, 1]
    assert wall_seconds(found, seconds, 2) == 5 + 2 + 1  # the job of two GPUs waits for both
    assert critical_seconds(found, seconds) == 3 + 2 + 1
    assert estimate.walls(found, seconds)["gpus"].tolist() == [2, 4]


# Given figures


def given_table(**changed) -> pd.DataFrame:
    """Made-up figures of the micro config, by `stage part quantity`."""
    rows = [(*figure, 2.0, "", "given", "a machine", "2026-01-01") for figure in figures.wanted(counted(workflow()))]
    table = pd.DataFrame(rows, columns=figures.COLUMNS)
    for name, value in changed.items():
        table.loc[table["quantity"] == name, "value"] = value
    return table


def read(table: pd.DataFrame, tmp_path) -> pd.DataFrame:
    table.to_csv(tmp_path / "given.csv", index=False)
    return figures.read(tmp_path / "given.csv", figures.wanted(counted(workflow())))


def estimated(table: pd.DataFrame, tmp_path) -> tuple[list[Job], list[float], pd.DataFrame]:
    throughput = read(table, tmp_path)
    values, origins = ({Figure(*row): value for row, value in throughput[name].items()} for name in ("value", "origin"))
    found = listed()
    seconds = estimate.seconds_of(found, values)
    return found, seconds, estimate.by_part(found, seconds, values, origins).set_index(["stage", "part"])


def test_given_figures_give_exact_hours_and_bytes(tmp_path):
    changed = {
        "seconds a picture": 3.0,
        "seconds a picture and step": 5.0,
        "seconds a pair": 0.0,
        "bytes a picture": 10.0,
    }
    _, _, table = estimated(given_table(**changed), tmp_path)
    row = table.loc["generator", "cbdm"]
    assert row["gpu_hours"] == pytest.approx((2 + 3 * 48) / 3600)
    assert (row["disk_bytes"], row["checkpoint_bytes"], row["times"]) == (2, 2, "given")
    row = table.loc["sample", "cbdm"]
    assert (row["jobs"], row["disk_bytes"]) == (2, 1240)
    assert row["gpu_hours"] == pytest.approx((2 + 5 * 256) * 2 / 3600)
    assert row["longest_job_minutes"] == pytest.approx((2 + 5 * 256) / 60)
    row = table.loc["store", "demo"]
    assert (row["gpu_hours"], row["disk_bytes"]) == (0, 17_000)
    assert row["other_hours"] == pytest.approx((2 + 3 * 1700) / 3600)
    assert table.loc[("classifier", "ce"), "gpu_hours"] == pytest.approx(2 * (2 + 3 * (2 * 319 + 1000)) / 3600)


def test_a_stages_times_are_measured_given_or_both(tmp_path):
    table = given_table()
    table.loc[table["stage"].isin(["generator", "start"]), "origin"] = "measured"
    _, _, table = estimated(table, tmp_path)
    assert table["times"].to_dict()["generator", "cbdm"] == "measured"
    assert table["times"].to_dict()["sample", "cbdm"] == "given, measured"


BAD_TABLES = {
    "a row is missing": (lambda t: t.drop(t.index[t["stage"] == "sample"][0]), "no row for sample,cbdm,seconds a picture and step"),
    "an unknown part": (lambda t: t.replace({"part": {"cbdm": "cbdn"}}), "generator,cbdn,seconds a picture (did you mean generator,cbdm,"),
    "a text": (lambda t: t.assign(value="fast"), "start,others,seconds a job is 'fast'; it must be a finite number"),
    "a negative number": (lambda t: t.assign(value=-1.0), "is '-1.0'; it must be a finite number of at least 0"),
    "an endless number": (lambda t: t.assign(value="inf"), "is 'inf'"),
    "half a batch": (lambda t: t.assign(batch="1.5"), "the batch of start,others,seconds a job is '1.5'; it must be a whole number"),
    "a row twice": (lambda t: pd.concat([t, t[:1]]), "has start,others,seconds a job twice"),
    "another origin": (lambda t: t.assign(origin="guessed"), "is 'guessed'; it must be measured or given"),
    "no origin": (lambda t: t.drop(columns="origin"), "they must be stage, part, quantity, value, batch, origin"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "words"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_table_that_does_not_fit_is_told_in_one_sentence(tmp_path, spoil, words):
    with pytest.raises(InputError) as told:
        read(spoil(given_table()), tmp_path)
    assert words in str(told.value) and "given.csv" in str(told.value) and "\n" not in str(told.value)


def test_a_table_that_is_missing_is_told(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.csv cannot be read"):
        figures.read(tmp_path / "nothing.csv", [])


# Shards, and the page


SHARDS = {  # seconds of a sampler's step for a picture -> better numbers than 2 for 512 such steps
    0.01: [1],  # 5 s in all
    1.0: [1],  # 9 minutes in all
    5.0: [],  # 21 minutes a shard
    30.0: [9],  # 4 hours in all
    1e6: [16],  # no smaller than a batch
}


@pytest.mark.parametrize(("seconds_a_step", "better"), SHARDS.items())
def test_shards_become_jobs_of_about_half_an_hour(tmp_path, seconds_a_step, better):
    found, seconds, _ = estimated(given_table(**{"seconds a picture and step": seconds_a_step}), tmp_path)
    advice = estimate.better_shards(counted(workflow()), found, seconds)
    assert [(one.pool, one.shards, one.better) for one in advice] == [("cbdm", 2, number) for number in better]


def page(tmp_path, given, table=None, rounds=None):
    table = given_table() if table is None else table
    found, seconds, rows = estimated(table, tmp_path)
    config = counted(workflow())
    config["classifiers"]["ce"]["round"] = rounds
    return report.page(
        config,
        found,
        rows.reset_index(),
        estimate.walls(found, seconds),
        estimate.better_shards(config, found, seconds),
        read(table, tmp_path).reset_index(),
        given,
    )


def test_the_page_never_calls_given_figures_measured(tmp_path):
    text = page(tmp_path, tmp_path / "given.csv")
    assert "Nothing was measured for this estimate" in text and f"{tmp_path}/given.csv" in text and "a machine" in text
    assert "Speeds were measured" not in text


def test_the_page_says_where_a_batch_was_smaller_than_the_configs(tmp_path):
    table = given_table()
    table.loc[table["stage"].isin(["generator", "classifier"]), "batch"] = "8.0"
    text = page(tmp_path, None, table)
    (line,) = [line for line in text.splitlines() if line.startswith("Batches smaller")]
    assert "classifier ce 8 instead of 32" in line and "generator" not in line  # whose batch is 8


def test_the_page_names_what_is_measured_and_assumed(tmp_path):
    text = page(tmp_path, None)
    assert "Speeds were measured on 2026-01-01 on **a machine**" in text
    assert "Filters keep all pictures" in text
    for stage in ("generator", "sample", "score", "classifier", "quality"):
        assert f"| {stage} " in text
    assert "Each round" not in text and "Each round" not in page(tmp_path, None, rounds=[2, 2])
    assert "Each round of one training, except the last, keeps a state" in page(tmp_path, None, rounds=[1, 2])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "under 1 s"),
        (59, "59 s"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (18_600, "5 h 10 min"),
        (1_051_200, "12 d 4 h"),
    ],
)
def test_durations_read_well(seconds, text):
    assert report.duration(seconds) == text


# Through Snakemake


def planned_rules(root, *arguments) -> set[str]:
    told = snakemake(root, "-n", "--quiet", "rules", *arguments)
    assert told.returncode == 0, told.stdout
    lines = told.stdout.split("-\n", 1)[1].splitlines()
    return {line.split()[0] for line in lines[: [line[:5] for line in lines].index("total")]}


def test_an_estimate_starts_nothing_that_is_expensive(tmp_path):
    root = make_copy(tmp_path / "copy")
    assert planned_rules(root, "--", "cost_demo") == {"cost_demo", "cost", "throughput", "subset"}
    given_table().to_csv(root / "given.csv", index=False)
    assert planned_rules(root, "--config", "throughput=given.csv", "--", "cost_demo") == {"cost_demo", "cost", "subset"}


@pytest.mark.slow
def test_a_given_table_is_used_and_named(tmp_path):
    root = make_copy(tmp_path / "copy")
    given_table().to_csv(root / "given.csv", index=False)
    made = snakemake(root, "--config", "throughput=given.csv", "--", "cost_demo")
    assert made.returncode == 0, made.stdout
    text = (root / "results/demo/cost/cost.md").read_text()
    assert "all figures are from given.csv" in text and text in made.stdout
    table = pd.read_csv(root / "results/demo/cost/cost.csv").set_index(["stage", "part"])
    assert table.loc[("generator", "cbdm"), "gpu_hours"] == pytest.approx((2 + 2 * 48) / 3600)
    assert set(table["times"]) == {"given"}
    given_table()[:-1].to_csv(root / "short.csv", index=False)
    told = snakemake(root, "--config", "throughput=short.csv", "--", "cost_demo")
    assert told.returncode != 0 and "Traceback" not in told.stdout
    assert "error: short.csv has no row for " in told.stdout
