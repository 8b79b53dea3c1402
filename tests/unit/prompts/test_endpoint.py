"""Prompts from a chat endpoint: asked once, kept, and every failure is waited for or told in one sentence, without the key."""

import json
import os
import signal
import subprocess
import sys
import time
from email.utils import formatdate

import pytest
from local_endpoint import Endpoint

from pipeline.config.prompts import PROMPTS
from pipeline.prompts import chat
from pipeline.prompts.kept_answers import KeptAnswers
from pipeline.stages import ask, prompts

KEY = "sk-secret"


@pytest.fixture
def endpoint():
    opened = []

    def open_(*faults, **given):
        opened.append(Endpoint(faults, **given))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setattr(chat.Chat.__init__, "__defaults__", (0.02,))  # the first pause, in seconds


def part(url, **given):
    short = {"per_class": 3, "key_variable": "MY_KEY", "timeout": 5.0, "query": "a {class}"}
    return PROMPTS["endpoint"](**{"kind": "endpoint", "url": url, "model": "gpt"} | short | given)


def asked(run, tmp_path, one):
    return run(ask, one.asking_settings(), "--kept", tmp_path / "kept")


def test_each_class_is_asked_about_and_gets_its_prompts(run, endpoint, tmp_path):
    server = endpoint()
    one = part(server.url, parameters={"temperature": 0.5, "max_tokens": 90})
    table = asked(run, tmp_path, one)
    assert table["class_name"].tolist() == [name for name in ("aquarium_fish", "owl", "wren") for _ in range(3)]
    assert table["number"].tolist() == [0, 1, 2] * 3 and table["answer"].is_unique
    assert len(server.asked) == 9
    for body in server.asked:
        assert body.keys() == {"model", "messages", "temperature", "max_tokens"}
        assert (body["model"], body["temperature"], body["max_tokens"]) == ("gpt", 0.5, 90)
        assert [said["role"] for said in body["messages"]] == ["system", "user"]
    assert {body["messages"][1]["content"] for body in server.asked} == {"a aquarium fish", "a owl", "a wren"}
    found = run(prompts, one.settings(), "--answers", tmp_path / "ask.parquet")
    assert found["text"].tolist() == [f"{row.class_name.replace('_', ' ')}. {row.answer}" for row in table.itertuples()]
    assert set(found["origin"]) == {"gpt"}


def test_an_answer_is_paid_for_once(run, endpoint, tmp_path):
    server = endpoint()
    first = asked(run, tmp_path, part(server.url))
    assert asked(run, tmp_path, part(server.url)).equals(first) and len(server.asked) == 9
    more = asked(run, tmp_path, part(server.url, per_class=5, requests_at_once=1, tries=2))
    assert len(server.asked) == 15
    assert more[more["number"] < 3].reset_index(drop=True).equals(first)
    asked(run, tmp_path, part(server.url, model="other"))
    assert len(server.asked) == 15 + 9


def test_no_more_requests_at_once_than_allowed(run, endpoint, tmp_path):
    server = endpoint(seconds=0.03)
    asked(run, tmp_path, part(server.url, per_class=6, requests_at_once=3))
    assert server.most_at_once == 3


def good(text):
    return (200, {"choices": [{"message": {"content": text}}]}, {})


PASSING = {
    "busy": (429, {"error": {"message": "slow down"}}, {}),
    "busy for some time": (429, b"", {"Retry-After": "0"}),
    "busy until a date that has passed": (503, b"", {"Retry-After": formatdate(0, usegmt=True)}),
    "busy for what is no time": (429, b"", {"Retry-After": "soon"}),
    "an error of the server": (500, b"<html>oops</html>", {}),
    "a gateway": (502, b"", {}),
    "no JSON": (200, b"<html>a login page</html>", {}),
    "no choices": (200, {"choices": []}, {}),
    "another form": (200, [1, 2], {}),
    "no text": good(None),
    "an empty text": good(""),
    "half an emoji": good("nice \ud83d"),
    "nested without end": (200, b"[" * 100_000, {}),
    "no letters": good(" ... \n"),
    "parts in place of text": good([{"type": "text", "text": "a"}]),
    "an answer that is cut off": (200, b'{"choices": [{"mess', {"Content-Length": "400"}),
    "nothing": "hangs up",
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_is_waited_for(run, endpoint, tmp_path, fault, capsys):
    server = endpoint(fault, fault)
    found = asked(run, tmp_path, part(server.url, requests_at_once=1))
    assert len(server.asked) == 9 + 2 and found["answer"].str.startswith("A photo of").all()


@pytest.mark.parametrize("fault", ["hangs", "drips", "drips headers"])
def test_a_hang_is_cut(run, endpoint, tmp_path, fault):
    server = endpoint(fault)
    began = time.monotonic()
    found = asked(run, tmp_path, part(server.url, timeout=0.3, requests_at_once=9))
    assert len(found) == 9 and len(server.asked) == 10 and time.monotonic() - began < 5


def test_the_endpoints_own_pause_is_kept(run, endpoint, tmp_path):
    server = endpoint((429, b"", {"Retry-After": "1"}))
    asked(run, tmp_path, part(server.url, requests_at_once=1, per_class=1))
    assert 1 <= server.times[1] - server.times[0] < 3
    assert chat._pause("Mon, 01 Jan 2024 00:00:00 +99999999999999") is None
    assert 100 < chat._pause(formatdate(time.time() + 120, usegmt=True)) < 121


def test_pauses_become_longer(run, endpoint, tmp_path):
    server = endpoint(*[(500, b"", {})] * 4)
    asked(run, tmp_path, part(server.url, requests_at_once=1, per_class=1))
    pauses = [later - earlier for earlier, later in zip(server.times, server.times[1:4], strict=False)]
    assert all(pause >= 0.02 * 2**place for place, pause in enumerate(pauses))


ENDING = {
    "a wrong key": (
        (401, {"error": {"message": f"wrong key {KEY}"}}, {}),
        1,
        "it answered 401 Unauthorized (wrong key ***)",
    ),
    "another model": (
        (404, {"error": {"message": "no such\nmodel"}}, {}),
        1,
        "it answered 404 Not Found (no such model); check",
    ),
    "an error that is nested without end": ((400, b"[" * 100_000, {}), 1, "it answered 400 Bad Request; check"),
    "letters for a terminal": ((400, {"error": {"message": "a\x1b[2Jb"}}, {}), 1, "400 Bad Request (a[2Jb); check"),
    "a redirect": ((307, b"", {"Location": "http://127.0.0.1:9/v1/chat/completions"}), 1, "it answered 307 Temporary"),
    "a pause of an hour": (
        (429, b"", {"Retry-After": "3600"}),
        1,
        "asks to wait 3600 seconds (it answered 429 Too Many",
    ),
    "always busy": ((429, b"", {}), 3, "gave no usable answer in 3 tries, the last time because it answered 429"),
    "always nonsense": ((200, b"{}", {}), 3, "in 3 tries, the last time because its answer was not of the form"),
    "always empty": (good(""), 3, "in 3 tries, the last time because its answer had no text; answers so far are kept"),
    "always nothing": ("hangs up", 3, "in 3 tries, the last time because the connection failed: "),
    "always hanging": ("hangs", 3, "in 3 tries, the last time because the connection failed: timed out"),
}


@pytest.mark.parametrize(("fault", "requests", "told"), ENDING.values(), ids=ENDING)
def test_what_does_not_pass_is_one_sentence(run, endpoint, tmp_path, fault, requests, told, capfd):
    server = endpoint(*[fault] * 20)
    with pytest.raises(SystemExit) as ended:
        asked(run, tmp_path, part(server.url, tries=3, requests_at_once=1, timeout=0.3))
    assert told in ended.value.code and "\n" not in ended.value.code
    assert len(server.asked) == requests
    assert KEY not in ended.value.code + "".join(capfd.readouterr())
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_an_endpoint_that_is_away_is_one_sentence(run, tmp_path):
    with pytest.raises(SystemExit, match=r"127.0.0.1:9/v1/chat/completions gave no usable answer .*Connection refused"):
        asked(run, tmp_path, part("http://127.0.0.1:9/v1", tries=2))


@pytest.mark.parametrize("value", [None, "", "  ", "sk-\nsecret", "schlüssel"])
def test_a_key_that_is_none_is_told_and_never_shown(run, tmp_path, value, monkeypatch):
    monkeypatch.delenv("MY_KEY")
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(SystemExit) as ended:
        asked(run, tmp_path, part("http://127.0.0.1:9/v1"))
    told = "the environment variable MY_KEY has no key, or one that is not plain text; set it"
    assert ended.value.code == f"error: {told}"
    complaint = part("http://127.0.0.1:9/v1").missing()
    if value is None or not value.strip():
        assert complaint.startswith("the environment variable MY_KEY is not set; set it to your key for http://127")


def test_an_endpoint_may_need_no_key(run, endpoint, tmp_path):
    server = endpoint(key=None)
    one = part(server.url, key_variable=None)
    assert one.missing() is None and len(asked(run, tmp_path, one)) == 9


def test_what_was_answered_before_an_error_is_kept(run, endpoint, tmp_path):
    server = endpoint()
    server.faults = [None] * 5 + [(400, b"", {})]
    with pytest.raises(SystemExit, match="400 Bad Request; check url, model and parameters, and the key in MY_KEY"):
        asked(run, tmp_path, part(server.url, requests_at_once=4))
    before = server.answered
    assert before >= 5
    asked(run, tmp_path, part(server.url))
    assert server.answered == 9


def started(tmp_path, one):
    command = [sys.executable, "-m", "pipeline.stages.ask", "--config", json.dumps(one.asking_settings())]
    command += [
        "--manifest",
        tmp_path / "manifest.parquet",
        "--kept",
        tmp_path / "kept",
        "--output",
        tmp_path / "a.parquet",
    ]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_after_a_kill_only_what_is_missing_is_asked(run, endpoint, tmp_path, number):
    server = endpoint(seconds=0.05)
    one = part(server.url, per_class=40, requests_at_once=2)
    process = started(tmp_path, one)
    while server.answered < 12 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    said, _ = process.communicate()
    assert process.returncode in (-number, 128 + number) and "Traceback" not in said, said
    kept = sum(len(path.read_text().split("\n")) // 2 for path in (tmp_path / "kept").iterdir())
    # a stop waits for the answers on their way; a kill loses those alone
    assert server.answered - (2 if number == signal.SIGKILL else 0) <= kept <= server.answered < 120
    before = len(server.asked)
    assert len(asked(run, tmp_path, one)) == 120
    assert len(server.asked) - before == 120 - kept
    assert not (tmp_path / "a.parquet").exists()


def test_kept_answers_survive_lines_that_are_cut_off(tmp_path):
    request = {"url": "u", "body": {"model": "m"}}
    kept = KeptAnswers(tmp_path, request)
    kept.add(0, "ä\nb")
    (path,) = tmp_path.iterdir()
    with open(path, "a") as file:
        file.write('{"number": 1, "ans')
    assert KeptAnswers(tmp_path, request).found == {0: "ä\nb"}
    KeptAnswers(tmp_path, request).add(1, "c")
    with open(path, "a") as file:
        file.write('{"number": 1, "answer": "later"}\n[]\n3\n')
    assert KeptAnswers(tmp_path, request).found == {0: "ä\nb", 1: "c"}
    assert KeptAnswers(tmp_path, request | {"url": "v"}).found == {}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"url": "api.openai.com/v1"}, "it must be like https://api.openai.com/v1"),
        ({"url": "https://me:pw@host/v1"}, "without a user, a key or a . in it"),
        ({"url": "https://host/v1?key=1"}, "without a user, a key or a . in it"),
        ({"url": "file:///etc/passwd"}, "it must be like https"),
        ({"url": "https://höst/v1"}, "it must be like https"),
        ({"url": "http://[::1/v1"}, "it must be like https"),
        ({"url": "http://.example/v1"}, "it must be like https"),
        ({"url": "http://host:port/v1"}, "it must be like https"),
        ({"timeout": 1e12}, "less than or equal to 86400"),
        ({"parameters": {"stream": True}}, "'stream' is set by the other keys; remove it"),
        (
            {"key_variable": "sk-secret"},
            "it must be the name of an environment variable, in capital letters, and not the key",
        ),
    ],
)
def test_wrong_settings_are_refused(given, told):
    with pytest.raises(ValueError, match=told):
        part(**{"url": "http://host/v1"} | given)


def test_its_settings_hold_no_key(endpoint):
    one = part("http://host/v1/")
    assert one.url == "http://host/v1"
    assert KEY not in json.dumps([one.settings(), one.asking_settings()]) and os.environ["MY_KEY"] == KEY
    assert one.settings() == {"kind": "endpoint", "text": "{class}. {answer}", "model": "gpt"}
