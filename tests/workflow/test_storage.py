"""Places: samples in a store of a storage plugin, results and temporary files on other file systems than the workflow."""

import importlib.util
import shutil
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from workflow_helpers import EVERYTHING, bytes_under, make_copy, snakemake, stage

pytestmark = pytest.mark.slow


@pytest.fixture
def elsewhere(tmp_path):
    """A folder on another file system."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip(f"{memory} is no other file system")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.mark.nightly
def test_samples_in_a_store_lead_to_the_same_results(finished, tmp_path, elsewhere, monkeypatch):
    """With three file systems at once: results are a link to one, temporary files and the store lie on others."""
    if importlib.util.find_spec("snakemake_storage_plugin_fs") is None or shutil.which("rsync") is None:
        pytest.skip("snakemake-storage-plugin-fs or rsync is not installed")
    root, store = make_copy(tmp_path / "micro"), tmp_path / "store"
    for name in ("results", "tmp"):
        (elsewhere / name).mkdir()
    (root / "results").symlink_to(elsewhere / "results")
    monkeypatch.setenv("TMPDIR", str(elsewhere / "tmp"))
    stored = ("--cores", "4", "--resources", "gpu=2", "--config", f"sample_storage={store}", "--")
    ran = snakemake(root, *stored, *EVERYTHING)
    assert ran.returncode == 0, ran.stdout

    expected, found, kept = (bytes_under(folder / "results") for folder in (finished, root, store))
    samples = {name for name in expected if name.startswith("demo/sample/")}
    assert samples and kept == {name: expected[name] for name in samples}
    assert set(found) == set(expected) - samples
    # the rows of a selection say where the pictures lie, and the histories of trainings on them hold its digest
    changed = {name for name in found if found[name] != expected[name]}
    assert {name.split("/")[1] for name in changed} == {"select", "classifier"}
    for name in changed:
        one, other = (pd.read_parquet(folder / "results" / name) for folder in (finished, root))
        said = [frame.drop(columns="shard", errors="ignore") for frame in (one, other)]
        pd.testing.assert_frame_equal(*said)
    left = {path.name.partition("_")[0] for path in (elsewhere / "tmp").iterdir()}
    assert left <= {"torchinductor"}  # torch's own cache

    assert "Nothing to be done" in snakemake(root, "-n", *stored, *EVERYTHING).stdout
    verified = stage(root, "verify", "--results", "results")
    assert verified.returncode == 0, verified.stdout

    (store / "results/demo/sample/cbdm/shard-00001.tar").unlink()
    (root / "results/demo/quality/by_ce/quality.json").unlink()
    ran = snakemake(root, *stored, "results/demo/quality/by_ce/quality.json")
    assert ran.returncode == 0, ran.stdout
    assert bytes_under(store / "results") == kept
    assert (
        bytes_under(root / "results")["demo/quality/by_ce/quality.json"] == expected["demo/quality/by_ce/quality.json"]
    )


def test_a_store_that_no_plugin_takes_is_told(tmp_path):
    root = make_copy(tmp_path / "micro")
    ran = snakemake(root, "-n", "--config", "sample_storage=nothing://bucket", "--", "all_demo")
    assert ran.returncode == 1
    assert (
        "sample_storage: no installed storage plugin of snakemake accepts 'nothing://bucket'; install one" in ran.stdout
    )
    assert "Traceback" not in ran.stdout
