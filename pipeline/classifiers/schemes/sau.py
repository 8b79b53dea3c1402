"""SAU: a "synthetic-unaware" branch of mixed pictures beside a "synthetic-aware", contrastive one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pipeline.classifiers.batch import Batch
from pipeline.classifiers.contrastive import detected_noise, prototypes, supervised_contrastive
from pipeline.classifiers.mixing import Box, area_outside, mixed_up, pasted
from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import Loader, Scheme, TrainingData
from pipeline.classifiers.views_norm import in_one_pass
from pipeline.errors import InputError

PROJECTED = 128
"""Size of a projected vector."""


def build(settings: Mapping[str, Any], network: Network, data: TrainingData) -> Scheme:
    """L = lambda L_MixUp + beta L_CutMix + gamma L_SC (SAU, Eq. 14), after Algorithm 1.

    MixUp and CutMix pair the first views of two batches with separate shuffles; each has its own share ~ Beta(1, 1).
    The contrast is between the second and third views of the first batch and two sets of prototypes. Before each epoch,
    prototypes are computed in evaluation mode from the same views of the subset's real training pictures. Terms of weight
    0 are not computed, nor views that only they need. Raises InputError if there are no generated pictures.
    """
    if not data.generated_pictures:
        raise InputError("scheme sau needs generated pictures, but none was selected; loosen the filter's keep")
    return Sau(settings, network, data)


class Sau(Scheme):
    def __init__(self, settings: Mapping[str, Any], network: Network, data: TrainingData):
        super().__init__(network)
        self.settings, self.data = settings, data
        self.contrasts = settings["contrastive_weight"] > 0
        contrasted = [settings["augment_2"], settings["augment_3"]] if self.contrasts else []
        self.loaders = [
            Loader({"kind": "instance"}, [settings["augment"], *contrasted], settings),
            Loader({"kind": "instance"}, [settings["augment"]], settings),
        ]
        if self.contrasts:
            self.projection = _projection(network)
            # a buffer, because a run that continues within an epoch needs the prototypes of the epoch's start
            self.register_buffer("prototypes", torch.zeros(2, network.description["classes"], PROJECTED))

    @torch.no_grad()
    def start_epoch(self, epoch: int) -> None:
        if not self.contrasts:
            return
        self.eval()
        nothing = self.prototypes[0, :0]  # for a process without pictures
        vectors, labels = ([nothing], [nothing]), [torch.zeros(0, dtype=torch.int64, device=nothing.device)]
        for batch in self.data.once("train", epoch, self.loaders[0].views[1:]):
            for found, view in zip(vectors, batch.views, strict=True):
                found.append(self._projected([self.network.features(view)])[0])
            labels.append(batch.labels)
        classes = self.network.description["classes"]
        normalised = self.settings["normalised_prototypes"]
        self.prototypes = torch.stack(
            [
                prototypes(torch.cat(found), torch.cat(labels), classes, normalised, self.data.processes.sum)
                for found in vectors
            ]
        )
        self.train()

    def forward(self, batches: list[Batch], epoch: int, random: np.random.Generator) -> torch.Tensor:
        first, second = batches
        settings = self.settings
        mixtures = []
        height, width = first.views[0].shape[2:]
        if settings["mixup_weight"]:
            share = random.beta(1, 1)
            mixtures.append((settings["mixup_weight"], mixed_up(first.views[0], second.views[0], share), share))
        if settings["cutmix_weight"]:
            share = random.beta(1, 1)
            box = sau_box(random, share, height, width)
            if settings["cutmix_label"] == "area":
                share = area_outside(box, height, width)
            mixtures.append((settings["cutmix_weight"], pasted(first.views[0], second.views[0], box), share))
        pictures = [mixture for _, mixture, _ in mixtures] + first.views[1:]
        features = in_one_pass(self.network.backbone, [self.network.normalised(view) for view in pictures])
        loss = torch.zeros((), device=first.labels.device)
        for (weight, _, share), found in zip(mixtures, features, strict=False):
            logits = self.network.head(found).float()
            one, other = (functional.cross_entropy(logits, batch.labels) for batch in batches)
            loss = loss + weight * (share * one + (1 - share) * other)
        if self.contrasts:
            views = self._projected(features[len(mixtures) :])
            loss = loss + settings["contrastive_weight"] * self._contrast(views, first)
        return loss

    def _contrast(self, views: list[torch.Tensor], batch: Batch) -> torch.Tensor:
        """The contrastive loss of the whole batch, in each process that shares it."""
        settings, together = self.settings, self.data.processes.together
        views = together(torch.stack(views, 1)).unbind(1)
        labels, generated = together(torch.stack([batch.labels, batch.generated.long()], 1)).unbind(1)
        noise = detected_noise(views, labels, generated.bool(), self.prototypes, settings["neighbours"])
        classes = torch.arange(len(self.prototypes[0]), device=labels.device)
        never = torch.zeros(2 * len(classes), dtype=torch.bool, device=labels.device)
        pictures = torch.arange(len(labels), device=labels.device)
        return supervised_contrastive(
            torch.cat([*views, *self.prototypes]),
            torch.cat([labels, labels, classes, classes]),
            torch.cat([noise, noise, never]),
            torch.cat([pictures, pictures, classes, classes]),
            settings["noise_strategy"],
            settings["contrastive_temperature"],
        )

    def _projected(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        return [functional.normalize(found.float()) for found in in_one_pass(self.projection, features)]


def sau_box(random: np.random.Generator, share: float, height: int, width: int) -> Box:
    """The box of SAU's Eq. 6: centre not rounded, sides sqrt(1 - share) of the picture's; clipped, then rounded."""
    cut = np.sqrt(1 - share)
    found: list[int] = []
    for side in (height, width):
        centre = random.uniform(0, side)
        found += [round(max(centre - side * cut / 2, 0)), round(min(centre + side * cut / 2, side))]
    return tuple(found)


def _projection(network: Network) -> nn.Module:
    """Two hidden layers of 2,048 with batch norm and ReLU, and an output of 128 numbers (SAU Sec. 4.1)."""
    return nn.Sequential(
        network.linear(network.backbone.feature_size, 2048), nn.BatchNorm1d(2048), nn.ReLU(),
        network.linear(2048, 2048), nn.BatchNorm1d(2048), nn.ReLU(),
        network.linear(2048, PROJECTED),
    )  # fmt: skip
