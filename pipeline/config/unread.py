"""Keys that have no effect given the other keys."""

from pipeline.config.parts import Part

READ_WITH = {
    "momentum": ("optimizer", ["sgd"]),
    "nesterov": ("optimizer", ["sgd"]),
    "decay_at": ("schedule", ["step"]),
    "decay_to": ("schedule", ["step"]),
    "beta_start": ("schedule", ["linear"]),
    "beta_end": ("schedule", ["linear"]),
    "tuning": ("backbone", ["clip"]),
    "tuning_rank": ("tuning", ["adaptformer", "lora"]),
    "head_text": ("backbone", ["clip"]),
    "quality": ("format", ["jpeg", "webp"]),
    "covariance": ("criterion", ["hardness", "combined"]),
}
"""Key -> the key that decides if it has an effect, and the values with which it has one."""


def refuse_unread(part: Part) -> None:
    """Raise ValueError for a key that is not at its default and has no effect given the part's other keys."""
    fields = type(part).model_fields
    for key, (chooser, values) in READ_WITH.items():
        if key not in fields or chooser not in fields or getattr(part, key) == fields[key].default:
            continue
        if getattr(part, chooser) not in values:
            allowed = " or ".join(f"{chooser}: {value}" for value in values)
            raise ValueError(f"{key} is {_plain(getattr(part, key))}, which has an effect only with {allowed}")


def _plain(value):
    return list(value) if isinstance(value, tuple) else value
