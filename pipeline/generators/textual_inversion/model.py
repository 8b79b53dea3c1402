"""The frozen model that vectors are learned with, and the loss of several classes in one pass."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import DDPMScheduler

from pipeline.artifacts import made
from pipeline.data.readable import readable
from pipeline.errors import InputError
from pipeline.foundations.components import components
from pipeline.foundations.fit import misuse, pipeline_class
from pipeline.foundations.table import folder_of
from pipeline.generators.adapting import Job
from pipeline.generators.textual_inversion.latents import moments, sampled
from pipeline.generators.textual_inversion.learning import Learning
from pipeline.generators.textual_inversion.templates import TEMPLATES
from pipeline.generators.textual_inversion.words import Tokens, Words


class Model:
    """A Stable Diffusion model, all of it frozen, and the latents of a job's pictures.

    Raises InputError if the model is damaged or of another class, its tokenizer has the placeholder, or a template is too long.
    """

    def __init__(self, settings: Mapping[str, Any], job: Job):
        folder, about = folder_of(job.foundation), made.about(job.foundation)
        if complaint := misuse(str(folder), pipeline_class(folder), settings["kind"]):
            raise InputError(complaint)
        dtype = getattr(torch, settings["learning_precision"])
        found = components(folder, dtype, about["variant"], about["allow_pickle"])
        self._settings, self._job, self._dtype = settings, job, dtype
        self._vae, self._unet = found["vae"], found["unet"].to(job.device)
        self._words = Words(
            found["tokenizer"],
            found["text_encoder"].to(job.device),
            settings["placeholder"],
            settings["vectors"],
        )
        templates = settings["templates"]
        self._texts = self._words.tokens(TEMPLATES[templates] if isinstance(templates, str) else templates)
        self._noising = DDPMScheduler.from_config(found["scheduler"].config)
        self._noising.alphas_cumprod = self._noising.alphas_cumprod.to(job.device)
        self._predicts = self._noising.config.prediction_type
        if self._predicts not in ("epsilon", "v_prediction"):
            raise InputError(
                f"{folder / 'scheduler'} predicts a {self._predicts}, from which no vectors are learned here"
            )
        labels = job.real["class"].to_numpy()
        self._first = {label: int((labels < label).sum()) for label in job.classes.tolist()}

    def initial(self, name: str) -> torch.Tensor:
        """The first vectors of a class, float32 [V, W]: the embeddings of the initial text's tokens, repeated."""
        embeddings = self._words.embeddings(self._settings["initial_text"].format(**{"class": readable(name)})).float()
        return embeddings[torch.arange(self._settings["vectors"]) % len(embeddings)]

    def encode(self) -> None:
        """Encode the job's pictures, each and its mirror image once; the VAE is not needed after that."""
        side = self._unet.config.sample_size * 2 ** (len(self._vae.config.block_out_channels) - 1)
        self._vae.to(self._job.device)
        self._moments = moments(self._vae, self._job.real, self._job.folder, side, self._job.pieces)
        self._scale = self._vae.config.scaling_factor
        del self._vae

    def losses(self, active: Sequence[Learning]) -> torch.Tensor:
        """The mean loss of each class's next step, float32 [K]; they share one pass of the networks."""
        shape = self._moments.shape[2] // 2, *self._moments.shape[3:]
        steps = len(self._noising.alphas_cumprod)
        draws = [one.draw(len(self._texts.ids), steps, shape) for one in active]
        rows = torch.cat([own.pictures + self._first[one.label] for own, one in zip(draws, active, strict=True)])
        joined = {name: torch.cat([getattr(own, name) for own in draws]) for name in draws[0]._fields}
        found = self._moments[rows, joined["mirrored"]]
        device = self._job.device
        of_latents, noise, times = (joined[name].to(device) for name in ("of_latents", "noise", "times"))
        clean = sampled(found.to(device), of_latents) * self._scale
        noisy = self._noising.add_noise(clean, noise, times)
        wanted = noise if self._predicts == "epsilon" else self._noising.get_velocity(clean, noise, times)
        each = len(rows) // len(active)
        vectors = torch.stack([one.vectors for one in active]).repeat_interleave(each, 0)
        texts = self._words.encoded(Tokens(*(part[joined["texts"]] for part in self._texts)), vectors)
        predicted = self._unet(noisy.to(self._dtype), times, encoder_hidden_states=texts).sample.float()
        return (predicted - wanted).square().flatten(1).mean(1).unflatten(0, (-1, each)).mean(1)
