"""Artifacts that say what made them: runs without Snakemake's records, after a copy, a kill, or a clock that was wrong."""

import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from runs import Run
from workflow_helpers import bytes_under, planned, snakemake

pytestmark = pytest.mark.slow

TARGET = "all_demo"
REPORTS = {"grid cbdm.png", "summary"}
GENERATOR = "results/demo/generator/cbdm/history.parquet"
WEIGHTS = "results/demo/classifier/ce/seed-1/weights.safetensors"


def edit(root: Path, file: str, old: str, new: str) -> None:
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new))


def stages(jobs) -> set[str]:
    return {" ".join(job.split()[:2]) for job in jobs}


def test_without_records_only_reports_are_planned(copy):
    shutil.rmtree(copy / ".snakemake")
    assert stages(planned(copy, TARGET)) == REPORTS
    ran = snakemake(copy, TARGET)
    assert ran.returncode == 0, ran.stdout
    assert planned(copy, TARGET) == {}


@pytest.mark.parametrize(
    ("edited", "expected"),
    [
        (("workflow_config.yaml", "generated_weight: 0.3", "generated_weight: 0.4"), {"classifier diffult"}),
        (("pipeline/scores/d3.py", "\n\n\n", "\n\nEDITED = 1\n\n\n"), {"score by_ce"}),
        (("workflow_config.yaml", "shards: 2", "shards: 3"), {"sample cbdm"}),
        (("workflow_config.yaml", "steps_as: [likely]", "steps_as: []"), {"classifier ce_long"}),
    ],
    ids=["settings", "code", "number of shards", "set of inputs"],
)
def test_without_records_an_edit_plans_what_follows_from_it(copy, edited, expected):
    edit(copy, *edited)
    with_records = stages(planned(copy, TARGET))
    assert expected <= with_records
    shutil.rmtree(copy / ".snakemake")
    assert stages(planned(copy, TARGET)) == with_records | REPORTS


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("extends: ce, data: [real, likely]", "extends: ce, data: [real, fresh]"),  # the settings stay the same
        ("extends: ce, data: [real, likely]", "extends: ce, epochs: 2, data: [real, fresh]"),
    ],
)
def test_without_records_an_input_that_was_never_made_is_planned_and_what_reads_it(copy, old, new):
    edit(copy, "workflow_config.yaml", "filters:\n", "filters:\n  fresh: {scores: by_ce}\n")
    edit(copy, "workflow_config.yaml", old, new)
    with_records = stages(planned(copy, TARGET))
    assert {"select fresh", "classifier diffult", "evaluate diffult"} <= with_records
    shutil.rmtree(copy / ".snakemake")
    assert stages(planned(copy, TARGET)) == with_records | REPORTS


def test_without_records_an_input_that_was_deleted_is_not_missed(copy):
    """Pictures and selections take room, and the classifier that has seen them is finished."""
    for place in ("sample", "select", "plan", "score"):
        shutil.rmtree(copy / "results/demo" / place)
    for _ in range(2):
        assert planned(copy, "results/demo/evaluate/two_stage/seed-0/metrics.json") == {}
        shutil.rmtree(copy / ".snakemake", ignore_errors=True)


def test_without_records_an_input_of_other_content_is_noticed(copy, finished):
    """As if one artifact came from another run, with an old time."""
    other = copy / "results/demo/classifier/ce/seed-0/weights.safetensors"
    time_before = other.stat().st_mtime_ns
    for name in ("weights.safetensors", "history.parquet"):
        shutil.copy2(finished / f"results/demo/classifier/ce/seed-1/{name}", other.with_name(name))
        os.utime(other.with_name(name), ns=(time_before, time_before))
    shutil.rmtree(copy / ".snakemake")
    found = stages(planned(copy, TARGET))
    assert {"features ce", "score by_ce", "classifier two_stage", "evaluate ce"} <= found
    assert not {"generator cbdm", "sample cbdm", "classifier ce"} & found


def test_results_that_came_from_another_folder_are_compared_though_there_are_records_here(copy, tmp_path):
    """This folder has records of its own files. The weights come from a folder with another config."""
    weights = copy / "results/demo/classifier/diffult/seed-0/weights.safetensors"
    shutil.copytree(copy / ".snakemake", tmp_path / "records")
    edit(copy, "workflow_config.yaml", "generated_weight: 0.3", "generated_weight: 0.4")
    made = snakemake(copy, str(weights.relative_to(copy)))
    assert made.returncode == 0, made.stdout
    edit(copy, "workflow_config.yaml", "generated_weight: 0.4", "generated_weight: 0.3")
    shutil.rmtree(copy / ".snakemake")
    (tmp_path / "records").rename(copy / ".snakemake")
    assert {"classifier diffult", "evaluate diffult"} <= stages(planned(copy, TARGET))


def test_after_a_copy_without_times_finished_work_is_kept(copy):
    """The run stops and names a command; the command keeps everything."""
    results = bytes_under(copy / "results")
    paths = sorted(path for path in (copy / "results").rglob("*") if path.is_file())
    random.Random(0).shuffle(paths)
    for age, path in enumerate(paths):
        os.utime(path, (time.time() - age, time.time() - age))
    assert planned(copy, TARGET)
    ran = snakemake(copy, TARGET)
    assert ran.returncode != 0
    assert "finished jobs would run again, only because of the times of files" in ran.stdout
    assert bytes_under(copy / "results") == results
    (targets,) = re.findall(r"make accept TARGETS='(.*?)'", ran.stdout)
    accepted = snakemake(copy, "--touch", *targets.split())  # what `make accept` runs
    assert accepted.returncode == 0, accepted.stdout
    assert planned(copy, TARGET) == {}
    assert bytes_under(copy / "results") == results


def test_the_other_command_that_is_named_makes_it_again(copy):
    """As above; the user trusts the code more than the files."""
    manifest = copy / "results/demo/subset/manifest.parquet"
    before = bytes_under(copy / "results")
    os.utime(manifest, (1, 1))
    ran = snakemake(copy, str(manifest.relative_to(copy)))
    (told,) = re.findall(r"or make it again: add (--forcerun \S+)", ran.stdout)
    again = snakemake(copy, str(manifest.relative_to(copy)), *told.split())
    assert again.returncode == 0, again.stdout
    assert manifest.stat().st_mtime > 1
    assert bytes_under(copy / "results") == before


def test_a_file_from_the_future_is_refused_before_any_job(copy):
    (copy / WEIGHTS).unlink()
    before = bytes_under(copy / "results")
    shard = copy / "results/demo/subset/real/shard-00000.tar"
    os.utime(shard, (time.time() + 86400,) * 2)
    ran = snakemake(copy, WEIGHTS)
    assert ran.returncode != 0
    assert "is dated in the future" in ran.stdout and "shard-00000.tar" in ran.stdout
    assert bytes_under(copy / "results") == before
    (path,) = re.findall(r"date it now: touch (\S+)", ran.stdout)
    (copy / path).touch()
    again = snakemake(copy, WEIGHTS)
    assert again.returncode == 0, again.stdout


def test_a_training_whose_output_is_not_accepted_is_not_done_again(copy, finished):
    """A clock that jumps during the job: Snakemake deletes what was made, and the next run goes on from the last step."""
    (copy / GENERATOR).unlink()
    run = Run(copy, GENERATOR)
    assert run.wait_until(lambda: run.signal(0, "pipeline.stages.generator")), run.told
    manifest = copy / "results/demo/subset/manifest.parquet"
    times = manifest.stat()
    os.utime(manifest, (time.time() + 86400,) * 2)
    assert run.process.wait() != 0, run.told
    assert not (copy / GENERATOR).exists()
    os.utime(manifest, ns=(times.st_atime_ns, times.st_mtime_ns))
    again = snakemake(copy, GENERATOR)
    assert again.returncode == 0, again.stdout
    assert "continuing at step 6 " in again.stdout
    assert bytes_under(copy / "results") == bytes_under(finished / "results"), "without what the checkpoint held"


def test_a_log_that_cannot_be_written_fails_no_job(copy, finished, small_disk):
    metrics = "results/demo/evaluate/ce/seed-1/metrics.json"  # of a job that always says something
    (copy / metrics).unlink()
    shutil.rmtree(copy / "logs")
    small_disk(copy / "logs", "4k")
    (copy / "logs/full").write_bytes(bytes(4096))
    ran = snakemake(copy, metrics)
    assert ran.returncode == 0, ran.stdout
    assert "No space left on device" in ran.stdout
    assert bytes_under(copy / "results") == bytes_under(finished / "results")


def test_a_job_that_ends_after_its_run_was_killed_is_adopted(copy, finished):
    (copy / WEIGHTS).unlink()
    run = Run(copy, WEIGHTS)
    assert run.wait_until(lambda: run.signal(0, "pipeline.stages.classifier")), run.told
    run.process.send_signal(signal.SIGKILL)
    run.process.wait()
    while run.processes():
        time.sleep(0.05)
    assert (copy / WEIGHTS).exists()
    made = (copy / WEIGHTS).stat().st_mtime_ns
    snakemake(copy, "--unlock")
    again = snakemake(copy, WEIGHTS)
    assert again.returncode == 0, again.stdout
    assert (copy / WEIGHTS).stat().st_mtime_ns == made
    assert (copy / WEIGHTS).read_bytes() == (finished / WEIGHTS).read_bytes()
