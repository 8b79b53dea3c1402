"""Feedback of a classifier to a diffusion model while it draws (LDM-FG; Askari-Hemmat et al. 2023), whatever the model.

Samplers ask for it by `feedback_of`; its modules are loaded only for pools that have a guide.
"""

from collections.abc import Mapping
from typing import Any

import torch

from pipeline import kinds
from pipeline.jobs.inputs import Inputs

AT_ONCE = 8
"""Pictures that a CPU draws together with feedback."""


def batch_size(settings: Mapping[str, Any], device: torch.device) -> int:
    """Pictures that a pool's sampler draws together: as many as the settings say but, with feedback on a CPU, AT_ONCE.

    There, rounding errors differ between sizes of batches, and feedback makes them larger, up to other levels of pixels.
    """
    return AT_ONCE if settings["draw"].get("feedback") and device.type == "cpu" else settings["batch_size"]


def feedback_of(inputs: Inputs, settings: Mapping[str, Any], device: torch.device) -> Any:
    """The `pipeline.guidance.feedback.Feedback` that a pool's draw asks for; None if it asks for none.

    inputs: `guide`, the weights of a classifier and, for hardness, `guide_features`, those of the real pictures under it.
    """
    asked = settings["draw"].get("feedback")
    return asked and kinds.load("guidance", "feedback").load(inputs, asked, device)
