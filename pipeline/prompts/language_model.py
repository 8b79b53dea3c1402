"""Prompts that a language model writes about the classes (SAU's query; Fill-Up, appendix B.1)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jinja2.exceptions import TemplateError
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from pipeline.artifacts import made
from pipeline.errors import InputError
from pipeline.foundations.language_model import load
from pipeline.foundations.table import folder_of
from pipeline.jobs.device import device
from pipeline.jobs.inputs import only
from pipeline.jobs.progress import progress
from pipeline.prompts import Job
from pipeline.prompts.answers import messages, prompt, usable
from pipeline.seeds import mixed_seed

TRIES = 5
"""How often a text is sampled, with other seeds, until it is usable."""


def texts(settings: Mapping[str, Any], job: Job) -> Iterator[tuple[str, str, str]]:
    """(class name, prompt, origin) of `per_class` texts for each class, except those that stay unusable, which are counted.

    A text depends on the seed, its class and its number alone. Raises InputError if no text of a class is usable.
    """
    path = only(job.inputs, "foundation")
    model = Writer(path, settings, device())
    each = list(enumerate(job.names))

    def written(rows: int) -> Iterator[np.ndarray]:
        left = each[rows // settings["per_class"] :]
        for label, name in progress(left, "writing prompts", len(left), unit="class"):
            yield np.array(model.write(label, name))

    unusable = 0
    for (_, name), answers in zip(each, job.continued(written), strict=True):
        found = [answer for answer in answers.tolist() if answer]
        unusable += len(answers) - len(found)
        if not found:
            raise InputError(f"the model wrote nothing usable about the class '{name}'; change the query, or the model")
        for answer in found:
            yield name, prompt(settings["text"], name, answer), str(path.parent)
    if unusable:
        print(f"{unusable} texts had no letters or damaged ones after {TRIES} tries; they are left out", flush=True)


class Writer:
    """A language model that answers about classes."""

    def __init__(self, foundation, settings: Mapping[str, Any], target: torch.device):
        folder, about = folder_of(foundation), made.about(foundation)
        loaded = load(folder, getattr(torch, settings["precision"]), about["variant"], about["allow_pickle"])
        if loaded.processor is not None:
            raise InputError(
                f"{folder} looks at pictures; `kind: captions` uses it, and this kind needs a model of texts alone"
            )
        self._tokenizer, self._model = loaded.tokenizer, loaded.model.to(target)
        self._settings, self._decoding = settings, settings["decoding"]
        self._model.generation_config = plain_generation(loaded.model, loaded.tokenizer)

    @torch.inference_mode()
    def write(self, label: int, name: str) -> list[str]:
        """The answers about a class, `per_class` of them; '' for one that is unusable."""
        asked = self._asked(name)
        if self._decoding["kind"] == "beam_search":
            return [answer if usable(answer) else "" for answer in self._searched(asked)]
        answers = [""] * self._settings["per_class"]
        for attempt in range(TRIES):
            left = [place for place, answer in enumerate(answers) if not answer]
            size = self._settings["batch_size"]
            for places in (left[start : start + size] for start in range(0, len(left), size)):
                seeds = [mixed_seed(self._settings["seed"], label, place, attempt) for place in places]
                for place, answer in zip(places, self._sampled(asked, seeds), strict=True):
                    answers[place] = answer if usable(answer) else ""
        return answers

    def _asked(self, name: str) -> dict[str, torch.Tensor]:
        """The tokens of the query, int64 [1, T], and their mask."""
        chat = messages(self._settings["system"], self._settings["query"], name)
        together = "\n\n".join(one["content"] for one in chat)
        if getattr(self._tokenizer, "chat_template", None):
            how = {"add_generation_prompt": True, "return_tensors": "pt", "return_dict": True}
            try:
                found = self._tokenizer.apply_chat_template(chat, **how)
            except TemplateError:  # some models have no system role
                found = self._tokenizer.apply_chat_template([{"role": "user", "content": together}], **how)
        else:
            found = self._tokenizer(together, return_tensors="pt")
        count, new = found["input_ids"].shape[1], self._settings["max_new_tokens"]
        if not count:
            raise InputError(f"the query about the class '{name}' has no tokens; rename the class")
        most = getattr(self._model.config, "max_position_embeddings", None)
        if most is not None and count + new > most:
            raise InputError(
                f"the query about the class '{name}' has {count} tokens, and max_new_tokens is {new}, but the model reads only"
                f" {most}; shorten one of them"
            )
        return {key: found[key].to(self._model.device) for key in ("input_ids", "attention_mask")}

    def _sampled(self, asked: Mapping[str, torch.Tensor], seeds: Sequence[int]) -> list[str]:
        """One answer for each seed. The batch has always the same size, so that an answer does not depend on the others."""
        size = self._settings["batch_size"]
        generators = [torch.Generator().manual_seed(seed) for seed in (*seeds, *[seeds[-1]] * (size - len(seeds)))]
        chosen: list[LogitsProcessor] = [TemperatureLogitsWarper(float(self._decoding["temperature"]))]
        chosen += [TopKLogitsWarper(self._decoding["top_k"])] if self._decoding["top_k"] else []
        chosen += [TopPLogitsWarper(self._decoding["top_p"])] if self._decoding["top_p"] < 1 else []
        batch = {key: value.expand(size, -1) for key, value in asked.items()}
        return self._generated(batch, logits_processor=LogitsProcessorList([*chosen, Draw(generators)]))[: len(seeds)]

    def _searched(self, asked: Mapping[str, torch.Tensor]) -> list[str]:
        count = self._settings["per_class"]
        return self._generated(asked, num_beams=count * self._decoding["beams_per_prompt"], num_return_sequences=count)

    def _generated(self, batch: Mapping[str, torch.Tensor], **how: Any) -> list[str]:
        tokens = self._model.generate(**batch, max_new_tokens=self._settings["max_new_tokens"], **how)
        start = 0 if self._model.config.is_encoder_decoder else batch["input_ids"].shape[1]
        return self._tokenizer.batch_decode(tokens[:, start:], skip_special_tokens=True)


class Draw(LogitsProcessor):
    """Leaves one token a row, drawn by the row's own generator from the softmax of its scores."""

    def __init__(self, generators: Sequence[torch.Generator]):
        self._generators = generators

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        uniform = torch.cat([torch.rand(1, dtype=torch.float64, generator=one) for one in self._generators])
        ends = scores.double().softmax(-1).cumsum(-1)
        below = ends <= uniform.to(scores.device)[:, None] * ends[:, -1:]
        token = below.sum(-1, keepdim=True).clamp(max=scores.shape[1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(1, token, 0.0)


def plain_generation(model: Any, tokenizer: Any) -> GenerationConfig:
    """The model's special tokens without its own way of choosing tokens, which differs from model to model."""
    kept = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
    tokens = {key: getattr(model.generation_config, key) for key in kept}
    ends = tokens["eos_token_id"] if tokens["eos_token_id"] is not None else tokenizer.eos_token_id
    tokens["eos_token_id"] = ends
    if tokens["pad_token_id"] is None:
        tokens["pad_token_id"] = ends[0] if isinstance(ends, list) else ends
    return GenerationConfig(**tokens, do_sample=False)
