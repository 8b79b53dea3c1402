"""prompts: texts that text-to-image models draw pictures of the classes from."""

import os
import re
import string
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from pipeline.config.parts import Part, Reference, RunPart, by_kind
from pipeline.learned import LEARNED


class Prompts(RunPart):
    """Base of all prompts. The module with the function `texts` is `pipeline.prompts.<kind>`."""

    kind: str

    asked: ClassVar[bool] = False
    """Whether the stage `ask` gets its texts from an endpoint."""
    on_gpu: ClassVar[bool] = False
    """Whether its job runs a model."""
    reads_pictures: ClassVar[bool] = False
    """Whether its job reads the real pictures, and not only the names of their classes."""

    @property
    def learned(self) -> bool | None:
        """Whether each text has one place for learned vectors; None if that is not known before the texts are read."""
        return False

    @property
    def in_context(self) -> bool:
        """Whether it is known that a text has a place for a picture's context."""
        return False

    def modules(self) -> list[str]:
        return [f"prompts.{self.kind}"]

    def needs_subset(self) -> bool:
        return self.reads_pictures


class Templates(Prompts):
    """Sentences with the name of the class in them."""

    kind: Literal["templates"] = "templates"
    templates: tuple[Annotated[str, Field(min_length=1)], ...] = Field(default=("A photo of a {class}.",), min_length=1)
    """The sentences; `{class}` is the name of the class, with blanks for _. The default is SAU's.

    For a generator of kind textual_inversion, `*` is the place of the vectors that it has learned. A pool whose cells are groups fills
    in `{context}`: LDM-FG's prompts of NICO++ are "{class} in {context}".
    """

    @property
    def learned(self) -> bool:
        return LEARNED in self.templates[0]

    @property
    def in_context(self) -> bool:
        return any("{context}" in template for template in self.templates)

    @field_validator("templates")
    @classmethod
    def _have_a_class(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        if len({LEARNED in template for template in templates}) > 1:
            raise ValueError(f"some of the templates have a {LEARNED}, the place of learned vectors, and others do not")
        for template in templates:
            if LEARNED not in template:
                checked_template(template, may=("context",))
            elif template.count(LEARNED) > 1:
                raise ValueError(f"'{template}' must have one {LEARNED}, the place of learned vectors")
            else:
                checked_template(template, needs=(), may=("class", "context"))
        return templates


class ClipTemplates(Prompts):
    """The 80 sentences of CLIP's zero-shot classifier of ImageNet (Radford et al. 2021)."""

    kind: Literal["clip_templates"]


class PromptFile(Prompts):
    """Prompts from a table."""

    kind: Literal["file"]
    path: str
    """A .csv file, UTF-8, with the columns `class` (its name) and `text`, and any number of rows for each class."""

    files: ClassVar[tuple[str, ...]] = ("path",)

    @property
    def learned(self) -> None:
        return None

    def settings(self) -> dict[str, Any]:
        return {"kind": self.kind}  # the table itself is an input


class Sampling(Part):
    """Sampling of each token. The defaults are Fill-Up's (appendix B.1)."""

    kind: Literal["sampling"] = "sampling"
    temperature: float = Field(default=1.0, gt=0)
    """Below 1, likelier tokens are preferred; above 1, the others."""
    top_k: int = Field(default=50, ge=0)
    """Only this many of the likeliest tokens; 0 for all."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Only the likeliest tokens that together have this probability (nucleus sampling)."""


class BeamSearch(Part):
    """The likeliest texts that a beam search finds (Fill-Up, appendix B.1)."""

    kind: Literal["beam_search"]
    beams_per_prompt: int = Field(default=4, ge=1)
    """Beams for each prompt of a class; all beams of a class are in memory at once."""


SYSTEM = (
    "You are a helpful assistant designed to output a prompt (30 to 50 words) describing a given object's appearance and"
    " actions. Answer like this: A photo of the class {class}, with specific features and with a specific background."
)
QUERY = "What the {class} looks like?"


class Written(Prompts):
    """Base of prompts that a language model writes. The defaults are SAU's query; its code asks for 30 to 50 words."""

    system: str = SYSTEM
    """The first text that the model gets. It may have {class}, the name of the class, or be empty."""
    query: str = QUERY
    """What the model is asked about each class, or the text that it continues."""
    text: str = "{class}. {answer}"
    """The prompt that is made of an answer."""
    per_class: int = Field(default=50, ge=1)
    """Prompts of each class. SAU asks once for each picture."""

    @field_validator("system")
    @classmethod
    def _system(cls, value: str) -> str:
        return checked_template(value, needs=(), may=("class",))

    @field_validator("query")
    @classmethod
    def _query(cls, value: str) -> str:
        return checked_template(value)

    @field_validator("text")
    @classmethod
    def _text(cls, value: str) -> str:
        return checked_template(value, needs=("answer",), may=("class",))


class LanguageModel(Written):
    """Prompts that a language model of transformers writes: any causal one, as SmolLM or GPT-2, or a T5."""

    kind: Literal["language_model"]
    foundation: str
    """The model. If its tokenizer has a chat template, the query is a chat."""
    decoding: Annotated[Sampling | BeamSearch, Field(discriminator="kind"), BeforeValidator(by_kind)] = Sampling()
    """How tokens are chosen."""
    max_new_tokens: int = Field(default=100, ge=1)
    """Most tokens of an answer."""
    batch_size: int = Field(default=16, ge=1)
    """Prompts of a class that are sampled at once; every batch has this size."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the model's weights and operations."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of the sampling; each prompt has its own, made of it, the class and the number of the prompt."""

    on_gpu: ClassVar[bool] = True
    references: ClassVar[dict[str, Reference]] = {"foundation": Reference("foundations")}


class Captions(Prompts):
    """Captions of the real training pictures by BLIP-2, with greedy decoding as in Fill-Up (appendix B.3)."""

    kind: Literal["captions"]
    foundation: str
    """The model: BLIP-2 in the format of transformers."""
    start: str = ""
    """The text that each caption continues, as `a photo of`."""
    per_class: int | None = Field(default=None, ge=1)
    """Most pictures of a class that get a caption, spread evenly over the class; by default all (Fill-Up)."""
    max_new_tokens: int = Field(default=20, ge=1)
    """Most tokens of a caption, without those of `start`."""
    batch_size: int = Field(default=16, ge=1)
    """Pictures that are looked at together; every batch has this size."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the model's weights and operations."""

    on_gpu: ClassVar[bool] = True
    reads_pictures: ClassVar[bool] = True
    references: ClassVar[dict[str, Reference]] = {"foundation": Reference("foundations")}


class Endpoint(Written):
    """Prompts from a chat endpoint with OpenAI's interface. It is asked where snakemake runs, and every answer is kept."""

    kind: Literal["endpoint"]
    url: str
    """Where it is, without `/chat/completions`: `https://api.openai.com/v1`, or `http://localhost:8000/v1` for a server of your own."""
    model: str = Field(min_length=1)
    """Name of the model there."""
    parameters: dict[str, Any] = {}
    """More keys of each request, as `temperature`, `top_p` or `max_tokens`; by default the endpoint's own values."""
    key_variable: str | None = "OPENAI_API_KEY"
    """The environment variable that has the key; null for an endpoint without keys. Never write the key itself in a config."""
    requests_at_once: int = Field(default=4, ge=1, le=256)
    """Requests that wait for an answer at the same time."""
    timeout: float = Field(default=60, gt=0, le=86_400)
    """Seconds to wait for an answer."""
    tries: int = Field(default=6, ge=1)
    """How often a request is made before the run ends, with longer and longer pauses in between."""

    asked: ClassVar[bool] = True

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        if (
            not re.fullmatch(r"https?://([\w-]+(\.[\w-]+)*|\[[0-9a-f:.]+\])(:\d{1,5})?(/[^\s?#@]*)?", url, re.ASCII)
            or not url.isascii()
        ):
            raise ValueError("it must be like https://api.openai.com/v1, without a user, a key or a ? in it")
        return url.rstrip("/")

    @field_validator("parameters")
    @classmethod
    def _parameters(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        if wrong := sorted({"model", "messages", "n", "stream"} & parameters.keys()):
            raise ValueError(f"'{wrong[0]}' is set by the other keys; remove it")
        return parameters

    @field_validator("key_variable")
    @classmethod
    def _key_variable(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):  # the value may be a key: never show it
            raise ValueError(
                "it must be the name of an environment variable, in capital letters, and not the key itself"
            )
        return name

    def settings(self) -> dict[str, Any]:
        return self.model_dump(mode="json", include={"kind", "text", "model"})

    def asking_settings(self) -> dict[str, Any]:
        """Settings of the stage `ask`."""
        return self.model_dump(mode="json", exclude={"where", "kind", "text"})

    def missing(self) -> str | None:
        """What a job lacks to ask; None if it has everything."""
        if self.key_variable is None or os.environ.get(self.key_variable, "").strip():
            return None
        return (
            f"the environment variable {self.key_variable} is not set; set it to your key for {self.url}, or write"
            " `key_variable: null` if the endpoint needs none"
        )


def checked_template(template: str, needs: tuple[str, ...] = ("class",), may: tuple[str, ...] = ()) -> str:
    """The sentence. Raises ValueError if it lacks one of the words in braces of `needs`, or has one beside these and `may`."""
    try:
        parsed = [found[1:] for found in string.Formatter().parse(template) if found[1] is not None]
    except ValueError as error:
        raise ValueError(f"'{template}' is not a template ({error}); double the braces that are text") from None
    fields = {field for field, _, _ in parsed}
    if any(form or conversion for _, form, conversion in parsed):
        raise ValueError(f"'{template}' has more than a word in braces; remove what follows the word")
    if not set(needs) <= fields <= {*needs, *may}:
        told = [
            f"{verb} {{{word}}} in it" for verb, words in (("must have", needs), ("may have", may)) for word in words
        ]
        raise ValueError(f"'{template}' {', '.join(told)}, and nothing else in braces")
    return template


PROMPTS: dict[str, type[Prompts]] = {
    "templates": Templates,
    "clip_templates": ClipTemplates,
    "file": PromptFile,
    "language_model": LanguageModel,
    "captions": Captions,
    "endpoint": Endpoint,
}
"""Kind -> type of its entries; register new kinds here."""
