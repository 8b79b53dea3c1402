"""The presets of papers/, and the user's config laid over them."""

import json
import re
from pathlib import Path

import pytest
import yaml
from workflow_helpers import REPOSITORY

from pipeline.config.presets import Layer, combined, named_file, preset_layers, read
from pipeline.config.workflow import Workflow
from pipeline.errors import InputError

PAPERS = REPOSITORY / "papers"
RENAMED = {
    "diffult_cifar10": "diffult",
    "ce_long_cifar10": "ce_long",
    "ce_28": "ce",
    "diffult_28": "diffult",
    "ce_imagenet_r50": "imagenet_ce",
    "ce_imagenet_r10": "imagenet_ce_r10",
    "diffult_imagenet_r50": "imagenet_diffult",
    "diffult_imagenet_r10": "imagenet_diffult_r10",
    **{f"glmc{data}": "glmc" for data in ("_50", "_10", "_cifar10", "_cifar10_10")},
    **{f"sau_glmc{data}": "sau_glmc" for data in ("_50", "_cifar10", "_cifar10_10")},
    "sau_cifar10": "sau",
    "sau_ce_cifar10": "sau_ce",
    "sau_noise_cifar10": "sau_noise",
    "sau_imagenet_r50": "sau_imagenet",
    "sau_ce_imagenet_r50": "sau_imagenet_ce",
    **{
        f"{rival}_imagenet": f"imagenet_{rival}"
        for rival in [
            "ldam_drw",
            "focal",
            "cb_focal",
            "balanced_softmax",
            "mixup",
            "cmo",
            "crt",
            "lws",
            "tau_norm",
            "glmc",
        ]
    },
}
"""Recipe of a run in the config of 64 recipes -> its name since recipes list classifiers and parts say what differs on a data set."""


@pytest.fixture(scope="module")
def presets():
    return preset_layers(PAPERS)


@pytest.fixture(scope="module")
def flow(presets):
    return Workflow(combined(presets, read(REPOSITORY / "workflow_config.yaml")))


def test_the_repositorys_config_resolves(flow):
    assert {"demo", "cifar10_lt", "cifar100_lt", "imagenet_lt"} <= set(flow.families())
    assert (flow.site.data_root, flow.site.checkpoint_minutes) == (None, 10)
    everything = [part.settings() for entries in flow.parts.values() for part in entries.values()]
    assert json.loads(json.dumps(everything)) == everything


LATER = ("fill_up", "clip", "ldm_fg", "nico")


def test_the_runs_are_those_of_the_longer_config(flow):
    """runs.txt has a line a run of the papers: recipe, data set, seeds, and whether it is main, from when each was a recipe."""
    expected = []
    for line in (Path(__file__).with_name("runs.txt")).read_text().splitlines():
        run, dataset, *rest = line.split()
        recipe, *varied = run.split("~")
        name = RENAMED.get(recipe, recipe)
        varied = [text.replace("classifier.synthetic_weight", "classifier.loss.generated_weight") for text in varied]
        expected.append(" ".join(["~".join([name, *varied]), dataset, *rest]))
    seeds = {(0,): "0", (0, 1, 2): "0,1,2"}
    found = [
        f"{run.recipe} {run.dataset} {seeds[run.seeds]} {'main' if run.main else '-'}"
        for run in flow.runs
        # SAU's stand-ins, Fill-Up, CLIP and LDM-FG came later
        if run.dataset != "demo" and not run.entry.endswith(("_cbdm", "_adm64")) and not run.entry.startswith(LATER)
    ]
    assert sorted(found) == sorted(expected)
    assert sum(not name.startswith(LATER) for name in flow.parts["recipes"]) < 40


def test_a_network_without_published_weights_may_be_imagenets(presets):
    """The recipes that start from published weights name their own network."""
    flow = Workflow(combined(presets, {"classifiers": {"imagenet_ce": {"backbone": "small"}}}))
    assert flow.part("classifiers", "imagenet_balanced_softmax", "imagenet_lt").backbone == "small"
    assert flow.part("classifiers", "nico_erm", "nico").backbone == "resnet50"


def test_the_users_example_works_when_its_marks_are_removed(presets):
    text = (REPOSITORY / "workflow_config.yaml").read_text()
    start = text.index("# datasets:")
    raw = yaml.safe_load(text[:start] + re.sub(r"^# ?", "", text[start:], flags=re.MULTILINE))
    flow = Workflow(combined(presets, raw))
    runs = flow.families()["my_birds"]
    assert {run.recipe for run in runs} == {"ce", "balanced_softmax", "diffult", "ce_long"}
    assert flow.part("classifiers", "diffult", "my_birds").side == 64
    assert flow.part("generators", "cbdm", "my_birds").side == 64
    assert flow.part("classifiers", "diffult", "cifar100_lt").side is None


def test_an_entry_on_top_of_a_presets_changes_only_its_own_keys(presets, flow):
    own = {
        "generators": {"cbdm": {"batch_size": 16, "unet": {"channels": 64}}},
        "recipes": {"diffult": {"main": False}},
    }
    changed = Workflow(combined(presets, own))
    before, after = (each.part("generators", "cbdm").model_dump() for each in (flow, changed))
    assert after["unet"]["channels"] == 64 and after["unet"]["blocks"] == before["unet"]["blocks"]
    assert {key for key in before if before[key] != after[key]} == {"batch_size", "unet", "where"}
    # what is given for all data sets holds on all of them
    assert changed.part("generators", "cbdm", "cifar10_lt").batch_size == 16
    assert not changed.run("diffult", "cifar100_lt").main and flow.run("diffult", "cifar100_lt").main


def test_a_section_left_empty_keeps_the_presets(presets, flow):
    assert Workflow(combined(presets, {"datasets": None})).parts["datasets"].keys() == flow.parts["datasets"].keys()


def layers(tmp_path, **texts):
    found = []
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
        found.append(Layer(tmp_path / f"{name}.yaml", read(tmp_path / f"{name}.yaml")))
    return found


BASE = """\
datasets: {d: {source: digits, imbalance_factor: 10}}
classifiers: {ce: {data: [real], backbone: small}, second: {extends: ce, epochs: 20}}
recipes: {r: {classifier: ce, datasets: [d]}}
"""


@pytest.mark.parametrize(
    ("own", "file", "message"),
    [
        ("classifiers: {ce: {epochs: none}}", "own", "classifiers.ce.epochs: "),
        ("classifiers: {new: {extends: ce, epochs: none}}", "own", "classifiers.new.epochs: "),
        ("classifiers: {ce: {epoks: 3}}", "own", "classifiers.ce: unknown key 'epoks'"),
        ("recipes: {r: {vary: {classifier.epoks: [3]}}}", "own", "classifiers.ce (varied by recipes.r): unknown key"),
        ("recipes: {r: {datasets: [e]}}", "own", "recipes.r: unknown datasets 'e'"),
        ("checkpoint_minutes: often", "own", "checkpoint_minutes: "),
        ("classifiers: {ce: {warmup_epochs: 300}}", "own", "classifiers.ce: warmup_epochs is 300"),
        ("datasets: {d: {imbalance_factor: 0.5}}", "own", "datasets.d.imbalance_factor: "),
        ("", "wrong", "classifiers.third.epochs: "),
    ],
)
def test_an_error_names_the_file_that_holds_the_mistake(tmp_path, own, file, message):
    wrong = "classifiers: {third: {extends: second, epochs: many}}" if file == "wrong" else "classifiers: {}"
    found = layers(tmp_path, base=BASE, wrong=wrong, own=own)
    with pytest.raises(InputError) as caught:
        Workflow(combined(found[:2], found[2].raw))
    told = named_file(caught.value, found)
    assert told.startswith(f"{tmp_path}/{file}.yaml: {message}"), told


def told_of(tmp_path, base, own):
    """What is said of a mistake in a preset's file `base` with the user's `own` on top."""
    found = layers(tmp_path, base=base, own=own)
    with pytest.raises(InputError) as caught:
        Workflow(combined(found[:1], found[1].raw))
    return named_file(caught.value, found)


def test_a_mistake_in_what_is_extended_is_named_where_it_lies(tmp_path):
    base = BASE.replace("backbone: small", "backbone: smal")
    told = told_of(tmp_path, base, "classifiers: {new: {extends: second}}")
    assert told.startswith(f"{tmp_path}/base.yaml: classifiers.ce.backbone: ")


def test_extends_in_an_entry_on_top_of_a_presets_leaves_the_presets_own_keys_on_top(tmp_path):
    base = "classifiers: {a: {data: [real], epochs: 10}, b: {data: [real], epochs: 20, momentum: 0.5}, c: {extends: a, epochs: 30}}"
    found = layers(tmp_path, base=base, own="classifiers: {c: {extends: b}}")
    part = Workflow(combined(found[:1], found[1].raw)).part("classifiers", "c")
    assert (part.momentum, part.epochs) == (0.5, 30)


def test_a_key_of_the_users_that_spoils_a_preset_is_named_with_the_preset(tmp_path):
    base = "classifiers: {ce: {data: [real], epochs: 200}, slow: {extends: ce, warmup_epochs: 20}}"
    assert told_of(tmp_path, base, "classifiers: {ce: {epochs: 7}}") == (
        f"{tmp_path}/base.yaml: classifiers.slow: warmup_epochs is 20; it must be less than epochs, 7 "
        f"({tmp_path}/own.yaml changes classifiers.ce)"
    )


def test_an_error_that_names_a_file_is_not_given_another(tmp_path):
    found = layers(tmp_path, base=BASE, own="classifiers: {}")
    told = f"{tmp_path}/base.yaml: classifiers.ce is already in another"
    assert named_file(InputError(told), found) == told


def test_two_presets_of_one_name_are_refused(tmp_path):
    found = layers(tmp_path, base=BASE, other="classifiers: {ce: {data: [real]}}")
    with pytest.raises(InputError, match=r"other\.yaml: classifiers\.ce is already in .*base\.yaml; rename"):
        combined(found, {})


def test_a_presets_unknown_section_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"base\.yaml: 'samples' is not a section; allowed: datasets, "):
        combined(layers(tmp_path, base="samples: {}"), {})


def test_a_file_that_is_no_yaml_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("a: [1\n")
    with pytest.raises(InputError, match=r"a\.yaml is not YAML: "):
        read(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"a: 1\nb: M\xf6we", r"a\.yaml, line 2, is not UTF-8; save the file in that encoding"),
        (b"- a", r"a\.yaml must have keys at its top"),
        (b"a:\n\tb: 1", r"a\.yaml is not YAML: .* line 2, column 1$"),
        (None, r"a\.yaml cannot be read: No such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, data, told):
    if data is not None:
        (tmp_path / "a.yaml").write_bytes(data)
    with pytest.raises(InputError, match=told):
        read(tmp_path / "a.yaml")


def test_json_may_have_tabs_and_an_empty_file_has_no_keys(tmp_path):
    (tmp_path / "a.json").write_text('{\n\t"recipes":\t{"a": {"main": true}}\n}')
    assert read(tmp_path / "a.json") == {"recipes": {"a": {"main": True}}}
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    assert read(tmp_path / "empty.yaml") == {}


def test_a_mistake_of_the_users_own_entry_that_extends_a_preset_is_named_in_the_users_file(tmp_path):
    base = "classifiers: {ce: {data: [real], epochs: 200, warmup_epochs: 5}}"
    assert told_of(tmp_path, base, "classifiers: {short: {extends: ce, epochs: 3}}") == (
        f"{tmp_path}/own.yaml: classifiers.short: warmup_epochs is 5; it must be less than epochs, 3 "
        f"(warmup_epochs is in {tmp_path}/base.yaml, classifiers.ce)"
    )
