"""Captions of the real training pictures by BLIP-2 (Li et al. 2023; Fill-Up, appendix B.3)."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.artifacts import made, shards
from pipeline.errors import InputError
from pipeline.foundations.language_model import load
from pipeline.foundations.table import folder_of
from pipeline.jobs.device import device
from pipeline.jobs.inputs import only
from pipeline.jobs.progress import progress
from pipeline.prompts import Job
from pipeline.prompts.answers import prompt, usable
from pipeline.prompts.language_model import plain_generation


def texts(settings: Mapping[str, Any], job: Job) -> Iterator[tuple[str, str, str]]:
    """(class name, caption, key of the picture) of each chosen picture, except captions without letters, which are counted.

    The captions are the likeliest tokens one by one, so they have no seed. Raises InputError if no caption of a class is usable.
    """
    manifest = shards.read_table(job.manifest, needs=shards.REAL)
    rows = spread(manifest[manifest["split"] == "train"], settings["per_class"])
    captions = np.concatenate(list(job.continued(lambda done: _written(settings, job, rows[done:]))))
    found = rows.assign(caption=captions)
    unusable = found["caption"] == ""
    if unusable.any():
        print(f"{unusable.sum()} of {len(found)} captions had no letters; they are left out", flush=True)
    for name in job.names:
        own = found[(found["class_name"] == name) & ~unusable]
        if own.empty:
            raise InputError(f"no picture of the class '{name}' got a caption; give a `start`, or use another model")
        for row in own.itertuples():
            yield name, prompt("{answer}", name, row.caption), row.key


def spread(rows: pd.DataFrame, most: int | None) -> pd.DataFrame:
    """At most so many rows of each class, spread evenly over the class, sorted by class."""
    rows = rows.sort_values("class", kind="stable", ignore_index=True)
    if most is None:
        return rows
    count = rows.groupby("class")["class"].transform("size")
    place = rows.groupby("class").cumcount()
    kept = np.minimum(count, most)
    return rows[(place + 1) * kept // count > place * kept // count].reset_index(drop=True)


@torch.inference_mode()
def _written(settings: Mapping[str, Any], job: Job, rows: pd.DataFrame) -> Iterator[np.ndarray]:
    """Captions of the rows' pictures in batches, the last one padded, so that a caption does not depend on the others."""
    if rows.empty:
        return
    path = only(job.inputs, "foundation")
    folder, about, target = folder_of(path), made.about(path), device()
    loaded = load(folder, getattr(torch, settings["precision"]), about["variant"], about["allow_pickle"])
    _require_pictures(folder, loaded.model, loaded.processor)
    model = loaded.model.to(target)
    model.generation_config = plain_generation(model, loaded.tokenizer)
    model.language_model.generation_config = model.generation_config  # it writes
    size, begun = settings["batch_size"], settings["start"]
    for start in progress(range(0, len(rows), size), "writing captions", -(-len(rows) // size), unit="batch"):
        piece = rows[start : start + size]
        seen = [shards.read_pictures(piece[i : i + 1], job.manifest.parent)[0] for i in range(len(piece))]
        # an empty text too, because without one BLIP-2 with a T5 lacks a first token
        batch = loaded.processor(images=seen + seen[-1:] * (size - len(seen)), text=[begun] * size, return_tensors="pt")
        batch = batch.to(target, model.dtype)
        tokens = model.generate(**batch, max_new_tokens=settings["max_new_tokens"])[: len(seen)]
        first = 0 if model.config.is_encoder_decoder else batch["input_ids"].shape[1]
        answers = loaded.tokenizer.batch_decode(tokens[:, first:], skip_special_tokens=True)
        # T5 answers without a blank at the beginning
        glue = " " if begun and model.config.is_encoder_decoder else ""
        yield np.array([f"{begun}{glue}{answer}" if usable(answer) else "" for answer in answers])


def _require_pictures(folder: Any, model: Any, processor: Any) -> None:
    """Raise InputError if the model is not BLIP-2, or is an old copy that says too little for today's library."""
    if type(model).__name__ != "Blip2ForConditionalGeneration":
        raise InputError(f"{folder} has a {type(model).__name__}, but captions need BLIP-2; name another foundation")
    token, queries = getattr(model.config, "image_token_index", None), getattr(processor, "num_query_tokens", None)
    word = None if token is None else processor.tokenizer.convert_ids_to_tokens(token)
    if queries != model.config.num_query_tokens or word != processor.image_token.content:
        raise InputError(
            f"{folder} does not say which token stands for a picture (image_token_index of its config, num_query_tokens of its"
            " processor); get a newer copy of the model"
        )
