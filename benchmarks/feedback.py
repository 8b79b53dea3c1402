"""What feedback costs: time and memory with it over those without it, and how its cheaper directions lie to the exact one.

    snakemake --profile local results/foundations/demo_mini/foundation.parquet results/demo/classifier/demo_ce/seed-0/history.parquet
    PYTHONPATH=. python benchmarks/feedback.py --foundation results/foundations/demo_mini/foundation.parquet \\
        --guide results/demo/classifier/demo_ce/seed-0/weights.safetensors

draws the same pictures in turn without feedback and in each mode, with the same model, steps and batch, and LDM-FG's settings: 30 steps
of DDIM, classifier-free guidance of 5, and entropy feedback at every fifth step. On a CPU, feedback draws 8 pictures at once, so 8 is the
batch of all. Memory is the most that tensors take at one time: the networks' weights, and all that drawing a batch adds to them.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.config.draws import Feedback, TextToImage
from pipeline.generators.text_to_image.sample import Sampler
from pipeline.guidance import feedback as guidance
from pipeline.jobs.device import device

MODES = ("none", "exact", "decoder", "pooled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foundation", type=Path, required=True, help="table of a Stable Diffusion model")
    parser.add_argument("--guide", type=Path, required=True, help="weights.safetensors of a classifier")
    parser.add_argument("--pictures", type=int, default=16, help="pictures in a turn (16)")
    parser.add_argument("--batch-size", type=int, default=8, help="pictures at once (8)")
    parser.add_argument("--steps", type=int, default=30, help="denoising steps (30)")
    parser.add_argument("--turns", type=int, default=5, help="turns of each mode (5)")
    given = parser.parse_args()
    samplers = {mode: sampler(given, mode) for mode in MODES}
    for one in samplers.values():
        seconds(one, given)
    each = np.array([[seconds(one, given) for one in samplers.values()] for _ in range(given.turns)])
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(f"{where}: {np.median(each[:, 0]) / given.pictures * 1000:.1f} ms a picture without feedback")
    cosines = directions(given)
    bytes_of = {mode: memory(one, given) for mode, one in samplers.items()}
    print(
        f"without feedback, weights take {bytes_of['none'][0] / 2**20:.1f} MiB, and drawing {bytes_of['none'][1] / 2**20:.1f} MiB"
    )
    for place, mode in enumerate(MODES[1:], 1):
        ratios = each[:, place] / each[:, 0]
        print(
            f"{mode}: {np.median(ratios):.2f} times as long ({ratios.min():.2f} to {ratios.max():.2f}), "
            f"{sum(bytes_of[mode]) / sum(bytes_of['none']):.2f} times the memory "
            f"({bytes_of[mode][1] / bytes_of['none'][1]:.2f} without weights), cosine to exact {np.mean(cosines[mode]):.3f}"
        )


def sampler(given: argparse.Namespace, mode: str) -> Sampler:
    asked = None if mode == "none" else Feedback(mode=mode)
    draw = TextToImage(
        kind="text_to_image", scheduler="ddim", steps=given.steps, guidance_scale=5.0, feedback=asked
    ).model_dump()
    generator = {"kind": "text_to_image", "precision": "float32", "safety_checker": False}
    inputs = {"foundation": [given.foundation], "guide": [given.guide]}
    return Sampler(inputs, {"draw": draw, "batch_size": given.batch_size, "generator": generator}, device())


def drawn(one: Sampler, given: argparse.Namespace) -> None:
    rows = np.arange(given.pictures)
    list(one.draw(pd.DataFrame({"class": rows % 2, "seed": rows, "prompt": "A photo of a zero."})))


def seconds(one: Sampler, given: argparse.Namespace) -> float:
    begun = time.perf_counter()
    drawn(one, given)
    return time.perf_counter() - begun


def memory(one: Sampler, given: argparse.Namespace) -> tuple[int, int]:
    """Bytes of the networks' weights, and the most that drawing adds to them."""
    weights = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for network in networks_of(one, set())
        for tensor in (*network.parameters(), *network.buffers())
    }
    if torch.cuda.is_available():
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        drawn(one, given)
        return sum(weights.values()), torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        drawn(one, given)
    changes = [event.nbytes() for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    return sum(weights.values()), int(np.cumsum(changes).max())


def networks_of(thing: Any, seen: set[int]) -> Iterator[torch.nn.Module]:
    """All networks that an object has, directly or in its parts."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, torch.nn.Module):
        yield thing
        return
    inner = (
        thing
        if isinstance(thing, list | tuple)
        else getattr(thing, "__dict__", thing if isinstance(thing, dict) else {}).values()
    )
    for part in inner:
        yield from networks_of(part, seen)


def directions(given: argparse.Namespace) -> dict[str, list[float]]:
    """Mode -> cosines of its steps to the exact ones, of all pictures and guided steps of an exact drawing."""
    found: dict[str, list[float]] = {mode: [] for mode in MODES[1:]}
    guided = guidance.Feedback.guided

    def compared(self: Any, latents: torch.Tensor, *others: Any) -> tuple[torch.Tensor, torch.Tensor]:
        asked, results = self._asked, {}
        for mode in found:
            self._asked = asked | {"mode": mode}
            results[mode] = guided(self, latents, *others)
        self._asked = asked
        steps = {mode: (moved - latents).flatten(1) for mode, (moved, _) in results.items()}
        for mode, step in steps.items():
            found[mode] += torch.cosine_similarity(step, steps["exact"]).tolist()
        return results["exact"]

    guidance.Feedback.guided = compared
    try:
        drawn(sampler(given, "exact"), given)
    finally:
        guidance.Feedback.guided = guided
    return found


if __name__ == "__main__":
    main()
