"""Share of the time of sampling a shard that is spent inside U-Net and VAE calls; the rest is ours, or the scheduler's.

    snakemake --profile local results/demo/plan/demo_text/plan.parquet results/foundations/demo_mini/foundation.parquet
    PYTHONPATH=. python benchmarks/sampling_share.py --plan results/demo/plan/demo_text/plan.parquet \\
        --foundation results/foundations/demo_mini/foundation.parquet

runs the stage in this process, into a folder that is removed. The model's loading is printed apart: a shard of a usual size takes ten
minutes or more.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foundation", type=Path, required=True, help="table of a Stable Diffusion model")
    parser.add_argument("--plan", type=Path, required=True, help="plan of a pool with prompts, or of a part of one")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--guidance-scale", type=float, default=2.0)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--precision", default="float32")
    given = parser.parse_args()

    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel

    from pipeline.generators.text_to_image.sample import Sampler
    from pipeline.stages import sample

    spent = {
        "U-Net": timed(UNet2DConditionModel, "forward"),
        "VAE": timed(AutoencoderKL, "decode"),
        "loading": timed(Sampler, "__init__"),
    }
    draw = {"steps": given.steps, "guidance_scale": given.guidance_scale}
    settings = {
        "generator": {"kind": "text_to_image", "precision": given.precision},
        "batch_size": given.batch_size,
        "draw": {"kind": "text_to_image", "scheduler": "saved", "negative_prompt": "", "side": None, **draw},
        "store": {"side": None, "format": "png", "quality": 95},
    }
    with tempfile.TemporaryDirectory() as folder:
        told = ["--config", json.dumps(settings), "--shard", "0 of 1", "--plan", str(given.plan)]
        args = sample.arguments().parse_args([*told, "--output", f"{folder}/shard-00000.tar"])
        args.inputs = {"foundation": [given.foundation]}
        begun = time.perf_counter()
        sample.main(args)
        total = time.perf_counter() - begun - sum(spent["loading"])
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    inside = sum(spent["U-Net"]) + sum(spent["VAE"])
    print(
        f"{where}: {inside / total:.1%} of {total:.1f} s in U-Net ({sum(spent['U-Net']) / total:.1%}) and VAE "
        f"({sum(spent['VAE']) / total:.1%}); loading took {sum(spent['loading']):.1f} s"
    )


def timed(owner: type, name: str) -> list[float]:
    """Let a method add the seconds of each call to the list."""
    import torch

    method, seconds = getattr(owner, name), []

    def measured(*arguments, **more):
        begun = time.perf_counter()
        found = method(*arguments, **more)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
        return found

    setattr(owner, name, measured)
    return seconds


if __name__ == "__main__":
    main()
