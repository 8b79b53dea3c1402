"""What jobs ask of a cluster, against what `sinfo` says of it; and the cluster's profile."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from workflow_helpers import REPOSITORY

from pipeline.errors import InputError
from pipeline.jobs.cluster import Nodes, Request, complaints, find_nodes, gpus_of, nodes_of

OURS = """\
gpu*|2-00:00:00|8|100000|gpu:pretend:2
short|30:00|8|100000|gpu:pretend:2
empty|1:00:00|0|0|(null)
"""
LARGE = """\
cpu|infinite|128|257000|(null)
gpu|1-00:00:00|64|515000|gpu:a100:4(S:0-1)
gpu|1-00:00:00|32|190000|gpu:V100:8,mps:200
long|7-00:00:00|64|515000|gpu:2
"""
SMALL = Request("sample", None, cpus=2, memory_mb=16000, minutes=240, gpus=1, gpu_type="")


def test_nodes_are_read_as_sinfo_tells_of_them():
    assert nodes_of(OURS) == [
        Nodes("gpu", True, 2880, 8, 100_000, {"pretend": 2}),
        Nodes("short", False, 30, 8, 100_000, {"pretend": 2}),
        Nodes("empty", False, 60, 0, 0, {}),
    ]
    assert [nodes.minutes for nodes in nodes_of(LARGE)] == [float("inf"), 1440, 1440, 10080]
    assert [nodes.gpus for nodes in nodes_of(LARGE)] == [{}, {"a100": 4}, {"v100": 8}, {"": 2}]


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exec sleep 60", "sinfo gave no answer within 0.5 s; try again when Slurm's controller answers"),
        ("echo 'no controller' >&2; exit 1", "sinfo --noheader --exact --format %P|%l|%c|%m|%G: no controller"),
    ],
)
def test_a_controller_that_does_not_answer_is_reported(script, told, tmp_path, monkeypatch):
    (tmp_path / "sinfo").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "sinfo").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(InputError) as raised:
        find_nodes(patience=0.5)
    assert str(raised.value) == told


@pytest.mark.parametrize(
    ("gres", "expected"),
    {
        "(null)": {},
        "": {},
        "gpu": {"": 1},
        "gpu:2": {"": 2},
        "gpu:a100": {"a100": 1},
        "gpu:a100:4(S:0-1)": {"a100": 4},
        "gpu:a100_1g.5gb:7(S:0),gpu:a100:3(S:1)": {"a100_1g.5gb": 7, "a100": 3},
        "mps:200,gpu:H100:8(S:0,2),nvme:1T": {"h100": 8},
        "vgpu:2": {},
    }.items(),
)
def test_gpus_are_found_among_generic_resources(gres, expected):
    assert gpus_of(gres) == expected


@pytest.mark.parametrize(
    ("text", "changes", "told"),
    [
        (OURS, {}, None),
        (OURS, {"partition": "gpu,short"}, None),
        (OURS, {"partition": "gpuu"}, "the cluster has no partition 'gpuu'; it has: empty, gpu, short"),
        (OURS, {"partition": "gpu,gpuu"}, "the cluster has no partition 'gpuu'; it has: empty, gpu, short"),
        (LARGE, {}, "no partition is named, and the cluster has no default; it has: cpu, gpu, long"),
        (OURS, {"partition": "short"}, "240 minutes are requested, but jobs in the partition short may take at most 30"),
        (OURS, {"minutes": None}, "no run time is requested: .*--default-resources.*"),
        (OURS, {"gpu_type": "a100"}, "no node in the partition gpu has GPUs of the type 'a100'; types there: pretend"),
        (LARGE, {"partition": "cpu", "gpu_type": "a100"}, ".*cpu has GPUs of the type 'a100'; types there: none"),
        (LARGE, {"partition": "cpu"}, "1 GPUs are requested, but no node in the partition cpu has more than 0"),
        (LARGE, {"partition": "gpu", "gpu_type": "A100", "gpus": 4}, None),
        (LARGE, {"partition": "gpu", "gpu_type": "a100", "gpus": 8}, "8 GPUs .* in the partition gpu has more than 4"),
        (LARGE, {"partition": "gpu", "gpus": 8}, None),
        (OURS, {"memory_mb": 128_000}, "128000 MB of memory .in the last attempt. .* has more than 100000"),
        (OURS, {"cpus": 16}, "16 cores are requested, but no node in the partition gpu has more than 8"),
        (LARGE, {"partition": "gpu", "gpus": 8, "cpus": 64}, "no node in the partition gpu has all of 8 GPUs, .*"),
        (LARGE, {"partition": "gpu,long", "gpus": 2, "minutes": 9000}, None),
    ],
)  # fmt: skip
def test_what_the_cluster_has_not_is_one_sentence(text, changes, told):
    found = complaints([SMALL._replace(**changes)], nodes_of(text))
    assert len(found) == (told is not None)
    assert told is None or re.fullmatch(f"sample: {told}", found[0])


def test_stages_that_lack_the_same_share_a_sentence():
    asked = [SMALL._replace(stage=stage, partition="gpuu") for stage in ("score", "sample", "grid")]
    assert complaints([*asked, SMALL], nodes_of(OURS)) == [
        "grid, sample, score: the cluster has no partition 'gpuu'; it has: empty, gpu, short"
    ]


sizes = st.integers(0, 20)
kinds = st.sampled_from(["", "a100", "v100"])
some_nodes = st.builds(Nodes, st.sampled_from("pq"), st.booleans(), sizes, sizes, sizes, st.dictionaries(kinds, sizes))
some_request = st.builds(
    Request, st.just("sample"), st.sampled_from([None, "p", "q", "p,q"]), sizes, sizes, sizes, sizes, kinds
)


@given(some_request, st.lists(some_nodes))
def test_nothing_is_said_where_and_only_where_some_node_has_all(request, nodes):
    def has_all(each):
        gpus = each.gpus.get(request.gpu_type, 0) if request.gpu_type else sum(each.gpus.values())
        named = each.partition in request.partition.split(",") if request.partition else each.default
        enough = (request.cpus, request.memory_mb, request.minutes, request.gpus)
        return named and all(
            a <= b for a, b in zip(enough, (each.cpus, each.memory_mb, each.minutes, gpus), strict=True)
        )

    known = {each.partition for each in nodes}
    named = set(request.partition.split(",")) if request.partition else set()
    assert (complaints([request], nodes) == []) == (named <= known and any(map(has_all, nodes)))


def test_the_profile_gives_every_stage_memory_and_time_and_memory_stops_growing():
    profile = yaml.safe_load((REPOSITORY / "profiles/slurm/profile.yaml").read_text())
    rules = [line.split() for path in (REPOSITORY / "rules").glob("*.smk") for line in path.read_text().splitlines()]
    stages = {words[1].strip(":") for words in rules if words[:1] == ["rule"]} | {"recipe"}  # which uses summary's rule
    assert set(profile["set-resources"]) == stages
    for asked in [*profile["set-resources"].values(), profile["default-resources"]]:
        grown = [
            eval(asked["mem_mb"], {"attempt": attempt, "threads": 2}) for attempt in range(1, profile["retries"] + 2)
        ]
        assert grown == sorted(grown) and grown[0] < grown[-1] == 64000
        assert isinstance(asked["runtime"], int) and asked["runtime"] <= 1440


def test_a_job_with_a_gpu_gets_two_cores_or_as_many_as_its_threads():
    profile = yaml.safe_load((REPOSITORY / "profiles/slurm/profile.yaml").read_text())["set-resources"]
    on_gpu = {path.stem for path in (REPOSITORY / "rules").glob("*.smk") if "        gpu=" in path.read_text()}
    assert {stage for stage, asked in profile.items() if "cpus_per_task" in asked} == on_gpu
    for stage in on_gpu:
        assert [eval(profile[stage]["cpus_per_task"], {"threads": threads}) for threads in (1, 8)] == [2, 8]
