"""A hub of models on this machine, for huggingface_hub: set HF_ENDPOINT to its address."""

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """What the hub has: id -> folder of files. It answers as the real one, as far as huggingface_hub asks."""

    def __init__(self):
        self.models: dict[str, Path] = {}
        self.fault: str | None = None
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                hub.answer(self)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request):
        self.asked.append(f"{request.command} {request.path}")
        words = request.path.partition("?")[0].strip("/").split("/")
        if words[:2] == ["api", "models"]:
            self._listing(request, "/".join(words[2:4]))
        else:
            self._file(request, self.models.get("/".join(words[:2])), "/".join(words[4:]))

    def _listing(self, request, name):
        if name not in self.models or self.fault == "gone":
            return self._send(request, 404, b"{}", {"X-Error-Code": "RepoNotFound"})
        if self.fault == "nonsense":
            return self._send(request, 200, b"<html>a login page</html>", {"Content-Type": "text/html"})
        if self.fault and self.fault[0] in "{[":
            return self._send(request, 200, self.fault.encode(), {"Content-Type": "application/json"})
        found = [path for path in sorted(self.models[name].rglob("*")) if path.is_file()]
        siblings = [
            {
                "rfilename": str(path.relative_to(self.models[name])),
                "size": path.stat().st_size,
                "blobId": git_digest(path),
            }
            | ({"lfs": lfs(path)} if path.suffix == ".safetensors" else {})
            for path in found
        ]
        body = {
            "id": name,
            "sha": COMMIT,
            "siblings": siblings,
            "private": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
        }
        return self._send(request, 200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _file(self, request, folder, name):
        if folder is None or not (folder / name).is_file():
            return self._send(request, 404, b"", {"X-Error-Code": "EntryNotFound"})
        data = (folder / name).read_bytes()
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if self.fault == "other bytes" and name.endswith(".safetensors"):
            data = bytes(len(data))
        if (span := request.headers.get("Range")) and request.command == "GET":
            start = int(span.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return self._send(request, 206, data[start:], headers)
        return self._send(request, 200, data, headers)

    def _send(self, request, status, body, headers):
        request.send_response(status)
        for key, value in ({"Content-Length": str(len(body))} | headers).items():
            request.send_header(key, value)
        request.end_headers()
        if request.command == "GET":
            fault = self.fault if self.fault in ("cut", "stall") and len(body) > 10_000 else None
            request.wfile.write(body[: len(body) // 2] if fault else body)
            if fault:
                self.fault = None
                request.close_connection = True
            if fault == "stall":
                time.sleep(60)
        return None


def lfs(path):
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size": path.stat().st_size, "pointerSize": 130}


def git_digest(path):
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
