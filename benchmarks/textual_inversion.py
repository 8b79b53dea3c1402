"""Textual inversion of many classes in one pass beside the usual script, which learns one class after the other.

    snakemake --profile local results/foundations/demo_mini/foundation.parquet
    PYTHONPATH=. python benchmarks/textual_inversion.py --foundation results/foundations/demo_mini/foundation.parquet

The usual script is written here from the description of diffusers' textual_inversion.py: in each step it encodes the pictures, gives
AdamW the text encoder's whole table of tokens, and puts back all rows but the learned ones. Both take turns, with random pictures, the
same batch, and Fill-Up's settings. Prints steps of a class in a second, floating-point operations of such a step, and the ratios. Ours
encodes each picture twice in all, which is left out, as is the loading of the model.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel

from pipeline.artifacts import pictures, shards
from pipeline.config.generators import TextualInversion
from pipeline.costs.measure.timing import Once
from pipeline.foundations.components import components
from pipeline.foundations.table import folder_of
from pipeline.generators.adapting import Job
from pipeline.generators.textual_inversion.learning import Learning
from pipeline.generators.textual_inversion.model import Model
from pipeline.generators.textual_inversion.templates import PHOTOS
from pipeline.jobs.device import device


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foundation", type=Path, required=True, help="a Stable Diffusion model's foundation.parquet")
    parser.add_argument("--classes", type=int, default=16, help="classes in one pass of ours (16)")
    parser.add_argument("--batch-size", type=int, default=2, help="pictures of a class in a step (2)")
    parser.add_argument("--turns", type=int, default=5, help="turns of each (5)")
    parser.add_argument(
        "--passes", type=int, default=3, help="passes in a turn of ours (3); the usual script takes as many steps"
    )
    given = parser.parse_args()
    target = device()
    with tempfile.TemporaryDirectory() as folder:
        ours, usual = our_steps(given, target, Path(folder)), usual_steps(given, target)
        checkpointed = usual_steps(given, target, checkpointing=True)
        operations = [counted(run) for run in (ours, usual, checkpointed)]
        seconds = [[timed(run, given.passes, target) for run in (ours, usual)] for _ in range(given.turns)]
        real = [of_stable_diffusion(given.batch_size, *how) for how in ((False, False), (True, False), (True, True))]
    fast, slow = (given.passes / np.median(each) for each in zip(*seconds, strict=True))
    fast *= given.classes
    print(f"{target.type.upper()}: {given.classes} classes at once, {given.batch_size} pictures of each")
    print(f"steps of a class in a second: {fast:.1f} against {slow:.1f}, {fast / slow:.2f} times as many")
    for model, counts in (
        ("this model", [operations[0] / given.classes, *operations[1:]]),
        ("Stable Diffusion 1.5", real),
    ):
        each, *others = (count / 1e9 for count in counts)
        for other, how in zip(others, ("", ", with gradient checkpointing"), strict=True):
            print(
                f"GFLOP of such a step of {model}: {each:.4g} against {other:.4g}{how}, a share of {each / other:.2f}"
            )


def our_steps(given: argparse.Namespace, target: torch.device, folder: Path) -> Callable[[], None]:
    """One step of every class, in one pass."""
    settings = TextualInversion(kind="textual_inversion", foundation="it", batch_size=given.batch_size)
    keys = settings.adapting_settings() | {"classes_at_once": given.classes}
    random, side = np.random.default_rng(0), side_of(given.foundation)
    labels = range(given.classes)
    records = (
        (
            f"{label:05d}-{place}",
            pictures.encode(random.integers(0, 256, (side, side, 3), np.uint8)),
            "png",
            {"class": label},
        )
        for label, place in itertools.product(labels, range(given.batch_size))
    )
    real = shards.write(folder / "real.tar", records)
    names = np.array([f"class {label}" for label in labels], object)
    job = Job(given.foundation, real, folder, np.array(labels), names, target, None, Once(target), folder)
    model = Model(keys, job)
    model.denoiser.encode()
    learning = [Learning(label, given.batch_size, 10**6, model.initial(names[label]), keys) for label in labels]

    def step() -> None:
        losses = model.losses(learning)
        losses.sum().backward()
        for one, loss in zip(learning, losses, strict=True):
            one.take(loss)

    return step


def usual_steps(given: argparse.Namespace, target: torch.device, checkpointing: bool = False) -> Callable[[], None]:
    """One step of one class, as the usual script takes it."""
    found = components(folder_of(given.foundation))
    vae, unet, text, words = (found[name] for name in ("vae", "unet", "text_encoder", "tokenizer"))
    names = [f"<learned>{number or ''}" for number in range(4)]
    words.add_tokens(names)
    text.resize_token_embeddings(len(words), mean_resizing=False)
    for part in (vae, unet, text):
        part.to(target).requires_grad_(False)
    if checkpointing:
        unet.train()
        unet.enable_gradient_checkpointing()
    table = text.get_input_embeddings().weight.requires_grad_(True)
    before, kept = table.detach().clone(), torch.ones(len(table), dtype=torch.bool, device=target)
    kept[words.convert_tokens_to_ids(names)] = False
    optimizer = torch.optim.AdamW([table], lr=5e-3)
    noising, side = DDPMScheduler.from_config(found["scheduler"].config), side_of(given.foundation)
    texts = [template.replace("*", " ".join(names)) for template in PHOTOS]

    def step() -> None:
        pixels = torch.rand(given.batch_size, 3, side, side, device=target) * 2 - 1
        chosen = [texts[number] for number in torch.randint(len(texts), (given.batch_size,))]
        latents = vae.encode(pixels).latent_dist.sample() * vae.config.scaling_factor
        noise = torch.randn_like(latents)
        times = torch.randint(0, noising.config.num_train_timesteps, (given.batch_size,), device=target)
        ids = words(chosen, padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids
        hidden = text(ids.to(target))[0]
        predicted = unet(noising.add_noise(latents, noise, times), times, hidden).sample
        is_velocity = noising.config.prediction_type == "v_prediction"
        wanted = noising.get_velocity(latents, noise, times) if is_velocity else noise
        torch.nn.functional.mse_loss(predicted, wanted).backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            table[kept] = before[kept]

    return step


def of_stable_diffusion(batch_size: int, encodes: bool, checkpointing: bool) -> int:
    """Operations of a class's step with a model of Stable Diffusion 1.5's shapes, which are counted without weights."""
    with torch.device("meta"):
        levels = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4}
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, **levels
        )
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)  # the other defaults are its shapes
        text = CLIPTextModel(
            CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
        )
        pixels, latents = torch.zeros(batch_size, 3, 512, 512), torch.zeros(batch_size, 4, 64, 64)
        ids, times = torch.zeros(batch_size, 77, dtype=torch.long), torch.zeros(batch_size)
    for part in (vae, unet, text):
        part.requires_grad_(False)
    text.get_input_embeddings().weight.requires_grad_(True)
    if checkpointing:
        unet.train()
        unet.enable_gradient_checkpointing()

    def step() -> None:
        if encodes:
            vae.encode(pixels)
        unet(latents, times, text(ids)[0]).sample.sum().backward()

    return counted(step)


def side_of(foundation: Path) -> int:
    """Side of the model's pictures, in pixels."""
    found = components(folder_of(foundation))
    return found["unet"].config.sample_size * 2 ** (len(found["vae"].config.block_out_channels) - 1)


def counted(step: Callable[[], None]) -> int:
    """Floating-point operations of a step: those of matrix products and convolutions."""
    step()
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def timed(step: Callable[[], None], times: int, target: torch.device) -> float:
    """Seconds of some steps."""
    began = now(target)
    for _ in range(times):
        step()
    return now(target) - began


def now(target: torch.device) -> float:
    if target.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    main()
