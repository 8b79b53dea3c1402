"""Augmentations of batches against Pillow and torchvision, a picture at a time, with the same drawn numbers."""

import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from scipy import ndimage, stats
from sklearn.datasets import load_sample_images

from pipeline.classifiers.augment import affine, augment, policies, tone
from pipeline.classifiers.augment.geometry import resized_crop_boxes
from pipeline.classifiers.input.random_numbers import Draws
from pipeline.errors import InputError

JITTER = {"kind": "color_jitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "probability": 0.8}
STEPS = [
    {"kind": "crop", "padding": 4},
    {"kind": "flip", "probability": 0.5},
    {"kind": "resized_crop", "smallest": 0.2},
    JITTER,
    {"kind": "grayscale", "probability": 0.2},
    {"kind": "blur", "sigma": [0.1, 2.0], "probability": 0.5},
    {"kind": "auto_augment", "policy": "cifar10"},
    {"kind": "rand_augment", "operations": 2, "magnitude": 10, "magnitude_std": 0.5},
    {"kind": "cutout", "size": 16},
]
every_kind = pytest.mark.parametrize("step", STEPS, ids=lambda step: step["kind"])


def made_up(count, height=32, width=32, seed=0):
    """Blurred noise, so that there is something at every scale; uint8 [N, 3, H, W]."""
    noise = np.random.default_rng(seed).normal(size=(count, 3, height, width))
    noise = noise + 8 * ndimage.gaussian_filter(noise, (0, 0, 3, 3))
    return torch.from_numpy((120 + 60 * noise).clip(0, 255).astype(np.uint8))


def draws(count, step=0, **more):
    return Draws(7, step, 1, count, **more)


def to_pil(picture):
    return Image.fromarray(picture.permute(1, 2, 0).numpy())


def each_by(change, pictures, values):
    """Pillow's answers, one picture and value at a time; uint8 [N, 3, H, W]."""
    made = [np.asarray(change(to_pil(one), value)) for one, value in zip(pictures, values.tolist(), strict=True)]
    return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2)


def assert_close(actual, expected, levels, share=1.0):
    """At least `share` of the pixels differ by no more than `levels`."""
    distance = (actual.int() - expected.int()).abs()
    assert (distance <= levels).double().mean() >= share, f"up to {distance.max()} levels"


# ---- every kind -------------------------------------------------------------------------------------------------


@every_kind
def test_two_processes_see_what_one_sees(step):
    pictures = made_up(24)
    whole = augment(pictures, [step, STEPS[0]], draws(24))
    parts = [
        augment(pictures[mine], [step, STEPS[0]], draws(24, mine=mine))
        for mine in (slice(0, 10), slice(10, 10), slice(10, 24))
    ]
    assert torch.equal(torch.cat(parts), whole)


@every_kind
def test_each_sample_and_each_step_has_its_own_draw(step):
    pictures = made_up(1).expand(64, -1, -1, -1)
    first, second = (augment(pictures, [step], draws(64, number)) for number in (0, 1))
    assert len(first.unique(dim=0)) >= (2 if step["kind"] in ("flip", "grayscale") else 20)
    assert not torch.equal(first, second)


@every_kind
def test_the_same_numbers_give_the_same_view_whatever_torch_has_drawn(step):
    pictures = made_up(16)
    before = augment(pictures, [step], draws(16))
    torch.manual_seed(3)
    state = torch.get_rng_state()
    assert torch.equal(augment(pictures, [step], draws(16)), before)
    assert torch.equal(torch.get_rng_state(), state)


@every_kind
def test_what_comes_in_stays_as_it_was(step):
    pictures = made_up(16)
    copied = pictures.clone()
    augment(pictures, [step], draws(16))
    assert torch.equal(pictures, copied)


@given(
    count=st.integers(0, 4),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    step=st.sampled_from(STEPS),
    seed=st.integers(0, 1000),
)
def test_dtype_and_shape_stay(count, height, width, step, seed):
    pictures = torch.randint(
        256, (count, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )
    if step["kind"] == "crop":
        step = step | {"padding": min(4, height - 1, width - 1)}
    view = augment(pictures, [step], draws(count, seed))
    assert view.dtype == torch.uint8 and view.shape == pictures.shape


@every_kind
@pytest.mark.parametrize("level", [0, 255])
def test_flat_pictures_get_through(step, level):
    """No channel has a range, a hue or a second level."""
    pictures = torch.full((200, 3, 8, 8), level, dtype=torch.uint8)
    view = augment(pictures, [step], draws(200))
    if step["kind"] in ("flip", "resized_crop", "grayscale", "blur"):
        assert torch.equal(view, pictures)


@pytest.mark.parametrize(
    "step",
    [
        {"kind": "crop", "padding": 0},
        {"kind": "flip", "probability": 0},
        JITTER | {"probability": 0},
        JITTER | {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0},
        {"kind": "grayscale", "probability": 0},
        {"kind": "blur", "sigma": [0.1, 2.0], "probability": 0},
        {"kind": "rand_augment", "operations": 0, "magnitude": 10, "magnitude_std": 0.5},
        {"kind": "cutout", "size": 0},
        {"kind": "resized_crop", "smallest": 1.0},
    ],
    ids=lambda step: step["kind"],
)
def test_nothing_changes_when_nothing_is_asked_for(step):
    pictures = made_up(64)
    if step["kind"] == "resized_crop":
        keep = (resized_crop_boxes(draws(64).uniform(11, 2), 32, 32, 1.0) == torch.tensor([0, 0, 32, 32])).all(1)
        assert keep.any()
        assert torch.equal(augment(pictures, [step], draws(64))[keep], pictures[keep])
    else:
        assert torch.equal(augment(pictures, [step], draws(64)), pictures)


def test_steps_are_taken_in_order():
    pictures = made_up(8)
    hole, crop = {"kind": "cutout", "size": 16}, {"kind": "crop", "padding": 4}
    source = draws(8)
    one_by_one = augment(augment(pictures, [hole], source), [crop], source)
    assert torch.equal(augment(pictures, [hole, crop], draws(8)), one_by_one)


@pytest.mark.parametrize("wrong", [torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 8, 8, dtype=torch.uint8)])
def test_other_pictures_are_refused(wrong):
    with pytest.raises(InputError, match=r"not torch.uint8 \[B, 3, H, W\]"):
        augment(wrong, [], draws(2))


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="no augmentation mixup; allowed are crop, flip, "):
        augment(made_up(2), [{"kind": "mixup"}], draws(2))
    with pytest.raises(InputError, match="no AutoAugment policy svhn; allowed is cifar10"):
        augment(made_up(2), [{"kind": "auto_augment", "policy": "svhn"}], draws(2))


def test_crops_that_may_leave_nothing_of_a_picture_are_refused():
    assert augment(made_up(40, 6, 10), [{"kind": "crop", "padding": 5}], draws(40)).flatten(1).any(1).all()
    with pytest.raises(InputError, match="crop with padding 6 would lose pictures of 10 x 6 px; it must be less"):
        augment(made_up(4, 6, 10), [{"kind": "crop", "padding": 6}], draws(4))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@every_kind
def test_a_gpu_makes_the_same_view(step):
    pictures = made_up(64)
    on_gpu = augment(pictures.cuda(), [step], draws(64, device="cuda")).cpu()
    assert_close(on_gpu, augment(pictures, [step], draws(64)), levels=1, share=0.999)


# ---- crops, flips and holes -------------------------------------------------------------------------------------


def positions(count, side):
    """Pictures whose red is the row and whose green is the column, both from 1; blue is 255."""
    row, column = torch.meshgrid(torch.arange(1, side + 1), torch.arange(1, side + 1), indexing="ij")
    return torch.stack([row, column, torch.full_like(row, 255)]).to(torch.uint8).expand(count, -1, -1, -1)


def test_crops_shift_uniformly_and_are_black_beyond_the_edge():
    view = augment(positions(6000, 12), [{"kind": "crop", "padding": 2}], draws(6000)).int()
    shift = view[:, :2, 5, 5] - 6
    counts = np.histogram2d(*shift.T.numpy(), bins=np.arange(-2, 4) - 0.5)[0]
    assert counts.sum() == 6000 and stats.chisquare(counts.ravel()).pvalue > 0.001
    for one, (down, right) in zip(view[:50], shift[:50].tolist(), strict=True):
        padded = np.pad(positions(1, 12)[0].numpy(), ((0, 0), (2, 2), (2, 2)))
        np.testing.assert_array_equal(one, padded[:, 2 + down : 14 + down, 2 + right : 14 + right])


@pytest.mark.parametrize("probability", [0.5, 0.2, 1.0])
def test_flips_mirror_their_share(probability):
    pictures = made_up(4000, 4, 6)
    view = augment(pictures, [{"kind": "flip", "probability": probability}], draws(4000)).numpy()
    flipped = (view == pictures.numpy()[..., ::-1]).all((1, 2, 3))
    assert ((view == pictures.numpy()).all((1, 2, 3)) | flipped).all()
    assert flipped.mean() == pytest.approx(probability, abs=0.03)


@pytest.mark.parametrize(("size", "side"), [(16, 32), (3, 8), (12, 10)])
def test_cutout_centres_are_uniform_and_boxes_clipped(size, side):
    view = augment(
        torch.full((3000, 3, side, side), 9, dtype=torch.uint8), [{"kind": "cutout", "size": size}], draws(3000)
    )
    seen = {}
    for row in range(side):
        for column in range(side):
            mask = np.full((side, side), 9, np.uint8)
            mask[
                max(row - size // 2, 0) : row - size // 2 + size, max(column - size // 2, 0) : column - size // 2 + size
            ] = 0
            seen.setdefault(mask.tobytes(), [0, 0])[1] += 1
    for one in view.numpy():
        assert (one == one[0]).all()
        seen[one[0].tobytes()][0] += 1  # a KeyError: no centre makes this box
    found, expected = np.array(list(seen.values())).T
    assert stats.chisquare(found, expected / expected.sum() * 3000).pvalue > 0.001


def slow_box(uniforms, height, width, smallest):
    """torchvision's RandomResizedCrop.get_params, with numbers in place of its generator."""
    for area, ratio in uniforms[:10]:
        target = height * width * (smallest + (1 - smallest) * area)
        aspect = math.exp(math.log(3 / 4) + (math.log(4 / 3) - math.log(3 / 4)) * ratio)
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            return [math.floor(uniforms[10][0] * (height - h + 1)), math.floor(uniforms[10][1] * (width - w + 1)), h, w]
    h, w = height, width
    if width / height < 3 / 4:
        h = round(width / (3 / 4))
    elif width / height > 4 / 3:
        w = round(height * (4 / 3))
    return [(height - h) // 2, (width - w) // 2, h, w]


@given(
    height=st.integers(1, 600),
    width=st.integers(1, 600),
    smallest=st.sampled_from([0.08, 0.2, 0.9, 1.0]),
    seed=st.integers(0, 10**6),
)
def test_boxes_are_those_of_torchvision(height, width, smallest, seed):
    uniforms = Draws(seed, 0, 0, 5).uniform(11, 2)
    boxes = resized_crop_boxes(uniforms, height, width, smallest)
    assert boxes.dtype == torch.int64
    assert boxes.tolist() == [slow_box(one, height, width, smallest) for one in uniforms.tolist()]
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] >= 1).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= torch.tensor([height, width])).all()


def test_boxes_are_spread_as_torchvision_spreads_them():
    from torchvision.transforms.v2 import RandomResizedCrop

    torch.manual_seed(0)
    theirs = RandomResizedCrop(32, scale=(0.2, 1))
    theirs = [theirs.make_params([torch.zeros(3, 48, 32)]) for _ in range(2000)]
    ours = resized_crop_boxes(draws(4000).uniform(11, 2), 48, 32, 0.2).T.numpy()
    for name, found in zip(("top", "left", "height", "width"), ours, strict=True):
        assert stats.ks_2samp([one[name] for one in theirs], found).pvalue > 0.001, name


@pytest.mark.parametrize(("height", "width"), [(32, 32), (40, 56), (20, 30)])
def test_resized_crops_are_those_of_pillow(height, width):
    """But for rounding: Pillow rounds after each direction, and which comes first depends on the box."""
    pictures = made_up(40, height, width)
    boxes = resized_crop_boxes(draws(40).uniform(11, 2), height, width, 0.2).tolist()
    expected = [
        np.asarray(to_pil(one).crop((left, top, left + w, top + h)).resize((width, height), Image.BILINEAR))
        for one, (top, left, h, w) in zip(pictures, boxes, strict=True)
    ]
    view = augment(pictures, [{"kind": "resized_crop", "smallest": 0.2}], draws(40))
    expected = torch.from_numpy(np.stack(expected)).permute(0, 3, 1, 2)
    assert_close(view, expected, levels=2)
    assert_close(view, expected, levels=1, share=0.999)
    assert_close(view, expected, levels=0, share=0.9)


# ---- changes of colour --------------------------------------------------------------------------------------------

ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "saturation": ImageEnhance.Color,
    "sharpness": ImageEnhance.Sharpness,
}


def solarize_add(picture, amount):
    pixels = np.asarray(picture).astype(int)
    return Image.fromarray(np.where(pixels < 128, np.minimum(pixels + int(amount), 255), pixels).astype(np.uint8))


IN_PILLOW = {
    **{name: lambda picture, factor, made=made: made(picture).enhance(factor) for name, made in ENHANCERS.items()},
    "posterize": lambda picture, bits: picture.point(lambda level: level >> (8 - round(bits)) << (8 - round(bits))),
    "solarize": lambda picture, threshold: ImageOps.solarize(picture, threshold),
    "solarize_add": solarize_add,
    "invert": lambda picture, _: ImageOps.invert(picture),
    "auto_contrast": lambda picture, _: ImageOps.autocontrast(picture),
    "equalize": lambda picture, _: ImageOps.equalize(picture),
}
VALUES = {
    **dict.fromkeys(ENHANCERS, torch.cat([torch.linspace(0, 2, 30), torch.tensor([1.0, 0.0])])),
    "posterize": torch.arange(32) % 9.0,
    "solarize": torch.linspace(0, 256, 32),
    "solarize_add": torch.linspace(0, 110, 32).floor(),
}


@pytest.mark.parametrize("name", IN_PILLOW)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (60, 17), (2, 3)])
def test_tones_are_those_of_pillow(name, height, width):
    pictures = made_up(32, height, width)
    values = VALUES.get(name, torch.zeros(32))
    expected = each_by(IN_PILLOW[name], pictures, values)
    # Pillow stretches contrast by a rounded factor: an exact level may come out one lower
    assert_close(tone.OPERATIONS[name](pictures, values), expected, levels=name == "auto_contrast")


def test_hues_are_those_of_torchvision():
    from torchvision.transforms.v2.functional import adjust_hue

    pictures, shifts = made_up(41), torch.linspace(-0.5, 0.5, 41)
    expected = [adjust_hue(one, shift) for one, shift in zip(pictures, shifts.tolist(), strict=True)]
    # a product that is just below a whole number in one order of rounding is just above it in another
    assert_close(tone.hue(pictures, shifts), torch.stack(expected), levels=1)
    assert torch.equal(tone.hue(pictures, torch.zeros(41)), pictures)


def test_equalize_and_auto_contrast_are_those_of_torchvision():
    from torchvision.transforms.v2.functional import autocontrast, equalize

    pictures, nothing = made_up(32), torch.zeros(32)
    assert torch.equal(tone.equalize(pictures, nothing), equalize(pictures))
    assert_close(tone.auto_contrast(pictures, nothing), autocontrast(pictures), levels=1)


def test_grey_is_that_of_pillow():
    pictures = made_up(2000, 6, 6)
    view = augment(pictures, [{"kind": "grayscale", "probability": 0.2}], draws(2000))
    expected = each_by(lambda picture, _: picture.convert("L").convert("RGB"), pictures, torch.zeros(2000))
    greyed = (view == expected).flatten(1).all(1)
    assert ((view == pictures).flatten(1).all(1) | greyed).all()
    assert greyed.double().mean() == pytest.approx(0.2, abs=0.03)


def test_jitter_is_pillows_in_the_drawn_order():
    from torchvision.transforms.v2.functional import adjust_hue, pil_to_tensor, to_pil_image

    pictures, source = made_up(64), draws(64)
    jittered, order, uniforms = source.uniform() < 0.8, source.uniform(4).argsort(1), source.uniform(4).tolist()
    view = augment(pictures, [JITTER], draws(64))
    assert len(order.unique(dim=0)) > 18  # of 24
    for one, result, used, names, numbers in zip(pictures, view, jittered, order.tolist(), uniforms, strict=True):
        expected = to_pil(one)
        for name in names if used else []:
            if name == 3:
                expected = to_pil_image(adjust_hue(pil_to_tensor(expected), -0.1 + 0.2 * numbers[3]))
            else:
                enhancer = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color][name]
                expected = enhancer(expected).enhance(0.6 + 0.8 * numbers[name])
        # a level that hue rounds the other way, and later operations amplify
        assert_close(result, pil_to_tensor(expected), levels=3)
        assert_close(result, pil_to_tensor(expected), levels=1, share=0.95)


def test_jitter_factors_are_uniform_and_not_negative():
    flat = torch.full((4000, 3, 1, 1), 100, dtype=torch.uint8)
    only = {"contrast": 0, "saturation": 0, "hue": 0, "probability": 1}
    view = augment(flat, [JITTER | only], draws(4000))[:, 0, 0, 0].double()
    assert stats.kstest(view, stats.uniform(59.5, 80).cdf).statistic < 0.03
    bright = augment(flat, [JITTER | only | {"brightness": 1.5}], draws(4000))[:, 0, 0, 0].double()
    assert bright.min() == 0 and bright.max() == 249
    assert stats.kstest(bright, stats.uniform(-0.5, 250).cdf).statistic < 0.03


def test_jitter_has_its_probability():
    pictures = made_up(4000, 6, 6)
    changed = (augment(pictures, [JITTER], draws(4000)) != pictures).flatten(1).any(1)
    assert changed.double().mean() == pytest.approx(0.8, abs=0.03)


def test_blur_is_gaussian_with_the_border_going_on():
    pictures = made_up(32, 20, 28)
    source = draws(32)
    used, sigmas = source.uniform() < 0.7, (0.1 + 1.9 * source.uniform()).tolist()
    view = augment(pictures, [{"kind": "blur", "sigma": [0.1, 2.0], "probability": 0.7}], draws(32))
    assert 0 < used.sum() < 32
    for one, result, blurred, sigma in zip(pictures, view, used, sigmas, strict=True):
        expected = one.double().numpy()
        if blurred:
            expected = ndimage.gaussian_filter(expected, (0, sigma, sigma), mode="nearest", radius=(0, 6, 6))
        np.testing.assert_allclose(result, expected, atol=0.501 if blurred else 0)


def test_blur_is_about_that_of_pillow():
    """Pillow makes its Gaussian of three boxes, which is coarsest where there is next to no blur."""
    pictures, source = made_up(32), draws(32)
    source.uniform()
    sigmas = 0.1 + 1.9 * source.uniform()
    expected = each_by(lambda picture, sigma: picture.filter(ImageFilter.GaussianBlur(sigma)), pictures, sigmas)
    view = augment(pictures, [{"kind": "blur", "sigma": [0.1, 2.0], "probability": 1}], draws(32))
    distance, change = ((view.double() - other).abs().mean() for other in (expected, pictures))
    assert distance < 0.1 * change


@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.5, 1.0, 1.5, 2.0])
def test_blur_of_a_photograph_is_on_average_1_level_from_pillows(sigma):
    """As the settings tables say."""
    for photograph in load_sample_images().images:
        small = Image.fromarray(photograph).resize((32, 32), Image.BICUBIC)
        theirs = np.asarray(small.filter(ImageFilter.GaussianBlur(sigma))).astype(int)
        ours = augment(
            torch.from_numpy(np.array(small)).permute(2, 0, 1)[None],
            [{"kind": "blur", "sigma": [sigma, sigma], "probability": 1}],
            draws(1),
        )
        assert np.abs(ours[0].permute(1, 2, 0).numpy() - theirs).mean() <= 1.1


# ---- AutoAugment and RandAugment ------------------------------------------------------------------------------------


def moved(picture, matrix, fill, bilinear):
    return picture.transform(
        picture.size, Image.AFFINE, matrix, Image.BILINEAR if bilinear else Image.NEAREST, fillcolor=fill
    )


MOVES_IN_PILLOW = {
    "shear_x": lambda picture, value, **how: moved(picture, (1, value, 0, 0, 1, 0), **how),
    "shear_y": lambda picture, value, **how: moved(picture, (1, 0, 0, value, 1, 0), **how),
    "translate_x": lambda picture, value, **how: moved(picture, (1, 0, value * picture.width, 0, 1, 0), **how),
    "translate_y": lambda picture, value, **how: moved(picture, (1, 0, 0, 0, 1, value * picture.height), **how),
    "rotate": lambda picture, value, fill, bilinear: picture.rotate(
        value, Image.BILINEAR if bilinear else Image.NEAREST, fillcolor=fill
    ),
}


@pytest.mark.parametrize("name", MOVES_IN_PILLOW)
@pytest.mark.parametrize("bilinear", [False, True])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 37)])
def test_moves_are_those_of_pillow(name, bilinear, height, width):
    """Within a level: Pillow rounds down. Pixels on the very border between two may go either way."""
    pictures = made_up(32, height, width)
    values = torch.linspace(-30, 30, 32) if name == "rotate" else torch.linspace(-0.46, 0.46, 32)
    how = {"fill": (1, 128, 250), "bilinear": bilinear}
    expected = each_by(lambda picture, value: MOVES_IN_PILLOW[name](picture, value, **how), pictures, values)
    assert_close(affine.OPERATIONS[name](pictures, values, **how), expected, levels=int(bilinear), share=0.998)


def slow_augment(picture, chosen, values, names, fill, bilinear):
    for number, value in zip(chosen, values, strict=True):
        if number >= 0 and names[number] in IN_PILLOW:
            picture = IN_PILLOW[names[number]](picture, value)
        elif number >= 0:
            picture = MOVES_IN_PILLOW[names[number]](picture, value, fill=fill, bilinear=bilinear)
    return np.asarray(picture)


def recorded(monkeypatch, step, count):
    """int64 [count, N] operations, -1 for none, and [count, N] values that a step makes of its draws."""
    seen = []

    def record(pictures, operations, chosen, values):
        seen.append((chosen, values))
        return pictures

    with monkeypatch.context() as patch:
        patch.setattr(policies, "apply_each", record)
        augment(torch.zeros(count, 3, 1, 1, dtype=torch.uint8), [step], draws(count))
    chosen, values = zip(*seen, strict=True)
    return torch.stack(chosen, 1), torch.stack(values, 1)


@pytest.mark.parametrize(
    ("step", "names", "how"),
    [
        (STEPS[6], list(policies.AUTO_AUGMENT), {"fill": (128, 128, 128), "bilinear": False}),
        (STEPS[7], list(policies.RAND_AUGMENT), {"fill": (124, 116, 104), "bilinear": True}),
    ],
    ids=["auto_augment", "rand_augment"],
)
def test_policies_do_what_pillow_does(monkeypatch, step, names, how):
    pictures = made_up(128)
    chosen, values = recorded(monkeypatch, step, 128)
    expected = [
        slow_augment(to_pil(one), numbers, amounts, names, **how)
        for one, numbers, amounts in zip(pictures, chosen.tolist(), values.tolist(), strict=True)
    ]
    view = augment(pictures, [step], draws(128))
    # equalizing, or brightening, makes more of a level that interpolation or Pillow's contrast rounds down
    assert_close(view, torch.from_numpy(np.stack(expected)).permute(0, 3, 1, 2), levels=2, share=0.99)


def test_the_policy_is_torchvisions():
    from torchvision.transforms.v2 import AutoAugment, AutoAugmentPolicy

    theirs = AutoAugment(AutoAugmentPolicy.CIFAR10)._policies
    names = {"saturation": "Color"}
    for ours, pair in zip(policies.CIFAR10, theirs, strict=True):
        for (name, probability, magnitude), (their_name, their_probability, their_magnitude) in zip(
            ours, pair, strict=True
        ):
            assert names.get(name, name.title().replace("_", "")) == their_name
            assert probability == their_probability
            assert their_magnitude is None or magnitude == their_magnitude


def test_the_policys_values_are_torchvisions():
    """But for rounding: their shifts are whole pixels, their solarize ends at 255."""
    from torchvision.transforms.v2 import AutoAugment

    for name, (start, change, signed) in policies.AUTO_AUGMENT.items():
        title = {"saturation": "Color"}.get(name, name.title().replace("_", ""))
        magnitudes, their_signed = AutoAugment._AUGMENTATION_SPACE[title]
        assert signed == their_signed
        theirs = magnitudes(10, 331, 331)
        if theirs is None:
            assert (start, change) == (0, 0)
            continue
        theirs = theirs.double() / {"translate_x": 331, "translate_y": 331}.get(name, 1)
        theirs = 256 * theirs if name == "solarize" else theirs
        ours = start - signed * start + change * torch.arange(10).double() / 9
        torch.testing.assert_close(ours.round() if name == "posterize" else ours, theirs, atol=1e-4, rtol=1e-5)


def test_sub_policies_probabilities_and_signs_are_drawn_as_the_policy_says(monkeypatch):
    count = 50_000
    chosen, values = recorded(monkeypatch, STEPS[6], count)
    names, slot_names = list(policies.AUTO_AUGMENT), [[pair[slot][0] for pair in policies.CIFAR10] for slot in range(2)]
    for slot in range(2):
        for number, name in enumerate(names):
            share = sum(pair[slot][1] for pair in policies.CIFAR10 if pair[slot][0] == name) / 25
            assert (chosen[:, slot] == number).double().mean() == pytest.approx(share, abs=0.006), (slot, name)
            if name not in slot_names[slot]:
                continue
            start, change, signed = policies.AUTO_AUGMENT[name]
            found = values[chosen[:, slot] == number, slot].double()
            if signed and change:
                assert ((found > start).double().mean() - (found < start).double().mean()).abs() < 0.1
            levels = {pair[slot][2] for pair in policies.CIFAR10 if pair[slot][0] == name and pair[slot][1] > 0}
            expected = {
                round(start + sign * change * level / 9, 4)
                for level in levels
                for sign in ((-1, 1) if signed else (1,))
            }
            assert {round(value, 4) for value in found.tolist()} == expected
    both = ((chosen == names.index("equalize")).all(1)).double().mean()
    assert both == pytest.approx((0.6 * 0.5 + 0.2 * 0.6) / 25, abs=0.004)  # their own draws, of one sub-policy


def timm_value(name, magnitude):
    """Values at a magnitude of 0..10, as timm's level functions for "rand" give them, without the sign."""
    level = magnitude / 10
    if name in ("saturation", "contrast", "brightness", "sharpness"):
        return level * 1.8 + 0.1
    return {
        "rotate": level * 30,
        "shear_x": level * 0.3,
        "shear_y": level * 0.3,
        "translate_x": level * 0.45,
        "translate_y": level * 0.45,
        "posterize": int(level * 4),
        "solarize": int(level * 256),
        "solarize_add": int(level * 110),
    }.get(name, 0)


def test_rand_augment_draws_as_timm_does(monkeypatch):
    count = 40_000
    chosen, values = recorded(monkeypatch, STEPS[7], count)
    used = chosen >= 0
    assert used.double().mean() == pytest.approx(0.5, abs=0.01)
    assert used.all(1).double().mean() == pytest.approx(0.25, abs=0.01)
    names = list(policies.RAND_AUGMENT)
    assert len(names) == 15
    assert stats.chisquare(torch.bincount(chosen[used], minlength=15)).pvalue > 0.001
    both = chosen[used.all(1)]
    assert (both[:, 0] == both[:, 1]).double().mean() == pytest.approx(1 / 15, abs=0.015)  # with replacement
    generator = random.Random(0)
    for number, name in enumerate(names):
        found = values[chosen == number].double().numpy()
        theirs = [timm_value(name, min(max(generator.gauss(10, 0.5), 0), 10)) for _ in range(len(found))]
        if name in ("rotate", "shear_x", "shear_y", "translate_x", "translate_y"):
            assert abs(np.sign(found).mean()) < 0.1
        assert stats.ks_2samp(np.abs(found), np.float32(theirs)).statistic < 0.06, name


def test_rand_augment_without_spread_has_one_magnitude(monkeypatch):
    step = {"kind": "rand_augment", "operations": 3, "magnitude": 7, "magnitude_std": 0}
    chosen, values = recorded(monkeypatch, step, 2000)
    assert chosen.shape == (2000, 3)
    for number, name in enumerate(policies.RAND_AUGMENT):
        assert values[chosen == number].abs().numpy() == pytest.approx(timm_value(name, 7), rel=1e-5)
