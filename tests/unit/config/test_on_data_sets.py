"""What does not fit a data set, reported before anything is made of it."""

import pytest
from examples import refused

from pipeline.config.resolve import deep_merge
from pipeline.config.workflow import Workflow


def on(source, classifiers, **sections):
    """A recipe of the last of `classifiers` on a data set of that source, with CBDM's pictures of it to be had."""
    sources = {
        "cifar100": {"source": "cifar100", "imbalance_factor": 100},
        "imagenet": {"source": "imagenet"},
        "own": {"source": "image_folder", "path": "birds"},
    }
    return deep_merge(
        {
            "datasets": {"pictures": sources[source]},
            "generators": {"g": {"kind": "cbdm"}},
            "pools": {"s": {"generator": "g", "fill_to": "max"}},
            "scores": {"by_f0": {"pool": "s", "scorer": "f0"}},
            "filters": {"all": {"pool": "s"}, "likely": {"scores": "by_f0"}},
            "classifiers": {"f0": {"data": ["real"]}, **classifiers},
            "recipes": {"tried": {"classifier": list(classifiers)[-1], "datasets": ["pictures"]}},
        },
        sections,
    )


TAU, SAU = {"scheme": "tau_norm", "data": ["real"], "init": "f0"}, {"scheme": "sau", "data": ["real", "all"]}
BOTH = {"data": ["real", "all"]}
AT_64 = {"generators": {"g": {"side": 64}}}
UNFIT = {
    "no validation split": (on("cifar100", {"c": TAU}), "classifiers.c on pictures: tau_norm chooses its power on"),
    "no validation split to choose an epoch on": (
        on("cifar100", {"c": BOTH | {"select_by": "val_top1"}}),
        "classifiers.c on pictures: select_by is val_top1, but the data set has no validation split; set select_by: last",
    ),
    "no validation split to search on": (
        on("cifar100", {"c": BOTH | {"search": "s"}},
           searches={"s": {"over": {"learning_rate": {"kind": "uniform", "low": 0.1, "high": 1}}}}),
        "classifiers.c on pictures: search chooses on a validation split, but the data set has none; remove search",
    ),
    "a search by groups without groups": (
        on("imagenet", {"f0": {"data": ["real"], "side": 64}, "c": {"data": ["real"], "side": 64, "search": "s"}},
           searches={"s": {"by": "val_worst_group", "over": {"learning_rate": {"kind": "uniform", "low": 0.1, "high": 1}}}}),
        "classifiers.c on pictures: search s chooses by val_worst_group, but the data set has no groups",
    ),
    "a patch sampler of groups without groups": (
        on("cifar100", {"c": BOTH | {"scheme": "cutmix", "patch_sampler": {"kind": "power", "by": "group"}}}),
        "classifiers.c on pictures: a patch_sampler by: group needs groups, but the data set has none",
    ),
    "a scheme of groups without groups": (
        on("cifar100", {"c": BOTH | {"scheme": "irm"}}),
        "classifiers.c on pictures: scheme: irm needs groups, but the data set has none",
    ),
    "a data sampler of groups without groups": (
        on("own", {"c": BOTH | {"data_sampler": {"kind": "power", "by": "group"}}}),
        "classifiers.c on pictures: a data_sampler by: group needs groups, but the data set has none",
    ),
    "a pool of groups without groups": (
        on("cifar100", {"c": BOTH}, pools={"s": {"cells": "group"}}),
        "pools.s on pictures: cells is group, but the data set has no groups; set cells: class",
    ),
    "a quality against no validation split": (
        on("cifar100", {"c": BOTH}, qualities={"q": {"pool": "s", "scorer": "f0", "against": "val"}},
           recipes={"tried": {"quality": "q"}}),
        "qualities.q on pictures: against is val, but the data set has no validation split; set against: training",
    ),
    "more neighbours than classes": (
        on("cifar100", {"c": SAU | {"augment_2": [], "augment_3": [], "neighbours": 101}}),
        "classifiers.c on pictures: neighbours is 101; it must be at most the number of classes, 100",
    ),
    "cutout of whole pictures": (
        on("cifar100", {"c": {"data": ["real"], "augment": [{"kind": "cutout", "size": 32}]}}),
        "classifiers.c on pictures: cutout of size 32 would black out pictures of 32 px; it must be less",
    ),
    "cutout of whole pictures in SAU's second view": (
        on("cifar100", {"f0": {"data": ["real"]}, "c": SAU | {"augment_2": ["cutout"], "augment_3": []}},
           datasets={"pictures": {"store_side": 16}}),
        "classifiers.c on pictures: cutout of size 16 would black out pictures of 16 px",
    ),
    "crop beyond the pictures": (
        on("cifar100", {"c": {"data": ["real"], "augment": [{"kind": "crop", "padding": 32}]}}),
        "classifiers.c on pictures: crop with padding 32 would lose pictures of 32 px; it must be less",
    ),
    "pictures of many sizes": (
        on("imagenet", {"c": {"data": ["real"]}}),
        "classifiers.c on pictures: the pictures differ in size; set side, in pixels",
    ),
    "generator of many sizes": (
        on("imagenet", {"c": BOTH | {"side": 64}}),
        "generators.g on pictures: the pictures differ in size; set side",
    ),
    "generated pictures of another size": (
        on("cifar100", {"c": BOTH}, **AT_64),
        "classifiers.c on pictures: it has no side, but pictures of s are 64 px and real ones 32 px; give",
    ),
    "pictures stored at another size": (
        on("cifar100", {"c": BOTH}, pools={"s": {"store": {"side": 16}}}),
        "pictures of s are 16 px and real ones 32 px",
    ),
    "own pictures of unknown size": (on("own", {"c": BOTH}, **AT_64), "pictures of s are 64 px and real ones as they are"),
    "f0 that looks at another size": (
        on("own", {"c": {"data": ["real", "likely"], "side": 64}}, **AT_64),
        "scores.by_f0 on pictures: f0 has no side, but pictures of s are 64 px",
    ),
    "quality by such a one": (
        on("own", {"c": BOTH | {"side": 64}}, **AT_64, qualities={"q": {"pool": "s", "scorer": "f0"}},
           recipes={"tried": {"quality": "q"}}),
        "qualities.q on pictures: f0 has no side, but pictures of s are",
    ),
    "side that the U-Net cannot halve": (
        on("cifar100", {"c": BOTH}, datasets={"pictures": {"store_side": 20}}),
        "generators.g on pictures: side is 20; with 4 levels it must be a multiple of 8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNFIT)
def test_what_does_not_fit_a_data_set_is_told(case):
    raw, message = UNFIT[case]
    assert message in refused(raw)


@pytest.mark.parametrize(
    "raw",
    [
        on("imagenet", {"f0": {"data": ["real"], "side": 224}, "c": TAU | {"side": 224}}),
        on("cifar100", {"c": TAU | {"norm_tau": 0.5}}),
        on("own", {"c": TAU}),
        on("own", {"c": BOTH}),
        on("own", {"f0": {"data": ["real"], "side": 64}, "c": {"data": ["real", "likely"], "side": 64}}, **AT_64),
        on("cifar100", {"c": BOTH}, generators={"g": {"side": 32}}),
        on(
            "cifar100",
            {"c": {"data": ["real", "all", "more"]}},
            filters={"more": {"pool": "t"}},
            pools={"t": {"generator": "g", "fill_to": "max", "seed": 1}},
        ),
        on(
            "cifar100",
            {"c": {"data": ["real", "all", "more"]}},
            filters={"more": {"pool": "t"}},
            pools={"s": {"fill_range": [0, 0.5]}, "t": {"generator": "g", "fill_to": "max", "fill_range": [0.5, 1]}},
        ),
        on(
            "cifar100",
            {"c": {"data": ["real", "all", "more"]}},
            filters={"more": {"pool": "t"}},
            pools={"s": {"shots": ["few"]}, "t": {"generator": "g", "per_class": 9, "shots": ["many", "medium"]}},
        ),
    ],
)
def test_what_fits_a_data_set_or_may_fit_it_is_taken(raw):
    Workflow(raw)
