"""The table of a foundation's files: what came, went or changed since is noticed, and its own files are sealed."""

import pytest

from pipeline.artifacts.damage import examine
from pipeline.errors import InputError
from pipeline.foundations import table


@pytest.fixture
def model(tmp_path):
    """A model in a folder, one component of which is a link, and its table."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/weights.safetensors").write_bytes(b"weights")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    (tmp_path / "model/unet").symlink_to("../shared")
    table.write(tmp_path / "model", tmp_path / "results/foundation.parquet")
    return tmp_path


def test_a_whole_model_is_found(model):
    assert table.folder_of(model / "results/foundation.parquet") == model / "model"


@pytest.mark.parametrize("file", ["shared/weights.safetensors", "model/config.json"])
def test_a_file_that_changed_is_named_also_in_a_linked_folder(model, file):
    (model / file).write_bytes(b"WEIGHTS")
    with pytest.raises(InputError, match="is missing or was changed since the model was checked; restore it, or check"):
        table.folder_of(model / "results/foundation.parquet")


def test_a_file_that_came_later_is_named(model):
    (model / "model/unet/weights.index.json").write_text("{}")
    (model / "model/.cache").mkdir()
    (model / "model/.cache/lock").write_text("a downloader's")
    with pytest.raises(
        InputError, match=r"unet/weights\.index\.json came since the model was checked; remove it, or check"
    ):
        table.folder_of(model / "results/foundation.parquet")


@pytest.mark.parametrize(
    ("link", "to"),
    [("model/again", "."), ("model/again", ".."), ("shared/again", "../shared"), ("shared/again", "../model")],
)
def test_a_link_to_a_folder_above_is_refused(model, link, to):
    (model / link).symlink_to(to)
    with pytest.raises(InputError, match=r"is a link to a folder above it; remove it"):
        table.write(model / "model", model / "other.parquet")


def test_a_models_own_files_are_sealed(tmp_path):
    files = tmp_path / "results/foundations/mini/files"
    (files / "unet").mkdir(parents=True)
    (files / "unet/weights.safetensors").write_bytes(b"weights")
    path = files.parent / "foundation.parquet"
    table.write(files, path)
    assert examine(tmp_path / "results").damage == {} and table.folder_of(path) == files
    (files / "unet/weights.safetensors").write_bytes(b"WEIGHTS")
    assert list(examine(tmp_path / "results").damage) == [files / "unet/weights.safetensors"]
    with pytest.raises(InputError, match=r"weights\.safetensors is missing or damaged; say `make repair`"):
        table.folder_of(path)
