"""A text encoder that reads learned vectors in the place of a token."""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from pipeline.errors import InputError
from pipeline.generators.text_to_image.stable_diffusion import hidden_states, limit, tokenized
from pipeline.learned import LEARNED


class Tokens(NamedTuple):
    """Tokenized texts, each with one place for vectors."""

    ids: torch.Tensor
    """int64 [N, T], with 0 at the places of the vectors."""
    places: torch.Tensor
    """Positions of the vectors, int64 [N, V]."""
    mask: torch.Tensor
    """1 for tokens of the text and 0 for padding, int64 [N, T]."""


class Words:
    """A tokenizer and a text encoder, and `vectors` further tokens that are none of theirs. The encoder stays as it is.

    Raises InputError if the tokenizer has the placeholder already, or splits it.
    """

    def __init__(self, tokenizer: Any, text_encoder: Any, placeholder: str, vectors: int):
        self._names = [placeholder, *(f"{placeholder}_{number}" for number in range(1, vectors))]
        for name in self._names:
            if {name, name.lower(), f"{name.lower()}</w>"} & tokenizer.get_vocab().keys():
                raise InputError(f"the model's tokenizer has a token '{name}' already; choose another placeholder")
        self._tokenizer, self.text_encoder = copy.deepcopy(tokenizer), text_encoder
        first = len(self._tokenizer)
        self._tokenizer.add_tokens(self._names)
        self._added = list(range(first, first + vectors))
        self.limit = limit(tokenizer, text_encoder)
        found = self._tokenizer(f"a {self._spelled()} b", add_special_tokens=False).input_ids
        if [one for one in found if one >= first] != self._added:
            raise InputError(f"the model's tokenizer splits '{placeholder}'; choose another placeholder, as <learned>")

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """The texts with a * in them, tokenized. Raises InputError if one has no *, or one that is cut off."""
        for text in texts:
            if text.count(LEARNED) != 1:
                raise InputError(
                    f"'{text}' must have one {LEARNED}, the place of the learned vectors; change the prompt"
                )
        spelled = [text.replace(LEARNED, self._spelled()) for text in texts]
        found = tokenized(self._tokenizer, self.text_encoder, spelled)
        ids = found.input_ids
        own = ids >= self._added[0]
        for text, number in zip(texts, own.sum(1).tolist(), strict=True):
            if number > len(self._names):
                raise InputError(f"'{text}' has {self._names[0]} in it, which is the placeholder; choose another one")
            if number < len(self._names):
                raise InputError(
                    f"the {LEARNED} of '{text}' is beyond the {self.limit} tokens that the text encoder reads; shorten it, or"
                    " learn fewer vectors"
                )
        places = own.nonzero()[:, 1].reshape(len(ids), len(self._names))
        return Tokens(ids.masked_fill(own, 0), places, found.attention_mask)

    def embeddings(self, text: str) -> torch.Tensor:
        """The text encoder's own embeddings of a text's tokens, float [T, W]. Raises InputError if it has none."""
        ids = self._tokenizer(text, add_special_tokens=False).input_ids
        if not ids:
            raise InputError(f"the text '{text}' has no tokens; change initial_text")
        if max(ids) >= self._added[0]:
            raise InputError(f"the text '{text}' has the placeholder in it; change initial_text")
        table = self.text_encoder.get_input_embeddings().weight
        return table[torch.tensor(ids, device=table.device)].detach().clone()

    def encoded(self, tokens: Tokens, vectors: torch.Tensor) -> torch.Tensor:
        """Hidden states of the texts, [N, T, W], with each one's own vectors, float [N, V, W], at their places."""
        device = vectors.device
        rows, places = torch.arange(len(tokens.ids), device=device)[:, None], tokens.places.to(device)

        def placed(module: torch.nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
            return output.index_put((rows, places), vectors.to(output.dtype))

        hook = self.text_encoder.get_input_embeddings().register_forward_hook(placed)
        try:
            return hidden_states(self.text_encoder, tokens.ids, tokens.mask)
        finally:
            hook.remove()

    def cut(self, texts: Sequence[str]) -> int:
        """Number of texts with more tokens than the text encoder reads."""
        spelled = [text.replace(LEARNED, self._spelled()) for text in texts]
        return sum(len(ids) > self.limit for ids in self._tokenizer(spelled).input_ids)

    def _spelled(self) -> str:
        """The placeholders, as a text has them."""
        return " ".join(self._names)
