"""Every training scheme by the command that people type, on the micro run's pool; and what an edited scheme makes anew."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from workflow_helpers import copy_of, edit_json, planned, set_option, snakemake, stage

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

SCHEMES = {
    "ldam_drw": {"loss": {"kind": "ldam", "class_weights": {"kind": "effective_number", "start": 0.5}}},
    "balanced_softmax": {"loss": "balanced_softmax", "data_sampler": "class_aware"},
    "half_real": {"data": ["real", "likely"], "data_sampler": "half_real"},
    "mixup": {"scheme": "mixup"},
    "shared": {"gpus": 2},
    "cmo": {"scheme": "cutmix", "patch_sampler": "power"},
    "remix": {"scheme": "remix"},
    "crt": {"scheme": "crt", "init": "ce"},
    "lws": {"scheme": "lws", "init": "ce"},
    "meta_sampler": {"scheme": "meta_sampler", "init": "ce"},
    "tau_norm": {"scheme": "tau_norm", "init": "ce", "norm_tau": 0.7},
    "glmc": {"scheme": "glmc"},
    "sau": {
        "scheme": "sau",
        "data": ["real", "likely"],
        "augment_2": ["flip", "auto_augment", {"kind": "cutout", "size": 3}],
        "augment_3": ["resized_crop", "color_jitter", "grayscale", "blur"],
    },
}


@pytest.fixture(scope="module")
def schemes(finished, tmp_path_factory):
    """The micro run with a classifier and a recipe of each scheme, all of which have been run."""
    root = copy_of(finished, tmp_path_factory.mktemp("schemes") / "copy")
    file = root / "workflow_config.yaml"
    whole = yaml.safe_load(file.read_text())
    for name, keys in SCHEMES.items():
        whole["classifiers"][name] = {"extends": "ce", **keys}
        whole["recipes"][name] = {"extends": "ce_long", "classifier": name}
    file.write_text(yaml.safe_dump(whole, sort_keys=False))
    made = snakemake(root, "--cores", "4", "--resources", "gpu=2", "--", "all_demo")
    assert made.returncode == 0, made.stdout
    return root


def test_every_scheme_has_its_results(schemes):
    results = pd.read_csv(schemes / "results/demo/results.csv")
    top1 = results[results["metric"] == "top1"].set_index("recipe")["value"]
    assert set(SCHEMES) <= set(top1.index) and top1.between(0, 100).all()
    assert (results["network"] == "small, width 8").all()  # in every row
    used = results[results["metric"] == "generated_pictures"].set_index("recipe")["value"]
    assert {name for name in SCHEMES if used[name] > 0} == {"half_real", "sau"}
    steps = results[results["metric"] == "steps"].set_index("recipe")["value"]
    assert steps["tau_norm"] == 0 and (steps.drop("tau_norm") > 0).all()


def test_second_stages_start_from_the_first_of_the_same_seed(schemes):
    """tau-normalisation trains nothing, so its backbone is the first stage's."""
    from safetensors.numpy import load_file

    first, second = (
        load_file(schemes / f"results/demo/classifier/{name}/seed-0/weights.safetensors") for name in ("ce", "tau_norm")
    )
    assert all(np.array_equal(first[name], second[name]) for name in first if name.startswith("backbone."))


def test_an_edited_scheme_makes_its_own_classifiers_anew(schemes, tmp_path):
    root = copy_of(schemes, tmp_path / "copy")
    for module, expected in {
        "schemes/sau.py": {"sau"},
        "contrastive.py": {"sau"},
        "schemes/cutmix.py": {"cmo"},
        "losses/ldam.py": {"ldam_drw"},
        "mixing.py": {"sau", "cmo", "mixup", "remix", "glmc"},
    }.items():
        file = root / "pipeline/classifiers" / module
        before = file.read_text()
        file.write_text(before + "\nEDITED = True\n")
        jobs = planned(root, "all_demo")
        file.write_text(before)
        assert {job.split()[1] for job in jobs if job.startswith("classifier ")} == expected, module
        assert {job.split()[0] for job in jobs} == {"classifier", "evaluate", "summary"}


def test_large_pictures_are_trained_on_from_their_shards(schemes, tmp_path):
    """At 72 px nothing is held in memory; the digits, larger than life, still train and are judged."""
    arguments = planned(schemes, "--forceall", "--", "all_demo")["classifier sau seed-0"]
    arguments = edit_json(arguments, "--config", side=72, epochs=1, batch_size=64)
    arguments = set_option(arguments, "--output", str(tmp_path / "large"))
    ran = stage(schemes, "classifier", *arguments)
    assert ran.returncode == 0, ran.stdout
    history = pd.read_parquet(tmp_path / "large/history.parquet")
    assert len(history) == 1 and np.isfinite(history["loss"]).all()
    judged = stage(
        schemes, "evaluate", "--manifest", "results/demo/subset/manifest.parquet", "--seed", "0",
        "--weights", str(tmp_path / "large/weights.safetensors"), "--output", str(tmp_path / "judged"),
    )  # fmt: skip
    assert judged.returncode == 0, judged.stdout
    found = json.loads((tmp_path / "judged/metrics.json").read_text())["metrics"]["top1"]
    assert found == pytest.approx(history["test_top1"].iloc[-1], abs=0.5)
