"""The reference of the config, docs/config.md, from the types: `python -m pipeline.config.reference > docs/config.md`."""

import inspect
import json
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from pipeline.config.parts import Part
from pipeline.config.resolve import SCHEMA, models_in
from pipeline.config.site import Site

BEGINNING = """\
# The config, key by key

This page is for whoever writes a config; [config_guide.md](config_guide.md) explains the ideas. It is generated from the types in
`pipeline/config/` by `make docs`. A key without a default must be given. `kind: x` may be written as just `x`.
"""


def reference() -> str:
    """The page, Markdown: every key of every type, with its type, default and meaning."""
    lines = [BEGINNING, "## The site's keys\n", *_table(Site, set())]
    for section, kind in SCHEMA.items():
        choose, types = kind if isinstance(kind, tuple) else (None, {"": kind})
        distinct, chooser = list(dict.fromkeys(types.values())), {choose} - {None}
        lines += [f"\n## {section}\n", f"{_caption(_module_text(distinct[0]))}\n"]
        common = _common(distinct)
        if choose:
            lines += [f"`{choose}` chooses the type: {', '.join(f'`{name}`' for name in types)}.\n"]
        if len(distinct) > 1:
            lines += ["Keys of all types:\n", *_table(distinct[0], set(distinct[0].model_fields) - common | chooser)]
        for one in distinct:
            names = ", ".join(f"`{name}`" for name, other in types.items() if other is one and name)
            shown = chooser | (common if len(distinct) > 1 else set())
            own = set(one.model_fields) - shown
            if own and len(distinct) > 1:
                lines += [f"\n### {section}: {names}\n"]
            if own:
                lines += [f"{_caption(inspect.getdoc(one))}\n", *_table(one, shown)]
        for inner in _inner(distinct):
            kind_of = get_args(inner.model_fields["kind"].annotation) if "kind" in inner.model_fields else ()
            title = f"`kind: {kind_of[0]}`" if kind_of else f"`{inner.__name__}`"
            lines += [f"\n### {section}: {title}\n", f"{_caption(inspect.getdoc(inner))}\n", *_table(inner, {"kind"})]
    return "\n".join(lines) + "\n"


def undocumented() -> list[str]:
    """`Type.key` of every key without a meaning; kinds, sources and schemes have theirs at the type."""
    types = [Site]
    for kind in SCHEMA.values():
        types += dict.fromkeys(kind[1].values() if isinstance(kind, tuple) else [kind])
    return [
        f"{one.__name__}.{key}"
        for one in [*types, *_inner(types)]
        for key, field in one.model_fields.items()
        if key not in ("kind", "source", "scheme") and not field.description
    ]


def _table(model: type[Part], hidden: set[str]) -> list[str]:
    rows = [
        f"| `{key}` | {_type(field)} | {_default(field)} | {_words(field.description)} |"
        for key, field in model.model_fields.items()
        if key not in hidden
    ]
    return ["| key | type | default | meaning |", "| --- | --- | --- | --- |", *rows] if rows else []


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


def _inner(types: list[type[Part]]) -> list[type[Part]]:
    """The types of mappings within entries, each once, in the order in which they are met."""
    found: dict[type[Part], None] = {}
    waiting = list(types)
    for one in waiting:  # which grows meanwhile
        for field in one.model_fields.values():
            for inner in models_in(field.annotation):
                if inner not in found:
                    found[inner] = None
                    waiting.append(inner)
    return list(found)


def _type(field: FieldInfo) -> str:
    limits = [_limit(found) for found in field.metadata]
    return ", ".join(filter(None, [_named(field.annotation), *limits]))


def _named(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, UnionType):
        kinds = list(dict.fromkeys(_named(one) for one in arguments))
        return " or ".join(kind for kind in kinds if kind != "nothing") + (
            " or `null`" if NoneType in arguments else ""
        )
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"list of {_named(arguments[0])}"
        return f"{len(arguments)} of {_named(arguments[0])}"
    if origin is dict:
        return "mapping"
    if hasattr(annotation, "__metadata__"):
        return _named(annotation.__origin__)
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return "mapping by `kind`" if "kind" in annotation.model_fields else "mapping"
    return {int: "whole number", float: "number", str: "text", bool: "`true` or `false`", NoneType: "nothing"}[
        annotation
    ]


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


def _module_text(model: type) -> str:
    return inspect.getdoc(inspect.getmodule(model)).partition(": ")[2]


def _caption(text: str | None) -> str:
    """The first paragraph, as one line that begins with a capital letter."""
    words = _words((text or "").split("\n\n")[0])
    return words[:1].upper() + words[1:]


def _words(text: str | None) -> str:
    """The text as one line."""
    return " ".join((text or "").split())


if __name__ == "__main__":
    print(reference(), end="")
