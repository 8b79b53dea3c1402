"""Scores of generated pictures under a classifier: DiffuLT's metrics d1, d2 and d3 (Sec. 3.3), and the entropy."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline import kinds
from pipeline.artifacts import shards
from pipeline.classifiers import AT_ONCE, network
from pipeline.classifiers.features import read_features
from pipeline.classifiers.input.reader import all_at_once
from pipeline.errors import InputError
from pipeline.jobs.device import device
from pipeline.jobs.inputs import Inputs, only
from pipeline.jobs.progress import progress
from pipeline.scores.evidence import Evidence

_NOTHING = (torch.zeros(0),) * 3
"""In the place of real pictures, for metrics that compare with none."""


def scores(
    inputs: Inputs, settings: Mapping[str, Any], manifest: Path, index: Path, first: int
) -> Iterator[np.ndarray]:
    """Score a shard's pictures from row `first` of its index on, in pieces: float64 [pictures, columns].

    inputs: the scorer's `weights`, and its `features` of the real pictures if a metric compares with these. settings: `columns`,
    names of metrics. Raises InputError for damaged inputs, and for pictures of another size than the real ones.
    """
    target, rows = device(), shards.read_table(index)
    classifier = network.load(only(inputs, "weights"), target)
    rest = rows[first:]
    generated = all_at_once([(rest, index.parent)], classifier.side, target)
    of_real = (
        _real(inputs, classifier, manifest, rows, index, generated.shape, target) if "features" in inputs else _NOTHING
    )
    labels = torch.tensor(rest["class"].tolist()).to(target)
    metrics = [kinds.load("scores", metric) for metric in settings["columns"]]
    for start in progress(range(0, len(rest), AT_ONCE), "scoring", -(-len(rest) // AT_ONCE), unit="batch"):
        piece = slice(start, start + AT_ONCE)
        features, logits = classifier.predict(generated[piece])
        evidence = Evidence(
            labels[piece], generated[piece].flatten(1), features.to(target), logits.to(target), *of_real
        )
        yield np.stack([metric.score(evidence).cpu().numpy() for metric in metrics], axis=1)


def _real(
    inputs: Inputs,
    classifier: network.Network,
    manifest: Path,
    rows: pd.DataFrame,
    index: Path,
    shape: torch.Size,
    target: torch.device,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Labels, pixels and features of the real pictures of the rows' classes."""
    pictures = shards.read_table(manifest)
    train = pictures[pictures["split"] == "train"]
    peers = train["class"].isin(rows["class"]).to_numpy(copy=True)  # a shard may have few of many classes
    real = all_at_once([(train[peers], manifest.parent)], classifier.side, target)
    if shape[1:] != real.shape[1:]:
        raise InputError(
            f"{index} has pictures of {shape[-1]} px, but the real ones have {real.shape[-1]}; give the classifier's `side`, in pixels"
        )
    known, mask = read_features(only(inputs, "features"), target), torch.from_numpy(peers).to(target)
    return known["labels"][mask], real.flatten(1), known["features"][mask]
