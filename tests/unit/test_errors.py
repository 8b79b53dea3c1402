"""The commands that messages name have the options of the run."""

import shlex

import pytest

from pipeline.errors import OPTIONS, as_started, options_again


@pytest.mark.parametrize(
    ("files", "config", "options"),
    [
        ([], {}, []),
        (["a b.yaml", "c.yaml"], {}, ["--configfile", "a b.yaml", "c.yaml"]),
        ([], {"data_root": "/my data", "n": 3}, ["--config", "data_root=/my data", "n=3"]),
    ],
)
def test_options_are_those_of_the_command_line(files, config, options, monkeypatch):
    text = options_again(files, config)
    assert shlex.split(text) == options
    monkeypatch.setenv(OPTIONS, text)
    told = as_started("to take it: snakemake --profile local -R a -- all_b")
    assert shlex.split(told.partition(": ")[2]) == [
        "snakemake",
        "--profile",
        "local",
        *options,
        "-R",
        "a",
        "--",
        "all_b",
    ]
    repair = shlex.split(as_started("say make repair"))[1:]
    assert repair == ["make", "repair", *([f"OPTIONS={text}"] if options else [])]
