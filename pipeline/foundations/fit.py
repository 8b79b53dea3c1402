"""Whether a model fits a generator, and its components each other: the libraries load some that do not. Light, for the Snakefile asks."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.foundations import CLIP_CONFIG, GLIDE

INDEX = "model_index.json"
STABLE_DIFFUSION = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")
"""Classes of models with one text encoder, a U-Net and a VAE; a folder for image to image has the same components."""
IMAGE_VARIATION = "StableDiffusionImageVariationPipeline"
"""Class of models that read the CLIP embedding of a picture in place of a text."""
UNCLIP = "StableUnCLIPImg2ImgPipeline"
"""Class of models that read a text and the CLIP embedding of a picture, with noise on it."""
FAMILY = (*STABLE_DIFFUSION, IMAGE_VARIATION, UNCLIP)
"""Classes of models whose components work in the latent space of a VAE."""
OF_KIND = {
    "glide": (GLIDE,),
    "image_variation": (IMAGE_VARIATION,),
    "unclip": (UNCLIP,),
    "textual_inversion": STABLE_DIFFUSION,
    "lora": STABLE_DIFFUSION,
}
"""Kind of a generator -> the only classes of models that it draws with."""
FROM_TEXTS = ("text_to_image", "image_to_image")
"""Kinds that draw with any class of models but those that only another kind draws with."""

_ALL = ("unet", "vae", "scheduler")
_TEXT = ("text_encoder", "tokenizer")
_PICTURE = ("image_encoder", "feature_extractor")
_COMPONENTS = {
    **dict.fromkeys(STABLE_DIFFUSION, (*_ALL, *_TEXT)),
    IMAGE_VARIATION: (*_ALL, *_PICTURE),
    UNCLIP: (*_ALL, *_TEXT, *_PICTURE, "image_normalizer", "image_noising_scheduler"),
    GLIDE: ("unet", "scheduler", *_TEXT),
}


def model_index(folder: Path) -> dict[str, Any]:
    """What the index of a model in diffusers' format says. Raises InputError if there is none, or if it is damaged."""
    path = folder / INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8-sig"))
        damaged = not isinstance(index["_class_name"], str)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        damaged = True
    if damaged:
        raise InputError(f"{path} is missing or damaged; get the model again")
    return index


def pipeline_class(folder: Path) -> str:
    """Name of diffusers' class of the model in a folder. Raises InputError if there is none, or if its index is damaged."""
    return model_index(folder)["_class_name"]


def misuse(model: str, pipeline: str, kind: str, feedback: bool = False) -> str | None:
    """Why a generator of this kind cannot draw with a model of diffusers' class `pipeline`, or not with feedback; None if it may."""
    if "Inpaint" in pipeline:
        return f"{model} is a {pipeline}, which fills in parts of pictures; name another foundation"
    wanted = OF_KIND.get(kind, (pipeline,))
    if pipeline not in wanted:
        return (
            f"{model} is a {pipeline}, but a generator of kind {kind} draws with a {wanted[0]}; name another foundation"
        )
    fitting = next((name for name, only in OF_KIND.items() if pipeline in only and only != STABLE_DIFFUSION), kind)
    if fitting != kind and kind in FROM_TEXTS:
        return (
            f"{model} is a {pipeline}, but a generator of kind {kind} does not draw with it; use one of kind {fitting}"
        )
    if feedback and pipeline not in (*STABLE_DIFFUSION, UNCLIP):
        return f"{model} is a {pipeline}, which takes no feedback; remove guide and feedback"
    return None


def vision_tower(
    folder: Path, mean: Sequence[float], std: Sequence[float], size: tuple[int, int] | None
) -> dict[str, Any]:
    """What open_clip's config in a folder says of the vision transformer: embed_dim, vision_cfg, and quick_gelu.

    Raises InputError if there is none, or if it reads pictures of another size, (height, width), unless that is None, or with
    another mean or std.
    """
    path = folder / CLIP_CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        model, look = config["model_cfg"], config["preprocess_cfg"]
        vision = model["vision_cfg"] | {"patch_dropout": 0.0}
        is_transformer = "timm_model_name" not in vision and isinstance(vision.get("layers"), int)
        tower = {"embed_dim": model["embed_dim"], "vision_cfg": vision, "quick_gelu": model.get("quick_gelu", False)}
        sizes = (vision.get("image_size"), vision.get("width"))
        wanted = {name: [float(value) for value in look[name]] for name in ("mean", "std")}
        numbers = all(isinstance(size, int) for size in sizes) and {len(values) for values in wanted.values()} == {3}
        is_plain = not vision.get("output_tokens") and vision.get("pool_type", "tok") in ("tok", "avg")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{path} is missing or damaged, or of no CLIP; get the model again, or name another") from None
    if not (is_transformer and numbers and is_plain):
        raise InputError(f"{folder} is a CLIP without open_clip's vision transformer; name another foundation")
    side, sets = vision["image_size"], []
    if size not in (None, (side, side)):
        sets.append(f"`side: {side}`, because the pictures have {size[1]} x {size[0]} px")
    for name, given in (("mean", mean), ("std", std)):
        if not all(abs(a - b) < 1e-3 for a, b in zip(wanted[name], given, strict=True)):
            sets.append(f"`{name}: {wanted[name]}`")
    if sets:
        raise InputError(f"{folder} sees pictures otherwise; set {' and '.join(sets)}")
    return tower


def require_vocabulary(folder: Path, tokenizer: Any, encoder: Any) -> None:
    """Raise InputError if most of the text encoder's tokens are unknown to the tokenizer, or the other way round."""
    if encoder is None:
        return
    known, expected = len(tokenizer), encoder.get_input_embeddings().num_embeddings
    if not expected / 2 < known <= expected:
        raise InputError(
            f"{folder} knows {known} tokens, but the text encoder {expected}; its vocabulary is missing or another model's"
        )


def require_fit(folder: Path, pipeline: str, found: Mapping[str, Any], without: Collection[str] = ()) -> None:
    """Raise InputError if a component of a model of a known class is missing, but for those in `without`, or does not fit the others."""
    for name in _COMPONENTS.get(pipeline, ()):
        if found.get(name) is None and name not in without:
            raise InputError(f"{folder / name} is missing; get the model again")
    if pipeline not in FAMILY:
        return
    unet, scaling = found["unet"].config, found["vae"].config.scaling_factor
    if not isinstance(unet.sample_size, int):
        raise InputError(
            f"{folder / 'unet'}: sample_size must be a whole number, but is {unet.sample_size}; correct its config.json"
        )
    if not isinstance(scaling, int | float) or scaling <= 0:
        raise InputError(
            f"{folder / 'vae'}: scaling_factor must be a number above 0, but is {scaling}; correct its config.json"
        )
    for what, there, reader, expected in _sizes(pipeline, found):
        if there != expected:
            raise InputError(f"{folder}: {what} is {there}, but the {reader} reads {expected}")
    for name in ("scheduler", "image_noising_scheduler"):
        if name in found and not hasattr(found[name], "alphas_cumprod"):
            raise InputError(f"{folder / name}: a {type(found[name]).__name__} does not fit a Stable Diffusion model")


def _sizes(pipeline: str, found: Mapping[str, Any]) -> list[tuple[str, Any, str, Any]]:
    """(what, its size, component that reads it, size that this one reads)."""
    unet = found["unet"].config
    latent = found["vae"].config.latent_channels
    sizes = [("the number of the VAE's channels", latent, "U-Net", unet.in_channels)]
    sizes.append(("the number of the U-Net's channels", unet.out_channels, "VAE", latent))
    if pipeline != IMAGE_VARIATION:
        width = found["text_encoder"].config.hidden_size
        sizes.append(("the text encoder's width", width, "U-Net", unet.cross_attention_dim))
    if "image_encoder" in found:
        encoder, cut = found["image_encoder"].config, found["feature_extractor"].crop_size
        size = (cut["height"], cut["width"]) if cut else None
        sizes.append(("the feature extractor's size", size, "image encoder", (encoder.image_size,) * 2))
    if pipeline == IMAGE_VARIATION:
        sizes.append(("the image encoder's width", encoder.projection_dim, "U-Net", unet.cross_attention_dim))
    if pipeline == UNCLIP:
        normalizer = found["image_normalizer"].config.embedding_dim
        if "image_encoder" in found:
            sizes.append(("the image encoder's width", encoder.projection_dim, "image normalizer", normalizer))
        # with the embedding of the noise level, as wide as the picture's
        sizes.append(
            ("twice the image encoder's width", 2 * normalizer, "U-Net", unet.projection_class_embeddings_input_dim)
        )
    return sizes
