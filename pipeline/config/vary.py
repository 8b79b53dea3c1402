"""`vary:` makes derived parts: what it changes and what follows gets a name of its own, the rest is shared."""

import hashlib
import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

from pipeline.config.resolve import Parts, Schema, build, deep_merge
from pipeline.errors import InputError

SINGULAR = {
    "dataset": "datasets",
    "generator": "generators",
    "sample": "samples",
    "score": "scores",
    "filter": "filters",
    "classifier": "classifiers",
    "quality": "qualities",
}


def combinations(vary: Mapping[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Every combination of the varied values, with the suffix of the recipe's name that tells it apart.

    A list holds alternatives; any other value is set in every combination and leaves no trace in the name.
    """
    alternatives = {key: value if isinstance(value, list) else [value] for key, value in vary.items()}
    found = []
    for values in itertools.product(*alternatives.values()):
        chosen = dict(zip(alternatives, values, strict=True))
        labels = [f"~{key}={slug(value)}" for key, value in chosen.items() if len(alternatives[key]) > 1]
        found.append((chosen, "".join(labels)))
    return found


def derive(parts: Parts, schema: Schema, recipe: str, changes: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Add to `parts` what `recipe` needs under `changes`; return (section, name) -> the name to use instead.

    Raises InputError for an address that is nowhere upstream of the recipe.
    """
    upstream = _upstream(parts, ("recipes", recipe))
    targets = {address: _addressed(parts, recipe, upstream, address) for address in changes}
    renamed: dict[tuple[str, str], str] = {}
    labels: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}  # what differs in or upstream of a part
    for section, name in upstream:  # references come before what names them
        if section == "recipes":
            continue
        part = parts[section][name]
        values, own = part.model_dump(mode="python", exclude_unset=True), {}
        for address, value in changes.items():
            if (section, name) not in targets[address]:
                continue
            path = address.split(".")[1:] if address.split(".")[0] in SINGULAR else address.split(".")[2:]
            values = deep_merge(values, _nest(path, value))
            own[address] = (section, f"{'.'.join(path)}={slug(value)}")
        if own and build(schema, section, f"{name} (varied by recipes.{recipe})", values) == part:
            own = {}  # the value it has already: the same part, and so the same artifacts
        inherited: dict[str, tuple[str, str]] = {}
        for field, target, wanted in part.referenced():
            inherited |= labels[target, wanted]
            values[field] = _renamed(values[field], target, renamed)
        differs = inherited | own
        labels[section, name] = {address: differs[address] for address in changes if address in differs}
        if not differs:
            continue
        suffixes = [
            text if address in own else f"{_singular(owner)}.{text}"
            for address, (owner, text) in labels[section, name].items()
        ]
        new = "~".join([name, *suffixes])
        derived = build(schema, section, new, values)
        if parts[section].setdefault(new, derived) != derived:
            raise InputError(f"recipes.{recipe}: two different parts would both be called {section}.{new}")
        renamed[section, name] = new
    return renamed


def slug(value: Any) -> str:
    """A value as a part of a file name: readable, and of at most 48 characters."""
    text = value if isinstance(value, str) else json.dumps(value)
    for sign, word in (("<=", "le"), (">=", "ge"), ("<", "lt"), (">", "gt")):
        text = re.sub(rf"\s*{sign}\s*", f"_{word}_", text)
    text = re.sub(r"[^A-Za-z0-9_.+-]+", "_", text).strip("_")
    return text if 0 < len(text) <= 48 else hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]


def nearest(parts: Parts, start: tuple[str, str], section: str) -> list[str]:
    """The parts of `section` upstream of `start` that are not reached through another part of that section."""
    found, seen, stack = [], {start}, [start]
    while stack:
        here = stack.pop()
        for _, target, name in parts[here[0]][here[1]].referenced():
            if (target, name) in seen:
                continue
            seen.add((target, name))
            if target == section:
                found.append(name)
            else:
                stack.append((target, name))
    return sorted(found)


def _addressed(parts: Parts, recipe: str, upstream: list, address: str) -> set[tuple[str, str]]:
    head, *rest = address.split(".")
    where = f"recipes.{recipe}: vary: '{address}'"
    if head in SINGULAR and rest:
        section = SINGULAR[head]
        names = nearest(parts, ("recipes", recipe), section)
        if not names:
            raise InputError(f"{where}: nothing upstream of the recipe is in {section}")
        return {(section, name) for name in names}
    if head in parts and len(rest) >= 2:
        if (head, rest[0]) not in upstream:
            names = sorted(name for section, name in upstream if section == head)
            raise InputError(f"{where}: {head}.{rest[0]} is not upstream of the recipe; there are {', '.join(names)}")
        return {(head, rest[0])}
    raise InputError(f"{where}: write section.key ({', '.join(SINGULAR)}) or sections.name.key")


def _upstream(parts: Parts, start: tuple[str, str]) -> list[tuple[str, str]]:
    """`start` and all that it names, directly or not; each after what it names."""
    order: dict[tuple[str, str], None] = {}

    def visit(section: str, name: str) -> None:
        for _, target, wanted in parts[section][name].referenced():
            if (target, wanted) not in order:
                visit(target, wanted)
        order[section, name] = None

    visit(*start)
    return list(order)


def _renamed(value: Any, section: str, renamed: Mapping[tuple[str, str], str]) -> Any:
    if isinstance(value, str):
        return renamed.get((section, value), value)
    return value if value is None else tuple(renamed.get((section, name), name) for name in value)


def _nest(path: list[str], value: Any) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value


def _singular(section: str) -> str:
    return next(short for short, long in SINGULAR.items() if long == section)
