"""Which kinds of generators draw with which models."""

import pytest

from pipeline.foundations.fit import misuse

SD, SDXL, UNCLIP = "StableDiffusionPipeline", "StableDiffusionXLPipeline", "StableUnCLIPImg2ImgPipeline"


@pytest.mark.parametrize(
    "pair",
    [
        (SD, "text_to_image"),
        (SDXL, "image_to_image"),
        (UNCLIP, "unclip"),
        (UNCLIP, "unclip", True),
        ("Glide", "glide"),
        (UNCLIP, "a_kind_of_your_own"),
    ],
)
def test_these_fit(pair):
    assert misuse("foundations.a", *pair) is None


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        ((SD, "unclip"), f"foundations.a is a {SD}, but a generator of kind unclip draws with a {UNCLIP}; name another foundation"),
        ((UNCLIP, "image_variation"), "draws with a StableDiffusionImageVariationPipeline; name another foundation"),
        ((UNCLIP, "text_to_image"), f"is a {UNCLIP}, but a generator of kind text_to_image does not draw with it; use one of kind unclip"),
        ((SDXL, "text_to_image", True), f"foundations.a is a {SDXL}, which takes no feedback; remove guide and feedback"),
        (("Glide", "image_to_image"), "does not draw with it; use one of kind glide"),
    ],
)  # fmt: skip
def test_these_do_not(pair, told):
    assert told in misuse("foundations.a", *pair)
