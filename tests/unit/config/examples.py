"""The config that these tests change: DiffuLT's road from a generator to a classifier, with two ablations."""

import copy

import pytest

from pipeline.config.resolve import SCHEMA, deep_merge
from pipeline.config.workflow import Workflow
from pipeline.errors import InputError

EXAMPLE = {
    "datasets": {
        "cifar100_lt": {"source": "cifar100", "imbalance_factor": 100},
        "cifar100_lt_200": {"extends": "cifar100_lt", "imbalance_factor": 200},
    },
    "generators": {"cbdm": {"kind": "cbdm", "tau": 1.0, "gamma": 0.25}},
    "pools": {"cbdm": {"generator": "cbdm", "fill_to": "max", "shards": 16}},
    "scores": {"by_ce": {"pool": "cbdm", "scorer": "ce", "metrics": ["d1", "d2", "d3"]}},
    "filters": {"likely": {"scores": "by_ce", "keep": "d3 >= 5e-7"}},
    "classifiers": {
        "ce": {"data": ["real"], "loss": "cross_entropy"},
        "diffult": {"data": ["real", "likely"], "loss": {"kind": "weighted_cross_entropy", "generated_weight": 0.3}},
    },
    "recipes": {
        "diffult": {
            "classifier": "diffult",
            "datasets": ["cifar100_lt", "cifar100_lt_200"],
            "seeds": [0, 1, 2],
            "main": True,
        },
        "diffult_tau": {
            "extends": "diffult",
            "datasets": ["cifar100_lt"],
            "main": False,
            "vary": {"generator.tau": [0, 1, 2, 3, 4, 5]},
        },
        "diffult_filters": {
            "extends": "diffult",
            "datasets": ["cifar100_lt"],
            "main": False,
            "vary": {"filter.keep": ["all", "d1 <= 3500", "d2 <= 9", "d3 >= 5e-7"]},
        },
    },
}


def example(**sections):
    """The example with more entries, or with keys of its entries changed."""
    return deep_merge(copy.deepcopy(EXAMPLE), sections)


PAINTED = {
    "foundations": {"tiny": {"kind": "folder", "path": "models/tiny"}},
    "prompts": {"plain": {"kind": "templates"}},
    "generators": {"sd": {"kind": "text_to_image", "foundation": "tiny"}},
    "pools": {
        "painted": {
            "generator": "sd",
            "prompts": "plain",
            "draw": {"kind": "text_to_image"},
            "store": {"side": 32},
            "fill_to": "max",
            "shards": 4,
        }
    },
    "filters": {"painted": {"pool": "painted"}},
    "classifiers": {"painted": {"extends": "ce", "data": ["real", "painted"]}},
    "recipes": {"painted": {"classifier": "painted", "datasets": ["cifar100_lt"]}},
}
"""A road from a text-to-image model to a classifier."""


def painted(**sections):
    """The example with a text-to-image road in it, and with keys of its entries changed."""
    return deep_merge(example(**copy.deepcopy(PAINTED)), sections)


def varied(vary, **recipe):
    """The example with one more recipe, `tried`, that varies."""
    return example(recipes={"tried": {"classifier": "diffult", "datasets": ["cifar100_lt"], "vary": vary, **recipe}})


def runs(flow, recipe):
    return [run for run in flow.runs if run.recipe.split("~")[0] == recipe]


def refused(raw, schema=SCHEMA):
    """The message that a bad config gives: one line, of one sentence."""
    with pytest.raises(InputError) as caught:
        Workflow(raw, schema)
    message = str(caught.value)
    assert "\n" not in message and not message.endswith(".")
    return message


def names(flow, section):
    return set(flow.parts[section])
