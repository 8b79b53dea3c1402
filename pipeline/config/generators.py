"""generators: models that learn to draw pictures of the subset's classes."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from pipeline.config.datasets import Dataset
from pipeline.config.parts import Part
from pipeline.config.unread import refuse_unread


class UNet(Part):
    """Shape of the class-conditional U-Net; the defaults are CBDM's for 32 x 32 pictures (35.8 M parameters).

    What else there is to choose is for ADM's (Dhariwal and Nichol 2021).
    """

    channels: int = Field(default=128, ge=8, multiple_of=8)
    multipliers: tuple[int, ...] = Field(default=(1, 2, 2, 2), min_length=1)
    """Width of each resolution level as a multiple of `channels`; each level halves the side."""
    blocks: int = Field(default=2, ge=1)
    """Residual blocks a level."""
    attention_levels: tuple[int, ...] = (1,)
    """Levels with self-attention after every block; level 0 is full resolution. The middle has attention always."""
    head_channels: int | None = Field(default=None, ge=1)
    """Channels of an attention head; one head over all channels, unless said (ADM: 64)."""
    time_as: Literal["added", "scale_and_shift"] = "added"
    """Time and label are added to a block's hidden layer, or scale and shift it after its second norm (ADM)."""
    resample: Literal["convolution", "residual"] = "convolution"
    """Between levels stands a convolution, or a residual block (ADM, after BigGAN)."""
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _shape_fits(self) -> "UNet":
        if self.channels > 128 and self.channels % 32:
            raise ValueError(f"channels is {self.channels}; above 128 it must be a multiple of 32")
        if any(level not in range(len(self.multipliers)) for level in self.attention_levels):
            raise ValueError(
                f"attention_levels is {list(self.attention_levels)}; {len(self.multipliers)} multipliers make levels of "
                f"0 to {len(self.multipliers) - 1}"
            )
        attends = {*self.attention_levels, len(self.multipliers) - 1}  # the middle is as wide as the last level
        widths = sorted({self.channels * self.multipliers[level] for level in attends})
        if self.head_channels is not None and any(width % self.head_channels for width in widths):
            raise ValueError(
                f"head_channels is {self.head_channels}; it must divide the width of each level with attention and of "
                f"the middle: {', '.join(map(str, widths))}"
            )
        return self


class Cbdm(Part):
    """Class-balancing diffusion (Qin et al. 2023), trained from scratch on the subset as DiffuLT does.

    The defaults are the CIFAR-100 configuration of CBDM's public code, which DiffuLT adopts.
    """

    kind: Literal["cbdm"]
    tau: float = Field(default=1.0, ge=0)
    """Weight of the class-balancing term; 0 is plain DDPM."""
    gamma: float = Field(default=0.25, ge=0)
    unet: UNet = UNet()
    timesteps: int = Field(default=1000, ge=2)
    schedule: Literal["linear", "cosine"] = "linear"
    """Of the noise: betas on a line from `beta_start` to `beta_end`, or those of Nichol and Dhariwal (2021)."""
    beta_start: float = Field(default=1e-4, gt=0, lt=1)
    beta_end: float = Field(default=0.02, gt=0, lt=1)
    steps: int = Field(default=300_000, ge=1)
    batch_size: int = Field(default=48, ge=1)
    learning_rate: float = Field(default=2e-4, gt=0)
    warmup_steps: int = Field(default=5000, ge=0)
    gradient_clip: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.9999, ge=0, lt=1)
    label_dropout: float = Field(default=0.1, ge=0, le=1)
    label_dropout_per: Literal["batch", "picture"] = "batch"
    """One coin for the whole batch (CBDM's code) or one a picture (the textbook)."""
    horizontal_flip: bool = True
    many_shot_share: float = Field(default=1.0, ge=0, le=1)
    """Share of each many-shot class (over 100 pictures) that the generator sees (DiffuLT, Table 6)."""
    side: int | None = Field(default=None, ge=1)
    """Learn and draw squares of so many pixels; of what is stored, unless said."""
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = Field(default=0, ge=0, le=2**32 - 1)

    @model_validator(mode="after")
    def _fits(self) -> "Cbdm":
        refuse_unread(self)
        self._require_halves(self.side)
        return self

    def check_on(self, dataset: Dataset, parts: Mapping[str, Mapping[str, Part]]) -> None:
        if self.side is None and dataset.varied_sides:
            raise ValueError("its pictures have sizes of their own; give side, in pixels")
        self._require_halves(self.side or dataset.side)

    def _require_halves(self, side: int | None) -> None:
        halvings = 2 ** (len(self.unet.multipliers) - 1)
        if side is not None and side % halvings:
            raise ValueError(
                f"side is {side}; with {len(self.unet.multipliers)} levels it must be a multiple of {halvings}"
            )
