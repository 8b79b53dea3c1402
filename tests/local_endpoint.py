"""A chat endpoint with OpenAI's interface on this machine, which fails in every way that real ones do."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Endpoint:
    """Answers `answer(body, number of the request)`; before that, it gives each of `faults` once, in their order."""

    def __init__(self, faults=(), key="sk-secret", seconds=0.0):
        self.faults, self.key, self.seconds = list(faults), key, seconds
        self.asked, self.answered, self.at_once, self.most_at_once, self.times = [], 0, 0, 0, []
        self.ended = threading.Event()
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                endpoint.reply(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def close(self):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()

    def reply(self, request):
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        with self._lock:
            self.times.append(time.monotonic())
            self.asked.append(body)
            number = len(self.asked)
            fault = self.faults.pop(0) if self.faults else None
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            time.sleep(self.seconds)
            if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
                # as a careless server does, it repeats the key that it got
                fault = (401, {"error": {"message": f"wrong key {request.headers.get('Authorization')}"}}, {})
            self._send(request, fault, body, number)
        except OSError:  # who asked is gone
            pass
        finally:
            with self._lock:
                self.at_once -= 1

    def _send(self, request, fault, body, number):
        if fault == "hangs":
            self.ended.wait(60)
            return
        if fault == "drips":
            request.send_response(200)
            request.end_headers()
            while not self.ended.wait(0.1):
                request.wfile.write(b" ")
            return
        if fault == "drips headers":
            request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self.ended.wait(0.1):
                request.wfile.write(b"a")
            return
        if fault == "hangs up":
            request.connection.close()
            return
        text = f"A photo of {body['messages'][-1]['content']}, number {number}."
        status, content, headers = fault or (
            200,
            {"choices": [{"message": {"role": "assistant", "content": text}}]},
            {},
        )
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        request.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **headers}.items():
            request.send_header(key, value)
        request.end_headers()
        request.wfile.write(data)
        with self._lock:
            self.answered += status == 200
