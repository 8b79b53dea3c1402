"""inaturalist2018: 8,142 species, long-tailed by nature, in the official folders with the usual lists or the competition's JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.data.location import Location

LISTS = {"train": "iNaturalist18_train.txt", "test": "iNaturalist18_val.txt"}
ANNOTATIONS = {"train": "train2018.json", "test": "val2018.json"}
NAMES = "categories.json"
LOCATION = Location(
    folder="inaturalist2018",
    needs=("train_val2018", *(f"{a}|{b}" for a, b in zip(LISTS.values(), ANNOTATIONS.values(), strict=True))),
    how_to_get="unpack train_val2018.tar.gz, train2018.json.tar.gz and val2018.json.tar.gz of the iNaturalist 2018 competition "
    f"(github.com/visipedia/inat_comp); {NAMES} from there gives the species' names",
)


def open_source(folder: Path, settings: Mapping[str, Any]):
    """The official training split, and the official validation split as `test`, as in the literature."""
    from pipeline.data.raw import FileSource

    return FileSource(folder, lambda _: _listed(folder))


def _listed(folder: Path):
    import pandas as pd

    from pipeline.data.files import read_list, require_files

    LOCATION.require(folder)
    tables = []
    for split in LISTS:
        path = folder / LISTS[split]
        tables.append(read_list(path, split) if path.is_file() else _annotated(folder / ANNOTATIONS[split], split))
    table = pd.concat(tables, ignore_index=True)
    require_files(folder, table, "iNaturalist 2018")
    names = _names(folder)
    return table.assign(class_name=[names.get(label, f"species {label}") for label in table["class"]])


def _annotated(path: Path, split: str):
    """The table of `read_list`, from the competition's JSON of images and annotations."""
    import pandas as pd

    from pipeline.data.files import require_inside
    from pipeline.errors import InputError

    found = _json(path)
    try:
        label = {annotation["image_id"]: int(annotation["category_id"]) for annotation in found["annotations"]}
        rows = [(require_inside(image["file_name"], str(path)), label[image["id"]], split) for image in found["images"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            f"{path} is not the competition's: it must have images with id and file_name, and annotations with image_id and category_id"
        ) from None
    return pd.DataFrame(rows, columns=["source", "class", "split"]).sort_values("source", ignore_index=True)


def _names(folder: Path) -> dict[int, str]:
    """Label -> species, from the file of names, or else from the annotations, which may hide the names."""
    from pipeline.errors import InputError

    for name in (NAMES, ANNOTATIONS["train"]):
        if (folder / name).is_file():
            found = _json(folder / name)
            try:
                categories = found["categories"] if isinstance(found, dict) else found
                return {int(category["id"]): str(category["name"]) for category in categories}
            except (KeyError, TypeError, ValueError):
                raise InputError(
                    f"{folder / name} is not the competition's: it must have categories with id and name"
                ) from None
    return {}


def _json(path: Path):
    import json

    from pipeline.data.files import text_of
    from pipeline.errors import InputError

    text = text_of(path)
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}; unpack it again") from None
