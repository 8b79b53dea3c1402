"""The download of CIFAR, from a server on this machine."""

import functools
import hashlib
import http.server
import socket
import tarfile
import threading
import time

import pytest

from pipeline.data import cifar_download
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


HEADER = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
ANSWERS = {
    "no answer": (b"", True),
    "half a header": (HEADER[:20], True),
    "a header alone": (HEADER, True),
    "half a file": (HEADER + b"12345", True),
    "half a file, and an end": (HEADER + b"12345", False),
    "an end": (b"", False),
    "no HTTP": (b"220 mail.example.org ESMTP\r\n", False),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_server_that_stalls_or_talks_nonsense_is_reported(tmp_path, monkeypatch, answer):
    said, stalls = ANSWERS[answer]
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(cifar_download, "TIMEOUT", 0.3)
    asked = []

    def serve():
        while True:
            try:
                one, _ = server.accept()
            except OSError:
                return
            one.recv(1000)
            one.sendall(said)
            asked.append(one)
            if not stalls:
                one.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(InputError, match=r"mine is missing and its download failed \(.*\): unpack it yourself"):
            fetch(
                tmp_path / "data" / "mine", LOCATION, f"http://127.0.0.1:{server.getsockname()[1]}/a.tar.gz", "0" * 32
            )
        assert time.monotonic() - began < 30
        server.shutdown(socket.SHUT_RDWR)
    for one in asked:
        one.close()
    assert socket.getdefaulttimeout() is None
    assert not (tmp_path / "data" / "mine").exists()
