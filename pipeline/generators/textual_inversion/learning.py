"""The state of one class: its vectors, their optimizer, and what it draws for a step."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from pipeline.seeds import epoch_order, mixed_seed


class Draws(NamedTuple):
    """What the pictures of one class's step depend on, all on the CPU."""

    pictures: torch.Tensor
    """Positions of the pictures within the class, int64 [B]."""
    mirrored: torch.Tensor
    """1 for a mirrored picture and 0 else, int64 [B]."""
    texts: torch.Tensor
    """Numbers of the templates, int64 [B]."""
    times: torch.Tensor
    """Steps of the noising process, int64 [B]."""
    of_latents: torch.Tensor
    """The noise that draws latents from their distribution, float32 [B, C, h, w]."""
    noise: torch.Tensor
    """The noise to be predicted, float32 [B, C, h, w]."""


class Learning:
    """A class that learns. label: its number. pictures: their number. steps: of its training. vectors: the first ones, float32 [V, W]."""

    def __init__(self, label: int, pictures: int, steps: int, vectors: torch.Tensor, settings: Mapping[str, Any]):
        self.label, self.pictures, self.steps = label, pictures, steps
        self.vectors = torch.nn.Parameter(vectors)
        rate = settings["learning_rate"] * (settings["batch_size"] if settings["scale_learning_rate"] else 1)
        self.optimizer = torch.optim.AdamW([self.vectors], rate, weight_decay=settings["weight_decay"])
        self._settings = settings
        self.step = 0
        """Number of finished steps."""
        self.kept: dict[int, torch.Tensor] = {}
        """Step -> vectors that were kept after it, on the CPU."""
        self.losses: dict[int, float] = {}
        """Step -> mean loss of the steps since the last ones were kept."""
        self.diverged = False
        """Whether its loss or its vectors were no longer finite numbers; then it has ended."""
        self._recent: list[torch.Tensor] = []

    @property
    def ended(self) -> bool:
        return self.diverged or self.step >= self.steps

    def draw(self, templates: int, timesteps: int, shape: torch.Size) -> Draws:
        """The draws of the next step; they depend only on (seed, class, step)."""
        seed, size = self._settings["seed"], self._settings["batch_size"]
        random = torch.Generator().manual_seed(mixed_seed(seed, self.label, self.step))
        places = range(self.step * size, (self.step + 1) * size)
        orders = {
            epoch: epoch_order(self.pictures, mixed_seed(seed, self.label), epoch)
            for epoch in {place // self.pictures for place in places}
        }
        share = 0.5 if self._settings["horizontal_flip"] else 0.0
        return Draws(
            torch.stack([orders[place // self.pictures][place % self.pictures] for place in places]),
            (torch.rand(size, generator=random) < share).long(),
            torch.randint(templates, (size,), generator=random),
            torch.randint(timesteps, (size,), generator=random),
            torch.randn((size, *shape), generator=random),
            torch.randn((size, *shape), generator=random),
        )

    def take(self, loss: torch.Tensor) -> None:
        """Take a step with the gradient of `loss`, and keep the vectors if it is time, unless they are not finite."""
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        self._recent.append(loss.detach())
        if self.step % self._settings["checkpoint_steps"] == 0 or self.step == self.steps:
            mean, vectors = torch.stack(self._recent).double().mean(), self.vectors.detach()
            self._recent = []
            self.diverged = not (mean.isfinite() & vectors.isfinite().all()).item()
            if not self.diverged:
                self.kept[self.step], self.losses[self.step] = vectors.cpu().clone(), mean.item()

    def state(self) -> dict[str, Any]:
        """All that a continued training needs."""
        return {
            "vectors": self.vectors.detach(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "kept": self.kept,
            "losses": self.losses,
            "diverged": self.diverged,
            "recent": self._recent,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""
        with torch.no_grad():
            self.vectors.copy_(state["vectors"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.kept, self.losses = state["step"], state["kept"], state["losses"]
        self.diverged = state["diverged"]
        self._recent = [loss.to(self.vectors.device) for loss in state["recent"]]
