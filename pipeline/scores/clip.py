"""Scores of generated pictures under CLIP: the probability of the class among the classes' names (He et al. 2023)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipeline.artifacts import shards
from pipeline.data.classes import class_names
from pipeline.data.readable import readable
from pipeline.errors import InputError
from pipeline.foundations import clip
from pipeline.foundations.table import folder_of
from pipeline.jobs.device import device
from pipeline.jobs.inputs import Inputs, only
from pipeline.jobs.progress import progress

AT_ONCE = 256
"""Pictures that are looked at together."""


@torch.inference_mode()
def scores(
    inputs: Inputs, settings: Mapping[str, Any], manifest: Path, index: Path, first: int
) -> Iterator[np.ndarray]:
    """Score a shard's pictures from row `first` of its index on, in pieces: float64 [pictures, columns].

    inputs: the table of the `foundation`. settings: `template` with {class}; `columns`, of which there are two. clip is the
    class's probability, the softmax of CLIP's scaled similarities of the picture to the templates of all C classes;
    clip_times_classes is C times that, so 1 is chance.
    """
    target, rows = device(), shards.read_table(index)[first:]
    names = class_names(shards.read_table(manifest, ["class", "class_name"]))
    loaded = clip.load(folder_of(only(inputs, "foundation")))
    model = loaded.model.to(target)
    texts = loaded.tokenize([settings["template"].format(**{"class": readable(name)}) for name in names])
    classes = model.encode_text(texts.to(target), normalize=True)
    for start in progress(range(0, len(rows), AT_ONCE), "scoring", -(-len(rows) // AT_ONCE), unit="batch"):
        piece = rows[start : start + AT_ONCE]
        pictures = [loaded.preprocess(Image.fromarray(one)) for one in shards.read_pictures(piece, index.parent)]
        seen = model.encode_image(torch.stack(pictures).to(target), normalize=True)
        logits = model.logit_scale.exp() * seen @ classes.T
        if getattr(model, "logit_bias", None) is not None:
            logits = logits + model.logit_bias
        labels = torch.tensor(piece["class"].tolist(), device=target)
        own = logits.double().softmax(1).gather(1, labels[:, None])[:, 0].cpu().numpy()
        if not np.isfinite(own).all():
            raise InputError(
                f"CLIP gives {index} scores that are not finite numbers; its weights are damaged: get the model again"
            )
        columns = {"clip": own, "clip_times_classes": own * len(names)}
        yield np.stack([columns[name] for name in settings["columns"]], axis=1)
