"""Inputs by name, as stages of exchangeable kinds are given them."""

from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.jobs import command
from pipeline.jobs.inputs import only


def parsed(monkeypatch, *words):
    found = {}
    parser = command.parser("A stage.", config=False)
    parser.add_argument("--output", type=Path)
    command.add_inputs(parser)
    monkeypatch.setattr("sys.argv", ["stage", "--output", "out", *words])
    command.run(lambda given: found.update(given.inputs), parser)
    return found


def test_further_options_are_inputs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert parsed(monkeypatch) == {}
    found = parsed(monkeypatch, "--generator", "a/history.parquet", "--real-features", "b", "c")
    assert found == {"generator": [Path("a/history.parquet")], "real_features": [Path("b"), Path("c")]}


def test_a_path_without_a_name_is_refused(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        parsed(monkeypatch, "a/history.parquet")
    assert "unrecognized argument: a/history.parquet" in capsys.readouterr().err


@pytest.mark.parametrize("inputs", [{}, {"generator": []}, {"generator": [Path("a"), Path("b")]}])
def test_one_path_is_asked_for(inputs):
    with pytest.raises(InputError, match=r"the input 'generator' has \d paths, but needs one; give --generator PATH"):
        only(inputs, "generator")
    assert only({"generator": [Path("a")]}, "generator") == Path("a")
