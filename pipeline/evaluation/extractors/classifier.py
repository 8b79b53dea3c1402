"""Features and logits of pictures under a classifier of the config."""

from collections.abc import Mapping
from typing import Any

import torch

from pipeline.classifiers import network
from pipeline.classifiers.input.reader import open_pictures
from pipeline.evaluation.extractors import Extractor
from pipeline.jobs.inputs import Inputs, only


def load(settings: Mapping[str, Any], inputs: Inputs, side: int | None, device: torch.device) -> Extractor:
    """The classifier of the input `weights`; its pictures are prepared as those of the test split."""
    classifier = network.load(only(inputs, "weights"), device)
    return lambda table, folder: classifier.predict(open_pictures([(table, folder)], classifier.side, device))
