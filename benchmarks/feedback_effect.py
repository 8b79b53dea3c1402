"""What feedback does to pictures: a criterion of the guide with it and without it, and whether another classifier still sees the class.

    snakemake --profile local results/foundations/demo_mini/foundation.parquet results/demo/features/demo_ce/seed-0/features.safetensors \\
        results/demo/classifier/demo_rest/seed-0/history.parquet
    PYTHONPATH=. python benchmarks/feedback_effect.py --foundation results/foundations/demo_mini/foundation.parquet \\
        --guide results/demo/classifier/demo_ce/seed-0/weights.safetensors \\
        --features results/demo/features/demo_ce/seed-0/features.safetensors \\
        --judge results/demo/classifier/demo_rest/seed-0/weights.safetensors

draws the same pictures without feedback and with each criterion, from the same noise, with 12 steps of DDIM, guidance of 2, and steps
of feedback of scale 0.03 at every fifth step. Prints, as JSON, for each criterion: its mean over the pictures without and with
feedback, the mean difference of a picture with a 95 % interval, that over the deviation of the differences (Cohen's d of pairs), and the
share of pictures to which the judge, a classifier that guided nothing, gives the intended class.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.classifiers import network as networks
from pipeline.classifiers.features import read_features
from pipeline.classifiers.input.reader import InMemory
from pipeline.config.draws import Feedback, TextToImage
from pipeline.data.readable import readable
from pipeline.feedback_criteria import EACH
from pipeline.generators.text_to_image.sample import Sampler
from pipeline.guidance.criteria import values
from pipeline.guidance.embeddings import Embeddings
from pipeline.jobs.device import device


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foundation", type=Path, required=True, help="table of a Stable Diffusion model")
    parser.add_argument("--guide", type=Path, required=True, help="weights.safetensors of the classifier that guides")
    parser.add_argument("--features", type=Path, required=True, help="features.safetensors of the guide")
    parser.add_argument("--judge", type=Path, required=True, help="weights.safetensors of another classifier")
    parser.add_argument("--pictures", type=int, default=200, help="pictures (200)")
    parser.add_argument("--levels", default="clamped", help="how the guide sees levels, as in the config (clamped)")
    parser.add_argument("--scale", type=float, default=0.03, help="length of a step over that of the latents (0.03)")
    given = parser.parse_args()
    guide, judge = (networks.load(path, device()) for path in (given.guide, given.judge))
    names = networks.outcome(given.guide)["class_names"]
    labels = np.arange(given.pictures) % len(names)
    prompts = [f"A photo of a {readable(names[label])}." for label in labels]
    rows = pd.DataFrame({"class": labels, "seed": np.arange(given.pictures), "prompt": prompts})
    plain = drawn(given, rows, None)
    found = {}
    for criterion in EACH:
        led = drawn(given, rows, Feedback(criterion=criterion, scale=given.scale, levels=given.levels))
        before, after = (judged(given, guide, pictures, labels, criterion) for pictures in (plain, led))
        difference = after - before
        half = 1.96 * difference.std(ddof=1) / len(difference) ** 0.5
        found[criterion] = {
            "pictures": len(rows),
            "without": float(before.mean()),
            "with": float(after.mean()),
            "difference": float(difference.mean()),
            "interval": [float(difference.mean() - half), float(difference.mean() + half)],
            "effect_size": float(difference.mean() / difference.std(ddof=1)),
            "judge_without": right(judge, plain, labels),
            "judge_with": right(judge, led, labels),
        }
    print(json.dumps(found, indent=1))


def drawn(given: argparse.Namespace, rows: pd.DataFrame, asked: Feedback | None) -> np.ndarray:
    """The pictures of some rows, uint8 [N, H, W, 3]."""
    draw = TextToImage(
        kind="text_to_image", scheduler="ddim", steps=12, guidance_scale=2.0, feedback=asked
    ).model_dump()
    generator = {"kind": "text_to_image", "precision": "float32", "safety_checker": False}
    inputs = {"foundation": [given.foundation], "guide": [given.guide]}
    if asked and asked.needs_features:
        inputs["guide_features"] = [given.features]
    sampler = Sampler(inputs, {"draw": draw, "batch_size": 8, "generator": generator}, device())
    return np.concatenate(list(sampler.draw(rows))).round().astype(np.uint8)


def judged(
    given: argparse.Namespace, guide: Any, pictures: np.ndarray, labels: np.ndarray, criterion: str
) -> np.ndarray:
    """The criterion of each picture under the guide, float64 [N]."""
    features, logits = guide.predict(InMemory(pictures, device()))
    known = read_features(given.features, torch.device("cpu"))
    embeddings = Embeddings(known["features"], known["labels"], logits.shape[1], "tied", torch.device("cpu"))
    classes = torch.from_numpy(labels)
    return values(criterion, features.float(), logits, classes, classes, embeddings).double().numpy()


def right(judge: Any, pictures: np.ndarray, labels: np.ndarray) -> float:
    """Percent of the pictures to which a classifier gives their class."""
    _, logits = judge.predict(InMemory(pictures, device()))
    return float(100 * (logits.argmax(1).numpy() == labels).mean())


if __name__ == "__main__":
    main()
