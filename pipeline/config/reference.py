"""The reference of the config, docs/config.md, from the types: `python -m pipeline.config.reference > docs/config.md`."""

import ast
import inspect
import itertools
import json
import textwrap
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from pipeline.config.parts import Part
from pipeline.config.resolve import SCHEMA, default_type, models_in
from pipeline.config.site import Site

BEGINNING = """\
# The config, key by key

This page is for whoever writes a config; [config_guide.md](config_guide.md) explains the ideas. It is generated from the types in
`pipeline/config/` by `make docs`.

- A key without a default must be given.
- With `extends`, any entry takes over the keys of another entry of its section: `extends: ce`.
- Where a key within an entry is a mapping by `kind`, `x` is short for `{kind: x}`: `loss: focal`.
"""


def reference() -> str:
    """The page, Markdown: every key of every type, with its type, default and meaning."""
    lines = [BEGINNING, "## The site's keys\n", *_table(Site, set())]
    for section, kind in SCHEMA.items():
        choose, types = kind if isinstance(kind, tuple) else (None, {"": kind})
        distinct, chooser = list(dict.fromkeys(types.values())), {choose} - {None}
        lines += [f"\n## {section}\n", f"{_sentence(inspect.getmodule(distinct[0]))}\n"]
        common = _common(distinct)
        if choose:
            default = default_type(choose, types)
            is_default = f" The default is `{default}`." if default else ""
            lines += [f"`{choose}` chooses the type: {', '.join(f'`{name}`' for name in types)}.{is_default}\n"]
        if len(distinct) > 1:
            lines += ["Keys of all types:\n", *_table(distinct[0], set(distinct[0].model_fields) - common | chooser)]
        for one in distinct:
            names = ", ".join(f"`{name}`" for name, other in types.items() if other is one and name)
            shown = chooser | (common if len(distinct) > 1 else set())
            own = set(one.model_fields) - shown
            if own and len(distinct) > 1:
                lines += [f"\n### {section}, {choose}: {names}\n"]
            if own:
                lines += [f"{_summary(one)}\n", *_table(one, shown)]
        for inner, key in _inner(distinct).items():
            title = f"{section}, {key}: `{_kind(inner)}`" if _has_kind(inner) else f"{section}, `{key}`"
            lines += [f"\n### {title}\n", f"{_summary(inner)}\n", *_table(inner, {"kind"})]
    return "\n".join(lines) + "\n"


def _table(model: type[Part], hidden: set[str]) -> list[str]:
    meanings = {key: text for one in reversed(model.__mro__) for key, text in _docstrings(one).items()}
    rows = [
        f"| `{key}` | {_type(field)} | {_default(field)} | {_words(meanings.get(key))} |"
        for key, field in model.model_fields.items()
        if key not in hidden
    ]
    return ["| key | type | default | meaning |", "| --- | --- | --- | --- |", *rows] if rows else []


def _docstrings(one: type) -> dict[str, str]:
    """Attribute of a class of ours -> the docstring that follows it. Pydantic would collect them too, but at each start of a run."""
    if not one.__module__.startswith("pipeline."):
        return {}
    (found,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
    return {
        key.target.id: inspect.cleandoc(text.value.value)
        for key, text in itertools.pairwise(found.body)
        if isinstance(key, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }


def _common(types: list[type[Part]]) -> set[str]:
    """Keys that all types have, of the same type and default."""
    first, *others = types
    return {
        key
        for key, field in first.model_fields.items()
        if all(
            key in other.model_fields
            and (_type(field), _default(field)) == (_type(other.model_fields[key]), _default(other.model_fields[key]))
            for other in others
        )
    }


def _inner(types: list[type[Part]]) -> dict[type[Part], str]:
    """The types of mappings within entries, in the order in which they are met -> the first key that has the type."""
    found: dict[type[Part], str] = {}
    waiting = list(types)
    for one in waiting:  # which grows meanwhile
        for key, field in one.model_fields.items():
            new = [inner for inner in models_in(field.annotation) if inner not in found]
            found |= dict.fromkeys(new, key)
            waiting += new
    return found


def _type(field: FieldInfo) -> str:
    limits = [_limit(found) for found in field.metadata]
    return ", ".join(filter(None, [_named(field.annotation), *limits]))


def _named(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _named(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"list of {_named(arguments[0])}"
        return f"{len(arguments)} of {_named(arguments[0])}"
    if kinds := [one for one in models_in(annotation) if _has_kind(one)]:
        null = "`null`, or " if NoneType in arguments else ""
        return f"{null}mapping by `kind`: {', '.join(f'`{_kind(one)}`' for one in kinds)}"
    if origin in (Union, UnionType):
        named = [_named(one) for one in arguments if one is not NoneType]
        return " or ".join([*named, *(["`null`"] if NoneType in arguments else [])])
    if origin is dict or (isinstance(annotation, type) and issubclass(annotation, Part)):
        return "mapping"
    return {int: "whole number", float: "number", str: "text", bool: "`true` or `false`", Any: "any value"}[annotation]


def _has_kind(model: type[Part]) -> bool:
    return "kind" in model.model_fields


def _kind(model: type[Part]) -> str:
    """The value of `kind` that chooses the type."""
    return get_args(model.model_fields["kind"].annotation)[0]


def _limit(found: Any) -> str:
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "multiple_of": "a multiple of"}
    return ", ".join(
        f"{word} {getattr(found, sign):,}" for sign, word in signs.items() if getattr(found, sign, None) is not None
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    plain = json.loads(json.dumps(value, default=lambda part: part.model_dump(mode="json")))
    if isinstance(plain, dict) and plain.keys() == {"kind"}:
        plain = plain["kind"]
    if isinstance(plain, dict) and plain and "kind" not in plain:
        return "its own defaults"
    return f"`{_yaml(plain)}`"


def _yaml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return value if isinstance(value, str) else json.dumps(value)


def _sentence(module: ModuleType) -> str:
    """What a module's docstring says of its section, as a sentence."""
    text = inspect.getdoc(module).partition(": ")[2]
    return text[:1].upper() + text[1:]


def _summary(model: type[Part]) -> str:
    """The first paragraph of the type's docstring, as one line."""
    return _words(inspect.getdoc(model).split("\n\n")[0])


def _words(text: str | None) -> str:
    """The text as one line."""
    return " ".join((text or "").split())


if __name__ == "__main__":
    print(reference(), end="")
