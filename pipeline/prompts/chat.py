"""One question to a chat endpoint with OpenAI's interface: retries, time limits, and a key that is never shown."""

import email.utils
import http.client
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from pipeline.deadline import within
from pipeline.errors import InputError
from pipeline.prompts.answers import usable

LONGEST_PAUSE = 600.0
"""Seconds; an endpoint that asks for a longer pause ends the run, which a later one continues."""
MOST_BYTES = 2**24
_BUSY = (408, 409, 425, 429)
"""Statuses that may pass by themselves, besides 500 and above."""


class Stopped(Exception):
    """Another question has ended the run."""


class _Again(Exception):
    """A failure that may pass by itself."""

    def __init__(self, why: str, pause: float | None = None):
        super().__init__(why)
        self.pause = pause


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another machine."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Chat:
    """An endpoint: url (without /chat/completions), key_variable, timeout and pause in seconds, and tries.

    The pause after a failure is `pause`, and doubles with each one that follows, unless the endpoint names its own.
    """

    def __init__(self, url: str, key_variable: str | None, timeout: float, tries: int, pause: float = 1.0):
        self._url, self._timeout, self._tries, self._pause = f"{url}/chat/completions", timeout, tries, pause
        self._variable, self._key = key_variable, _key(key_variable)
        self._opener = urllib.request.build_opener(_NoRedirects)

    def answer(self, body: Mapping[str, Any], ended: threading.Event) -> str:
        """The answer's text. Raises InputError if the endpoint refuses or keeps failing, and Stopped once `ended` is set."""
        for failures in range(1, self._tries + 1):
            try:
                return self._once(json.dumps(body).encode())
            except _Again as error:
                why, pause = str(error), error.pause
            pause = self._pause * 2 ** (failures - 1) if pause is None else pause
            if pause > LONGEST_PAUSE:
                raise InputError(
                    f"{self._url} asks to wait {pause:.0f} seconds ({why}); run snakemake again after that"
                )
            if failures < self._tries and ended.wait(pause):
                raise Stopped
        raise InputError(
            f"{self._url} gave no usable answer in {self._tries} tries, the last time because {why}; answers so far are kept,"
            " so run snakemake again later"
        )

    def _once(self, body: bytes) -> str:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self._url, body, headers)
        try:
            return _text(within(2 * self._timeout, self._sent, request))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise _Again(f"the connection failed: {self._shown(reason) or type(reason).__name__}") from None

    def _sent(self, request: urllib.request.Request) -> bytes:
        """The body of the answer. `_read` ends slow bodies; `within` is for headers that never end."""
        with self._opener.open(request, timeout=self._timeout) as response:
            return self._read(response)

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        """The whole body. A socket's time limit is for each piece alone, so that slow drops would never end."""
        deadline, parts, size = time.monotonic() + self._timeout, [], 0
        while part := response.read1(2**16):
            parts.append(part)
            size += len(part)
            if time.monotonic() > deadline:
                raise TimeoutError("the answer did not end in time")
            if size > MOST_BYTES:
                raise _Again("the answer did not end")
        return b"".join(parts)

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        try:
            said = self._read(error)
        except (OSError, http.client.HTTPException, _Again):
            said = b""
        told = self._shown(_message(said))
        what = f"it answered {error.code} {error.reason}{f' ({told})' if told else ''}"
        if error.code in _BUSY or error.code >= 500:
            return _Again(what, _pause(error.headers.get("Retry-After")))
        check = "url, model and parameters" + (f", and the key in {self._variable}" if self._variable else "")
        return InputError(f"{self._url} refuses the request: {what}; check {check}")

    def _shown(self, text: object) -> str:
        """A text from outside as it may be shown: short, in one line, without the key."""
        words = "".join(letter for letter in " ".join(str(text).split()) if letter.isprintable())
        return (words.replace(self._key, "***") if self._key else words)[:200]


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise InputError(f"the environment variable {variable} has no key, or one that is not plain text; set it")
    return key


def _text(data: bytes) -> str:
    """The text in an answer. Raises _Again if there is none."""
    try:
        text = json.loads(data)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        raise _Again("its answer was not of the form {choices: [{message: {content: ...}}]}") from None
    if not isinstance(text, str) or not usable(text):
        raise _Again("its answer had no text")
    return text


def _message(data: bytes) -> str:
    """What an error says, if it is in OpenAI's form."""
    try:
        return str(json.loads(data)["error"]["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _pause(header: str | None) -> float | None:
    """Seconds that Retry-After asks for, as a number or a date; None without a valid one."""
    if header is None:
        return None
    try:
        if header.strip().isdecimal():
            return float(header)
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
