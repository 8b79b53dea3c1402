"""Time of the parts of a step of SAU's training: input, contrastive loss, network; on the first GPU or the CPU.

    PYTHONPATH=. python benchmarks/sau_step.py --width 64 --steps 5

The pictures are random, of CIFAR-100's size and number. Prints shares of a step's time, all measured in one run: drawing two batches
and augmenting four views, the label correction and the loss on given vectors, and the whole step without its input.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from pipeline.classifiers.contrastive import detected_noise, supervised_contrastive
from pipeline.classifiers.input.batches import TOGETHER, Labelled, batches
from pipeline.classifiers.input.reader import InMemory
from pipeline.classifiers.network import Network
from pipeline.classifiers.processes import ALONE
from pipeline.classifiers.scheme import TrainingData
from pipeline.classifiers.schemes import sau
from pipeline.config.presets import combined, preset_layers
from pipeline.config.workflow import Workflow
from pipeline.jobs.device import device


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    given = parser.parse_args()
    target = device()
    settings = full_settings()
    classes, batch_size = 100, settings["batch_size"]
    random = np.random.default_rng(0)
    count = 500 * classes
    labels = torch.arange(count) % classes
    pictures = InMemory(random.integers(0, 256, (count, 32, 32, 3), np.uint8), target)
    data = Labelled(pictures, labels, torch.from_numpy(random.random(count) < 0.8), torch.full_like(labels, -1))
    network = Network("resnet32x4", given.width, classes, settings["mean"], settings["std"]).to(target)
    training_data = TrainingData(torch.bincount(labels), 1, lambda *_: (), lambda: None)
    scheme = sau.build(settings, network, training_data).to(target).train()
    scheme.prototypes = torch.stack([unit(classes, target) for _ in range(2)])
    optimizer = torch.optim.SGD(scheme.parameters(), settings["learning_rate"], settings["momentum"])

    def draw(epoch: int) -> list:
        length = batch_size * 2 * TOGETHER
        loaders = [batches(data, loader, i, epoch, length, 0, target, ALONE) for i, loader in enumerate(scheme.loaders)]
        return [[batch for batch, _ in drawn] for drawn in zip(*loaders, strict=True)]

    times: dict[str, list[float]] = {"input": [], "contrast": [], "step": []}
    for number in range(given.steps + 2):  # the first two warm up
        drawn, seconds = timed(lambda epoch=number: draw(epoch), target)
        times["input"].append(seconds / len(drawn))
        pair = drawn[0]
        vectors = [unit(batch_size, target).requires_grad_() for _ in range(2)]
        seconds = timed(lambda vectors=vectors, pair=pair: contrast(vectors, pair[0], scheme, target), target)[1]
        times["contrast"].append(seconds)
        seconds = timed(lambda pair=pair: step(scheme, optimizer, pair, given.precision, target), target)[1]
        times["step"].append(seconds)
    middle = {name: statistics.median(found[2:]) for name, found in times.items()}
    name = torch.cuda.get_device_name() if target.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{name}, width {given.width}, batch {batch_size}, {given.precision}: step without input {middle['step'] * 1e3:.1f} ms"
    )
    for part in ("input", "contrast"):
        print(f"{part}: {middle[part] * 1e3:.2f} ms, {100 * middle[part] / middle['step']:.2f} % of the step")


def full_settings() -> dict:
    """SAU's own, as in papers/sau/recipes.yaml."""
    flow = Workflow(combined(preset_layers(Path("papers")), {}))
    return flow.part("classifiers", "sau", "cifar100_lt").settings()


def contrast(views, batch, scheme, target) -> None:
    """Label correction, loss and gradient for vectors like those of the projection."""
    noise = detected_noise(views, batch.labels, batch.generated, scheme.prototypes)
    classes = torch.arange(len(scheme.prototypes[0]), device=target)
    pictures = torch.arange(len(batch.labels), device=target)
    supervised_contrastive(
        torch.cat([*views, *scheme.prototypes]),
        torch.cat([batch.labels, batch.labels, classes, classes]),
        torch.cat([noise, noise, noise.new_zeros(2 * len(classes))]),
        torch.cat([pictures, pictures, classes, classes]),
        "L2",
    ).backward()


def step(scheme, optimizer, batches_drawn, precision, target) -> None:
    with torch.autocast(target.type, torch.bfloat16, enabled=precision == "bfloat16"):
        loss = scheme(batches_drawn, 0, np.random.default_rng(0))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def unit(count: int, target: torch.device) -> torch.Tensor:
    return functional.normalize(torch.randn(count, 128, device=target))


def timed(work, target: torch.device):
    began = time.perf_counter()
    found = work()
    if target.type == "cuda":
        torch.cuda.synchronize()
    return found, time.perf_counter() - began


if __name__ == "__main__":
    main()
