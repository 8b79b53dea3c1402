"""The micro run, and its misfortunes, on a real Slurm that tests/workflow/slurm/cluster.sh starts: two nodes of two pretended GPUs each."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml
from workflow_helpers import EVERYTHING, REPOSITORY, bytes_under, make_copy, planned, repetitions, snakemake, stage

CLUSTER = REPOSITORY / "tests" / "workflow" / "slurm" / "cluster.sh"
QUICK = ("--jobs", "4", "--latency-wait", "5", "--slurm-init-seconds-before-status-checks", "2", "--retries", "2")
GENERATOR = "results/demo/generator/cbdm/history.parquet"
ON_GPUS = {"generator", "sample", "features", "score", "classifier", "evaluate", "quality"}
MEETING = '''"""A stage that makes a shard tells which GPUs it sees, and goes on when four are there: they run at once."""

import json
import os
import sys
import time
from pathlib import Path

if "pipeline.stages.sample" in sys.orig_argv:
    folder = Path(__file__).with_name("seen")
    folder.mkdir(exist_ok=True)
    seen = [os.environ["SLURMD_NODENAME"], os.environ["CUDA_VISIBLE_DEVICES"]]
    (folder / f"{os.environ['SLURM_JOB_ID']}.json").write_text(json.dumps(seen))
    while len(list(folder.iterdir())) < 4:
        time.sleep(0.1)
'''

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(not shutil.which("slurmctld"), reason="no slurmctld: apt-get install munge slurm-wlm"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start the Slurm of the tests"),
]


@pytest.fixture(scope="module", autouse=True)
def slurm() -> Iterator[None]:
    try:
        subprocess.run([CLUSTER, "start"], check=True)
        yield
    finally:
        subprocess.run([CLUSTER, "stop"], check=True)


def on_slurm(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    return snakemake(root, *QUICK, *arguments, profile="slurm")


@contextlib.contextmanager
def begun(root: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    """A run in the background, whose lines go to `told`."""
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    with open(root / "told", "w") as told:
        run = subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--profile", "slurm", *QUICK, *arguments],
            cwd=root, env=environment, stdout=told, stderr=told,
        )  # fmt: skip
    try:
        yield run
    finally:
        if run.poll() is None:
            run.kill()
            subprocess.run(["scancel", *jobs_of(root)], check=True)


def jobs_of(root: Path) -> dict[str, dict[str, str]]:
    """Slurm's own words about each job that was sent from `root`, by its number; `rule` is its Snakemake rule."""
    told = subprocess.run(["scontrol", "show", "job", "--oneliner"], check=True, text=True, capture_output=True).stdout
    jobs = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in told.splitlines()]
    rule = re.compile("rule_(.+?)(?:_wildcards_.*)?")
    return {
        job["JobId"]: job | {"rule": rule.fullmatch(job["Comment"])[1]} for job in jobs if job.get("WorkDir") == str(root)
    }  # fmt: skip


def the_job(root: Path) -> dict[str, str]:
    (job,) = jobs_of(root).values()
    return job


def wait_for(what: Callable[[], object], seconds: float = 240) -> None:
    """Until it is so; what never comes to pass fails the test instead of stopping it."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def is_training(root: Path) -> bool:
    return "/1500 [" in text_of(root / "logs/generator/demo/cbdm.log")


def set_key(root: Path, path: str, value) -> None:
    """Give one key of the copy's config another value."""
    file = root / "workflow_config.yaml"
    entry = whole = yaml.safe_load(file.read_text())
    *parents, key = path.split("/")
    for parent in parents:
        entry = entry[parent]
    entry[key] = value
    file.write_text(yaml.safe_dump(whole, sort_keys=False))


@pytest.fixture
def to_train(copy) -> Path:
    """A finished run but for its generator, which takes long enough for something to happen to it."""
    set_key(copy, "generators/cbdm/steps", 1500)
    (copy / GENERATOR).unlink()
    return copy


@pytest.fixture(scope="module")
def trained(finished, tmp_path_factory) -> dict[str, bytes]:
    """What `to_train` makes where nothing happens."""
    root = shutil.copytree(finished, tmp_path_factory.mktemp("trained") / "copy", symlinks=True)
    set_key(root, "generators/cbdm/steps", 1500)
    (command,) = planned(root, "--forcerun", "generator", "--", GENERATOR).values()
    ran = stage(root, "generator", *command)
    assert ran.returncode == 0, ran.stdout
    return generator_of(root)


def generator_of(root: Path) -> dict[str, bytes]:
    made = bytes_under((root / GENERATOR).parent)
    return {name: data for name, data in made.items() if not name.startswith("checkpoints")}


# Runs to which nothing happens


@pytest.mark.parametrize("targets", [("recipe_diffult",), *repetitions((EVERYTHING,))], ids=lambda targets: targets[0])
def test_the_micro_run_has_the_bytes_of_a_local_one(copy, tmp_path, targets):
    root = make_copy(tmp_path / "run")
    ran = on_slurm(root, *targets)
    assert ran.returncode == 0, ran.stdout
    local = snakemake(copy, *targets)
    assert local.returncode == 0, local.stdout
    made, expected = bytes_under(root / "results"), bytes_under(copy / "results")
    assert made == {name: expected[name] for name in made}
    jobs = jobs_of(root)
    assert len(jobs) == len(planned(copy, "--forceall", "--", *targets))
    for job in jobs.values():
        light = job["rule"] not in ON_GPUS
        assert job["JobState"] == "COMPLETED", "squeue, and not an accounting data base, was asked for it"
        assert job["Partition"] == "gpu", "the cluster's default"
        assert job["Account"] == "(null)"
        assert job.get("TresPerJob") == (None if light else "gres:gpu:1"), job["rule"]
        assert job["MinMemoryNode"] == ("8000M" if light else "16000M"), job["rule"]
        training = job["rule"] in ("generator", "classifier")
        assert job["TimeLimit"] == ("1-00:00:00" if training else "02:00:00" if light else "04:00:00"), job["rule"]


@pytest.mark.nightly
def test_the_demo_runs_from_a_fresh_clone(tmp_path):
    root = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, root], check=True)
    ran = on_slurm(root, "all_demo")
    assert ran.returncode == 0, ran.stdout
    assert "demo_diffult" in (root / "results/demo/summary.md").read_text()


def test_jobs_that_run_at_once_have_gpus_of_their_own(copy):
    set_key(copy, "pools/cbdm/shards", 4)
    (copy / "sitecustomize.py").write_text(MEETING)
    ran = on_slurm(copy, *(f"results/demo/sample/cbdm/shard-0000{shard}.tar" for shard in range(4)))
    assert ran.returncode == 0, ran.stdout
    seen = [tuple(json.loads(path.read_text())) for path in (copy / "seen").iterdir()]
    assert sorted(seen) == [("node1", "0"), ("node1", "1"), ("node2", "0"), ("node2", "1")]


SHARD, WEIGHTS = "results/demo/sample/cbdm/shard-00001.tar", "results/demo/classifier/ce/seed-1/weights.safetensors"


@pytest.mark.parametrize(
    ("wanted", "told", "gpus"),
    [
        (SHARD, ("sample:gpu_model=pretend",), "TresPerJob"),
        (SHARD, ("sample:gpu=0", "sample:gres=gpu:pretend:1"), "TresPerNode"),
        (WEIGHTS, ("classifier:gpu=0", "classifier:gres=gpu:pretend:1"), "TresPerNode"),
    ],
    ids=["type", "gres", "gres of a classifier"],
)
@pytest.mark.nightly
def test_what_jobs_ask_for_can_be_told_on_the_command_line(finished, copy, wanted, told, gpus):
    stage = told[0].partition(":")[0]
    (copy / wanted).unlink()
    (copy / "sitecustomize.py").write_text(MEETING.replace("< 4", "< 1").replace("stages.sample", f"stages.{stage}"))
    told = ("--set-resources", f"{stage}:runtime=10", f"{stage}:mem_mb=3000", *told)
    ran = on_slurm(copy, *told, "--default-resources", "slurm_partition=short", "--", wanted)
    assert ran.returncode == 0, ran.stdout
    job = the_job(copy)
    assert (job["Partition"], job["TimeLimit"], job["MinMemoryNode"]) == ("short", "00:10:00", "3000M")
    assert job[gpus] == "gres:gpu:pretend:1"
    (seen,) = (copy / "seen").iterdir()
    assert json.loads(seen.read_text())[1] in ("0", "1"), "one GPU"
    assert bytes_under(copy / "results") == bytes_under(finished / "results")


@pytest.mark.nightly
def test_several_gpus_are_those_of_one_node(copy):
    (copy / WEIGHTS).unlink()
    for node in ("node1", "node2"):  # one GPU is left on each
        subprocess.run(
            ["sbatch", "--gpus=1", "--mem=10", f"--nodelist={node}", "--output=/dev/null", "--wrap=sleep 600"],
            cwd="/", check=True,
        )  # fmt: skip
    try:
        told = ("classifier:gpu=2", "classifier:runtime=10")
        with begun(copy, "--set-resources", *told, "--", WEIGHTS) as run:
            wait_for(lambda: jobs_of(copy) and the_job(copy)["Reason"] == "Resources")
            subprocess.run(["scancel", "--user=root", "--nodelist=node2"], check=True)
            assert run.wait() == 0, text_of(copy / "told")
        assert the_job(copy)["NumNodes"] == "1"
    finally:
        subprocess.run(["scancel", "--user=root", "--state=RUNNING"], check=True)


# Jobs that end too early


def test_a_job_at_its_time_limit_saves_and_its_retry_continues(to_train, trained):
    with begun(to_train, GENERATOR) as run:
        wait_for(lambda: is_training(to_train))
        set_key(to_train, "generators/cbdm/steps", 40)  # the retry goes on as planned
        # the limit, which is in whole minutes, is now
        subprocess.run(["scontrol", "update", f"JobId={the_job(to_train)['JobId']}", "EndTime=now"], check=True)
        assert run.wait() == 0, text_of(to_train / "told")
    first, second = jobs_of(to_train).values()
    assert (first["JobState"], second["JobState"]) == ("TIMEOUT", "COMPLETED")
    assert second["TimeLimit"] == "1-00:00:00", "run time does not grow"
    assert second["MinMemoryNode"] == "32000M", "memory does"
    assert "stopped as asked; the next run continues from" in text_of(to_train / "told"), "of the first job's log"
    assert "continuing at step" in text_of(to_train / "logs/generator/demo/cbdm.log")
    assert generator_of(to_train) == trained
    set_key(to_train, "generators/cbdm/steps", 1500)
    assert planned(to_train, GENERATOR) == {}


# Edits while jobs wait


@contextlib.contextmanager
def waiting(root: Path, *targets: str, options: tuple[str, ...] = ()) -> Iterator[subprocess.Popen]:
    """A run whose jobs wait in Slurm's queue until the context ends; then they run, and it is waited for."""
    nodes = ("scontrol", "update", "NodeName=node[1-2]")
    subprocess.run([*nodes, "State=DRAIN", "Reason=test"], check=True)
    try:
        with begun(root, *options, "--", *targets) as run:
            wait_for(lambda: len(jobs_of(root)) == len(targets))
            yield run
            subprocess.run([*nodes, "State=RESUME"], check=True)
            run.wait(timeout=400)
    finally:
        subprocess.run([*nodes, "State=RESUME"], check=False)


def test_an_edit_of_the_config_is_not_seen_by_jobs_that_wait(finished, copy):
    """Neither by a first one nor by a second stage, whose node would find that its first stage is out of date."""
    second = "results/demo/classifier/two_stage/seed-0/weights.safetensors"
    for path in (WEIGHTS, second):
        (copy / path).unlink()
    with waiting(copy, WEIGHTS, second) as run:
        set_key(copy, "classifiers/ce/epochs", 3)
    assert run.returncode == 0, text_of(copy / "told")
    assert bytes_under(copy / "results") == bytes_under(finished / "results")
    assert planned(copy, WEIGHTS, second)
    set_key(copy, "classifiers/ce/epochs", 2)
    assert planned(copy, WEIGHTS, second) == {}
    assert not list(copy.glob(".snakemake/counterweight/*")), "what the run kept for its jobs"


@pytest.mark.parametrize(
    "edited", ["pipeline/classifiers/losses/cross_entropy.py", *repetitions(("rules/classifier.smk",))]
)
def test_an_edit_of_the_code_is_refused_by_jobs_that_wait(finished, copy, edited):
    (copy / WEIGHTS).unlink()
    before = (copy / edited).read_text()
    with waiting(copy, WEIGHTS, options=("--retries", "0")) as run:
        (copy / edited).write_text(before + "\nEDITED = True\n")
    assert run.returncode != 0
    told = text_of(copy / "told")
    # a job that refuses rules has no stage that could say so, but Snakemake names its log
    named = [path for path in copy.glob(".snakemake/slurm_logs/*/*/*.log") if str(path) in told]
    assert all("edited after this run was planned" in told + path.read_text() for path in named) and named
    assert not (copy / WEIGHTS).exists()
    (copy / edited).write_text(before)
    again = on_slurm(copy, WEIGHTS)
    assert again.returncode == 0, again.stdout
    assert bytes_under(copy / "results") == bytes_under(finished / "results")


@pytest.mark.nightly
def test_a_job_over_its_memory_is_killed_and_its_retry_has_more(finished, copy):
    (copy / "results/demo/features/ce/seed-0/features.safetensors").unlink()
    told = ("features:runtime=10", "features:mem_mb=400 * attempt ** 3")
    ran = on_slurm(copy, "--set-resources", *told, "--", "results/demo/features/ce/seed-0/features.safetensors")
    assert ran.returncode == 0, ran.stdout
    jobs = list(jobs_of(copy).values())
    assert [job["MinMemoryNode"] for job in jobs] == ["400M", "3200M"]
    assert jobs[0]["JobState"] in ("OUT_OF_MEMORY", "FAILED"), "whichever of what was killed Slurm hears of first"
    assert jobs[1]["JobState"] == "COMPLETED"
    (log,) = copy.glob(f".snakemake/slurm_logs/rule_features/*/{next(iter(jobs_of(copy)))}.log")
    assert "exceeded memory limit" in log.read_text()
    assert bytes_under(copy / "results") == bytes_under(finished / "results")


@pytest.mark.nightly
def test_a_lost_job_does_not_touch_what_its_retry_makes(to_train, trained):
    set_key(to_train, "checkpoint_minutes", 0.02)
    with begun(to_train, GENERATOR) as run:
        wait_for(lambda: is_training(to_train))
        node = the_job(to_train)["NodeList"]
        subprocess.run([CLUSTER, "kill", node], check=True)
        lost = [each for each in psutil.process_iter() if is_of(each, to_train)]
        trainer = next(each for each in lost if "pipeline.stages.generator" in each.cmdline())
        trainer.send_signal(signal.SIGSTOP)  # a node that hangs, and comes back when all is over
        assert run.wait() == 0, text_of(to_train / "told")
    assert the_job(to_train)["NodeList"] != node
    assert generator_of(to_train) == trained
    trainer.send_signal(signal.SIGCONT)
    psutil.wait_procs([trainer], timeout=120)
    assert not is_alive(trainer)  # the Snakemake above it may wait for ever to be read by the step daemon that is dead
    assert generator_of(to_train) == trained
    assert planned(to_train, GENERATOR) == {}
    subprocess.run([CLUSTER, "revive", node], check=True)


def is_of(process: psutil.Process, root: Path) -> bool:
    """Whether it is a process of a job that was sent from `root`."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
        return process.environ().get("SLURM_SUBMIT_DIR") == str(root)
    return False


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.nightly
def test_bad_input_fails_the_retries_at_once_and_the_user_is_told_where_to_look(finished, copy):
    shard, scores = "results/demo/sample/cbdm/shard-00000.tar", "results/demo/score/by_ce/shard-00000.parquet"
    damaged = bytearray((copy / shard).read_bytes())
    picture = pd.read_parquet((copy / shard).with_suffix(".parquet")).iloc[0]
    damaged[picture["offset"] + picture["size"] // 2] ^= 1
    (copy / shard).write_bytes(damaged)
    (copy / scores).unlink()
    ran = on_slurm(copy, scores)
    assert ran.returncode != 0
    assert [job["JobState"] for job in jobs_of(copy).values()] == ["FAILED"] * 3
    assert "logs/score/demo/by_ce/00000.log" in ran.stdout
    for number in jobs_of(copy):
        assert f".snakemake/slurm_logs/rule_score/demo_by_ce_00000/{number}.log" in ran.stdout
    assert "shard-00000.tar is damaged" in ran.stdout
    log = text_of(copy / "logs/score/demo/by_ce/00000.log")
    assert "from the previous attempt; retrying cannot help" in log
    damaged[picture["offset"] + picture["size"] // 2] ^= 1
    (copy / shard).write_bytes(damaged)
    again = on_slurm(copy, scores)
    assert again.returncode == 0, again.stdout
    assert bytes_under(copy / "results") == bytes_under(finished / "results")


# A run that is stopped, or cannot ask Slurm


@pytest.mark.nightly
def test_ctrl_c_cancels_the_jobs(to_train, trained):
    with begun(to_train, GENERATOR) as run:
        wait_for(lambda: is_training(to_train))
        run.send_signal(signal.SIGINT)
        assert run.wait() != 0
        wait_for(lambda: the_job(to_train)["JobState"] == "CANCELLED")
    again = on_slurm(to_train, GENERATOR)
    assert again.returncode == 0, again.stdout
    assert "continuing at step" in text_of(to_train / "logs/generator/demo/cbdm.log")
    assert generator_of(to_train) == trained


@pytest.mark.nightly
def test_a_controller_that_is_away_for_a_while_loses_no_job(to_train, trained):
    with begun(to_train, GENERATOR) as run:
        wait_for(lambda: is_training(to_train))
        subprocess.run([CLUSTER, "kill", "slurmctld"], check=True)
        wait_for(lambda: "Falling back to 'sacct'" in text_of(to_train / "told"))
        time.sleep(5)  # the plugin asks five times
        subprocess.run([CLUSTER, "revive", "slurmctld"], check=True)
        assert run.wait(timeout=300) == 0, text_of(to_train / "told")
    assert len(jobs_of(to_train)) == 1, "none was sent twice"
    assert generator_of(to_train) == trained


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        (("--default-resources", "slurm_partition=gpuu"), "the cluster has no partition 'gpuu'; it has: gpu, short"),
        (("--set-resources", "sample:gpu_model=a100"), "sample: no node in the partition gpu has GPUs of the type 'a100'"),
        (("--set-resources", "sample:mem_mb=40000 * attempt"), "sample: 120000 MB of memory (in the last attempt)"),
    ],
    ids=["partition", "type", "memory"],
)  # fmt: skip
def test_what_the_cluster_has_not_is_told_before_any_job(tmp_path, told, complaint):
    root = make_copy(tmp_path / "run")
    ran = on_slurm(root, *told, "--", "all_demo")
    assert ran.returncode != 0
    assert "Traceback" not in ran.stdout
    assert sum(complaint in line for line in ran.stdout.splitlines()) == 1, ran.stdout
    assert jobs_of(root) == {}
    assert not (root / "results").exists()


@pytest.mark.nightly
def test_jobs_that_slurm_has_forgotten_are_sent_again(to_train, trained):
    """As after MinJobAge, where nobody could ask meanwhile: here the controller comes back without its memory."""
    set_key(to_train, "checkpoint_minutes", 0.02)
    with begun(to_train, GENERATOR) as run:
        wait_for(lambda: is_training(to_train))
        time.sleep(15)  # the plugin has asked for it at least once
        subprocess.run([CLUSTER, "kill", "slurmctld"], check=True)
        shutil.rmtree("/var/tmp/counterweight-test/ctld")
        Path("/var/tmp/counterweight-test/ctld").mkdir()
        subprocess.run([CLUSTER, "revive", "slurmctld"], check=True)
        assert run.wait(timeout=400) == 0, text_of(to_train / "told")
    assert "continuing at step" in text_of(to_train / "logs/generator/demo/cbdm.log")
    assert generator_of(to_train) == trained


def test_a_slurm_of_others_is_left_alone():
    config = Path("/etc/slurm/slurm.conf")
    ours = config.read_text()
    try:
        config.write_text("ClusterName=another\n")
        ran = subprocess.run([CLUSTER, "start"], text=True, capture_output=True, check=False)
        assert ran.returncode != 0
        assert f"{config} is of another Slurm" in ran.stderr
        assert config.read_text() == "ClusterName=another\n"
    finally:
        config.write_text(ours)
