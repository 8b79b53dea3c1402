"""The download of CIFAR, from a server on this machine."""

import functools
import hashlib
import http.server
import tarfile
import threading

import pytest

from pipeline.data.cifar_download import fetch
from pipeline.data.location import Location
from pipeline.errors import InputError

LOCATION = Location("inside", ("batch.bin",), "unpack it yourself", fetched=True)


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """(address, md5) of an archive with the file inside/batch.bin, which a server hands out."""
    (tmp_path / "batch.bin").write_bytes(b"12")
    path = tmp_path / "archive.tar.gz"
    with tarfile.open(path, "w:gz") as file:
        file.add(tmp_path / "batch.bin", "inside/batch.bin")
    monkeypatch.setenv("no_proxy", "*")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{path.name}", hashlib.md5(path.read_bytes()).hexdigest()
        server.shutdown()


def test_an_absent_folder_is_downloaded_once(archive, tmp_path, capsys):
    folder = tmp_path / "data" / "mine"
    fetch(folder, LOCATION, *archive)
    assert (folder / "batch.bin").read_bytes() == b"12"
    assert capsys.readouterr().out.startswith(f"{folder} is missing: downloading {archive[0]}")
    fetch(folder, LOCATION, *archive)
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "data" / ".mine.part").exists()


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    fetch(tmp_path / "mine", LOCATION, "file:///nothing", "")
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("wrong", ["address", "checksum"])
def test_a_failed_download_is_reported(archive, tmp_path, wrong):
    address, md5 = archive
    given = (f"{address}.absent", md5) if wrong == "address" else (address, "0" * 32)
    with pytest.raises(InputError, match=r"mine is missing and its download failed \(.*\): unpack it yourself"):
        fetch(tmp_path / "data" / "mine", LOCATION, *given)
    assert not (tmp_path / "data" / "mine").exists()
