"""The state of one class: its vectors, and their optimizer."""

from collections.abc import Mapping
from typing import Any

import torch

from pipeline.generators.step_draws import Draws, Shape, drawn


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

    def draw(self, shape: Shape) -> Draws:
        """The draws of the next step; they depend only on (seed, class, step)."""
        return drawn(self._settings, self.label, self.step, self.pictures, shape)

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
