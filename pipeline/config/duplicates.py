"""Keys that a YAML file gives twice, of which every loader would take the last."""

from pathlib import Path

import yaml

from pipeline.errors import InputError


def refuse_duplicates(path: Path) -> None:
    """Raise InputError where a key stands twice in one mapping of the file, with both lines."""
    with open(path) as file:
        waiting, looked_at = [yaml.compose(file, Loader=yaml.SafeLoader)], set()
    while waiting:
        node = waiting.pop()
        if id(node) in looked_at:  # an anchor's, by its alias
            continue
        looked_at.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        if isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in lines:
                    raise InputError(
                        f"{path}, line {line}: '{name}' stands in line {lines[name]} already; give it once"
                    )
                lines[name] = line
                waiting.append(value)
