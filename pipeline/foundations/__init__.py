"""Foundations: models in standard folders. One module per kind makes them; all are checked and loaded alike.

A module has `make(settings, inputs, folder, checkpoint)`. It returns the model's folder, which may be `folder`, and what the table of
its files should say about it. `checkpoint(name)` is the checkpoint of a training.
"""

SAFETY_CHECKER = "safety_checker"
"""The component that is fetched and loaded only if it is asked for."""
CLIP_CONFIG, CLIP_WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
"""Files of a CLIP in open_clip's format."""
GLIDE = "Glide"
"""Class, in its `model_index.json`, of a model that was converted from GLIDE's checkpoints; diffusers has none for it."""
