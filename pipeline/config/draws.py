"""draw: how a pool's pictures are drawn from its generator. `kind` chooses the type; each generator accepts some."""

from typing import Literal

from pydantic import Field, model_validator

from pipeline.config.parts import Part


class Draw(Part):
    """Base of all ways of drawing."""

    kind: str

    @property
    def cost_steps(self) -> int:
        """Network steps per picture, for a cost estimate."""
        return 1


class Diffusion(Draw):
    """Drawing by denoising, step by step."""

    steps: int = Field(default=1000, ge=1)
    """Denoising steps; they divide the generator's `timesteps`."""
    guidance: float = Field(default=1.6, ge=0)
    """omega in eps + omega (eps - eps_unconditional); 0 is no guidance, and diffusers' scale is 1 + omega."""
    clip_denoised: bool = False
    """Clip the predicted picture of each step to [-1, 1], as in DDPM's code; CBDM's code does not clip."""

    @property
    def cost_steps(self) -> int:
        return self.steps


class Ddpm(Diffusion):
    """Ancestral sampling (Ho et al. 2020)."""

    kind: Literal["ddpm"]


class Ddim(Diffusion):
    """Sampling without noise between the steps (Song et al. 2021)."""

    kind: Literal["ddim"]


class TextToImage(Draw):
    """Drawing from a text-to-image model, with the conventions of diffusers."""

    kind: Literal["text_to_image"]
    scheduler: Literal["saved", "ddim", "ddpm", "dpm_solver", "euler", "euler_ancestral", "lcm", "pndm", "unipc"] = (
        "saved"
    )
    """The model's own scheduler, or another one with its noise schedule."""
    steps: int = Field(default=50, ge=1)
    """Denoising steps."""
    guidance_scale: float = Field(default=7.5, ge=0)
    """s in eps_unconditional + s (eps - eps_unconditional); at 1 and below, there is no guidance."""
    negative_prompt: str = ""
    """The text of the unconditional prediction."""
    side: int | None = Field(default=None, ge=8, multiple_of=8)
    """Side of the drawn pictures in pixels; by default the model's own. `store: {side: ...}` scales them down afterwards."""

    @property
    def cost_steps(self) -> int:
        return self.steps

    @model_validator(mode="after")
    def _reads_all(self) -> "TextToImage":
        if self.negative_prompt and self.guidance_scale <= 1:
            raise ValueError("negative_prompt has no effect without guidance; set guidance_scale above 1, or remove it")
        return self


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
