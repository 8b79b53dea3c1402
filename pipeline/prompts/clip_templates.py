"""Prompts from the 80 sentences of CLIP's zero-shot classifier of ImageNet (Radford et al. 2021)."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.data.readable import readable
from pipeline.prompts import Job


def texts(settings: Mapping[str, Any], job: Job) -> Iterator[tuple[str, str, str]]:
    """(class name, prompt, origin) of every class and sentence."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    for name in job.names:
        for template in OPENAI_IMAGENET_TEMPLATES:
            yield name, template(readable(name)), template("{class}")
