"""What feedback takes of a GPU's memory with Stable unCLIP at 768 px, counted from the shapes of its tensors, without weights or a GPU.

    PYTHONPATH=. python benchmarks/feedback_memory.py

runs one step without feedback, one with it in each mode, and the decoding of a batch, with the networks' shapes, in float16, on torch's
device `meta`, where tensors have shapes and no numbers. Memory is the most that tensors take at a time, with the weights of the U-Net, the
VAE and the guide. Attention is counted as kernels do it that keep no matrix of all pairs. A GPU needs more: kernels have workspaces, and
allocators leave gaps.
"""

import argparse
import functools
import weakref

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

MODES = ("exact", "decoder", "pooled")
SIDE = 768 // 8
"""Side of the latents."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4, 16], help="pictures at once (1 4 16)")
    parser.add_argument(
        "--all-at-once", action="store_true", help="decode a batch together for feedback, as samplers do not"
    )
    given = parser.parse_args()
    at_once = None if given.all_at_once else DECODED_AT_ONCE
    functional.scaled_dot_product_attention = _Attention.attention
    with torch.device("meta"):
        networks = unet(), vae(), guide()
    for network in networks:
        network.eval().requires_grad_(False)
    weights = sum(weight.nbytes for network in networks for weight in network.parameters())
    print(f"weights: {weights / 2**30:.1f} GiB")
    for count in given.batch_sizes:
        plain = weights + peak(networks, count, None, at_once)
        each = [weights + peak(networks, count, mode, at_once) for mode in MODES]
        told = ", ".join(
            f"{mode} {found / 2**30:.1f} ({found / plain:.2f} times)" for mode, found in zip(MODES, each, strict=True)
        )
        print(f"{count} at once: without feedback {plain / 2**30:.1f} GiB, {told}")


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


def peak(
    networks: tuple[UNet2DConditionModel, AutoencoderKL, Network],
    count: int,
    mode: str | None,
    at_once: int | None,
) -> int:
    """Bytes that a step, and the decoding of the batch, take at most beside the weights; mode: of the feedback, or None."""
    network, decoder, classifier = networks
    with torch.device("meta"), torch.no_grad(), _Peak() as seen:
        half = {"dtype": torch.float16}
        latents = torch.empty(count, 4, SIDE, SIDE, **half)
        texts, pictures = torch.empty(2 * count, 77, 1024, **half), torch.empty(2 * count, 2048, **half)
        times = torch.empty(2 * count, dtype=torch.int64)
        labels = seeds = torch.empty(count, dtype=torch.int64)

        def predict(noisy: torch.Tensor) -> torch.Tensor:
            own = {"encoder_hidden_states": texts[-len(noisy) :], "class_labels": pictures[-len(noisy) :]}
            return network(noisy, times[-len(noisy) :], **own, return_dict=False)[0]

        def decode(estimate: torch.Tensor) -> torch.Tensor:
            return decoder.decode(estimate, return_dict=False)[0]

        if mode is None:
            predict(torch.cat([latents] * 2))
        else:
            feedback = Feedback(classifier, Asked(mode=mode, side=224).model_dump())
            clean = functools.partial(predicted_clean, "v_prediction", alpha_bar=0.5)
            feedback.guided(latents, labels, seeds, predict, clean, 0.7, decode, at_once)
            predict(latents)
        decode(latents)
    return seen.most


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
