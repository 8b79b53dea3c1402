"""Checkpoints with the names of GLIDE's tensors, so small that tests can run them, and the tokenizer's merges."""

import json
from pathlib import Path

import torch

from pipeline.foundations import glide

WIDTH, CONTEXT, MERGES = 128, 12, ("t h", "th e", "i n", "c a", "ca t", "Ġ a")
BASE = {"channels": (32, 64, 128), "attention": (False, True, True), "layers": 1, "in_channels": 3}
UPSAMPLER = {"channels": (32, 32, 64, 128), "attention": (False, False, True, True), "layers": 1, "in_channels": 6}
SIDES = {"unet": 8, "upsampler_unet": 16}
"""Sides of the pictures of `small`, in pixels."""


def shapes(channels, attention, layers, in_channels, width=WIDTH, context=CONTEXT, vocabulary=263, text_layers=2):
    """Name -> shape of every tensor of a checkpoint, written down from the original networks' tables."""
    found: dict[str, tuple[int, ...]] = {}
    time = 4 * channels[0]

    def add(name, *shape):
        found[f"{name}.weight"], found[f"{name}.bias"] = shape, shape[:1]

    def residual(name, before, after):
        add(f"{name}.in_layers.0", before)
        add(f"{name}.in_layers.2", after, before, 3, 3)
        add(f"{name}.emb_layers.1", 2 * after, time)
        add(f"{name}.out_layers.0", after)
        add(f"{name}.out_layers.3", after, after, 3, 3)
        if before != after:
            add(f"{name}.skip_connection", after, before, 1, 1)

    def attends(name, size):
        add(f"{name}.norm", size)
        add(f"{name}.qkv", 3 * size, size, 1)
        add(f"{name}.encoder_kv", 2 * size, width, 1)
        add(f"{name}.proj_out", size, size, 1)

    found["positional_embedding"] = found["padding_embedding"] = (context, width)
    add("time_embed.0", time, channels[0])
    add("time_embed.2", time, time)
    add("input_blocks.0.0", channels[0], in_channels, 3, 3)
    skips, size = [channels[0]], channels[0]
    for level, after in enumerate(channels):
        for _ in range(layers):
            residual(f"input_blocks.{len(skips)}.0", size, after)
            if attention[level]:
                attends(f"input_blocks.{len(skips)}.1", after)
            size = after
            skips.append(size)
        if level < len(channels) - 1:
            residual(f"input_blocks.{len(skips)}.0", size, size)
            skips.append(size)
    residual("middle_block.0", size, size)
    attends("middle_block.1", size)
    residual("middle_block.2", size, size)
    block = 0
    for level in reversed(range(len(channels))):
        for place in range(layers + 1):
            residual(f"output_blocks.{block}.0", size + skips.pop(), channels[level])
            size = channels[level]
            if attention[level]:
                attends(f"output_blocks.{block}.1", size)
            if level and place == layers:
                residual(f"output_blocks.{block}.{2 if attention[level] else 1}", size, size)
            block += 1
    add("out.0", size)
    add("out.2", 6, size, 3, 3)
    for layer in range(text_layers):
        name = f"transformer.resblocks.{layer}"
        add(f"{name}.attn.c_qkv", 3 * width, width)
        add(f"{name}.attn.c_proj", width, width)
        add(f"{name}.ln_1", width)
        add(f"{name}.mlp.c_fc", 4 * width, width)
        add(f"{name}.mlp.c_proj", width, 4 * width)
        add(f"{name}.ln_2", width)
    add("final_ln", width)
    found["token_embedding.weight"] = (vocabulary, width)
    add("transformer_proj", time, width)
    return found


def checkpoint(sizes, seed=0, **more):
    """Random tensors of these shapes, float32, also where GLIDE's training begins with zeros."""
    torch.manual_seed(seed)
    found = {}
    for name, shape in shapes(**sizes, **more).items():
        if name.endswith("bias") or "embedding" in name:
            found[name] = 0.2 * torch.randn(shape)
        elif len(shape) == 1:
            found[name] = 1 + 0.2 * torch.randn(shape)
        else:
            found[name] = torch.randn(shape) / torch.tensor(shape[1:]).prod() ** 0.5
    return found


def originals(folder: Path, seed: int = 0) -> dict[str, str]:
    """Files as GLIDE's authors published them, in `folder`; key of the foundation -> path."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint(BASE, seed), folder / "base.pt")
    torch.save(checkpoint(UPSAMPLER, seed + 1), folder / "upsample.pt")
    (folder / "vocab.bpe").write_text("\n".join(["#version: 0.2", *MERGES, ""]), encoding="utf-8")
    names = {"base": "base.pt", "upsampler": "upsample.pt", "vocabulary": "vocab.bpe"}
    return {key: str(folder / name) for key, name in names.items()}


def small(folder: Path, seed: int = 0) -> Path:
    """A converted model in `folder` that draws pictures of SIDES."""
    glide.make(originals(folder / "originals", seed), {}, folder / "files", None)
    for name, side in SIDES.items():
        path = folder / "files" / name / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"sample_size": side}))
    return folder / "files"
