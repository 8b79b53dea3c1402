"""draw: how a pool's pictures are drawn from its generator. `kind` chooses the type; each generator accepts some."""

from typing import Literal

from pydantic import Field

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
