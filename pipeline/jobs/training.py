"""The state of a training run: averaged weights, checked losses, and checkpoints to continue from."""

from typing import Any, Protocol

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pipeline.errors import InputError
from pipeline.jobs.checkpoint import Checkpoint


class NotFinite(InputError):
    """A loss is no longer a finite number."""


class Stateful(Protocol):
    """A part of a training run that has a state: a network, an optimizer, a learning-rate scheduler."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> object: ...


class Training:
    """A training run's state. It continues from the checkpoint, if there is one.

    A loop begins at `step` and calls `after_step` after each step. Before it adds a row to `history`, it takes the row's losses
    with `take_losses`. Then `save_if_due` may save. A loss that is not finite is neither logged nor saved.
    """

    def __init__(
        self, name: str, checkpoint: Checkpoint, network: nn.Module, ema_decay: float | None, /, **parts: Stateful
    ):
        """Load the checkpoint into `parts` and the average.

        name: the trained model, for messages. network: the one to average, on the device of the losses. ema_decay: 0 to 1,
        of the exponential moving average of weights and buffers; None: no average. parts: by their names in the checkpoint.
        """
        self._name, self._checkpoint, self._parts = name, checkpoint, parts
        self._network, self._average = network, None
        if ema_decay is not None:
            update = get_ema_multi_avg_fn(ema_decay)
            self._average = self._parts["average"] = AveragedModel(network, multi_avg_fn=update, use_buffers=True)
        self.step = 0
        """Number of finished steps."""
        self.history: list[dict[str, Any]] = []
        """Rows of the log."""
        self.recent: list[torch.Tensor] = []
        """The loss of each step since the last row, or its terms: tensors of one shape."""
        if state := checkpoint.load():
            self._load(state)

    @property
    def averaged(self) -> nn.Module:
        """The moving average of the network; the network itself if there is no average."""
        return self._network if self._average is None else self._average.module

    def after_step(self, loss: torch.Tensor) -> None:
        """Count a step that the optimizer has taken, keep its loss, and update the average."""
        self.step += 1
        self.recent.append(loss.detach())
        if self._average is not None:
            self._average.update_parameters(self._network)

    def take_losses(self) -> torch.Tensor:
        """The losses of the steps since the last row, [steps, ...]. Raises InputError if one is not finite."""
        losses = self._finite_losses()
        self.recent = []
        return losses

    def save_if_due(self) -> None:
        """Save the state if the checkpoint's timer, or a request to stop, asks for it. Raises InputError as `save` does."""
        if self._checkpoint.due():
            self.save()

    def save(self) -> None:
        """Save the state, at the end as well: it stays until the scheduler has accepted what the training wrote.

        Raises InputError, and keeps the last checkpoint, if a recent loss is not finite.
        """
        if self.recent:
            self._finite_losses()
        values = {"step": self.step, "history": self.history, "recent": self.recent}
        self._checkpoint.save({name: part.state_dict() for name, part in self._parts.items()} | values)

    def _load(self, state: dict[str, Any]) -> None:
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        device = next(self._network.parameters()).device
        self.step, self.history = state["step"], state["history"]
        self.recent = [loss.to(device) for loss in state["recent"]]
        print(f"continuing at step {self.step} from {self._checkpoint.loaded_from}", flush=True)

    def _finite_losses(self) -> torch.Tensor:
        losses = torch.stack(self.recent)
        finite = losses.isfinite().reshape(len(losses), -1).all(1).tolist()
        if not all(finite):
            first = self.step - len(finite) + finite.index(False) + 1  # counted from 1, as in the history
            raise NotFinite(
                f"the {self._name}'s loss is not a finite number at step {first}; lower learning_rate "
                f"(last good checkpoint: {self._checkpoint.describe()})"
            )
        return losses
