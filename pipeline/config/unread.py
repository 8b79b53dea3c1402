"""Keys that nothing reads, because another key has chosen otherwise: they would change nothing, and look as if they did."""

from pipeline.config.parts import Part

READ_WITH = {
    "focal_gamma": {"loss": ["focal"]},
    "focal_form": {"loss": ["focal"]},
    "max_margin": {"loss": ["ldam"]},
    "head_scale": {"loss": ["ldam"]},
    "adjustment_tau": {"loss": ["logit_adjustment"]},
    "generated_weight": {"loss": ["weighted_cross_entropy"]},
    "normalise_by": {"loss": ["weighted_cross_entropy"]},
    "class_weights": {"loss": ["cross_entropy", "focal", "ldam"]},
    "class_weights_from": {"class_weights": ["effective_number", "inverse_power"]},
    "class_weights_power": {"class_weights": ["inverse_power"]},
    "class_weights_beta": {"class_weights": ["effective_number"], "sampler": ["effective_number"]},
    "sampler_power": {"sampler": ["power"], "patch_sampler": ["power"]},
    "per_class_draws": {"sampler": ["class_aware"]},
    "momentum": {"optimizer": ["sgd"]},
    "nesterov": {"optimizer": ["sgd"]},
    "decay_at": {"schedule": ["step"]},
    "decay_to": {"schedule": ["step"]},
    "beta_start": {"schedule": ["linear"]},
    "beta_end": {"schedule": ["linear"]},
    "quality": {"format": ["jpeg", "webp"]},
}
"""Key -> the choices with which it is read, one of them being enough. A part without any of the choosing keys always reads it.
A weight of 0 leaves keys unread, too, but belongs to a sweep, and is not refused."""


def refuse_unread(part: Part) -> None:
    """Raise ValueError for a key of another value than its default that the part's own choices leave unread."""
    fields = type(part).model_fields
    for key, choices in READ_WITH.items():
        if key not in fields or getattr(part, key) == fields[key].default:
            continue
        choosers = {chooser: values for chooser, values in choices.items() if chooser in fields}
        if choosers and not any(getattr(part, chooser) in values for chooser, values in choosers.items()):
            allowed = " or ".join(f"{chooser}: {value}" for chooser, values in choosers.items() for value in values)
            raise ValueError(f"{key} is {_plain(getattr(part, key))}, which is read only with {allowed}")


def _plain(value):
    return list(value) if isinstance(value, tuple) else value
