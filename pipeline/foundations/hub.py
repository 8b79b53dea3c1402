"""Models on a hub, as huggingface_hub reaches it: which files are needed, and their download, which continues where it ended."""

import hashlib
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.artifacts.digests import digest
from pipeline.deadline import within
from pipeline.errors import InputError
from pipeline.foundations import CLIP_CONFIG, CLIP_WEIGHTS, SAFETY_CHECKER
from pipeline.foundations.fit import INDEX, pipeline_class

_TEXTS = (".json", ".txt", ".model", ".jinja")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
PATIENCE = 10
"""Seconds to wait for a hub's answer."""


class File(NamedTuple):
    """A file of a model. Large files have a sha256; of others, the digest that git gives them counts."""

    name: str
    bytes: int
    sha256: str | None
    git: str | None = None

    def is_whole(self, path: Path) -> bool:
        """Whether the file at `path` has the bytes that the hub lists."""
        if not path.is_file() or path.stat().st_size != self.bytes:
            return False
        if self.sha256:
            return digest(path) == self.sha256
        return not self.git or hashlib.sha1(b"blob %d\0" % self.bytes + path.read_bytes()).hexdigest() == self.git


class Model(NamedTuple):
    """A model on the hub: its id, commit, and the files that are needed."""

    id: str
    commit: str
    files: list[File]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def find(
    ids: Sequence[str], variant: str | None = None, allow_pickle: bool = False, safety_checker: bool = False
) -> Model:
    """The first model that the hub has, of `owner/name` or `owner/name@revision`, with its safety checker only if that is given.

    Raises InputError that names what was tried if it has none of them, or a model that lacks weights in the safetensors format,
    or of the variant.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError

    tried = []
    for one in ids:
        name, _, revision = one.partition("@")
        try:
            asked = {"revision": revision or None, "files_metadata": True, "timeout": PATIENCE}
            found = within(2 * PATIENCE, HfApi().model_info, name, **asked)
            files = [
                File(file.rfilename, file.size or 0, file.lfs.sha256 if file.lfs else None, file.blob_id)
                for file in found.siblings
            ]
        except (HTTPError, OSError, ValueError) as error:
            tried.append(f"{one}: {_first_line(error)}")
            continue
        except (KeyError, TypeError, AttributeError):
            tried.append(f"{one}: its answer is not of the form that a hub gives")
            continue
        try:
            return Model(name, found.sha, chosen(files, variant, allow_pickle, safety_checker))
        except InputError as error:
            tried.append(f"{one}: {error}")
    raise InputError(
        f"the hub does not give the model ({'; '.join(tried)}); download it where there is a network, and name its folder with"
        " `kind: folder`"
    )


def chosen(
    files: Sequence[File], variant: str | None = None, allow_pickle: bool = False, safety_checker: bool = False
) -> list[File]:
    """The files of a model that are needed: texts, and one form of the weights of each component.

    A component without weights of the variant gives its usual ones. Raises InputError if some have neither, and for a model in
    another format than diffusers', open_clip's or transformers'.
    """
    names = {file.name for file in files}
    if CLIP_CONFIG in names:
        found = [
            file for file in files if "/" not in file.name and (file.name.endswith(_TEXTS) or file.name == CLIP_WEIGHTS)
        ]
        if CLIP_WEIGHTS not in names:
            raise InputError(f"it has no {CLIP_WEIGHTS}")
        return sorted(found)
    if INDEX not in names:
        if "config.json" not in names:
            raise InputError(
                "it is not in the format of diffusers, open_clip or transformers: it has no model_index.json and no config.json"
            )
        return sorted(_of_component("it", [file for file in files if _of_transformers(file)], variant, allow_pickle))
    folders = defaultdict(list)
    for file in files:
        folder, slash, _ = file.name.rpartition("/")
        wanted = slash and re.fullmatch(r"\w+", folder) and (safety_checker or folder != SAFETY_CHECKER)
        if wanted or file.name == INDEX:
            folders[folder].append(file)
    return sorted(
        file for folder, found in folders.items() for file in _of_component(folder, found, variant, allow_pickle)
    )


def pipeline_of(model: Model) -> str | None:
    """Name of diffusers' class of a model on the hub; None for a model in another format, or if the hub does not answer."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError

    if INDEX not in {file.name for file in model.files}:
        return None
    with tempfile.TemporaryDirectory() as folder:
        try:
            within(2 * PATIENCE, hf_hub_download, model.id, INDEX, revision=model.commit, local_dir=folder)
            return pipeline_class(Path(folder))
        except (HTTPError, LocalEntryNotFoundError, OSError, InputError):  # the download itself will say so
            return None


def download(model: Model, folder: Path) -> None:
    """Download a model's files into `folder`, and remove others there. Only files that are whole already are kept.

    Raises InputError if the disk is too small, the hub fails, or a file has other bytes than the hub says.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError

    folder.mkdir(parents=True, exist_ok=True)
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if model.bytes - there > (free := shutil.disk_usage(folder).free):
        raise InputError(
            f"{model.id} has {model.bytes / 1e9:.1f} GB, but the disk of {folder} has {free / 1e9:.1f} GB left"
        )
    names = {file.name for file in model.files}
    try:
        for file in model.files:
            if (path := folder / file.name).is_file() and not file.is_whole(path):
                path.unlink()
            hf_hub_download(model.id, file.name, revision=model.commit, local_dir=folder)
    except (HTTPError, LocalEntryNotFoundError) as error:
        raise InputError(
            f"{model.id} cannot be fetched: {_first_line(error)}; run snakemake again to continue"
        ) from None
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (name := str(path.relative_to(folder))) not in names and not name.startswith("."):
            path.unlink()
    for file in model.files:
        path = folder / file.name
        if not file.is_whole(path):
            path.unlink(missing_ok=True)
            raise InputError(f"{path} has other bytes than the hub lists; run snakemake again to fetch it again")


def _of_component(folder: str, files: Sequence[File], variant: str | None, allow_pickle: bool) -> list[File]:
    texts = [file for file in files if file.name.endswith(_TEXTS) and ".index." not in file.name]
    kinds = [".safetensors", *(_PICKLES if allow_pickle else ())]
    for kind in kinds:
        for wanted in dict.fromkeys((variant, None)):
            weights = [file for file in files if _form(file.name) == (kind, wanted)]
            if weights:
                stem = min(re.split(r"[.-]", Path(file.name).name)[0] for file in weights)
                indices = [file for file in files if ".index." in file.name and _form(file.name) == (kind, wanted)]
                return [*texts, *indices, *(file for file in weights if Path(file.name).name.startswith(stem))]
    forms = sorted({form for file in files if (form := _form(file.name))[0]}, key=str)
    if not forms:
        return texts
    there = ", ".join(f"{kind}" + (f" of the variant {name}" if name else "") for kind, name in forms)
    raise InputError(
        f"{folder} has no weights in the safetensors format (there are {there}); set variant, or allow_pickle"
    )


def _of_transformers(file: File) -> bool:
    """Whether a file belongs to a model of transformers: a text, or weights; not a pickle of its training, say."""
    weights = re.match(r"(pytorch_)?model[.-]", file.name)
    return "/" not in file.name and (bool(weights) or file.name.endswith(_TEXTS))


def _form(name: str) -> tuple[str, str | None]:
    """Suffix and variant of a file of weights or its index: `model.fp16-00001-of-00002.safetensors` is ('.safetensors', 'fp16')."""
    plain = re.sub(r"-\d{5}-of-\d{5}", "", Path(name).name)
    _, *parts = plain.split(".")
    kind = next((f".{part}" for part in parts if f".{part}" in (".safetensors", *_PICKLES)), "")
    return kind, ".".join(part for part in parts if part not in (kind[1:], "index", "json")) or None


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__).rstrip(".")
