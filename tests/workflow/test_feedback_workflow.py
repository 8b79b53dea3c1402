"""Feedback: a classifier is trained, leads two pools, and another one is trained on their pictures."""

import json
import re
import shutil

import pandas as pd
import pytest
import yaml
from runs import Run
from tiny_models import stable_diffusion, stable_diffusion_xl
from workflow_helpers import (
    bytes_under,
    copy_of,
    copy_with,
    modules_beside_fingerprints,
    planned,
    snakemake,
    stage,
)

pytestmark = pytest.mark.slow

POOL = {"store": {"side": 8}, "fill_to": 30, "batch_size": 8, "shards": 2, "guide": "ce", "guide_seed": 1}
ADDED = {
    "foundations": {"tiny": {"kind": "folder", "path": "models/tiny"}},
    "prompts": {"named": {"kind": "templates"}},
    "generators": {"painter": {"kind": "text_to_image", "foundation": "tiny"}},
    "pools": {
        "led": {
            **POOL,
            "generator": "painter",
            "prompts": "named",
            "draw": {
                "kind": "text_to_image",
                "scheduler": "ddim",
                "steps": 4,
                "guidance_scale": 2.0,
                "feedback": {"criterion": "entropy", "every": 2},
            },
        },
        "hard": {
            **POOL,
            "generator": "cbdm",
            "draw": {"kind": "ddim", "steps": 4, "feedback": {"criterion": "hardness", "mode": "decoder", "every": 2}},
        },
        "unsure": {
            **POOL,
            "shards": 1,
            "generator": "cbdm",
            "draw": {"kind": "ddim", "steps": 2, "feedback": {"criterion": "entropy", "mode": "pooled"}},
        },
        "more": {"extends": "cbdm", "draw": {"kind": "ddim", "steps": 2}, "fill_to": 30, "shards": 1, "surplus": 1.0},
    },
    "scores": {
        "doubts": {"kind": "classifier", "pool": "more", "scorer": "ce", "scorer_seed": 1, "metrics": ["entropy"]}
    },
    "filters": {
        "led": {"pool": "led"},
        "hard": {"pool": "hard"},
        "unsure": {"pool": "unsure"},
        "doubts": {"scores": "doubts", "highest": "entropy"},
    },
    "classifiers": {
        "led": {"extends": "ce", "data": ["real", "led", "hard"]},
        "twice": {"extends": "ce", "data": ["real", "unsure"], "rounds": 2},
        "goes_on": {"extends": "ce", "data": ["real", "doubts"], "rounds": 2, "one_training": True},
    },
    "recipes": {
        "led": {"classifier": "led", "datasets": ["demo"], "seeds": [0], "main": True},
        "twice": {"classifier": "twice", "datasets": ["demo"], "seeds": [0]},
        "goes_on": {"classifier": "goes_on", "datasets": ["demo"], "seeds": [0]},
    },
}
TARGET = "recipe_led"
SHARD = "results/demo/sample/led/shard-00000.tar"


@pytest.fixture(scope="module")
def led(finished, tmp_path_factory):
    root = copy_with(finished, tmp_path_factory.mktemp("feedback") / "micro", ADDED)
    stable_diffusion(root / "models/tiny")
    ran = snakemake(root, TARGET)
    assert ran.returncode == 0, ran.stdout
    return root


@pytest.fixture
def copy(led, tmp_path):
    return copy_of(led, tmp_path / "copy")


def test_the_pictures_reach_the_classifier(led):
    for pool in ("led", "hard"):
        index = pd.concat(map(pd.read_parquet, sorted(led.glob(f"results/demo/sample/{pool}/shard-*.parquet"))))
        statistics = [json.loads(path.read_text()) for path in led.glob(f"results/demo/sample/{pool}/shard-*.json")]
        assert sum(shard["pictures"] for shard in statistics) == len(index) > 100
        assert sum(shard["redrawn"] for shard in statistics) == 0
    results = pd.read_csv(led / "results/demo/recipe/led/results.csv")
    generated = results[(results["recipe"] == "led") & (results["metric"] == "generated_pictures")]["value"].item()
    assert generated == 2 * len(index)
    summary = (led / "results/demo/recipe/led/summary.md").read_text()
    assert re.search(r"\| led +\| ce +\| entropy +\| 0\.03 +\| 2 +\| exact +\| False +\| stretched \|", summary)
    assert re.search(r"\| hard +\| ce +\| hardness +\| 0\.03 +\| 2 +\| decoder +\| False +\| stretched \|", summary)
    assert planned(led, TARGET) == {}


def test_the_classifier_of_a_round_guides_the_next(led):
    ran = snakemake(led, "recipe_twice")
    assert ran.returncode == 0, ran.stdout
    results = pd.read_csv(led / "results/demo/recipe/twice/results.csv").set_index("metric")["value"]
    pools = ("unsure~share=1.2", "unsure~twice.round=2")
    rounds = [pd.read_parquet(led / f"results/demo/sample/{pool}/shard-00000.parquet") for pool in pools]
    assert results["generated_pictures"] == sum(map(len, rounds)) > 100
    places = [set(zip(one["class"], one["index"], strict=True)) for one in rounds]
    assert not places[0] & places[1]
    first, last = (
        led / f"results/demo/classifier/{name}/seed-0/weights.safetensors" for name in ("twice~round=1", "twice")
    )
    assert first.is_file() and last.is_file() and planned(led, "recipe_twice") == {}


def test_one_training_goes_on_with_the_pictures_that_it_is_most_unsure_of(copy):
    ran = snakemake(copy, "recipe_goes_on")
    assert ran.returncode == 0, ran.stdout
    assert planned(copy, "recipe_goes_on") == {}
    first, last = (copy / f"results/demo/classifier/{name}/seed-0" for name in ("goes_on~round=1", "goes_on"))
    before, whole = (pd.read_parquet(folder / "history.parquet").drop(columns="kept") for folder in (first, last))
    assert len(before) < len(whole) and whole[: len(before)].equals(before)
    assert (first / "state.pt").is_file() and not (last / "state.pt").exists()
    places = []
    for number, scored in ((1, "doubts"), (2, "doubts~goes_on.round=2")):
        scores = pd.read_parquet(copy / f"results/demo/score/{scored}/shard-00000.parquet").set_index("key")
        kept = pd.read_parquet(copy / f"results/demo/select/doubts~goes_on.round={number}/selected.parquet")
        pool = pd.read_parquet(copy / "results/demo/sample/more/shard-00000.parquet").set_index("key")
        turn = pool.groupby(["class", "surplus"]).cumcount()
        size = pool.groupby(["class", "surplus"])["index"].transform("size")
        own = scores[turn < size // 2] if number == 1 else scores[turn >= size // 2]
        assert 2 * len(kept) == len(own) > 100
        for label, rows in kept.groupby("class"):
            of_class = own[own["class"] == label]["entropy"].sort_values(ascending=False)
            assert set(rows["key"]) == set(of_class.index[: len(rows)])
        places.append(set(zip(kept["class"], kept["index"], strict=True)))
    assert not places[0] & places[1]
    results = pd.read_csv(copy / "results/demo/recipe/goes_on/results.csv").set_index("metric")["value"]
    assert results["generated_pictures"] == sum(map(len, places))

    # the state of the first round is damaged, and then missing
    expected = bytes_under(last)
    target = str((last / "weights.safetensors").relative_to(copy))
    (copy / target).unlink()
    (words,) = planned(copy, target).values()
    state = first / "state.pt"
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    ran = stage(copy, "classifier", *words)
    assert ran.returncode != 0 and f"{state.relative_to(copy)} is damaged" in ran.stdout
    state.unlink()
    ran = stage(copy, "classifier", *words)
    assert ran.returncode != 0
    told = f"{state.relative_to(copy)} is missing; delete {state.with_name('history.parquet').relative_to(copy)}, so that the round is"
    assert told in ran.stdout
    state.with_name("history.parquet").unlink()
    assert snakemake(copy, target).returncode == 0
    assert bytes_under(last) == expected


def test_a_model_that_takes_no_feedback_is_told_before_its_guide_is_trained(copy):
    stable_diffusion_xl(copy / "models/xl")
    shutil.rmtree(copy / "results")
    file = copy / "workflow_config.yaml"
    file.write_text(file.read_text().replace("path: models/tiny", "path: models/xl"))
    ran = snakemake(copy, SHARD)
    told = "generators.painter: foundations.tiny is a StableDiffusionXLPipeline, which takes no feedback; remove guide and feedback"
    assert ran.returncode == 1 and told in ran.stdout and "Traceback" not in ran.stdout
    assert not (copy / "results/demo").exists()


def test_every_module_that_its_jobs_load_is_in_their_fingerprints(led):
    missed = modules_beside_fingerprints(led)
    assert "sample" in missed and not any(missed.values())


def test_killed_in_the_middle_a_shard_has_the_same_bytes(copy):
    expected = bytes_under(copy / "results")
    for path in copy.glob("results/demo/sample/led/shard-00000.*"):
        path.unlink()
    run = Run(copy, SHARD, "--config", "checkpoint_minutes=0")
    assert run.wait_until(lambda: any(copy.glob("results/demo/sample/led/checkpoints/*/*"))), run.told
    run.kill()
    snakemake(copy, "--unlock")
    again = snakemake(copy, SHARD)
    assert again.returncode == 0, again.stdout
    assert bytes_under(copy / "results") == expected


def test_a_scale_that_breaks_pictures_is_counted_and_the_pictures_are_there(copy):
    config = yaml.safe_load((copy / "workflow_config.yaml").read_text())
    config["pools"]["hard"]["draw"]["feedback"]["scale"] = 1e38
    (copy / "workflow_config.yaml").write_text(yaml.safe_dump(config))
    ran = snakemake(copy, "results/demo/select/hard/selected.parquet")
    assert ran.returncode == 0, ran.stdout
    told = json.loads((copy / "results/demo/select/hard/summary.json").read_text())
    assert told["redrawn"] == told["generated"] == told["kept"] > 0
    statistics = json.loads((copy / "results/demo/sample/hard/shard-00000.json").read_text())
    every = f"{statistics['pictures']} of {statistics['pictures']} pictures were black or not of finite numbers"
    assert every in (copy / "logs/sample/demo/hard/00000.log").read_text()


def test_the_criterion_of_each_picture_is_in_the_plan(copy):
    plan = "results/demo/plan/led/plan.parquet"
    (copy / plan).unlink()
    (copy / "workflow_config.yaml").write_text(
        (copy / "workflow_config.yaml").read_text().replace("criterion: entropy", "criterion: combined", 1)
    )
    ran = snakemake(copy, plan)
    assert ran.returncode == 0, ran.stdout
    rows = pd.read_parquet(copy / plan)
    assert rows["criterion"].tolist() == [("loss", "entropy", "hardness")[seed % 3] for seed in rows["seed"]]


def test_only_what_follows_from_a_change_is_planned(copy):
    config = (copy / "workflow_config.yaml").read_text()

    def jobs_after(old, new):
        assert config.count(old) >= 1, old
        (copy / "workflow_config.yaml").write_text(config.replace(old, new, 1))
        return {" ".join(job.split()[:2]).removesuffix(".png") for job in planned(copy, TARGET)}

    after = {"classifier led", "evaluate led", "summary recipe"}
    of_led = {"sample led", "grid led", "select led", *after}
    assert jobs_after("criterion: entropy", "criterion: loss") == of_led
    assert jobs_after("criterion: hardness", "criterion: entropy") == {
        "sample hard",
        "grid hard",
        "select hard",
        *after,
    }
    assert jobs_after("learning_rate: 0.05", "learning_rate: 0.04") >= of_led | {"classifier ce", "features ce"}


@pytest.mark.nightly
def test_pools_are_timed_in_turn_beside_a_published_table(copy):
    rows = [
        "row,dataset,pool,published,note",
        "Without,demo,cbdm,,",
        "Entropy,demo,led,21.906,of LDM-FG",
        "Hard,demo,hard,,",
    ]
    (copy / "papers/diffult/times_7.csv").write_text("\n".join(rows) + "\n")
    ran = snakemake(copy, "table_diffult_7")
    assert ran.returncode == 0, ran.stdout
    found = pd.read_csv(copy / "results/times/diffult_7.csv").set_index("pool")
    assert found["ratio"]["cbdm"] == 1 and (found["measured"] > 0).all() and (found["deviation"] > 0).all()
    assert found["published"]["led"] == 21.906 and found["batch_size"]["led"] == 8
    missed = modules_beside_fingerprints(copy)
    assert "times" in missed and not any(missed.values())
    page = (copy / "results/times/diffult_7.md").read_text()
    assert "seconds a picture" in page and "| Entropy | 21.906" in page
    (copy / "papers/diffult/times_7.csv").write_text("\n".join(rows).replace("cbdm", "cbdn") + "\n")
    ran = snakemake(copy, "table_diffult_7")
    assert (
        ran.returncode != 0
        and "times_7.csv: there is no pool 'cbdn', or no data set 'demo'; correct the row" in ran.stdout
    )


def test_its_cost_is_estimated(copy):
    ran = snakemake(copy, "cost_demo")
    assert ran.returncode == 0, ran.stdout
    page = (copy / "results/demo/cost/cost.md").read_text()
    assert "| sample " in page
