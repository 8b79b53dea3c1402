"""draw: how a pool's pictures are drawn from its generator. `kind` chooses the type; each generator accepts some."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.config.parts import Part
from pipeline.config.unread import refuse_unread
from pipeline.feedback_criteria import EACH


class Draw(Part):
    """Base of all ways of drawing."""

    kind: str

    reads_sources: ClassVar[bool] = False
    """Whether each picture is made from a real one, which its row of the plan names."""
    reads_embeddings: ClassVar[bool] = False
    """Whether it reads that one's embedding by CLIP, and not the picture."""
    reads_checkpoints: ClassVar[bool] = False
    """Whether each picture is drawn with one of the states that the generator kept, which its row of the plan names."""

    @property
    def cost_steps(self) -> int:
        """Network steps per picture, for a cost estimate."""
        return 1

    def plan_settings(self) -> dict[str, Any]:
        """Settings of the plan that follow from it."""
        feedback: Feedback | None = getattr(self, "feedback", None)
        criteria = {"criteria": list(EACH)} if feedback and feedback.criterion == "combined" else {}
        sources = {"sources": getattr(self, "sources", None) or "all"} if self.reads_sources else {}
        return sources | criteria


class Feedback(Part):
    """Steps of the latents, while they are denoised, towards pictures that the pool's guide finds useful (LDM-FG)."""

    criterion: Literal["entropy", "loss", "hardness", "combined"] = "entropy"
    """What is useful: pictures that the guide is unsure of, gets wrong, or finds far from the real ones of their class. `combined` takes
    one of the three for each picture."""
    scale: float = Field(default=0.03, ge=0)
    """Length of a step, as a share of that of the latents."""
    every: int = Field(default=5, ge=1)
    """Every this many denoising steps, the first included, one is guided."""
    mode: Literal["exact", "decoder", "pooled"] = "exact"
    """What the gradient goes through. `exact`: all; `decoder`: not the U-Net, which is cheaper; `pooled`: nor all of the decoder, which
    sees latents of half the side, and is cheaper still."""
    blended: bool = False
    """Show the guide a mixture of the predicted clean latents and the noisy ones, as the public code does; the paper does not say so."""
    levels: Literal["stretched", "clamped"] = "stretched"
    """How decoded pictures, which exceed the range of levels, are brought into it for the guide. `stretched`: from their least to their
    largest value, as in the public code; `clamped`: cut off, as in the stored pictures. The paper does not say."""
    side: int | None = Field(default=None, ge=8)
    """Side in pixels at which the guide sees pictures; by default that which it was trained on. The public code does not resize them."""
    covariance: Literal["tied", "per_class"] = "tied"
    """For hardness: one covariance of the features for all classes, or one for each, which takes more memory."""

    @model_validator(mode="after")
    def _reads_all(self) -> "Feedback":
        refuse_unread(self)
        return self

    @property
    def needs_features(self) -> bool:
        """Whether it compares with the real pictures' features under the guide."""
        return self.criterion in ("hardness", "combined")


class Diffusion(Draw):
    """Drawing by denoising, step by step."""

    steps: int = Field(default=1000, ge=1)
    """Denoising steps; they divide the generator's `timesteps`."""
    guidance: float = Field(default=1.6, ge=0)
    """omega in eps + omega (eps - eps_unconditional); 0 is no guidance, and diffusers' scale is 1 + omega."""
    clip_denoised: bool = False
    """Clip the predicted picture of each step to [-1, 1], as in DDPM's code; CBDM's code does not clip."""
    feedback: Feedback | None = None
    """The feedback of the pool's `guide`."""

    @property
    def cost_steps(self) -> int:
        return self.steps


class Ddpm(Diffusion):
    """Ancestral sampling (Ho et al. 2020)."""

    kind: Literal["ddpm"]


class Ddim(Diffusion):
    """Sampling without noise between the steps (Song et al. 2021)."""

    kind: Literal["ddim"]


class Pretrained(Draw):
    """Drawing from a pretrained model, with the conventions of diffusers."""

    scheduler: Literal["saved", "ddim", "ddpm", "dpm_solver", "euler", "euler_ancestral", "lcm", "pndm", "unipc"] = (
        "saved"
    )
    """The model's own scheduler, or another one with its noise schedule."""
    steps: int = Field(default=50, ge=1, le=1000)
    """Denoising steps."""
    guidance_scale: float = Field(default=7.5, ge=0)
    """s in eps_unconditional + s (eps - eps_unconditional); at 1 and below, there is no guidance."""
    side: int | None = Field(default=None, ge=8, multiple_of=8)
    """Side of the drawn pictures in pixels; by default the model's own. `store: {side: ...}` scales them down afterwards."""

    @property
    def cost_steps(self) -> int:
        return self.steps


class TextToImage(Pretrained):
    """Drawing from texts."""

    kind: Literal["text_to_image"]
    negative_prompt: str = ""
    """The text of the unconditional prediction."""
    feedback: Feedback | None = None
    """The feedback of the pool's `guide`; it needs the scheduler ddim."""

    @model_validator(mode="after")
    def _reads_all(self) -> "TextToImage":
        if self.feedback and self.scheduler != "ddim":
            raise ValueError(f"scheduler is {self.scheduler}, but feedback needs ddim; set scheduler: ddim")
        if self.negative_prompt and self.guidance_scale <= 1:
            raise ValueError("negative_prompt has no effect without guidance; set guidance_scale above 1, or remove it")
        return self


class TextualInversion(TextToImage):
    """Drawing from texts with learned vectors in them. The defaults are Fill-Up's."""

    kind: Literal["textual_inversion"]
    scheduler: Literal["saved", "ddim", "ddpm", "dpm_solver", "euler", "euler_ancestral", "lcm", "pndm", "unipc"] = (
        "ddim"
    )
    """The model's own scheduler, or another one with its noise schedule."""
    guidance_scale: float = Field(default=1.0, ge=0)
    """s in eps_unconditional + s (eps - eps_unconditional); at 1 and below, there is no guidance."""
    checkpoints: Literal["all", "last"] | Annotated[int, Field(ge=1)] = "all"
    """The vectors that were kept after this step of training, the last ones, or all, which the pictures of a class use in turn."""

    reads_checkpoints: ClassVar[bool] = True

    def plan_settings(self) -> dict[str, Any]:
        return super().plan_settings() | {"checkpoints": self.checkpoints}


class Glide(Draw):
    """Drawing with GLIDE as its authors do: ancestral sampling with learned variance, of pictures of 64 px."""

    kind: Literal["glide"]
    steps: int = Field(default=100, ge=1, le=1000)
    """Denoising steps of the 1000 timesteps, evenly spaced."""
    guidance_scale: float = Field(default=3.0, ge=0)
    """s in eps_unconditional + s (eps - eps_unconditional); at 1 and below, there is no guidance."""
    upsample: bool = False
    """Enlarge the pictures to 256 px by the foundation's upsampler, in 27 steps without guidance."""

    @property
    def cost_steps(self) -> int:
        return self.steps


Strength = Annotated[float, Field(gt=0, le=1)]


class ImageToImage(TextToImage):
    """Drawing from texts and real pictures: noise is added to the picture, and only the last steps denoise it (SDEdit)."""

    kind: Literal["image_to_image"]
    strength: Strength | tuple[Strength, Strength]
    """Share of the steps that are done: at 1, hardly anything is left of the picture. [low, high] draws one for each picture."""

    reads_sources: ClassVar[bool] = True

    @property
    def cost_steps(self) -> int:
        return int(self.steps * self._strengths()[1])

    def plan_settings(self) -> dict[str, Any]:
        return super().plan_settings() | {"strength": self._strengths()}

    @model_validator(mode="after")
    def _does_a_step(self) -> "ImageToImage":
        low, high = self._strengths()
        if low > high:
            raise ValueError(f"strength is [{low}, {high}]; write the lower one first")
        if int(self.steps * low) < 1:
            raise ValueError(f"strength is {low}, which is less than one of {self.steps} steps; raise one of them")
        return self

    def _strengths(self) -> tuple[float, float]:
        """Lowest and highest strength."""
        return self.strength if isinstance(self.strength, tuple) else (self.strength, self.strength)


class ImageVariation(Pretrained):
    """Drawing from the CLIP embedding of a real picture. The default guidance is the one that Fill-Up compares with."""

    kind: Literal["image_variation"]
    guidance_scale: float = Field(default=3.0, ge=0)
    """s in eps_unconditional + s (eps - eps_unconditional); at 1 and below, there is no guidance."""

    reads_sources: ClassVar[bool] = True


class Unclip(TextToImage):
    """Drawing from the CLIP embedding of a real picture and a text. The defaults are those of Reimagine in Fill-Up."""

    kind: Literal["unclip"]
    guidance_scale: float = Field(default=10.0, ge=0)
    """s in eps_unconditional + s (eps - eps_unconditional); at 1 and below, there is no guidance."""
    noise_level: int = Field(default=0, ge=0, le=999)
    """Noise on the embedding; more of it gives pictures that differ more from the real one."""
    embedding_dropout: float = Field(default=0.0, ge=0, le=1)
    """Share of the embedding's numbers that are set to 0, once for each picture, for more variety (LDM-FG). With 1, only the
    text is left."""
    sources: int | None = Field(default=None, ge=1)
    """Draw from this many real pictures of each class, chosen at random; by default from all."""

    reads_sources: ClassVar[bool] = True
    reads_embeddings: ClassVar[bool] = True
