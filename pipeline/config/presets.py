"""The presets of `papers/`, with the user's config on top."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pipeline.config.resolve import SCHEMA, must_map, overlaid
from pipeline.errors import InputError


class Layer(NamedTuple):
    """Content of one file: section -> entry -> keys."""

    path: Path
    raw: Mapping[str, Any]


def preset_layers(folder: Path) -> list[Layer]:
    """Read `folder`/*.yaml and `folder`/*/recipes.yaml. Raises InputError for invalid YAML and for repeated keys.

    The path of a preset's prompt file starts in `folder`.
    """
    layers = [Layer(path, read(path)) for path in sorted([*folder.glob("*.yaml"), *folder.glob("*/recipes.yaml")])]
    for layer in layers:
        for entry in layer.raw.get("prompts", {}).values():
            if "path" in entry:
                entry["path"] = str(folder / entry["path"])
    return layers


def combined(presets: Iterable[Layer], config: Mapping[str, Any]) -> dict[str, Any]:
    """The presets' entries with the user's on top: an entry of the same name changes only the keys that it gives.

    Raises InputError for an entry that two presets have, and for a preset's key that is not a section.
    """
    found: dict[str, Any] = {}
    first: dict[tuple[str, str], Path] = {}
    for path, raw in presets:
        for section, entries in raw.items():
            if section not in SCHEMA:
                raise InputError(f"{path}: '{section}' is not a section; allowed: {', '.join(SCHEMA)}")
            must_map(entries, f"{path}: {section}")
            for name, entry in entries.items():
                if (section, name) in first:
                    raise InputError(
                        f"{path}: {section}.{name} is already in {first[section, name]}; rename one of them"
                    )
                first[section, name] = path
                found.setdefault(section, {})[name] = entry
    for section, own in config.items():
        both_map = section in SCHEMA and isinstance(own, Mapping)
        found[section] = (
            _entries(found.get(section, {}), own) if both_map else own if own is not None else found.get(section)
        )
    return found


def named_file(error: InputError, layers: Sequence[Layer]) -> str:
    """The error's text after the name of the file with the mistake; of `layers`, later ones override earlier ones.

    If a later file changes an entry that the mistake depends on, it is named too.
    """
    text = str(error)
    if Path(text.partition(": ")[0]).is_file():  # it names a file itself
        return text
    place = re.search(r"varied by recipes\.(\w+)", text)
    section, name, key = ("recipes", place[1], "vary") if place else _place(text)
    layers = layers[::-1]  # the last one counts
    chain = _chain(section, name, layers)
    changed = [(found[0], asked) for asked in chain if len(found := _with(layers, section, asked)) > 1]
    own = next(iter(_with(layers, section, name)), None)
    for asked in chain:
        for layer in layers:
            if key in _entry(layer, section, asked):
                if own and own not in _with(layers, section, asked):  # an entry that extends one of another file
                    return f"{own.path}: {text} ({key} is in {layer.path}, {section}.{asked})"
                by = [f"{other.path} changes {section}.{one}" for other, one in changed[:1] if other.path != layer.path]
                return f"{layer.path}: {text}" + "".join(f" ({each})" for each in by)
    for layer in layers:
        if name in (layer.raw.get(section) or {}):
            return f"{layer.path}: {text}"
    return f"{layers[0].path}: {text}" if layers else text


def read(path: Path) -> dict[str, Any]:
    """Read a file of YAML, or of JSON, which Snakemake takes too; an empty one has no keys.

    Raises InputError if it cannot be read or parsed, or if a mapping has a key twice, with both lines.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {line}, is not UTF-8; save the file in that encoding") from None
    if text.lstrip().startswith("{"):
        text = text.replace("\t", " ")  # JSON may have tabs between its words, and YAML may not
    loader = yaml.CSafeLoader(text)
    try:
        if (node := loader.get_single_node()) is None:
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise InputError(f"{path} must have keys at its top, such as 'recipes:'")
        _refuse_repeated_keys(path, node)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        told = " ".join(str(error).replace('"<unicode string>", ', "").split())
        raise InputError(f"{path} is not YAML: {told}") from None
    finally:
        loader.dispose()


def _refuse_repeated_keys(path: Path, node: yaml.Node) -> None:
    waiting, looked_at = [node], set()
    while waiting:
        node = waiting.pop()
        if id(node) in looked_at:  # an alias of a node seen before
            continue
        looked_at.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        if isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in lines:
                    raise InputError(f"{path}, line {line}: '{name}' is already in line {lines[name]}; give it once")
                lines[name] = line
                waiting.append(value)


def _entries(presets: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(presets)
    for name, entry in own.items():
        if isinstance(entry, Mapping | None) and isinstance(merged.get(name), Mapping):
            entry = overlaid(merged[name], entry or {})
        merged[name] = entry
    return merged


def _place(text: str) -> tuple[str, str, str]:
    """(section, entry, key) that an error names; '' for each that it does not name."""
    found = re.search(rf"\b({'|'.join(SCHEMA)})(?:\.|: ')([a-z0-9_]+)[^:.]*(?:\.(\w+))?", text)
    if not found:
        return "", "", ""
    after = text[found.end() :]
    key = (
        re.search(r"unknown key '(\w+)'", after)
        or re.match(r"[^:]*: unknown (\w+) '", after)
        or re.match(r": (\w+) ", after)
    )
    return found[1], found[2], found[3] or (key[1] if key else "")


def _chain(section: str, name: str, layers: Sequence[Layer]) -> list[str]:
    """An entry and those that it extends."""
    found = [name]
    while True:
        parents = [_entry(layer, section, found[-1]).get("extends") for layer in layers]
        parent = next((one for one in parents if isinstance(one, str)), None)
        if parent is None or parent in found:
            return found
        found.append(parent)


def _with(layers: Sequence[Layer], section: str, name: str) -> list[Layer]:
    """The layers that have an entry."""
    return [layer for layer in layers if _entry(layer, section, name)]


def _entry(layer: Layer, section: str, name: str) -> Mapping[str, Any]:
    entries = layer.raw.get(section)
    entry = entries.get(name) if isinstance(entries, Mapping) else None
    return entry if isinstance(entry, Mapping) else {}
