"""What a run planned reaches the job that was sent, and nothing else does."""

import pytest

from pipeline.errors import InputError
from pipeline.jobs.planned import keep, kept

PLAN = {"params": {"config": '{"name": "café {x}"}'}, "input": {"real": [["a b.tar", False]]}}


@pytest.fixture
def files(tmp_path):
    rules = tmp_path / "rules.smk"
    rules.write_text("rule a: ...")
    jobs = [
        ("score", {"name": "a", "shard": "00000"}, PLAN),
        ("score", {"name": "a", "shard": "00001"}, {}),
        ("verify", {}, {}),
    ]
    keep(tmp_path / "run.zip", jobs, [rules])
    return tmp_path / "run.zip", rules


def test_each_job_has_its_own_plan(files):
    path, rules = files
    assert kept(path, [("score", {"shard": "00000", "name": "a"}), ("verify", {})], [rules]) == [PLAN, {}]


def test_an_edited_workflow_is_refused(files):
    path, rules = files
    rules.write_text("rule b: ...")
    with pytest.raises(InputError, match=r"rules\.smk was edited after this run was planned; undo the edit, or start"):
        kept(path, [("verify", {})], [rules])


def test_a_run_that_has_ended_is_named(files):
    path, rules = files
    path.unlink()
    with pytest.raises(InputError, match="the run of this job has ended"):
        kept(path, [("verify", {})], [rules])
