"""What feedback costs with Stable unCLIP at 768 px: its memory, counted without weights or a GPU, and its time and memory on a GPU.

    PYTHONPATH=. python benchmarks/feedback_unclip.py
    PYTHONPATH=. python benchmarks/feedback_unclip.py --measure

The first counts one step without feedback, one with it in each mode, and the decoding of a batch, with the networks' shapes, in float16, on
torch's device `meta`, where tensors have shapes and no numbers. Memory is the most that tensors take at a time, with the weights of the
U-Net, the VAE and the guide. Attention is counted as kernels do it that keep no matrix of all pairs.

The second measures on the first GPU, with random weights, five steps, the first of which is led, and the decoding. LDM-FG's 30 steps, every
fifth of which is led, are six times these five. The scheduler's arithmetic and the encoders are left out. Memory is the most that torch
allocates.
"""

import argparse
import functools
import time
import weakref
from collections.abc import Callable

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipeline.classifiers.network import Network
from pipeline.config.draws import Feedback as Asked
from pipeline.generators.text_to_image.stable_diffusion import DECODED_AT_ONCE
from pipeline.guidance.clean import predicted_clean
from pipeline.guidance.feedback import Feedback
from pipeline.jobs.device import device

MODES = (None, "exact", "decoder", "pooled")
SIDE = 768 // 8
"""Side of the latents."""
STEPS, EVERY = 30, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4, 16], help="pictures at once (1 4 16)")
    parser.add_argument(
        "--all-at-once", action="store_true", help="decode a batch together for feedback, as samplers do not"
    )
    parser.add_argument("--measure", action="store_true", help="on the first GPU")
    parser.add_argument("--turns", type=int, default=5, help="turns of each mode on a GPU (5)")
    given = parser.parse_args()
    if given.measure and not torch.cuda.is_available():
        parser.error("--measure needs a GPU, and torch sees none")
    if not given.measure:
        functional.scaled_dot_product_attention = _Attention.attention
    torch.set_default_device(device() if given.measure else "meta")
    networks = Networks(None if given.all_at_once else DECODED_AT_ONCE)
    print(f"{torch.cuda.get_device_name() if given.measure else 'counted'}, weights: {networks.bytes / 2**30:.1f} GiB")
    found = functools.partial(measured, turns=given.turns) if given.measure else counted
    for count in given.batch_sizes:
        print(f"{count} at once: {found(networks, count)}")


def counted(networks: "Networks", count: int) -> str:
    """Memory of a step and the decoding."""
    memory = []
    for mode in MODES:
        with _Peak() as seen:
            networks.steps(count, mode, 1)
            networks.decode(count)
        memory.append(networks.bytes + seen.most)
    return f"memory {compared(memory)}"


def measured(networks: "Networks", count: int, turns: int) -> str:
    """Times of all steps and the decoding, and memory; each mode runs once before, to warm up."""
    memory, times = [], []
    for mode in MODES:
        networks.steps(count, mode, EVERY)
        torch.cuda.reset_peak_memory_stats()
        networks.steps(count, mode, EVERY)
        networks.decode(count)
        memory.append(torch.cuda.max_memory_allocated())
    for _ in range(turns):
        last = seconds(lambda: networks.decode(count))
        each = [seconds(functools.partial(networks.steps, count, mode, EVERY)) for mode in MODES]
        times.append([STEPS / EVERY * steps + last for steps in each])
    plain, ratios = np.array(times)[:, :1], np.array(times)[:, 1:] / np.array(times)[:, :1]
    told = ", ".join(
        f"{mode} {np.median(found):.2f} times ({found.min():.2f} to {found.max():.2f})"
        for mode, found in zip(MODES[1:], ratios.T, strict=True)
    )
    return f"time without feedback {np.median(plain) / count:.2f} s a picture, {told}; memory {compared(memory)}"


def seconds(work: Callable[[], None]) -> float:
    torch.cuda.synchronize()
    begun = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - begun


def compared(memory: list[int]) -> str:
    """Bytes without feedback and in each mode, in words."""
    plain, *others = (found / 2**30 for found in memory)
    each = (f"{mode} {found:.1f} ({found / plain:.2f} times)" for mode, found in zip(MODES[1:], others, strict=True))
    return f"without feedback {plain:.1f} GiB, " + ", ".join(each)


class Networks:
    """U-Net, VAE and guide. at_once: places of latents that are decoded together for feedback; None: all."""

    def __init__(self, at_once: int | None):
        self._unet, self._vae, self._guide, self._at_once = unet(), vae(), guide(), at_once
        all_of_them = [network.eval().requires_grad_(False) for network in (self._unet, self._vae, self._guide)]
        self.bytes = sum(weight.nbytes for network in all_of_them for weight in network.parameters())
        """Of all weights."""

    @torch.no_grad()
    def steps(self, count: int, mode: str | None, number: int) -> None:
        """Steps of random pictures with classifier-free guidance. The first is led if there is a mode."""
        half = {"dtype": torch.float16}
        latents = torch.randn(count, 4, SIDE, SIDE, **half)
        texts, pictures = torch.randn(2 * count, 77, 1024, **half), torch.randn(2 * count, 2048, **half)
        labels = seeds = torch.zeros(count, dtype=torch.int64)
        feedback = Feedback(self._guide, Asked(mode=mode or "exact", every=EVERY, side=224).model_dump())

        def predict(noisy: torch.Tensor) -> torch.Tensor:
            own = {"encoder_hidden_states": texts[-len(noisy) :], "class_labels": pictures[-len(noisy) :]}
            return self._unet(noisy, 500, **own, return_dict=False)[0]

        clean = functools.partial(predicted_clean, "v_prediction", alpha_bar=0.5)
        for step in range(number):
            if mode and feedback.is_due(step):
                feedback.guided(latents, labels, seeds, predict, clean, 0.7, self._pictures, self._at_once)
                predict(latents)  # the unconditional half
            else:
                predict(torch.cat([latents] * 2))

    @torch.no_grad()
    def decode(self, count: int) -> None:
        self._pictures(torch.randn(count, 4, SIDE, SIDE, dtype=torch.float16))

    def _pictures(self, latents: torch.Tensor) -> torch.Tensor:
        return self._vae.decode(latents, return_dict=False)[0]


def unet() -> UNet2DConditionModel:
    """The shapes of Stable Diffusion 2.1 unCLIP's U-Net, whose embeddings of pictures have 1,024 numbers, as their noise levels do."""
    heads, width = (5, 10, 20, 20), 2048
    shapes = {
        "sample_size": SIDE,
        "cross_attention_dim": 1024,
        "attention_head_dim": heads,
        "use_linear_projection": True,
    }
    of_pictures = {"class_embed_type": "projection", "projection_class_embeddings_input_dim": width}
    return UNet2DConditionModel(**shapes, **of_pictures).half()


def vae() -> AutoencoderKL:
    """The shapes of Stable Diffusion's VAE."""
    channels = (128, 256, 512, 512)
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    return AutoencoderKL(block_out_channels=channels, layers_per_block=2, latent_channels=4, **blocks).half()


def guide() -> Network:
    return Network("resnext50_32x4d", 4, 1000, [0.5] * 3, [0.5] * 3)


class _Peak(TorchDispatchMode):
    """Counts the bytes of all tensors that operations make, while these live."""

    def __init__(self):
        super().__init__()
        self.most = self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and id(storage := tensor.untyped_storage()) not in self._known:
                self._known.add(id(storage))
                self._now += storage.nbytes()
                weakref.finalize(storage, self._gone, id(storage), storage.nbytes())
        self.most = max(self.most, self._now)
        return made

    def _gone(self, name: int, size: int) -> None:
        self._known.discard(name)
        self._now -= size


class _Attention(torch.autograd.Function):
    """Attention that keeps its inputs and its output for the gradient."""

    @staticmethod
    def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_, **__) -> torch.Tensor:
        return _Attention.apply(query, key, value)

    @staticmethod
    def forward(context, query, key, value):
        attended = torch.empty_like(query)
        context.save_for_backward(query, key, value, attended)
        return attended

    @staticmethod
    def backward(context, gradient):
        return tuple(torch.empty_like(tensor) for tensor in context.saved_tensors[:3])


if __name__ == "__main__":
    main()
