"""Answers of language models: which are usable, and the prompts made of them."""

from pipeline.data.readable import readable

_QUOTES = {'"': '"', "'": "'", "“": "”", "«": "»", "`": "`"}


def messages(system: str, query: str, name: str) -> list[dict[str, str]]:
    """The chat that asks about a class; without `system` if that is empty."""
    said = {"system": system, "user": query}
    return [{"role": role, "content": text.format(**{"class": readable(name)})} for role, text in said.items() if text]


def usable(answer: str) -> bool:
    """Whether an answer has letters, and no damaged or halved ones."""
    halved = any("\ud800" <= letter <= "\udfff" for letter in answer)
    return any(map(str.isalpha, answer)) and not halved and "\ufffd" not in answer and "\0" not in answer


def prompt(text: str, name: str, answer: str) -> str:
    """The prompt of an answer by the template `text`, in one line; quotes around the whole answer are left out."""
    inside = answer.strip()
    if len(inside) > 1 and _QUOTES.get(inside[0]) == inside[-1]:
        answer = inside[1:-1]
    return " ".join(text.format(**{"class": readable(name), "answer": answer}).split())
