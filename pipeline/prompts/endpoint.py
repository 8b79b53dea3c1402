"""Prompts from the answers of a chat endpoint, which the stage `ask` has gathered."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.artifacts import shards
from pipeline.jobs.inputs import only
from pipeline.prompts import Job
from pipeline.prompts.answers import prompt


def texts(settings: Mapping[str, Any], job: Job) -> Iterator[tuple[str, str, str]]:
    """(class name, prompt, name of the model) of every answer."""
    for row in shards.read_table(only(job.inputs, "answers")).itertuples():
        yield row.class_name, prompt(settings["text"], row.class_name, row.answer), settings["model"]
