"""Models on a hub, a local HTTP server: which files are fetched, from which mirror, and what happens if they are not there."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_hub import COMMIT, Hub
from tiny_models import stable_diffusion
from workflow_helpers import REPOSITORY, environment

from pipeline.artifacts import made, shards
from pipeline.errors import InputError
from pipeline.foundations.hub import File, chosen


def names(files, *arguments):
    return {file.name for file in chosen([File(name, 1, None) for name in files], *arguments)}


TEXTS = [
    "model_index.json",
    "unet/config.json",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
    "feature_extractor/preprocessor_config.json",
]
CHECKER = "safety_checker/model.safetensors"
OTHERS = [
    "README.md",
    "v1-5-pruned.safetensors",
    CHECKER,
    "a/b/c.json",
    "../outside.json",
]
PLAIN, HALF = "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors"
PICKLE, OTHER = "unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.non_ema.safetensors"
PARTS = [f"unet/diffusion_pytorch_model-0000{part}-of-00002.safetensors" for part in (1, 2)]
INDEX = "unet/diffusion_pytorch_model.safetensors.index.json"


@pytest.mark.parametrize(
    ("there", "arguments", "expected"),
    [
        ([PLAIN, HALF, PICKLE, OTHER], (), [PLAIN]),
        ([PLAIN, HALF, PICKLE, OTHER], ("fp16",), [HALF]),
        ([PLAIN, PICKLE], ("fp16",), [PLAIN]),
        ([PLAIN, PICKLE], (None, True), [PLAIN]),
        ([PICKLE], (None, True), [PICKLE]),
        ([PLAIN], (None, False, True), [PLAIN, CHECKER]),
        ([*PARTS, INDEX, HALF], (), [*PARTS, INDEX]),
        (
            [PLAIN, INDEX.replace(".json", ".fp16.json"), *[part.replace(".saf", ".fp16.saf") for part in PARTS]],
            (),
            [PLAIN],
        ),
    ],
)
def test_texts_and_one_form_of_the_weights_are_chosen(there, arguments, expected):
    assert names([*TEXTS, *OTHERS, *there], *arguments) == {*TEXTS, *expected}


@given(order=st.permutations([*TEXTS, *OTHERS, PLAIN, HALF, PICKLE, OTHER]))
def test_the_order_of_the_files_makes_no_difference(order):
    assert names(order) == {*TEXTS, PLAIN}


@pytest.mark.parametrize(
    ("there", "told"),
    [
        (
            [*TEXTS, PICKLE],
            r"unet has no weights in the safetensors format \(there are \.bin\); set variant, or allow_pickle",
        ),
        ([*TEXTS, HALF], r"unet has no weights in .* \(there are \.safetensors of the variant fp16\); set variant"),
        (
            ["settings.json", "model.safetensors"],
            r"it is not in the format of diffusers, open_clip or transformers: it has no model_index\.json and no config\.json",
        ),
    ],
)
def test_weights_that_may_not_be_read_are_refused(there, told):
    with pytest.raises(InputError, match=told):
        names(there)


@pytest.fixture
def hub(tmp_path):
    one = Hub()
    one.models["community/sd"] = stable_diffusion(tmp_path / "published")
    (one.models["community/sd"] / "README.md").write_text("not needed")
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def fetch(hub, tmp_path):
    """Runs the stage; returns its exit code, what it said, and the output."""

    def ran(*ids, **settings):
        output = tmp_path / "results/foundations/sd/fetched.parquet"
        config = {
            "hub": ids or ["community/sd"],
            "variant": None,
            "allow_pickle": False,
            "safety_checker": False,
        } | settings
        command = [
            sys.executable,
            "-m",
            "pipeline.stages.fetch",
            "--config",
            json.dumps(config),
            "--output",
            str(output),
        ]
        given = environment(REPOSITORY) | {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "cache")}
        given["HF_HUB_DOWNLOAD_TIMEOUT"] = "2"
        said = subprocess.run(
            command, env=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        return said.returncode, said.stdout, output

    return ran


def test_a_model_is_fetched_from_the_first_mirror_that_has_it(hub, fetch):
    code, said, output = fetch("owner/withdrawn", "community/sd@main")
    assert code == 0, said
    table = shards.read_table(output)
    published = hub.models["community/sd"]
    assert sorted(table["file"]) == sorted(
        str(path.relative_to(published)) for path in published.rglob("*") if path.is_file() and path.name != "README.md"
    )
    for row in table.itertuples():
        assert (output.parent / "files" / row.file).read_bytes() == (published / row.file).read_bytes()
    about = made.about(output)
    assert (about["hub"], about["commit"]) == ("community/sd@main".partition("@")[0], COMMIT)


def test_what_is_there_is_not_fetched_again(hub, fetch):
    assert fetch()[0] == 0
    hub.asked.clear()
    code, said, output = fetch()
    assert code == 0, said
    assert not [line for line in hub.asked if line.startswith("GET") and "/resolve/" in line]
    stray = output.parent / "files/unet/diffusion_pytorch_model.fp16.safetensors"
    stray.write_bytes(b"of another variant")
    assert fetch()[0] == 0 and not stray.exists()


@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_a_download_that_is_cut_off_or_stalls_continues(hub, fetch, fault):
    hub.fault = fault
    code, said, output = fetch()
    if code:
        assert "run snakemake again to continue" in said and "Traceback" not in said
        code, said, output = fetch()
    assert code == 0, said
    published = hub.models["community/sd"]
    for row in shards.read_table(output).itertuples():
        assert (output.parent / "files" / row.file).read_bytes() == (published / row.file).read_bytes()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("gone", "the hub does not give the model (community/sd: "),
        ("nonsense", "the hub does not give the model (community/sd: "),
        ("other bytes", "has other bytes than the hub lists; run snakemake again to fetch it again"),
    ],
)
def test_a_hub_that_fails_is_one_sentence(hub, fetch, fault, told):
    hub.fault = fault
    code, said, output = fetch()
    assert code and told in said and "Traceback" not in said and not output.exists(), said


def test_a_hub_that_is_away_is_one_sentence(hub, fetch):
    hub.server.shutdown()
    hub.server.server_close()
    code, said, _ = fetch("owner/one", "owner/two")
    assert code and "Traceback" not in said, said
    assert "the hub does not give the model (owner/one: " in said and "owner/two: " in said and "`kind: folder`" in said


def test_a_pickle_is_not_fetched_unless_it_is_allowed(hub, fetch):
    unet = hub.models["community/sd"] / "unet"
    shutil.move(unet / "diffusion_pytorch_model.safetensors", unet / "diffusion_pytorch_model.bin")
    code, said, _ = fetch()
    assert (
        code and "unet has no weights in the safetensors format (there are .bin); set variant, or allow_pickle" in said
    )
    code, said, output = fetch(allow_pickle=True)
    assert code == 0, said
    assert "unet/diffusion_pytorch_model.bin" in set(shards.read_table(output)["file"])


@pytest.mark.parametrize("fault", ["{}", "[]", '{"id": "community/sd", "siblings": null}'])
def test_a_hub_that_answers_otherwise_is_one_sentence(hub, fetch, fault):
    hub.fault = fault
    code, said, _ = fetch()
    assert code and "Traceback" not in said and "the hub does not give the model (community/sd: " in said, said


@pytest.mark.parametrize("file", ["scheduler/scheduler_config.json", "unet/diffusion_pytorch_model.safetensors"])
def test_a_file_that_was_damaged_without_a_trace_is_fetched_again(hub, fetch, file):
    _, _, output = fetch()
    path = output.parent / "files" / file
    data, times = path.read_bytes(), path.stat()
    path.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert fetch()[0] == 0 and path.read_bytes() == data
