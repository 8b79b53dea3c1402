"""The frozen model that vectors are learned with, and the losses of several classes in one pass."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pipeline.data.readable import readable
from pipeline.generators.adapting import Job
from pipeline.generators.denoiser import Denoiser
from pipeline.generators.step_draws import joined
from pipeline.generators.textual_inversion.learning import Learning
from pipeline.generators.textual_inversion.templates import TEMPLATES
from pipeline.generators.textual_inversion.words import Tokens, Words


class Model:
    """A Stable Diffusion model that reads learned vectors in the texts of training.

    Raises InputError as Denoiser does, or if the tokenizer has the placeholder, or a template is too long.
    """

    def __init__(self, settings: Mapping[str, Any], job: Job):
        self.denoiser, self._settings = Denoiser(settings, job), settings
        self.words = Words(
            self.denoiser.tokenizer, self.denoiser.text_encoder, settings["placeholder"], settings["vectors"]
        )
        templates = settings["templates"]
        self._texts = self.words.tokens(TEMPLATES[templates] if isinstance(templates, str) else templates)
        labels = job.real["class"].to_numpy()
        self._first = {label: int((labels < label).sum()) for label in job.classes.tolist()}

    def initial(self, name: str) -> torch.Tensor:
        """The first vectors of a class, float32 [V, W]: the embeddings of the initial text's tokens, repeated."""
        embeddings = self.words.embeddings(self._settings["initial_text"].format(**{"class": readable(name)})).float()
        return embeddings[torch.arange(self._settings["vectors"]) % len(embeddings)]

    def losses(self, active: Sequence[Learning]) -> torch.Tensor:
        """The mean loss of each class's next step, float32 [K]; they share one pass of the networks."""
        shape = self.denoiser.shape(len(self._texts.ids))
        draws = [one.draw(shape) for one in active]
        rows = torch.cat([own.pictures + self._first[one.label] for own, one in zip(draws, active, strict=True)])
        each, whole = len(rows) // len(active), joined(draws)
        vectors = torch.stack([one.vectors for one in active]).repeat_interleave(each, 0)
        texts = self.words.encoded(Tokens(*(part[whole.texts] for part in self._texts)), vectors)
        return self.denoiser.losses(whole, rows, texts).unflatten(0, (-1, each)).mean(1)
