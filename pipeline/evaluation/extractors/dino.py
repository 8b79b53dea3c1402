"""Features of pictures under DINO or DINOv2 (Caron et al. 2021; Oquab et al. 2024), from the files that their authors published."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import timm
import torch
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torchvision.transforms.v2 import functional

from pipeline.artifacts import shards
from pipeline.artifacts.weights import fitting, read_weights, require_numbers
from pipeline.classifiers.input.reader import to_batch
from pipeline.errors import InputError
from pipeline.evaluation.extractors import Extractor
from pipeline.jobs.inputs import Inputs

SIDE = 224
HEAD_WIDTH = 64
AT_ONCE = 64
WANTED = "a vision transformer of DINO or DINOv2, dinov2_vitb14_pretrain.pth for example, as dino_weights"


def load(settings: Mapping[str, Any], inputs: Inputs, side: int | None, device: torch.device) -> Extractor:
    """Load the transformer of the file settings["weights"], whose size its tensors tell.

    Features are those of the class token, float32 [N, width]; there are no logits. Real pictures are resized to the pool's
    side first; then all are resized to 224 px, bicubic. Raises InputError if the file is missing, or of another network.
    """
    path = Path(settings["weights"])
    weights = read_weights(path, WANTED)
    network = _network(path, weights).to(device).eval()
    require_numbers(path, network)
    mean, std = timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD

    @torch.inference_mode()
    def extract(table: pd.DataFrame, folder: Path) -> tuple[torch.Tensor, None]:
        pictures = to_batch(shards.read_pictures(table, folder, side), device)
        found = []
        for batch in pictures.split(AT_ONCE):
            resized = functional.resize(batch.float() / 255, [SIDE, SIDE], functional.InterpolationMode.BICUBIC)
            found.append(network(functional.normalize(resized, list(mean), list(std))))
        return torch.cat(found).cpu(), None

    return extract


def _network(path: Path, weights: dict[str, torch.Tensor]) -> VisionTransformer:
    try:
        return _of_shape(path, weights)
    except (KeyError, ValueError, IndexError, TypeError, AssertionError, AttributeError, ZeroDivisionError):
        raise InputError(f"{path} holds the weights of another network; give {WANTED}") from None


def _of_shape(path: Path, weights: dict[str, torch.Tensor]) -> VisionTransformer:
    width, _, patch, _ = weights["patch_embed.proj.weight"].shape
    hidden = len(weights["blocks.0.mlp.fc1.weight"])
    depth = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    registers = weights["register_tokens"].shape[1] if "register_tokens" in weights else 0
    network = VisionTransformer(
        img_size=SIDE,
        patch_size=patch,
        num_classes=0,
        embed_dim=width,
        depth=depth,
        num_heads=width // HEAD_WIDTH,
        mlp_ratio=hidden / width,
        init_values=1.0 if "blocks.0.ls1.gamma" in weights else None,
        reg_tokens=registers,
        no_embed_class=registers > 0,
        weight_init="skip",
    )
    with fitting(path):
        network.load_state_dict(checkpoint_filter_fn(weights, network))
    return network
