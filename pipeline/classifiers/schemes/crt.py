"""Classifier re-training, cRT (Kang et al. 2020): a second stage that learns a fresh head on a frozen backbone."""

from collections.abc import Mapping
from typing import Any

from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import Facts, Scheme
from pipeline.classifiers.schemes.plain import Plain


def build(settings: Mapping[str, Any], network: Network, facts: Facts) -> Scheme:
    """Plain training of a fresh linear head; the backbone's weights stay, its running statistics move as in public code.

    Class-balanced batches are what the settings' sampler should give. An epoch's last, smaller batch counts, which public
    code leaves out.
    """
    network.backbone.requires_grad_(False)
    network.head = network.linear(network.backbone.feature_size, network.description["classes"])
    return Plain(settings, network, facts)
