"""The second stage of balanced meta-softmax, BALMS (Ren et al. 2020): a fresh head, and a sampler that learns which classes it needs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.func import functional_call
from torch.nn import functional
from torch.optim.adam import adam

from pipeline.classifiers.batch import Batch
from pipeline.classifiers.losses import require_pictures
from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import Scheme, TrainingData, first_loader


def build(settings: Mapping[str, Any], network: Network, data: TrainingData) -> Scheme:
    """Train a fresh linear head with balanced softmax on batches of the learned sampler; the backbone's weights stay.

    A picture of class c is drawn with probability proportional to sigmoid(r_c). At first, sigmoid(r_c) is proportional to n_c^-q, q =
    settings["meta_power"], with the lowest and the highest one adding up to 1, of int64 counts n of all training pictures. In each step,
    the head after one look ahead is judged by its plain cross-entropy on a batch of the settings' data sampler, and Adam lowers that by r,
    through the straight-through Gumbel-softmax of the drawn classes. Then the head takes its step on the same pictures.

    As the public code, but that this draws classes, and then pictures of the class; public code draws among all pictures, by the same
    probabilities, and its Gumbel-softmax has as many columns. Raises InputError if a class has no picture.
    """
    return MetaSampler(settings, network, data)


class MetaSampler(Scheme):
    def __init__(self, settings: Mapping[str, Any], network: Network, data: TrainingData):
        super().__init__(network)
        require_pictures(data.counts, "the scheme meta_sampler")
        network.backbone.requires_grad_(False)
        network.head = network.linear(network.backbone.feature_size, network.description["classes"])
        self.settings, self.pictures = settings, data.by_class()
        self.loaders = [first_loader(settings)]
        self.register_buffer("shifts", data.counts.double().log().float(), persistent=False)
        rates = self.pictures.counts.clamp(min=1).double() ** -settings["meta_power"]
        self.register_buffer("rates", torch.logit(rates / (rates.min() + rates.max())).float())
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("moments", torch.zeros(2, len(rates)))

    def trained_by(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    def forward(self, batches: list[Batch], epoch: int, random: np.random.Generator) -> torch.Tensor:
        (judging,) = batches
        rates = self.rates.clone().requires_grad_()
        batch, chosen = self._drawn(rates, len(judging.labels), random)
        features = self.network.features(batch.views[0])
        logits = self.network.head(features).float() + self.shifts
        losses = functional.cross_entropy(logits, batch.labels, reduction="none")
        ahead = self._ahead((chosen * losses).mean())
        judged = functional_call(self.network.head, ahead, self.network.features(judging.views[0]))
        loss = functional.cross_entropy(judged.float(), judging.labels)
        (gradient,) = torch.autograd.grad(loss, rates, retain_graph=True)
        self._learn(gradient)
        return losses.mean()

    def _drawn(self, rates: torch.Tensor, count: int, random: np.random.Generator) -> tuple[Batch, torch.Tensor]:
        """Pictures of drawn classes, and 1 for each, float32 [count], with the gradient of the Gumbel-softmax at its class."""
        counts = self.pictures.counts
        noise = torch.from_numpy(random.gumbel(size=(count, len(counts)))).to(rates)
        soft = (functional.logsigmoid(rates) + counts.to(rates).log() + noise).softmax(1)
        classes = soft.argmax(1).cpu()
        places = (torch.from_numpy(random.random(count)) * counts[classes]).long()
        batch = self.pictures.batch(classes, places, self.loaders[0].views, int(self.steps))
        own = soft.gather(1, batch.labels[:, None])[:, 0]
        return batch, own - own.detach() + 1

    def _ahead(self, loss: torch.Tensor) -> dict[str, torch.Tensor]:
        """The head's weights after the optimizer's step on the loss, by name, with their gradient."""
        (group,) = self.optimizer.param_groups
        named = dict(self.network.head.named_parameters())
        found = {}
        gradients = torch.autograd.grad(loss, list(named.values()), create_graph=True)
        for (name, weight), gradient in zip(named.items(), gradients, strict=True):
            velocity = self.optimizer.state[weight].get("momentum_buffer", torch.zeros_like(weight))
            step = gradient + group["weight_decay"] * weight + group["momentum"] * velocity
            found[name] = weight - group["lr"] * step
        return found

    @torch.no_grad()
    def _learn(self, gradient: torch.Tensor) -> None:
        mean, square = self.moments
        adam(
            *([self.rates], [gradient], [mean], [square], [], [self.steps]),
            amsgrad=False, beta1=0.9, beta2=0.999, lr=self.settings["meta_learning_rate"], weight_decay=0.0, eps=1e-8, maximize=False,
        )  # fmt: skip
