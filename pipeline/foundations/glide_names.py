"""Names of GLIDE's modules in the original checkpoints, and in diffusers' UNet2DConditionModel and our text encoder."""

from collections.abc import Iterator, Sequence

_RESNET = (
    ("in_layers.0", "norm1."),
    ("in_layers.2", "conv1."),
    ("emb_layers.1", "time_emb_proj."),
    ("out_layers.0", "norm2."),
    ("out_layers.3", "conv2."),
    ("skip_connection", "conv_shortcut."),
)
_ATTENTION = (
    ("norm", "group_norm."),
    ("qkv", "to_q.", "to_k.", "to_v."),
    ("encoder_kv", "add_k_proj.", "add_v_proj."),
    ("proj_out", "to_out.0."),
)
_TEXT = (
    ("attn.c_qkv", "self_attn.in_proj_"),
    ("attn.c_proj", "self_attn.out_proj."),
    ("ln_1", "norm1."),
    ("mlp.c_fc", "linear1."),
    ("mlp.c_proj", "linear2."),
    ("ln_2", "norm2."),
)
Names = tuple[str, ...]
"""A module of the checkpoint, and the modules that it becomes, up to `weight` or `bias`."""


def modules(layers: int, attention: Sequence[bool], text_layers: int) -> Iterator[Names]:
    """The names of all modules with a weight; a residual block lacks `skip_connection` where it keeps the number of channels.

    layers: residual blocks of a level, on the way down. attention: whether each level has attention.
    """
    for name, *targets in _unet(layers, attention):
        yield name, *(f"unet.{target}" for target in targets)
    yield "transformer_proj", "unet.class_embedding."
    yield "token_embedding", "text_encoder.token_embedding."
    yield "final_ln", "text_encoder.transformer.norm."
    for layer in range(text_layers):
        yield from _under(f"transformer.resblocks.{layer}", f"text_encoder.transformer.layers.{layer}", _TEXT)


def input_blocks(level: int, layers: int) -> range:
    """Numbers of a level's residual blocks among `input_blocks`; 0 is the first convolution, and one block halves the side."""
    return range(1 + level * (layers + 1), 1 + level * (layers + 1) + layers)


def _unet(layers: int, attention: Sequence[bool]) -> Iterator[Names]:
    yield "time_embed.0", "time_embedding.linear_1."
    yield "time_embed.2", "time_embedding.linear_2."
    yield "input_blocks.0.0", "conv_in."
    last = len(attention) - 1
    for level, attends in enumerate(attention):
        blocks, down = input_blocks(level, layers), f"down_blocks.{level}"
        for place, block in enumerate(blocks):
            yield from _block(f"input_blocks.{block}", down, place, attends)
        if level < last:
            yield from _under(f"input_blocks.{blocks.stop}.0", f"{down}.downsamplers.0", _RESNET)
    for step, attends in enumerate(reversed(attention)):
        up = f"up_blocks.{step}"
        for place in range(layers + 1):
            yield from _block(f"output_blocks.{step * (layers + 1) + place}", up, place, attends)
        if step < last:  # the level's last block also doubles the side
            name = f"output_blocks.{step * (layers + 1) + layers}.{1 + attends}"
            yield from _under(name, f"{up}.upsamplers.0", _RESNET)
    yield from _under("middle_block.0", "mid_block.resnets.0", _RESNET)
    yield from _under("middle_block.1", "mid_block.attentions.0", _ATTENTION)
    yield from _under("middle_block.2", "mid_block.resnets.1", _RESNET)
    yield "out.0", "conv_norm_out."
    yield "out.2", "conv_out."


def _block(name: str, target: str, place: int, attends: bool) -> Iterator[Names]:
    yield from _under(f"{name}.0", f"{target}.resnets.{place}", _RESNET)
    if attends:
        yield from _under(f"{name}.1", f"{target}.attentions.{place}", _ATTENTION)


def _under(name: str, target: str, inner: Sequence[Names]) -> Iterator[Names]:
    for own, *targets in inner:
        yield f"{name}.{own}", *(f"{target}.{one}" for one in targets)
