"""Damage is named, and what can be remade gets its bytes and its time stamp back, so that nothing else runs again."""

import os
import random
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
from workflow_helpers import EVERYTHING, bytes_under, environment, planned, repetitions, snakemake, stage

from pipeline.artifacts import digests, shards
from pipeline.artifacts.damage import Found
from pipeline.artifacts.damage import examine as examine_alone
from pipeline.artifacts.made import about
from pipeline.config.artifacts import OUTPUTS, SEALED, implied_by, made_by

pytestmark = pytest.mark.slow

REPORTS = r"(summary|tables/\w+)\.md$|(results|classes|groups|tables/\w+)\.csv$"
"""For people, and read by no stage: they are only parsed."""
SNAKEMAKE = f"{sys.executable} -m snakemake --profile local"
REPAIR = f"{SNAKEMAKE} --allowed-rules {{stage}} --"
SAMPLE = "results/demo/sample/cbdm/shard-00001"
REAL = "results/demo/subset/real/shard-00000"
SCORE = "results/demo/score/by_ce/shard-00000.parquet"


@pytest.fixture(scope="module")
def results(finished, tmp_path_factory) -> Path:
    """The finished run's results, in which each test mends what it has damaged."""
    return shutil.copytree(finished / "results", tmp_path_factory.mktemp("verify") / "results")


def examine(results: Path) -> Found:
    """As the stage does."""
    named = results.parent
    return examine_alone(results, lambda path: [named / other for other in implied_by(str(path.relative_to(named)))])


def artifacts(results: Path) -> list[Path]:
    return sorted(path for path in results.rglob("*") if path.is_file())


def damaged_by(results: Path, damage: Callable[[bytes], bytes]) -> Iterator[tuple[Path, set[Path]]]:
    """Each file, and what is said to be damaged while that one is."""
    for path in artifacts(results):
        whole = path.read_bytes()
        path.write_bytes(damage(whole))
        yield path, set(examine(results).damage)
        path.write_bytes(whole)


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


# What is named


def test_an_undamaged_run_is_whole(results):
    found = examine(results)
    assert found.damage == {}
    assert found.files == len(artifacts(results))
    assert found.bytes == sum(path.stat().st_size for path in artifacts(results))
    indices = [path.with_suffix(".parquet") for path in results.rglob("*.tar")]
    assert found.pictures == sum(len(pd.read_parquet(path)) for path in indices) > 1000


@pytest.mark.parametrize("seed", [0, *repetitions((1,), (2,))])
def test_a_flipped_bit_is_named_in_whatever_a_stage_reads(results, seed):
    draw = random.Random(seed)
    for path, named in damaged_by(results, lambda data: flip(data, draw.randrange(len(data)))):
        assert named == {path} or (not named and re.search(REPORTS, str(path))), path


def test_any_byte_of_a_table_counts(results):
    path = results / "demo/plan/cbdm/plan.parquet"
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(flip(whole, at))
        assert not digests.is_whole(path), at
    path.write_bytes(whole)
    assert digests.is_whole(path)


def test_a_file_that_is_cut_short_is_named(results):
    for path, named in damaged_by(results, lambda data: data[: len(data) // 2]):
        assert named == {path} or (not named and re.search(REPORTS, str(path))), path


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: bytes(len(data))], ids=["empty", "zeros"])
def test_an_empty_file_and_one_of_zeros_are_named(results, damage):
    for path, named in damaged_by(results, damage):
        assert named == {path}, path


def test_a_removed_file_is_named(results, tmp_path):
    unknown = set()
    for path in artifacts(results):
        path.rename(tmp_path / "away")
        named = set(examine(results).damage)
        if path == results / "demo/generator/cbdm/history.parquet":  # what it spoke of is left
            assert named and all(other.suffix == ".safetensors" and path.parent in other.parents for other in named)
        elif named != {path}:
            assert not named, path
            unknown.add(str(path.relative_to(results)))
        (tmp_path / "away").rename(path)
    # these are all that their jobs make, and no artifact tells which part was made from them
    assert {re.sub(r"seed-.|shard-.*\.|~.*?/", "", name) for name in unknown} == {
        "demo/features/ce//features.safetensors",
        "demo/grid/cbdm.png",
        "demo/quality/by_ce/quality.json",
        "demo/score/by_ce/parquet",
    }


def test_all_that_belongs_to_a_removed_folder_is_named_and_remade(copy):
    before = state(copy)
    shutil.rmtree(copy / "results/demo/subset")
    told = verify(copy)
    assert told.returncode == 1
    for name in ("pictures", "manifest", "duplicates", "rejected", "real/shard-00000"):
        assert f"damaged: results/demo/subset/{name}.parquet: missing, " in told.stdout
    ran = verify(copy, "--repair", REPAIR)
    assert ran.returncode == 0, ran.stdout
    assert {path: data for path, (data, _) in state(copy).items()} == {path: data for path, (data, _) in before.items()}
    assert "unless you know that nothing changed and say make accept TARGETS=" in ran.stdout
    assert planned(copy, *EVERYTHING) != {}
    accepted = snakemake(copy, "--touch", "--", *EVERYTHING)  # as make accept
    assert accepted.returncode == 0, accepted.stdout
    assert planned(copy, *EVERYTHING) == {} and verify(copy).returncode == 0


@pytest.mark.parametrize(
    "name",
    ["sample/cbdm/shard-{}.tar", *repetitions(("sample/cbdm/shard-{}.parquet",), ("score/by_ce/shard-{}.parquet",))],
)
def test_two_files_in_each_others_place_are_named(results, name):
    one, other = (results / "demo" / name.format(number) for number in ("00000", "00001"))
    for expected in ({one, other}, set()):
        one.rename(results / "between")
        other.rename(one)
        (results / "between").rename(other)
        assert set(examine(results).damage) == expected


def test_damaged_pictures_are_counted_and_the_first_is_named(results):
    tar = results / "demo/sample/cbdm/shard-00000.tar"
    whole, index = tar.read_bytes(), shards.read_table(tar.with_suffix(".parquet"))
    damaged = whole
    for row in (index.iloc[3], index.iloc[7]):
        damaged = flip(damaged, row["offset"] + row["size"] // 2)
    tar.write_bytes(damaged)
    assert examine(results).damage == {tar: f"2 of {len(index)} pictures are damaged, first {index['key'][3]}"}
    tar.write_bytes(flip(whole, 100))
    assert examine(results).damage == {
        tar: "its pictures are whole, but other bytes differ from those that were written"
    }
    tar.write_bytes(whole)


def test_leftovers_of_unfinished_jobs_are_no_damage(results):
    left = [
        results / name
        for name in ("demo/plan/cbdm/.plan.parquet.part.parquet", "demo/generator/cbdm/checkpoints/ab/last.pt")
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    assert examine(results).damage == {}
    for path in left:
        path.unlink()


def test_the_target_reads_all_whenever_it_is_asked_for(copy):
    for _ in range(2):
        ran = snakemake(copy, "verify")
        assert ran.returncode == 0, ran.stdout
        assert re.search(r"\d+ files, \d+ pictures, .* GB read; 0 damaged", ran.stdout)
    flipped(f"{SAMPLE}.tar")(copy)
    ran = snakemake(copy, "verify")
    assert ran.returncode != 0
    assert f"damaged: {SAMPLE}.tar: " in ran.stdout and "1 damaged" in ran.stdout
    assert (copy / "logs/verify.log").read_text().count("damaged: ") == 1
    assert planned(copy, *EVERYTHING) == {}


# What is mended


def state(root: Path) -> dict[Path, tuple[bytes, int]]:
    """Bytes and time stamp of every artifact."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in artifacts(root / "results")}


def verify(root: Path, *arguments: str):
    return stage(root, "verify", "--results", "results", *arguments)


def flipped(*names: str) -> Callable[[Path], None]:
    """A flipped bit in each of the files, which keep their time stamps, as on a disk that loses bits."""

    def damage(root: Path) -> None:
        for path in (root / name for name in names):
            data, time = path.read_bytes(), path.stat().st_mtime_ns
            path.write_bytes(flip(data, len(data) // 3))
            os.utime(path, ns=(time, time))

    return damage


def cut(name: str) -> Callable[[Path], None]:
    """The second half of a file lost; it keeps its time stamp."""

    def damage(root: Path) -> None:
        time = (root / name).stat().st_mtime_ns
        os.truncate(root / name, (root / name).stat().st_size // 2)
        os.utime(root / name, ns=(time, time))

    return damage


def removed(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink()


DAMAGE = {
    "tar and index": flipped(f"{SAMPLE}.tar", f"{SAMPLE}.parquet"),
    "a tar cut short": cut(f"{SAMPLE}.tar"),
    "an index cut short": cut(f"{SAMPLE}.parquet"),
    "shards of all stages": flipped(f"{REAL}.tar", f"{SAMPLE}.tar", f"{SAMPLE.replace('1', '0')}.json", SCORE),
    "what all else is made of": flipped("results/demo/subset/manifest.parquet", "results/demo/plan/cbdm/plan.parquet"),
    "features and figures": flipped(
        "results/demo/features/ce/seed-0/features.safetensors",
        "results/demo/evaluate/ce/seed-1/metrics.json",
        "results/demo/quality/by_ce/quality.json",
        "results/demo/select/likely/selected.parquet",
    ),
}


@pytest.mark.parametrize(
    "damage", ["shards of all stages", *repetitions(*((name,) for name in DAMAGE if name != "shards of all stages"))]
)
def test_a_repair_restores_bytes_and_time_stamps_and_nothing_else_runs(copy, damage):
    before = state(copy)
    DAMAGE[damage](copy)
    ran = verify(copy, "--repair", REPAIR)
    assert ran.returncode == 0, ran.stdout
    assert "remade, byte for byte as before" in ran.stdout
    assert state(copy) == before
    assert not list((copy / "results").rglob(".*damaged"))
    assert planned(copy, *EVERYTHING) == {}
    assert verify(copy).returncode == 0


@pytest.mark.parametrize(
    "damage",
    [removed(f"{REAL}.parquet"), lambda root: (root / f"{SAMPLE}.tar").write_bytes(b"other")],
    ids=["a lost index", "an overwritten tar"],
)
def test_a_file_whose_time_stamp_is_lost_gets_one_of_its_job(copy, damage):
    before = state(copy)
    past = time.time_ns() - 3600 * 10**9
    earlier = past - max(stamp for _, stamp in before.values())
    for path, (_, stamp) in before.items():
        os.utime(path, ns=(stamp + earlier, stamp + earlier))
    damage(copy)
    ran = verify(copy, "--repair", REPAIR)
    assert ran.returncode == 0, ran.stdout
    assert bytes_under(copy / "results") == {
        str(path.relative_to(copy / "results")): data for path, (data, _) in before.items()
    }
    assert all(stamp <= past for _, stamp in state(copy).values())
    reports = OUTPUTS.keys() - SEALED.keys()  # say nothing of their making, and Snakemake's records have other times
    assert {job.split()[0] for job in planned(copy, *EVERYTHING)} <= reports


def test_a_repair_trains_nothing_though_settings_were_edited_meanwhile(copy):
    set_config(copy, "generators", "cbdm", "steps", 7)
    before = state(copy)
    flipped(f"{SAMPLE}.tar")(copy)
    ran = verify(copy, "--repair", REPAIR)
    assert ran.returncode == 0, ran.stdout
    assert state(copy) == before


def test_what_is_remade_otherwise_is_told_and_keeps_its_new_time_stamp(copy):
    set_config(copy, "pools", "cbdm", "draw", {"kind": "ddim", "steps": 5, "clip_denoised": True})
    before = state(copy)
    flipped(f"{SAMPLE}.tar")(copy)
    ran = verify(copy, "--repair", REPAIR)
    assert ran.returncode == 0, ran.stdout
    assert f"{SAMPLE}.*: remade, but its bytes differ" in ran.stdout
    changed = {path.name for path, (_, time) in state(copy).items() if time != before[path][1]}
    assert changed == {f"shard-00001.{suffix}" for suffix in ("tar", "parquet", "json")}
    assert verify(copy).returncode == 0


@pytest.mark.parametrize("name", [SCORE, *repetitions(("results/demo/evaluate/ce/seed-0/predictions.parquet",))])
def test_tables_of_which_nothing_is_left_to_compare_get_a_new_time_stamp(copy, name):
    before = state(copy)
    cut(name)(copy)
    ran = verify(copy, "--repair", REPAIR)
    assert ran.returncode == 0, ran.stdout
    assert "nothing is left to compare it with" in ran.stdout
    assert {path for path, (_, time) in state(copy).items() if time != before[path][1]} >= {copy / name}


def test_where_nothing_can_be_remade_all_stays_as_it_was(copy):
    flipped(f"{SAMPLE}.tar", SCORE)(copy)
    before = state(copy)
    ran = verify(copy, "--repair", "false")
    assert ran.returncode == 1
    assert (
        f"{SAMPLE}.*: not remade" in ran.stdout
        and ran.stdout.splitlines()[-1] == "error: some files are still damaged or missing"
    )
    assert state(copy) == before


def test_what_can_be_remade_is_and_the_rest_is_put_back(copy):
    other = SAMPLE.replace("1", "0")
    before = state(copy)
    flipped(f"{SAMPLE}.tar", f"{other}.tar")(copy)
    damaged = state(copy)
    one_of_two = f"bash -c '{SNAKEMAKE} --allowed-rules sample -- {SAMPLE}.tar; false'"
    ran = verify(copy, "--repair", one_of_two)
    assert ran.returncode == 1
    assert f"{SAMPLE}.*: remade, byte for byte" in ran.stdout and f"{other}.*: not remade" in ran.stdout
    assert state(copy) == before | {copy / f"{other}.tar": damaged[copy / f"{other}.tar"]}


def test_trained_weights_are_named_and_trained_again_only_if_the_user_says_so(copy, finished):
    weights = "results/demo/generator/cbdm/unet/diffusion_pytorch_model.safetensors"
    flipped(weights, f"{SAMPLE}.tar")(copy)
    before = state(copy)
    ran = verify(copy, "--repair", REPAIR)
    assert ran.returncode == 1 and "Traceback" not in ran.stdout
    assert f"damaged: {weights}" in ran.stdout
    assert re.search(f"error: {weights} .*days of training", ran.stdout)
    assert state(copy) == before
    (command,) = re.findall(r"train it again: snakemake --profile local (.*)", ran.stdout)
    trained = snakemake(copy, *command.split())
    assert trained.returncode == 0, trained.stdout
    assert state(copy).keys() == before.keys() and bytes_under(copy / "results/demo/generator") == bytes_under(
        finished / "results/demo/generator"
    )


def test_what_no_recipe_makes_is_listed(copy):
    config = copy / "workflow_config.yaml"
    raw = yaml.safe_load(config.read_text())
    del raw["recipes"]["diffult_filters"]
    config.write_text(yaml.safe_dump(raw))
    ran = snakemake(copy, "verify")
    assert ran.returncode == 0, ran.stdout
    found = re.findall("left over: (.*): no recipe", ran.stdout)
    assert set(found) == {
        f"results/demo/{place}"
        for place in (
            "select/likely~keep=all", "classifier/diffult~filter.keep=all", "evaluate/diffult~filter.keep=all",
        )
    }  # fmt: skip


def test_what_was_made_otherwise_is_listed(copy):
    config, score = copy / "workflow_config.yaml", copy / "pipeline/scores/d3.py"
    config.write_text(config.read_text().replace("generated_weight: 0.3", "generated_weight: 0.4"))
    score.write_text(score.read_text() + "\n\nEDITED = 1\n")
    ran = snakemake(copy, "verify")
    assert ran.returncode == 0, ran.stdout
    found = dict(re.findall("outdated: (.*): made with (.*) than now", ran.stdout))
    assert found["results/demo/score/by_ce"] == "other code"
    assert found["results/demo/classifier/diffult/seed-0"] == "other settings"
    assert not {place for place in found if re.search("subset|generator|sample|/ce/", place)}
    assert not list((copy / ".snakemake/counterweight").glob("*"))


def test_a_killed_repair_is_taken_up_again(copy):
    before = state(copy)
    flipped(f"{SAMPLE}.tar")(copy)
    killed = verify(copy, "--repair", "bash -c 'kill -9 $PPID'")
    assert killed.returncode == -9
    assert not (copy / f"{SAMPLE}.tar").exists()
    told = verify(copy)
    assert told.returncode == 1 and f"damaged: {SAMPLE}.tar: its repair was interrupted" in told.stdout
    ran = verify(copy, "--repair", REPAIR)
    assert ran.returncode == 0, ran.stdout
    assert state(copy) == before


@pytest.mark.parametrize("number", [signal.SIGINT, *repetitions((signal.SIGTERM,))])
def test_it_can_be_stopped_while_it_reads(copy, number):
    """Also in a rule's shell, which ignores both signals."""
    with open(copy / f"{SAMPLE}.tar", "r+b") as file:
        file.truncate(2**38)  # which takes minutes to read, and no place
    command = f"trap '' INT TERM; exec {sys.executable} -m pipeline.stages.verify --results results"
    reading = subprocess.Popen(["bash", "-c", command], cwd=copy, env=environment(copy))
    process = psutil.Process(reading.pid)
    while not any(file.path.endswith(f"{SAMPLE}.tar") for file in process.open_files()):
        assert reading.poll() is None
    reading.send_signal(number)
    assert reading.wait(timeout=30) == -number


def set_config(root: Path, section: str, name: str, key: str, value) -> None:
    file = root / "workflow_config.yaml"
    whole = yaml.safe_load(file.read_text())
    whole[section][name][key] = value
    file.write_text(yaml.safe_dump(whole))


def test_a_repair_knows_which_stage_makes_a_file(finished):
    told = snakemake(finished, "--summary", "--", *EVERYTHING)
    rows = [line.split("\t") for line in told.stdout.splitlines() if line.startswith("results/")]
    makers = {path: rule for path, _, rule, *_ in rows}
    generator = finished / "results/demo/generator/cbdm"  # a generator's table speaks for its other files
    trained = {generator / name for name in about(generator / "history.parquet")["beside"]}
    assert len(trained) == 3
    found = set(artifacts(finished / "results")) - trained
    assert set(makers) == {str(path.relative_to(finished)) for path in found}
    for path, rule in makers.items():
        stage, outputs = made_by(path)
        assert path in outputs
        assert {makers[other] for other in outputs} == {rule} == {stage}
    assert not any(made_by(str(path.relative_to(finished))) for path in trained)


def test_results_are_the_same_bytes_when_they_are_written_again(copy):
    """Seals and digests hold nothing of when or where."""
    before = bytes_under(copy / "results/demo/select")
    shutil.rmtree(copy / "results/demo/select")
    ran = snakemake(
        copy, "results/demo/select/likely/selected.parquet", "results/demo/select/likely~keep=all/selected.parquet"
    )
    assert ran.returncode == 0, ran.stdout
    assert bytes_under(copy / "results/demo/select") == before
