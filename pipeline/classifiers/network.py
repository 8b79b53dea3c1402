"""A classifier in memory and on disk; its weight file describes the network."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from pipeline.artifacts.atomic import replacing
from pipeline.classifiers import AT_ONCE, backbones
from pipeline.classifiers.input.reader import Pictures
from pipeline.errors import InputError
from pipeline.jobs.progress import progress


def build(settings: Mapping[str, Any], classes: int) -> "Network":
    """Build a fresh network from a classifier's settings."""
    head = {key: settings[key] for key in ("head", "head_scale") if key in settings}
    return Network(
        settings["backbone"],
        settings["width"],
        classes,
        settings["mean"],
        settings["std"],
        settings["side"],
        **head,
    )


class Network(nn.Module):
    """A classifier: normalised pictures, a backbone that gives features, and a head.

    The head is `linear`, or `cosine`: `head_scale` times the cosine between features and weights, without bias.
    The backbone `clip` has more settings, `clip`, and `weights` to start from.
    """

    def __init__(
        self,
        backbone: str,
        width: int,
        classes: int,
        mean: list[float],
        std: list[float],
        side: int | None = None,
        head: str = "linear",
        head_scale: float = 30.0,
        clip: Mapping[str, Any] | None = None,
        weights: Mapping[str, torch.Tensor] | None = None,
    ):
        super().__init__()
        self.description = {
            "backbone": backbone,
            "width": width,
            "classes": classes,
            "mean": mean,
            "std": std,
            "side": side,
            "head": head,
            "head_scale": head_scale,
        } | ({"clip": clip} if clip else {})
        self.side = side  # of the training pictures, in pixels; None: as stored
        self.backbone = backbones.build(backbone, width, **(clip | {"weights": weights} if clip else {}))
        size = self.backbone.feature_size
        self.head = CosineHead(size, classes, head_scale) if head == "cosine" else self.linear(size, classes)
        self.register_buffer("_mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)  # on a CPU too: 1.3 times as fast for resnet32

    def normalised(self, pictures: torch.Tensor) -> torch.Tensor:
        """The backbone's input, float, from pictures [N, 3, H, W], uint8 or float with levels of 0 to 255."""
        return (pictures.float() / 255 - self._mean) / self._std

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """Features before the head, float [N, F], of pictures [N, 3, H, W] with levels of 0 to 255."""
        return self.backbone(self.normalised(pictures))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits, float [N, classes], of pictures [N, 3, H, W] with levels of 0 to 255."""
        return self.head(self.features(pictures))

    def linear(self, inputs: int, outputs: int) -> nn.Linear:
        """A fresh linear layer with bias for use after the backbone, initialised as in public code of that backbone.

        Kaiming-normal for the CIFAR networks (LDAM-DRW, GLMC, SAU), torch's default for torchvision's networks
        (classifier-balancing, CMO, GLMC, SAU).
        """
        layer = nn.Linear(inputs, outputs)
        if self.backbone.kaiming_linear:
            nn.init.kaiming_normal_(layer.weight)
        return layer

    @torch.inference_mode()
    def predict(
        self,
        pictures: torch.Tensor | Pictures,
        batch_size: int = AT_ONCE,
        label: str | None = None,
        rows: slice = slice(None),
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Predict (features, logits), float32 on the CPU, in evaluation mode and without augmentation.

        pictures: uint8 [N, 3, H, W] or a reader; only `rows` of them are read. A `label` shows progress under that name.
        Batches have a fixed shape, the last one padded, so that a picture's numbers do not depend on its neighbours.
        """
        was_training = self.training
        self.eval()
        features, logits = [], []
        wanted = torch.arange(len(pictures))[rows]
        orders = wanted.split(batch_size) if len(wanted) else ()
        if isinstance(pictures, torch.Tensor):
            batches = (pictures[order] for order in orders)
        else:
            batches = (view for (view,) in pictures.batches(orders))
        for batch in progress(batches, label, len(orders), unit="batch") if label else batches:
            padded = torch.cat([batch, batch[-1:].expand(batch_size - len(batch), *batch.shape[1:])])
            found = self.features(padded)
            features.append(found[: len(batch)].cpu())
            logits.append(self.head(found)[: len(batch)].cpu())
        self.train(was_training)
        if not features:
            return torch.zeros(0, self.backbone.feature_size), torch.zeros(0, self.description["classes"])
        return torch.cat(features), torch.cat(logits)


class CosineHead(nn.Module):
    """scale * cos(features, weight of the class): the normalised linear layer of LDAM (Cao et al. 2019)."""

    def __init__(self, features: int, classes: int, scale: float):
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(functional.normalize(torch.empty(classes, features).uniform_(-1, 1)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        with torch.autocast(features.device.type, enabled=False):  # at scale 30, bfloat16 would have steps of about 0.1
            unit = functional.normalize(features.float())
            return self.scale * functional.linear(unit, functional.normalize(self.weight))


def save(network: Network, path: Path, outcome: Mapping[str, Any]) -> None:
    """Write the weights, with the network's description and the `outcome` of its training in the file's header."""
    # one entry, because safetensors writes several in random order, and the same training must give the same bytes
    header = {"classifier": json.dumps({"network": network.description, "facts": dict(outcome)})}
    with replacing(path) as part:
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, part, header)


def load(path: Path, device: torch.device) -> Network:
    """Load a network that `save` wrote, in evaluation mode. Raises InputError if the file is missing or damaged."""
    try:
        if path.suffix != ".safetensors":
            raise _NoClassifier
        with safe_open(path, "pt", device=str(device)) as file:
            network = Network(**_header(file)["network"]).to(device)
            network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except _NoClassifier:
        raise InputError(
            f"{path} is no classifier; give a weights.safetensors of results/<dataset>/classifier"
        ) from None
    except Exception as error:  # safetensors raises a different exception for each kind of damage
        raise InputError(f"{path} is damaged ({error}); say `make repair`") from None
    return network.eval()


def start_from(network: Network, path: Path) -> None:
    """Copy the weights of another network of the same shape; those of the head only if it is of the same kind.

    Raises InputError if they do not fit.
    """
    first = load(path, torch.device("cpu"))
    one, other = first.description, network.description
    differ = [key for key in ("backbone", "width", "classes", "clip") if one.get(key) != other.get(key)]
    if differ:
        said = ", ".join(f"{key} {one.get(key)} instead of {other.get(key)}" for key in differ)
        raise InputError(f"{path} is of another network: {said}; `init` must name a classifier of the same backbone")
    network.backbone.load_state_dict(first.backbone.state_dict())
    if first.description["head"] == network.description["head"]:
        network.head.load_state_dict(first.head.state_dict())


def outcome(path: Path) -> dict[str, Any]:
    """The network's description and the outcome of its training, as given to `save`."""
    with safe_open(path, "pt") as file:
        return _header(file)["network"] | _header(file)["facts"]


def label(outcome: Mapping[str, Any]) -> str:
    """A network's name for tables, and what of a foundation's weights or of torchvision's it started from."""
    named = f"{outcome['backbone']}, width {outcome['width']}"
    if "clip" in outcome:
        return f"{named}, pretrained, {outcome['clip']['tuning']} trained"
    return named + (", pretrained" if outcome.get("settings", {}).get("pretrained") else "")


class _NoClassifier(ValueError):
    """Weights of something else."""


def _header(file) -> dict[str, Any]:
    about = file.metadata() or {}
    if "classifier" not in about:
        raise _NoClassifier
    return json.loads(about["classifier"])
