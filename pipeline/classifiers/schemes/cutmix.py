"""CutMix (Yun et al. 2019) of two batches; it is CMO (Park et al. 2022) if the second is drawn by inverse class size."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pipeline.classifiers.batch import Batch
from pipeline.classifiers.mixing import area_outside, pasted, random_box
from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import Loader, Scheme, TrainingData, first_loader, loss_of
from pipeline.errors import InputError


def build(settings: Mapping[str, Any], network: Network, data: TrainingData) -> Scheme:
    """share * L(y_1) + (1 - share) * L(y_2) of pictures with a box from the second batch.

    Each batch has one box, 1 - share ~ Beta(alpha, alpha) of the area. `cutmix_label` chooses the label weights: the area
    that remains after the border has clipped the box, as in the paper, or the share as drawn. `patch_sampler` draws the
    second batch. Batches are cut with `cutmix_probability`, but not in `uncut_epochs` at the start and at the end.
    Raises InputError if these are all epochs.
    """
    if sum(settings["uncut_epochs"]) >= settings["epochs"]:
        raise InputError(
            f"uncut_epochs {list(settings['uncut_epochs'])} leaves none of {settings['epochs']} epochs for CutMix; "
            "lower the numbers, or train longer"
        )
    return CutMix(settings, network, data)


class CutMix(Scheme):
    def __init__(self, settings: Mapping[str, Any], network: Network, data: TrainingData):
        super().__init__(network)
        self.loaders = [first_loader(settings), Loader(settings["patch_sampler"], [settings["augment"]], settings)]
        self.loss = loss_of(settings, data)
        self.settings = settings

    def forward(self, batches: list[Batch], epoch: int, random: np.random.Generator) -> torch.Tensor:
        first, second = batches
        settings, (at_start, at_end) = self.settings, self.settings["uncut_epochs"]
        if not at_start <= epoch < settings["epochs"] - at_end or random.random() >= settings["cutmix_probability"]:
            return self.loss(self.network(first.views[0]), first, epoch)
        height, width = first.views[0].shape[2:]
        share = random.beta(settings["mixing_alpha"], settings["mixing_alpha"])
        box = random_box(random, share, height, width)
        if settings["cutmix_label"] == "area":
            share = area_outside(box, height, width)
        logits = self.network(pasted(first.views[0], second.views[0], box))
        losses = (self.loss(logits, batch, epoch) for batch in batches)
        return share * next(losses) + (1 - share) * next(losses)
