"""A micro size of every data set, from its owners' layout to the table of results, by the command that people type."""

import json

import numpy as np
import pandas as pd
import pytest
import trees
import yaml
from PIL import Image
from workflow_helpers import REPOSITORY, make_copy, planned, snakemake

from pipeline.data.imagenet100_classes import COUNTS

pytestmark = pytest.mark.slow

SPECIES = {"owl": 14, "robin": 8, "wren": 6}
FAMILIES = ("fashion_mnist_lt", "imagenet_lt", "imagenet100_lt", "places_lt", "inaturalist2018", "nico")
MY_BIRDS = """
datasets:
  my_birds: {source: image_folder, path: birds, test_per_class: 2}
recipes:
  birds_ce: {extends: ce, datasets: [my_birds]}
  birds: {extends: diffult, datasets: [my_birds]}
"""  # the five lines


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the workflow with the micro recipes on all data sets, and a data root with made-up trees."""
    root = make_copy(tmp_path_factory.mktemp("all") / "copy")
    file = root / "workflow_config.yaml"
    whole = yaml.safe_load(file.read_text())
    real = yaml.safe_load((REPOSITORY / "papers/data_sets.yaml").read_text())["datasets"]
    whole["datasets"] |= {name: {**real[name], "shards": 2} for name in FAMILIES}
    whole["datasets"]["fashion_mnist_lt"] |= {"imbalance_factor": 2, "largest_class": 4}
    recipes = whole["recipes"]
    recipes["ce"] |= {"datasets": ["demo", *FAMILIES], "seeds": [0]}  # and diffult, which extends it
    recipes["ce_long"]["datasets"] = ["demo"]
    whole["generators"]["cbdm"] |= {"side": 16, "steps": 2, "batch_size": 4}
    whole["pools"]["cbdm"] |= {"fill_to": 8, "draw": {"kind": "ddim", "steps": 2, "clip_denoised": True}}
    whole["classifiers"]["ce"] |= {"side": 16, "epochs": 1}
    whole["qualities"]["by_ce"]["nearest"] = 2  # a pool may have five pictures
    if (samples := REPOSITORY.parent / "shared/data").is_dir():
        whole["datasets"]["imagenet_real"] = {**real["imagenet_lt"], "path": "imagenet_real", "shards": 2}
        recipes["ce"]["datasets"].append("imagenet_real")
        trees.real_imagenet(samples, root / "raw/imagenet_real")
    for section, entries in yaml.safe_load(MY_BIRDS).items():
        whole[section] |= entries
    whole["data_root"] = "raw"
    file.write_text(yaml.safe_dump(whole, sort_keys=False))

    raw = root / "raw"
    trees.imagenet(raw / "imagenet", dict.fromkeys(list(COUNTS)[:4], 16) | {trees.WNIDS[0]: 6})
    trees.places(raw / "places365_standard", {"airfield": 9, "alley": 4, "bar": 1})
    lines = trees.inaturalist(raw / "inaturalist2018", [9, 3, 1])
    lists = {f"inaturalist2018/iNaturalist18_{split}.txt": "\n".join(rows) for split, rows in lines.items()}
    trees.put(raw, lists)
    trees.nico(raw / "nico", {("dim", "bear"): 80, ("dim", "cat"): 78, ("rock", "cat"): 5})
    trees.fashion_mnist(raw / "fashion-mnist", packed=True)
    files = {f"{name}/{i}.jpg": trees.picture(i, side=20 + i) for name, n in SPECIES.items() for i in range(n)}
    trees.put(raw / "birds", files)
    return root


def imagenet100(root) -> None:
    """As many files as Fill-Up's counts ask for, linked to one picture."""
    one = trees.put(root / "raw/imagenet", {"one.jpg": trees.picture(0)}) / "one.jpg"
    for wnid, count in COUNTS.items():
        for part, wanted in (("train", count), ("val", 1)):
            folder = root / "raw/imagenet" / part / wnid
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(wanted):
                (folder / f"more_{i}.JPEG").hardlink_to(one)


@pytest.fixture(scope="module")
def finished(copy):
    imagenet100(copy)
    targets = [f"all_{family}" for family in FAMILIES] + ["all_my_birds", "describe_nico", "describe_my_birds"]
    if (copy / "raw/imagenet_real").is_dir():
        targets.append("all_imagenet_real")
    made = snakemake(copy, "--cores", "4", "--resources", "gpu=2", "--", *targets)
    assert made.returncode == 0, made.stdout
    return copy


@pytest.mark.nightly
@pytest.mark.parametrize("family", [*FAMILIES, "my_birds"])
def test_every_data_set_goes_all_the_way(finished, family):
    results = pd.read_csv(finished / f"results/{family}/results.csv")
    assert results["recipe"].nunique() == 2
    assert np.isfinite(results.loc[results["metric"] == "top1", "value"]).all()
    assert (results.loc[results["metric"] == "generated_pictures", "value"] > 0).any()
    manifest = pd.read_parquet(finished / f"results/{family}/subset/manifest.parquet")
    assert {"train", "test"} <= set(manifest["split"]) and manifest["shard"].nunique() == (
        1 if family == "my_birds" else 2
    )
    assert not len(pd.read_parquet(finished / f"results/{family}/subset/rejected.parquet"))
    assert (finished / f"results/{family}/grid/cbdm.png").is_file()


@pytest.mark.nightly
def test_the_thousand_real_imagenet_pictures_go_all_the_way(finished, shared_data):
    results = pd.read_csv(finished / "results/imagenet_real/results.csv").set_index(["recipe", "metric"])["value"]
    manifest = pd.read_parquet(finished / "results/imagenet_real/subset/manifest.parquet")
    trained = (manifest["split"] == "train").sum()
    assert (
        len(manifest) == 1000
        and results["ce", "real_pictures"] == results["diffult", "real_pictures"] == trained == 820
    )
    assert results["diffult", "generated_pictures"] > 0 and np.isfinite(results["diffult", "top1"])


@pytest.mark.nightly
def test_imagenet100_has_its_counts(finished):
    manifest = pd.read_parquet(finished / "results/imagenet100_lt/subset/manifest.parquet")
    assert np.bincount(manifest.loc[manifest["split"] == "train", "class"]).tolist() == list(COUNTS.values())


def test_an_absent_table_is_told_before_any_job(copy):
    ran = snakemake(copy, "--config", 'datasets={"my_birds": {"table": "birds.csv"}}', "--", "all_my_birds")
    assert ran.returncode != 0 and "my_birds: raw/birds lacks birds.csv: " in ran.stdout, ran.stdout
    assert "choose the pictures" not in ran.stdout


@pytest.mark.nightly
def test_a_data_set_is_described(finished):
    folder = finished / "results/nico/describe"
    summary = (folder / "summary.md").read_text()
    assert "# nico" in summary and "3, 1 of them without training pictures" in summary
    classes = pd.read_csv(folder / "classes.csv").set_index("class_name")
    assert classes["train"].to_dict() == {"bear": 5, "cat": 3} and set(classes["shot"]) == {"few"}
    groups = pd.read_csv(folder / "groups.csv").set_index("group")
    assert groups.loc["cat, rock", ["train", "val", "test"]].tolist() == [0, 1, 4]
    for name in ("long_tail", "pictures"):
        assert np.asarray(Image.open(folder / f"{name}.png").convert("L")).std() > 10
    birds = pd.read_csv(finished / "results/my_birds/describe/classes.csv").set_index("class_name")
    assert birds["train"].to_dict() == {name: count - 2 for name, count in SPECIES.items()}
    assert birds["test"].eq(2).all() and not len(pd.read_csv(finished / "results/my_birds/describe/groups.csv"))


@pytest.mark.nightly
def test_raw_data_may_go_once_they_are_stored(finished):
    (finished / "raw").rename(finished / "gone")
    try:
        assert planned(finished, "all_places_lt") == {}
        assert snakemake(finished, "all_places_lt").returncode == 0
    finally:
        (finished / "gone").rename(finished / "raw")


@pytest.mark.parametrize("family", ["imagenet_lt", "places_lt", "inaturalist2018", "nico", "fashion_mnist_lt"])
def test_absent_raw_data_are_told_before_any_job(tmp_path, family):
    root = make_copy(tmp_path / "copy")
    file = root / "workflow_config.yaml"
    whole = yaml.safe_load(file.read_text())
    real = yaml.safe_load((REPOSITORY / "papers/data_sets.yaml").read_text())["datasets"]
    whole["datasets"][family] = real[family]
    whole["recipes"]["ce"]["datasets"].append(family)
    whole["generators"]["cbdm"]["side"] = whole["classifiers"]["ce"]["side"] = 16  # where pictures differ in size
    file.write_text(json.dumps(whole))
    dry = snakemake(root, "-n", f"all_{family}")
    assert dry.returncode == 0, dry.stdout
    warnings = [line for line in dry.stdout.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1 and f"{family}: data/" in warnings[0] and " is missing: " in warnings[0]
    assert "rule subset" in dry.stdout or "choose the pictures" in dry.stdout
    ran = snakemake(root, f"all_{family}")
    assert ran.returncode != 0 and "Traceback" not in ran.stdout
    assert any(f"{family}: data/" in line and " is missing: " in line for line in ran.stdout.splitlines()), ran.stdout
    assert not (root / "results").exists() and not (root / "logs").exists()
