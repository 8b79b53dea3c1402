"""One of two lists of augmentation steps for each picture, as CMO's code chooses between RandAugment and SimAugment."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from scipy import stats

from pipeline.classifiers.augment import augment
from pipeline.classifiers.input.random_numbers import Draws
from pipeline.config.augmentations import Augment
from pipeline.config.classifiers import Classifier

FIRST = [
    {"kind": "color_jitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.0, "probability": 1.0},
    {"kind": "rand_augment", "operations": 2, "magnitude": 10, "magnitude_std": 0.5},
]
SECOND = [
    {"kind": "grayscale", "probability": 0.5},
    {"kind": "blur", "sigma": (0.1, 2.0), "probability": 0.5},
]
STEP = {"kind": "either", "first": FIRST, "second": SECOND, "probability": 0.5}


def pictures(count):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, 16, 16), np.uint8))


def draws(count, mine=slice(None)):
    return Draws(7, 3, 1, count, mine)


def test_each_picture_gets_the_steps_of_its_list_alone():
    real, drawn = pictures(40), draws(40)
    chosen = drawn.uniform() < 0.5
    by_first = augment(real, FIRST, drawn)
    by_second = augment(real, SECOND, drawn)
    found = augment(real, [STEP], draws(40))
    assert 0 < chosen.sum() < 40
    torch.testing.assert_close(found[chosen], by_first[chosen], atol=0, rtol=0)
    torch.testing.assert_close(found[~chosen], by_second[~chosen], atol=0, rtol=0)


@pytest.mark.parametrize("mine", [slice(0, 7), slice(7, 8), slice(8, 20)])
def test_a_part_of_a_batch_gets_what_the_whole_gives_it(mine):
    """And the steps after it draw the same numbers."""
    steps = [STEP, {"kind": "flip", "probability": 0.5}]
    whole = augment(pictures(20), steps, draws(20))
    torch.testing.assert_close(augment(pictures(20)[mine], steps, draws(20, mine)), whole[mine], atol=0, rtol=0)


@pytest.mark.parametrize(("probability", "changed"), [(0.0, 0), (1.0, 300)])
def test_a_sure_list_is_always_taken(probability, changed):
    step = {
        "kind": "either",
        "first": [{"kind": "cutout", "size": 4}],
        "second": [{"kind": "flip", "probability": 0.0}],
    }
    found = augment(pictures(300), [step | {"probability": probability}], draws(300))
    assert (found != pictures(300)).flatten(1).any(1).sum() == changed


def test_lists_are_drawn_with_their_probability():
    step = {
        "kind": "either",
        "first": [{"kind": "cutout", "size": 4}],
        "second": [{"kind": "flip", "probability": 0.0}],
    }
    found = augment(pictures(3000), [step | {"probability": 0.3}], draws(3000))
    taken = int((found != pictures(3000)).flatten(1).any(1).sum())
    assert stats.binomtest(taken, 3000, 0.3).pvalue > 0.01


def test_the_config_takes_it_and_looks_into_both_lists():
    (found,) = TypeAdapter(Augment).validate_python([{"kind": "either", "first": ["flip"], "second": ["grayscale"]}])
    assert (found.first[0].kind, found.second[0].kind, found.probability) == ("flip", "grayscale", 0.5)
    with pytest.raises(ValueError, match="either"):
        TypeAdapter(Augment).validate_python([{"kind": "either", "first": [], "second": ["flip"]}])
    with pytest.raises(ValueError, match="kind"):
        TypeAdapter(Augment).validate_python([{"kind": "either", "first": [STEP], "second": ["flip"]}])


def test_a_cutout_in_a_list_must_fit_the_pictures():
    from pipeline.config.datasets import LongTailed

    step = {"kind": "either", "first": [{"kind": "cutout", "size": 32}], "second": ["flip"]}
    classifier = Classifier(data=["real"], augment=[step])
    dataset = LongTailed(source="cifar10", imbalance_factor=10)
    with pytest.raises(ValueError, match="cutout of size 32 would black out pictures of 32 px"):
        classifier.check_on(dataset, {"filters": {}, "pools": {}})
