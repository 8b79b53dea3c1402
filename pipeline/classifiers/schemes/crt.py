"""Classifier re-training, cRT (Kang et al. 2020): a second stage that learns a fresh head on a frozen backbone."""

from collections.abc import Mapping
from typing import Any

from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import Scheme, TrainingData
from pipeline.classifiers.schemes.plain import Plain


def build(settings: Mapping[str, Any], network: Network, data: TrainingData) -> Scheme:
    """Train a fresh linear head; the backbone's weights stay, but its running statistics move as in public code.

    The settings' sampler should give class-balanced batches. An epoch's last, smaller batch counts; public code skips it.
    """
    network.backbone.requires_grad_(False)
    network.head = network.linear(network.backbone.feature_size, network.description["classes"])
    return Plain(settings, network, data)
