"""The low-rank changes of a U-Net's attention: made, saved in diffusers' format, and loaded."""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pipeline.artifacts.atomic import replacing
from pipeline.errors import InputError

NAME = "counterweight"


def add(unet: UNet2DConditionModel, rank: int) -> list[torch.nn.Parameter]:
    """Add fresh changes to a frozen U-Net, which change nothing yet; return their weights, float32, which alone need gradients.

    They are drawn from torch's global random generator.
    """
    layers = ["to_q", "to_k", "to_v", "to_out.0"]
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=layers), NAME)
    weights = [weight for weight in unet.parameters() if weight.requires_grad]
    for weight in weights:
        weight.data = weight.data.float()
    return weights


def state_of(unet: UNet2DConditionModel) -> dict[str, torch.Tensor]:
    """The weights of the changes, by their names in peft, on the CPU."""
    return {name: tensor.cpu().clone() for name, tensor in get_peft_model_state_dict(unet, adapter_name=NAME).items()}


def load_state(unet: UNet2DConditionModel, state: dict[str, torch.Tensor]) -> None:
    """Give the changes these weights, in place."""
    set_peft_model_state_dict(unet, state, NAME)


def remove(unet: UNet2DConditionModel) -> None:
    """Take the changes away."""
    unet.delete_adapters(NAME)


def save(unet: UNet2DConditionModel, path: Path) -> None:
    """Write the changes, as `load_lora_weights` of diffusers' pipelines reads them."""
    state = convert_state_dict_to_diffusers(state_of(unet))
    with replacing(path) as part:
        save_file({f"unet.{name}": tensor.contiguous() for name, tensor in state.items()}, part, {"format": "pt"})


def load(unet: UNet2DConditionModel, path: Path) -> None:
    """Add the changes of a file. Raises InputError if it is missing or damaged, or of another model."""
    try:
        unet.load_lora_adapter(load_file(path), prefix="unet", adapter_name=NAME)
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} is missing or damaged, or of another model ({why}); train the generator again"
        ) from None
    unet.to(unet.dtype)
