"""generators: models that learn to draw pictures of the subset's classes."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.config import draws
from pipeline.config.datasets import Dataset
from pipeline.config.draws import Ddim, Ddpm, Draw
from pipeline.config.parts import Part, Reference, RunPart
from pipeline.config.prompts import checked_template
from pipeline.config.unread import refuse_unread
from pipeline.learned import LEARNED


class UNet(Part):
    """Shape of the class-conditional U-Net; the defaults are CBDM's for 32 x 32 pictures (35.8 M parameters).

    The other choices are for ADM's U-Net (Dhariwal and Nichol 2021).
    """

    channels: int = Field(default=128, ge=8, multiple_of=8)
    """Channels at full resolution."""
    multipliers: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(1, 2, 2, 2), min_length=1)
    """Width of each resolution level as a multiple of `channels`; each level halves the side."""
    blocks: int = Field(default=2, ge=1)
    """Residual blocks per level."""
    attention_levels: tuple[int, ...] = (1,)
    """Levels with self-attention after every block; level 0 is full resolution. The middle block always has attention."""
    head_channels: int | None = Field(default=None, ge=1)
    """Channels of an attention head (ADM: 64); by default one head over all channels."""
    time_as: Literal["added", "scale_and_shift"] = "added"
    """Time and label are added to a block's hidden layer, or scale and shift it after its second norm (ADM)."""
    resample: Literal["convolution", "residual"] = "convolution"
    """Levels change by a convolution, or by a residual block (ADM, after BigGAN)."""
    initial_weights: Literal["xavier", "zeroed"] = "xavier"
    """Xavier-uniform with last convolutions near 0 (CBDM), or torch's own with last layers of 0 (ADM)."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout probability in residual blocks."""

    @model_validator(mode="after")
    def _shape_fits(self) -> "UNet":
        if self.channels > 128 and self.channels % 32:
            raise ValueError(f"channels is {self.channels}; above 128 it must be a multiple of 32")
        if any(level not in range(len(self.multipliers)) for level in self.attention_levels):
            raise ValueError(
                f"attention_levels is {list(self.attention_levels)}; {len(self.multipliers)} multipliers give levels "
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


class Generator(RunPart):
    """Base of all generators. The module with `Sampler` is `pipeline.generators.<kind>.sample`."""

    kind: str
    trained: ClassVar[bool] = True
    """Whether it has a training stage: `train` in `pipeline.generators.<kind>.train`."""
    adapted: ClassVar[bool] = False
    """Whether its stage is `adapt`, with a job for each of its `shards`, and not `generator`."""
    draws: ClassVar[tuple[type[Draw], ...]] = ()
    """The types of `draw` that its sampler accepts."""
    drawn_with: ClassVar[tuple[str, ...]] = ()
    """References that its sampler reads beside what was trained."""
    reads_prompts: ClassVar[bool | None] = False
    """Whether it draws from texts, so that its pools must name prompts; None if they may."""

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that make it; the first one trains."""
        return ("adapt", "states") if self.adapted else ("generator",) if self.trained else ()

    def modules(self) -> list[str]:
        if not self.trained:
            return []
        return [f"generators.{self.kind}.train", *([f"generators.{self.kind}.steps"] if self.adapted else [])]

    def read_modules(self) -> list[str]:
        return [f"generators.{self.kind}.sample"]

    def drawing_settings(self) -> dict[str, Any]:
        """Settings for its sampler: only the kind if everything else is in the trained files."""
        return {"kind": self.kind} if self.trained else self.settings()

    def check_draw(self, draw: Draw, parts: Mapping[str, Mapping[str, Part]]) -> None:
        """Raise ValueError if the sampler cannot draw in this way."""

    def side_on(self, dataset: Dataset) -> int | None:
        """Side of the pictures that it draws, in pixels; None if unknown before the pictures are stored."""
        return dataset.side

    def timed_settings(self) -> dict[str, Any]:
        """The stage's settings for timing a few steps on a few pictures."""
        return self.settings()


class Cbdm(Generator):
    """Class-balancing diffusion (Qin et al. 2023), trained from scratch on the subset as in DiffuLT.

    The defaults are the CIFAR-100 configuration of CBDM's public code, which DiffuLT adopts.
    """

    kind: Literal["cbdm"]
    tau: float = Field(default=1.0, ge=0)
    """Weight of the class-balancing term; 0 is plain DDPM."""
    gamma: float = Field(default=0.25, ge=0)
    """Weight of the second part of the class-balancing term (CBDM, Eq. 9)."""
    unet: UNet = UNet()
    """The network."""
    timesteps: int = Field(default=1000, ge=2)
    """Steps of the noising process."""
    schedule: Literal["linear", "cosine"] = "linear"
    """Noise schedule: betas linear from `beta_start` to `beta_end`, or the cosine schedule of Nichol and Dhariwal (2021)."""
    beta_start: float = Field(default=1e-4, gt=0, lt=1)
    """Noise variance of the first step, for the linear schedule."""
    beta_end: float = Field(default=0.02, gt=0, lt=1)
    """Noise variance of the last step, for the linear schedule."""
    steps: int = Field(default=300_000, ge=1)
    """Training steps."""
    batch_size: int = Field(default=48, ge=1)
    """Pictures in a training step."""
    learning_rate: float = Field(default=2e-4, gt=0)
    """Rate of Adam after the warm-up."""
    warmup_steps: int = Field(default=5000, ge=0)
    """Steps over which the rate rises from 0."""
    gradient_clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    ema_decay: float = Field(default=0.9999, ge=0, lt=1)
    """Decay of the moving average of the weights, which draws."""
    label_dropout: float = Field(default=0.1, ge=0, le=1)
    """Probability that a label is dropped, for classifier-free guidance."""
    label_dropout_per: Literal["batch", "picture"] = "batch"
    """One draw for the whole batch (CBDM's code) or one per picture (the textbook)."""
    horizontal_flip: bool = True
    """Mirror half of the pictures."""
    many_shot_share: float = Field(default=1.0, ge=0, le=1)
    """Share of each many-shot class (over 100 pictures) that the generator trains on (DiffuLT, Table 6)."""
    side: int | None = Field(default=None, ge=1)
    """Train on and draw squares of this many pixels; by default of the stored size."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the network's operations."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of weights, order and noise."""

    draws: ClassVar[tuple[type[Draw], ...]] = (Ddpm, Ddim)

    @model_validator(mode="after")
    def _fits(self) -> "Cbdm":
        refuse_unread(self)
        self._require_halves(self.side)
        return self

    def check_on(self, dataset: Dataset, parts: Mapping[str, Mapping[str, Part]]) -> None:
        if self.side is None and dataset.varied_sides:
            raise ValueError("the pictures differ in size; set side, in pixels")
        self._require_halves(self.side or dataset.side)

    def check_draw(self, draw: Draw, parts: Mapping[str, Mapping[str, Part]]) -> None:
        if self.timesteps % draw.steps:
            raise ValueError(f"steps is {draw.steps}; it must divide the generator's {self.timesteps} timesteps")

    def side_on(self, dataset: Dataset) -> int | None:
        return self.side or dataset.side

    def work(self) -> dict[str, Any]:
        return {"trained_pictures": self.steps * self.batch_size}

    def timed_settings(self) -> dict[str, Any]:
        return self.settings() | {"learning_rate": 0.0, "many_shot_share": 1.0}

    def _require_halves(self, side: int | None) -> None:
        halvings = 2 ** (len(self.unet.multipliers) - 1)
        if side is not None and side % halvings:
            raise ValueError(
                f"side is {side}; with {len(self.unet.multipliers)} levels it must be a multiple of {halvings}"
            )


class Untrained(Generator):
    """A model as it is: nothing is trained."""

    foundation: str
    """The model."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the network's weights and operations. In half precision, a black picture is drawn again in float32."""

    trained: ClassVar[bool] = False
    drawn_with: ClassVar[tuple[str, ...]] = ("foundation",)
    references: ClassVar[dict[str, Reference]] = {"foundation": Reference("foundations")}

    def needs_subset(self) -> bool:
        return False

    def side_on(self, dataset: Dataset) -> int | None:
        return None


class Pretrained(Untrained):
    """A model in diffusers' format."""

    safety_checker: bool = False
    """Draw pictures again that the model's own safety checker flags; its foundation needs `safety_checker: true` too."""

    def check(self, parts: Mapping[str, Mapping[str, Part]]) -> None:
        if parts["foundations"][self.foundation].kind == "glide":
            raise ValueError(f"{self.foundation} is a GLIDE, which a generator of `kind: glide` draws with")
        if self.safety_checker and not getattr(parts["foundations"][self.foundation], "safety_checker", False):
            raise ValueError(
                f"safety_checker is true, but {self.foundation} comes without one; set foundations.{self.foundation}."
                "safety_checker too"
            )


class Glide(Untrained):
    """GLIDE (Nichol et al. 2022), as it is: nothing is trained. SAU draws its pictures with it."""

    kind: Literal["glide"]
    foundation: str
    """The model: a foundation of `kind: glide`, or a copy of the folder that it made."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the networks' weights and operations; steps are taken in float32."""

    draws: ClassVar[tuple[type[Draw], ...]] = (draws.Glide,)
    reads_prompts: ClassVar[bool] = True

    def check_draw(self, draw: Draw, parts: Mapping[str, Mapping[str, Part]]) -> None:
        foundation = parts["foundations"][self.foundation]
        if draw.upsample and foundation.kind == "glide" and foundation.upsampler is None:
            raise ValueError(f"upsample is true, but the foundation {self.foundation} has no upsampler; give it one")


class TextToImage(Pretrained):
    """A text-to-image model, as it is: nothing is trained.

    The Stable Diffusion family is drawn in our own loop, and any other model of diffusers by its pipeline.
    """

    kind: Literal["text_to_image"]

    draws: ClassVar[tuple[type[Draw], ...]] = (draws.TextToImage,)
    reads_prompts: ClassVar[bool] = True


class ImageToImage(Pretrained):
    """A text-to-image model that starts from real training pictures of the class instead of noise."""

    kind: Literal["image_to_image"]

    draws: ClassVar[tuple[type[Draw], ...]] = (draws.ImageToImage,)
    reads_prompts: ClassVar[bool] = True


class ImageVariation(Pretrained):
    """A Stable Diffusion Image Variation model, which draws from real training pictures of the class and no text."""

    kind: Literal["image_variation"]

    draws: ClassVar[tuple[type[Draw], ...]] = (draws.ImageVariation,)


class Unclip(Pretrained):
    """A Stable unCLIP model, which draws from real training pictures of the class; Reimagine, if its pools name no prompts."""

    kind: Literal["unclip"]

    draws: ClassVar[tuple[type[Draw], ...]] = (draws.Unclip,)
    reads_prompts: ClassVar[None] = None


TIMED_STEPS = 5
"""Steps of a training that is timed."""
_OF_DRAWING = ("shards", "precision", "safety_checker")
"""Keys that do not change what is learned."""


class Adapted(Pretrained):
    """A model of diffusers that learns from the subset's real pictures: a little is trained, and the model stays as it is."""

    shards: int = Field(default=1, ge=1, le=10_000)
    """Number of jobs that the classes are split over, with about as many steps each."""
    batch_size: int = Field(default=2, ge=1)
    """Pictures of a class in a step."""
    learning_rate: float = Field(default=5e-3, gt=0)
    """The learning rate of AdamW; it stays the same."""
    horizontal_flip: bool = True
    """Mirror half of the pictures."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """AdamW's weight decay."""
    learning_precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the networks while they learn; `precision` is that of drawing."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of order, flips, noise and texts; each class has its own, made of it and the class's number."""

    trained: ClassVar[bool] = True
    adapted: ClassVar[bool] = True
    reads_prompts: ClassVar[bool] = True
    references: ClassVar[dict[str, Reference]] = {"foundation": Reference("foundations", stage="adapt")}

    def needs_subset(self) -> bool:
        return True

    def adapting_settings(self) -> dict[str, Any]:
        """Settings of the stage `adapt`."""
        return {name: value for name, value in self.settings().items() if name not in _OF_DRAWING}

    def drawing_settings(self) -> dict[str, Any]:
        return self.model_dump(mode="json", include={"kind", "precision", "safety_checker"})


class TextualInversion(Adapted):
    """A text-to-image model with vectors for each class, learned from its real pictures (Gal et al. 2022). Fill-Up draws with it.

    The vectors stand in a text where a name would: prompts have a `*` for them. The defaults are Fill-Up's.
    """

    kind: Literal["textual_inversion"]
    vectors: int = Field(default=4, ge=1, le=64)
    """Vectors for each class, as many as tokens of a name."""
    initial_text: str = Field(default="object", min_length=1)
    """The vectors begin as the embeddings of its tokens, repeated. It may have `{class}`, the name of the class."""
    placeholder: str = "<learned>"
    """The token of the vectors, which the model's tokenizer must not have."""
    templates: (
        Literal["photos", "all"] | Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    ) = "photos"
    """Texts of training, one at random for each picture: 27 on photographs, 81 with illustrations and depictions, or your own, with a *."""
    steps_per_picture: int = Field(default=100, ge=0)
    """Steps for each real picture of a class, within the next two."""
    least_steps: int = Field(default=2000, ge=1)
    """Least number of steps of a class."""
    most_steps: int = Field(default=10_000, ge=1)
    """Largest number of steps of a class."""
    checkpoint_steps: int = Field(default=100, ge=1)
    """A class's vectors are kept after every this many steps, and pools use all that were kept."""
    scale_learning_rate: bool = False
    """Multiply the learning rate by `batch_size`, as the code of latent diffusion does by default."""
    classes_at_once: int = Field(default=16, ge=1)
    """Classes that are trained in one pass of the network; fewer need less memory, and hardly change the vectors."""

    draws: ClassVar[tuple[type[Draw], ...]] = (draws.TextualInversion,)

    @field_validator("templates")
    @classmethod
    def _have_a_place(cls, templates: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for template in templates if isinstance(templates, tuple) else ():
            if template.count(LEARNED) != 1:
                raise ValueError(f"'{template}' must have one {LEARNED} in it, the place of the vectors")
        return templates

    @field_validator("placeholder")
    @classmethod
    def _is_a_token(cls, placeholder: str) -> str:
        if not placeholder or placeholder.split() != [placeholder] or placeholder == "__metadata__":
            raise ValueError(f"'{placeholder}' is no token; write one word without blanks, as <learned>")
        return placeholder

    @field_validator("initial_text")
    @classmethod
    def _initial_text(cls, value: str) -> str:
        return checked_template(value, needs=(), may=("class",))

    def timed_settings(self) -> dict[str, Any]:
        return self.settings() | {"steps_per_picture": 0, "least_steps": TIMED_STEPS, "most_steps": TIMED_STEPS}

    @model_validator(mode="after")
    def _ordered(self) -> "TextualInversion":
        if self.least_steps > self.most_steps:
            raise ValueError(f"least_steps is {self.least_steps}, which is more than most_steps, {self.most_steps}")
        return self


class Lora(Adapted):
    """A text-to-image model with low-rank changes of its attention (Hu et al. 2022), learned from real pictures and their classes' names.

    So DataDream (Kim et al. 2024) learns for each class, and others for the whole data set.
    """

    kind: Literal["lora"]
    per: Literal["class", "dataset"] = "class"
    """Changes for each class, or one for all."""
    rank: int = Field(default=16, ge=1)
    """Rank of a change."""
    steps: int = Field(default=1000, ge=1)
    """Steps of each class, or of the data set."""
    batch_size: int = Field(default=8, ge=1)
    """Pictures in a step."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """The learning rate of AdamW; it stays the same."""
    templates: tuple[Annotated[str, Field(min_length=1)], ...] = Field(default=("a photo of a {class}",), min_length=1)
    """Texts of training, one at random for each picture; `{class}` is the name of the class."""

    draws: ClassVar[tuple[type[Draw], ...]] = (draws.TextToImage,)

    @field_validator("templates")
    @classmethod
    def _have_a_class(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(checked_template, templates))

    @model_validator(mode="after")
    def _one_job(self) -> "Lora":
        if self.per == "dataset" and self.shards > 1:
            raise ValueError(
                f"shards is {self.shards}, but changes for the whole data set are learned in one job; remove it"
            )
        return self

    def timed_settings(self) -> dict[str, Any]:
        return self.settings() | {"steps": TIMED_STEPS}


GENERATORS: dict[str, type[Generator]] = {
    "cbdm": Cbdm,
    "text_to_image": TextToImage,
    "image_to_image": ImageToImage,
    "image_variation": ImageVariation,
    "unclip": Unclip,
    "glide": Glide,
    "textual_inversion": TextualInversion,
    "lora": Lora,
}
"""Kind -> type of its entries; register new kinds here."""
