"""A small text-to-image model and a small CLIP, trained on the spot on real pictures, in the formats of large ones.

It stands in where no pretrained model can be had. Its pictures come from the pictures that it has seen, so what is made with it
uses pictures that a long-tailed training does not have.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pipeline.artifacts import shards
from pipeline.artifacts.atomic import replacing_files
from pipeline.data.classes import class_names
from pipeline.data.readable import readable
from pipeline.errors import InputError
from pipeline.foundations.mini import latent, look, unet
from pipeline.foundations.mini.stable_diffusion import save
from pipeline.jobs.checkpoint import Checkpoint
from pipeline.jobs.device import device
from pipeline.jobs.inputs import Inputs, only


def make(
    settings: Mapping[str, Any], inputs: Inputs, folder: Path, checkpoint: Callable[[str], Checkpoint]
) -> tuple[Path, dict[str, Any]]:
    """Train on the pictures that the data set's long tail left out, and save in `folder`.

    A VAE, a CLIP and a U-Net are trained one after the other; the captions are the classes' names in a template. `folder` gets a
    model in diffusers' format, and a CLIP in open_clip's. The second value has `zero_shot_top1`, the share in percent of the test
    pictures whose class has the caption that CLIP finds nearest. Continues from the checkpoints; the same settings give the same weights
    on a CPU, continued or not. Raises InputError if the long tail left nothing out, or its pictures do not fit the networks.
    """
    path = only(inputs, "manifest")
    manifest = shards.read_table(path, [*shards.PICTURE, "class_name", "split"])
    rest, names = manifest[manifest["split"] == "rest"], class_names(manifest)
    if len(rest) < max(settings[part]["batch_size"] for part in ("vae", "clip", "unet")):
        raise InputError(
            f"{path} has {len(rest)} pictures that the long tail left out, which is less than a batch; keep them with "
            "`rest: true` in the data set, or name another data set"
        )
    target = device()
    pictures, labels = _read(rest, path.parent, settings["side"], target)
    if lacking := [str(name) for label, name in enumerate(names) if label not in set(rest["class"])]:
        print(
            f"no picture was left out of {', '.join(lacking)}, so the model never sees them; see `largest_class`",
            flush=True,
        )
    captions = [settings["caption"].format(**{"class": readable(name)}) for name in names]

    vae = latent.train(settings, pictures, checkpoint("vae"))
    clip = look.train(settings, pictures, labels, captions, checkpoint("clip"))
    text = look.text_encoder(clip, settings["clip"])
    trained = unet.train(settings, latent.encoded(vae, pictures), labels, text, captions, checkpoint("unet"))
    with replacing_files(folder) as part:
        save(part, vae, text, trained)
        look.save(part, clip, settings["clip"], pictures.shape[-1])
    test, classes = _read(manifest[manifest["split"] == "test"], path.parent, settings["side"], target)
    return folder, {"zero_shot_top1": 100 * (look.classes(clip, test, captions) == classes).double().mean().item()}


def _read(
    rows: pd.DataFrame, folder: Path, side: int | None, target: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures, float32 [N, 3, H, W] in [-1, 1], and their classes, int64 [N]."""
    pictures = torch.from_numpy(shards.read_pictures(rows, folder, side)).to(target)
    labels = torch.from_numpy(rows["class"].to_numpy("int64", copy=True)).to(target)
    return pictures.permute(0, 3, 1, 2).float().contiguous() / 127.5 - 1, labels
