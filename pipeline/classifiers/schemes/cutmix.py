"""CutMix (Yun et al. 2019) of two batches; with the second drawn by inverse class size it is CMO (Park et al. 2022)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pipeline.classifiers.mixing import area_outside, pasted, random_box
from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import Batch, Facts, Loader, Scheme, first_loader, loss_of
from pipeline.errors import InputError


def build(settings: Mapping[str, Any], network: Network, facts: Facts) -> Scheme:
    """share * L(y_1) + (1 - share) * L(y_2) of pictures of which a box comes from the second batch.

    One box a batch, of 1 - share ~ Beta(alpha, alpha) of the area. `cutmix_label` says what weighs the labels: the area
    that is left after the border has clipped the box, as the paper, or the share as it was drawn. `patch_sampler` draws the
    second batch. Batches are cut with `cutmix_probability`, and not in `uncut_epochs` at the start and at the end.
    Raises InputError where these are all.
    """
    if sum(settings["uncut_epochs"]) >= settings["epochs"]:
        raise InputError(
            f"uncut_epochs is {list(settings['uncut_epochs'])}, which leaves none of {settings['epochs']} epochs to cut; "
            "lower them, or train longer"
        )
    return CutMix(settings, network, facts)


class CutMix(Scheme):
    def __init__(self, settings: Mapping[str, Any], network: Network, facts: Facts):
        super().__init__(network)
        self.loaders = [first_loader(settings), Loader(settings["patch_sampler"], [settings["augment"]], settings)]
        self.loss = loss_of(settings, facts)
        self.settings = settings

    def forward(self, batches: list[Batch], epoch: int, random: np.random.Generator) -> torch.Tensor:
        first, second = batches
        settings, (at_start, at_end) = self.settings, self.settings["uncut_epochs"]
        if not at_start <= epoch < settings["epochs"] - at_end or random.random() >= settings["cutmix_probability"]:
            return self.loss(self.network(first.views[0]), first.labels, first.generated, epoch)
        height, width = first.views[0].shape[2:]
        share = random.beta(settings["mixing_alpha"], settings["mixing_alpha"])
        box = random_box(random, share, height, width)
        if settings["cutmix_label"] == "area":
            share = area_outside(box, height, width)
        logits = self.network(pasted(first.views[0], second.views[0], box))
        losses = (self.loss(logits, batch.labels, batch.generated, epoch) for batch in batches)
        return share * next(losses) + (1 - share) * next(losses)
