"""What artifacts say about their making."""

import json
import subprocess
import sys

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from workflow_helpers import REPOSITORY, environment

from pipeline.artifacts import digests, made, shards
from pipeline.errors import InputError

STATEMENT = made.statement({"kind": "cbdm"}, "a fingerprint", "0 of 2", {"results/a.parquet": "0123"})


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setattr(made, "_current", STATEMENT)
    shards.write_table(pd.DataFrame({"x": [1]}), tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


def test_sealed_files_of_each_kind_say_what_made_them(table, tmp_path):
    features, figures = tmp_path / "a.safetensors", tmp_path / "a.json"
    save_file({"x": torch.zeros(2)}, features, made.metadata())
    figures.write_text(json.dumps({"seal": digests.BLANK, "made": made.current()}))
    for path in (features, figures):
        digests.seal(path)
    for path in (table, features, figures):
        assert digests.is_whole(path)
        assert made.about(path)["made"] == STATEMENT


def test_other_inputs_make_another_statement_and_their_order_does_not():
    one, two = {"a": "0", "b": "1"}, {"b": "1", "a": "0"}
    assert made.statement(None, None, None, one) == made.statement(None, None, None, two)
    for other in ({"a": "0"}, {"a": "1", "b": "1"}, {"a": "0", "c": "1"}):
        assert made.statement(None, None, None, other) != made.statement(None, None, None, one)


def test_inputs_in_a_store_make_the_same_statement():
    here, elsewhere = ({f"{folder}results/a/b.parquet": "0"} for folder in ("", "/store/results/s3/bucket/"))
    assert made.statement(None, None, None, here) == made.statement(None, None, None, elsewhere)


def test_a_file_beside_a_table_has_the_digest_that_the_table_holds(tmp_path):
    weights, table = tmp_path / "weights.bin", tmp_path / "history.parquet"
    weights.write_bytes(b"0123")
    assert made.digest_of(weights) == made.checked_digest(weights) == digests.digest(weights), "without a table"
    shards.write_table(pd.DataFrame({"step": [1]}), table, beside=[weights])
    before = made.digest_of(weights)
    weights.write_bytes(b"0124")
    assert made.digest_of(weights) == before, "a claim, without a check"
    with pytest.raises(InputError, match=r"weights.bin is damaged: its bytes differ .* say `make repair`"):
        made.checked_digest(weights)


def test_a_changed_byte_of_a_sealed_file_is_noticed(table):
    assert made.checked_digest(table) == digests.stated(table)
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    with pytest.raises(InputError, match="is damaged: its bytes differ"):
        made.checked_digest(table)


@pytest.mark.parametrize("text", [b"", b"no table", b"PAR1"])
def test_a_file_that_cannot_be_read_says_nothing(tmp_path, text):
    for name in ("a.parquet", "a.safetensors", "a.json"):
        (tmp_path / name).write_bytes(text)
        assert made.about(tmp_path / name) == {}


STAGE = """
import argparse, sys
from pathlib import Path
from pipeline.artifacts import made
from pipeline.jobs import command

parser = command.parser("A stage.", config=False)
parser.add_argument("--table", type=Path, nargs="+")
parser.add_argument("--output", type=Path)
command.run(lambda args: args.output.write_text(made.current()["inputs"]), parser)
"""


def test_a_stage_refuses_damaged_inputs_before_it_works(table, tmp_path):
    def run():
        command = [sys.executable, "-c", STAGE, "--table", table, "--output", tmp_path / "out"]
        return subprocess.run(command, env=environment(REPOSITORY), text=True, capture_output=True, check=False)

    assert run().returncode == 0
    expected = made.statement(None, None, None, {str(table): digests.stated(table)})["inputs"]
    assert (tmp_path / "out").read_text() == expected
    table.write_bytes(table.read_bytes().replace(b"PAR1", b"PAR2", 1))
    ran = run()
    assert ran.returncode == 1
    assert ran.stderr == (
        f"error: {table} is damaged: its bytes differ from those that were written; say `make repair`\n"
    )
