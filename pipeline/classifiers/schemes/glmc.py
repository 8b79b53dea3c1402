"""GLMC, global and local mixture consistency (Du et al. 2023), as in its public code."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from pipeline.classifiers.batch import Batch
from pipeline.classifiers.class_weights import Weights
from pipeline.classifiers.mixing import mixed_up, pasted, random_box
from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import Loader, Scheme, TrainingData
from pipeline.classifiers.views_norm import in_one_pass


def build(settings: Mapping[str, Any], network: Network, data: TrainingData) -> Scheme:
    """Loss of two augmented views of two batches: MixUp of the first views, CutMix of the second views.

    One share ~ Beta(alpha, alpha) per batch is used for both, and weights the labels of both. The second batch is drawn
    with probability n^-q. With e of E epochs and a = 1 - (e / E)^2, the loss is a sum of

        a times the cross-entropy of a plain head,
        1 - a times that of a second head, with labels weighted by n^-k,
        `consistency_weight` times the negative cosine between a prediction from one mixture and a projection of the other.

    The trained classifier has the second head.
    """
    return Glmc(settings, network, data)


class Glmc(Scheme):
    def __init__(self, settings: Mapping[str, Any], network: Network, data: TrainingData):
        super().__init__(network)
        views = [settings["augment"]] * 2
        self.loaders = [
            Loader({"kind": "instance"}, views, settings),
            Loader({"kind": "power", "power": settings["sampler_power"]}, views, settings),
        ]
        size, projected = network.backbone.feature_size, settings["projection_size"]
        self.plain_head = network.linear(size, network.description["classes"])
        self.projector, self.predictor = network.linear(size, projected), network.linear(projected, projected)
        self.class_weights = Weights(
            {
                "class_weights": {"kind": "inverse_power", "power": settings["class_weights_power"], "start": 0},
                "epochs": settings["epochs"],
            },
            data.counts,
        )
        self.settings = settings

    def forward(self, batches: list[Batch], epoch: int, random: np.random.Generator) -> torch.Tensor:
        first, second = batches
        settings = self.settings
        height, width = first.views[0].shape[2:]
        share = random.beta(settings["mixing_alpha"], settings["mixing_alpha"])
        mixtures = [
            mixed_up(first.views[0], second.views[0], share),
            pasted(first.views[1], second.views[1], random_box(random, share, height, width, rounded=math.ceil)),
        ]
        features = in_one_pass(self.network.backbone, [self.network.normalised(mixture) for mixture in mixtures])
        weights = self.class_weights(epoch)
        one, other = (functional.one_hot(batch.labels, len(weights)) for batch in batches)
        targets = share * one + (1 - share) * other
        # for soft labels, torch divides by the batch size and not by their sum, so the weights take effect
        plain = sum(functional.cross_entropy(self.plain_head(found).float(), targets) for found in features)
        balanced = sum(
            functional.cross_entropy(self.network.head(found).float(), targets * weights) for found in features
        )
        projected = [self.projector(found) for found in features]
        predicted = [self.predictor(found) for found in projected]
        consistency = -sum(
            functional.cosine_similarity(one.float(), other.detach().float()).mean()
            for one, other in zip(predicted, reversed(projected), strict=True)
        )
        alpha = 1 - (epoch / settings["epochs"]) ** 2
        return alpha * plain + (1 - alpha) * balanced + settings["consistency_weight"] * consistency
