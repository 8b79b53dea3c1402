"""The CLIP of a small foundation, in open_clip's format, and its text encoder for a U-Net in transformers' one."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from pipeline.foundations import CLIP_CONFIG, CLIP_WEIGHTS
from pipeline.foundations.mini.steps import trained
from pipeline.jobs.checkpoint import Checkpoint
from pipeline.seeds import mixed_seed

AT_ONCE = 512
"""Pictures that are looked at together."""
HEAD_WIDTH = 16
TOKENS = 77
"""Tokens of a text, and words in the vocabulary, as in CLIP."""


def train(
    settings: Mapping[str, Any],
    pictures: torch.Tensor,
    labels: torch.Tensor,
    captions: Sequence[str],
    checkpoint: Checkpoint,
) -> open_clip.CLIP:
    """A CLIP of pictures, float32 [N, 3, H, W] in [-1, 1], and of the caption of each one's class, labels int64 [N].

    The loss is CLIP's (Radford et al. 2021) of each picture against every class's caption, and of each caption against the
    pictures of the batch, of which several may be right.
    """
    torch.manual_seed(mixed_seed(settings["seed"], 1))
    clip = open_clip.CLIP(**_shape(settings["clip"], pictures.shape[-1])).to(pictures.device)
    texts = SimpleTokenizer()(list(captions), TOKENS).to(pictures.device)

    def loss_of(rows: torch.Tensor) -> torch.Tensor:
        logits = (
            clip.logit_scale.exp()
            * clip.encode_image(pictures[rows], normalize=True)
            @ clip.encode_text(texts, normalize=True).T
        )
        right = functional.one_hot(labels[rows], len(texts)).float()
        there = right.sum(0) > 0
        of_texts = functional.cross_entropy(logits.T[there], functional.normalize(right.T[there], 1, dim=1))
        return (functional.cross_entropy(logits, labels[rows]) + of_texts) / 2

    return trained("CLIP", clip, loss_of, len(pictures), settings["clip"], settings["seed"], checkpoint)


@torch.inference_mode()
def classes(clip: open_clip.CLIP, pictures: torch.Tensor, captions: Sequence[str]) -> torch.Tensor:
    """The caption that is nearest to each picture, float32 [N, 3, H, W] in [-1, 1]: its position, int64 [N]."""
    texts = clip.encode_text(SimpleTokenizer()(list(captions), TOKENS).to(pictures.device), normalize=True)
    found = [clip.encode_image(part, normalize=True) @ texts.T for part in pictures.split(AT_ONCE)]
    return torch.cat(found).argmax(1)


def save(folder: Path, clip: open_clip.CLIP, settings: Mapping[str, Any], side: int) -> None:
    """Write `open_clip_config.json` and `open_clip_model.safetensors`; the tokenizer is open_clip's own."""
    look = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    config = {"model_cfg": _shape(settings, side), "preprocess_cfg": look}
    (folder / CLIP_CONFIG).write_text(json.dumps(config, indent=1), encoding="utf-8")
    weights = {name: tensor.contiguous().cpu() for name, tensor in clip.state_dict().items()}
    save_file(weights, folder / CLIP_WEIGHTS)


def tokenizer() -> CLIPTokenizer:
    """CLIP's tokenizer, with the vocabulary that comes with open_clip."""
    own = SimpleTokenizer()
    ends = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    words = {ends.get(word, word): place for word, place in own.encoder.items()}
    return CLIPTokenizer(words, sorted(own.bpe_ranks, key=own.bpe_ranks.get), model_max_length=TOKENS)


def text_encoder(clip: open_clip.CLIP, settings: Mapping[str, Any]) -> CLIPTextModel:
    """The CLIP's text encoder, with the same weights, as Stable Diffusion reads it."""
    own = clip.state_dict()
    shape = _shape(settings, 0)["text_cfg"]
    words, width = own["token_embedding.weight"].shape
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=words,
            hidden_size=width,
            intermediate_size=4 * width,
            projection_dim=width,
            num_hidden_layers=shape["layers"],
            num_attention_heads=shape["heads"],
            hidden_act="gelu",
            bos_token_id=words - 2,
            eos_token_id=words - 1,
            pad_token_id=words - 1,
        )
    )
    found = {
        "embeddings.token_embedding.weight": own["token_embedding.weight"],
        "embeddings.position_embedding.weight": own["positional_embedding"],
    }
    names = {
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "attn.out_proj": "self_attn.out_proj",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
    for kind in ("weight", "bias"):
        found[f"final_layer_norm.{kind}"] = own[f"ln_final.{kind}"]
        for layer in range(shape["layers"]):
            here, there = f"transformer.resblocks.{layer}", f"encoder.layers.{layer}"
            found |= {f"{there}.{new}.{kind}": own[f"{here}.{old}.{kind}"] for old, new in names.items()}
            parts = own[f"{here}.attn.in_proj_{kind}"].chunk(3)
            found |= {
                f"{there}.self_attn.{part}_proj.{kind}": tensor for part, tensor in zip("qkv", parts, strict=True)
            }
    encoder.load_state_dict(found, strict=True)
    return encoder.to(own["positional_embedding"].device).eval().requires_grad_(False)


def _shape(settings: Mapping[str, Any], side: int) -> dict[str, Any]:
    """open_clip's `model_cfg`."""
    width, words = settings["width"], len(SimpleTokenizer().encoder)
    text = {
        "context_length": TOKENS,
        "vocab_size": words,
        "width": width,
        "heads": width // HEAD_WIDTH,
        "layers": settings["text_layers"],
    }
    vision = {
        "image_size": side,
        "patch_size": max(1, side // settings["patches"]),
        "width": width,
        "head_width": HEAD_WIDTH,
        "layers": settings["vision_layers"],
    }
    return {"embed_dim": width, "vision_cfg": vision, "text_cfg": text}
