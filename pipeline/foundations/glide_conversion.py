"""Convert an original checkpoint of GLIDE: its U-Net is diffusers' UNet2DConditionModel under other names.

Only attention is stored otherwise: GLIDE has query, key and value of one head after the other's, and diffusers a matrix for each of
the three.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from pipeline.errors import InputError
from pipeline.foundations.glide_names import input_blocks, modules
from pipeline.foundations.glide_text_encoder import HEAD, GlideTextEncoder

GROUPS = 32
"""Groups of the norms."""
_BY_HEAD = {"qkv": 3, "encoder_kv": 2, "c_qkv": 3}
"""Module that stores heads one after the other -> matrices in it."""
_CONVOLUTIONS = ("qkv", "encoder_kv", "proj_out")
"""Modules that are convolutions of length 1 in GLIDE, and linear in diffusers."""


def convert(
    weights: Mapping[str, torch.Tensor], in_channels: int, side: int
) -> tuple[UNet2DConditionModel, GlideTextEncoder]:
    """The U-Net and the text encoder of a checkpoint, in float32. They may share memory with `weights`.

    in_channels: 3 for the base, 6 for the upsampler. side: of its pictures, in pixels. All other sizes follow from the tensors.
    Raises InputError if a tensor is missing, is not one of GLIDE's, or has another shape; its text does not name the file.
    """
    text, shape = _text_sizes(weights), _unet_sizes(weights)
    with torch.device("meta"):
        unet = _unet(**shape, width=text["width"], in_channels=in_channels, side=side)
        both = torch.nn.ModuleDict({"unet": unet, "text_encoder": GlideTextEncoder(**text)})
    shapes = {name: tuple(value.shape) for name, value in both.state_dict().items()}
    names = {name: (f"text_encoder.{name}",) for name in ("positional_embedding", "padding_embedding")}
    for name, *targets in modules(shape["layers"], shape["attention"], text["layers"]):
        for suffix in ("weight", "bias"):
            if f"{targets[0]}{suffix}" in shapes:
                names[f"{name}.{suffix}"] = tuple(f"{target}{suffix}" for target in targets)
    _require(weights, {name: _original_shape(name, [shapes[one] for one in new]) for name, new in names.items()})
    converted = {}
    for name, new in names.items():
        parts = _parts(name, weights[name].detach().float())
        parts = parts if len(new) == len(parts) else [torch.cat(parts)]
        converted |= {one: part.reshape(shapes[one]).contiguous() for one, part in zip(new, parts, strict=True)}
    both.load_state_dict(converted, assign=True)
    return both["unet"].eval(), both["text_encoder"].eval()


def _text_sizes(weights: Mapping[str, torch.Tensor]) -> dict[str, int]:
    vocabulary, width = _shape(weights, "token_embedding.weight", 2)
    context, _ = _shape(weights, "positional_embedding", 2)
    _require_multiple("token_embedding.weight", width, HEAD)
    layers = _count(weights, "transformer.resblocks")
    return {"vocabulary": vocabulary, "context": context, "width": width, "layers": layers}


def _unet_sizes(weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Residual blocks of a level (`layers`), and each level's channels and whether it has attention."""
    rises = {found[1] for name in weights if (found := re.match(r"output_blocks\.(\d+)\.[12]\.in_layers\.", name))}
    levels, blocks = len(rises) + 1, _count(weights, "output_blocks")
    layers = blocks // levels - 1
    if layers < 1 or blocks % levels:
        raise InputError(f"its {blocks} output_blocks in {levels} levels are not those of GLIDE")
    attend = {int(found[1]) for name in weights if (found := re.match(r"input_blocks\.(\d+)\.1\.", name))}
    attention = [not attend.isdisjoint(input_blocks(level, layers)) for level in range(levels)]
    channels = []
    for level, attends in enumerate(attention):
        name = f"input_blocks.{input_blocks(level, layers)[0]}.0.out_layers.0.weight"
        channels += _shape(weights, name, 1)
        _require_multiple(name, channels[-1], HEAD if attends or level == levels - 1 else GROUPS)
    return {"layers": layers, "channels": channels, "attention": attention}


def _unet(
    layers: int, channels: list[int], attention: list[bool], width: int, in_channels: int, side: int
) -> UNet2DConditionModel:
    down = {True: "SimpleCrossAttnDownBlock2D", False: "ResnetDownsampleBlock2D"}
    up = {True: "SimpleCrossAttnUpBlock2D", False: "ResnetUpsampleBlock2D"}
    return UNet2DConditionModel(
        sample_size=side,
        in_channels=in_channels,
        out_channels=6,
        down_block_types=tuple(down[attends] for attends in attention),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=tuple(up[attends] for attends in reversed(attention)),
        block_out_channels=tuple(channels),
        layers_per_block=layers,
        norm_num_groups=GROUPS,
        norm_eps=1e-5,
        resnet_time_scale_shift="scale_shift",
        attention_head_dim=HEAD,
        cross_attention_dim=width,
        class_embed_type="simple_projection",  # of the text's last position
        projection_class_embeddings_input_dim=width,
    )


def _require(weights: Mapping[str, torch.Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raise InputError unless the checkpoint has exactly the expected tensors."""
    for wrong, what in (
        (expected.keys() - weights.keys(), "lacks"),
        (weights.keys() - expected.keys(), "must not have"),
    ):
        if wrong:
            more = f" and {len(wrong) - 1} more tensors" if len(wrong) > 1 else ""
            raise InputError(f"it {what} {min(wrong)}{more}")
    for name, shape in expected.items():
        if (found := tuple(weights[name].shape)) != shape:
            raise InputError(f"its {name} has the shape {_text(found)}, but must have {_text(shape)}")


def _original_shape(name: str, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Shape of a tensor of the checkpoint that becomes tensors of these shapes."""
    shape = (sum(one[0] for one in shapes), *shapes[0][1:])
    return (*shape, 1) if _module(name) in _CONVOLUTIONS and name.endswith(".weight") else shape


def _parts(name: str, tensor: torch.Tensor) -> list[torch.Tensor]:
    """The matrices in a tensor of the checkpoint, each with its heads one after the other."""
    if (count := _BY_HEAD.get(_module(name))) is None:
        return [tensor]
    return [part.flatten(0, 1) for part in tensor.unflatten(0, (-1, count, HEAD)).unbind(1)]


def _module(name: str) -> str:
    """`qkv`, of the tensor `input_blocks.5.1.qkv.weight`."""
    return name.rpartition(".")[0].rpartition(".")[2]


def _count(weights: Mapping[str, torch.Tensor], name: str) -> int:
    """Number of modules `<name>.0`, `<name>.1` and so on."""
    pattern = re.compile(rf"{re.escape(name)}\.(\d+)\.")
    return 1 + max((int(found[1]) for one in weights if (found := pattern.match(one))), default=-1)


def _shape(weights: Mapping[str, torch.Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    if name not in weights:
        raise InputError(f"it lacks {name}")
    if weights[name].ndim != dimensions:
        raise InputError(
            f"its {name} has the shape {_text(weights[name].shape)}, but must have {dimensions} dimensions"
        )
    return tuple(weights[name].shape)


def _require_multiple(name: str, size: int, of: int) -> None:
    if size == 0 or size % of:
        raise InputError(f"its {name} is for {size} channels, but they must be a multiple of {of}")


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "of a number"
