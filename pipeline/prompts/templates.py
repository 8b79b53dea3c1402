"""Prompts from sentences with the name of the class in them."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.data.readable import readable
from pipeline.prompts import Job
from pipeline.prompts.table import CONTEXT


def texts(settings: Mapping[str, Any], job: Job) -> Iterator[tuple[str, str, str]]:
    """(class name, prompt, origin) of every class and sentence of `templates`; a plan fills in {context}."""
    for name in job.names:
        for template in settings["templates"]:
            yield name, template.format(**{"class": readable(name), "context": CONTEXT}), template
