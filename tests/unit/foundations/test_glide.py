"""GLIDE's checkpoints, converted: the same values as a reading of our own, and every wrong tensor is named."""

import csv
import gzip
import json
from pathlib import Path

import pytest
import torch
from glide_reference import Reference
from safetensors.torch import load_file, save_file
from tiny_glide import BASE, CONTEXT, MERGES, UPSAMPLER, checkpoint, originals, shapes
from workflow_helpers import REPOSITORY, stage

from pipeline.artifacts import made, shards
from pipeline.artifacts.digests import digest
from pipeline.errors import InputError
from pipeline.foundations import glide
from pipeline.foundations.components import components
from pipeline.foundations.fit import pipeline_class
from pipeline.foundations.glide_conversion import convert
from pipeline.foundations.gpt2_tokenizer import read_tokenizer

REAL = {
    "base": ({"channels": (192, 384, 576, 768), "attention": (False, True, True, True), "layers": 3}, 3, 385_030_726),
    "upsampler": (
        {"channels": (192, 192, 384, 384, 768, 768), "attention": (False,) * 3 + (True,) * 3, "layers": 2},
        6,
        398_361_286,
    ),
}
IDS = torch.tensor([[5, 258, 7, *[262] * (CONTEXT - 3)], [262] * CONTEXT, [*range(250, 250 + CONTEXT)]])
MASK = torch.arange(CONTEXT) < torch.tensor([[3], [0], [CONTEXT]])


@pytest.mark.parametrize("name", REAL)
def test_the_published_tensors_are_converted_and_none_is_left(shared_data, name):
    with open(shared_data / f"glide_{name}.tsv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    published = {row["name"]: tuple(map(int, row["shape"].split("x"))) for row in rows}
    sizes, in_channels, parameters = REAL[name]
    assert (
        shapes(**sizes, in_channels=in_channels, width=512, context=128, vocabulary=50257, text_layers=16) == published
    )
    networks = convert({name: torch.empty(shape, device="meta") for name, shape in published.items()}, in_channels, 64)
    assert sum(value.numel() for network in networks for value in network.parameters()) == parameters


@pytest.mark.parametrize(("sizes", "side"), [(BASE, 8), (UPSAMPLER, 16)], ids=["base", "upsampler"])
def test_one_step_is_that_of_a_reading_of_our_own(sizes, side):
    weights = checkpoint(sizes)
    unet, encoder = convert(weights, sizes["in_channels"], side)
    pictures = torch.randn(3, sizes["in_channels"], side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        texts = encoder(IDS, MASK)
        found = torch.cat([texts.flatten(), unet(pictures, 371, texts, class_labels=texts[:, -1]).sample.flatten()])

    def by(**wrong):
        reference = Reference(weights, sizes["layers"], **wrong)
        own = reference.texts(IDS, MASK)
        return torch.cat([own.flatten(), reference(pictures.double(), 371, own).flatten()])

    assert found.std() > 0.3
    torch.testing.assert_close(found.double(), by(), atol=1e-5, rtol=0)
    assert (by(grouped=False) - by()).abs().max() > 0.1, "heads in the wrong order would show"
    assert (by(padded=False) - by()).abs().max() > 0.1, "and so would padding positions with tokens"


def test_a_saved_model_is_the_same_when_it_is_loaded(given, tmp_path):
    folder, about = glide.make(given, {}, tmp_path / "files", None)
    assert about == {"originals": {path: digest(Path(path)) for path in given.values()}}
    assert pipeline_class(folder) == "Glide"
    loaded = components(folder)
    assert len(loaded) == 8
    for prefix, sizes, seed, side in (("", BASE, 0, 64), ("upsampler_", UPSAMPLER, 1, 256)):
        networks = convert(checkpoint(sizes, seed), sizes["in_channels"], side)
        for name, network in zip(("unet", "text_encoder"), networks, strict=True):
            found = loaded[f"{prefix}{name}"]
            assert json.loads(found.to_json_string()).items() >= json.loads(network.to_json_string()).items()
            for key, value in network.state_dict().items():
                assert torch.equal(value, found.state_dict()[key]), key
        assert loaded[f"{prefix}tokenizer"].model_max_length == CONTEXT
    assert loaded["unet"].config.sample_size == 64 and loaded["upsampler_unet"].config.sample_size == 256
    assert {value.dtype for value in components(folder, torch.bfloat16)["text_encoder"].parameters()} == {
        torch.bfloat16
    }
    assert loaded["scheduler"].config.beta_schedule == "squaredcos_cap_v2"


NAMES = sorted(checkpoint(BASE))


@pytest.fixture(scope="module")
def weights():
    return checkpoint(BASE)


@pytest.mark.parametrize("name", [*NAMES[::12], "input_blocks.1.0.out_layers.0.weight"])
def test_a_wrong_tensor_is_named(weights, name):
    with pytest.raises(InputError, match=f"^it lacks {name}$"):
        convert({key: value for key, value in weights.items() if key != name}, 3, 64)
    with pytest.raises(InputError, match=f"^its {name} has the shape 3x5, but must have "):
        convert(weights | {name: torch.zeros(3, 5)}, 3, 64)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"extra.weight": (3,), "more.bias": (2,)}, "it must not have extra.weight and 1 more tensors"),
        (
            {"transformer.resblocks.2.ln_1.weight": (128,)},
            "it lacks transformer.resblocks.2.attn.c_proj.bias and 10 more",
        ),
        (
            {"input_blocks.0.0.weight": (32, 6, 3, 3)},
            "its input_blocks.0.0.weight has the shape 32x6x3x3, but must have",
        ),
        (
            {"token_embedding.weight": (263, 96)},
            "its token_embedding.weight is for 96 channels, but they must be a mult",
        ),
        ({"input_blocks.3.0.out_layers.0.weight": (96,)}, "is for 96 channels, but they must be a multiple of 64"),
        ({"input_blocks.1.0.out_layers.0.weight": (0,)}, "is for 0 channels, but they must be a multiple of 32"),
        ({"output_blocks.6.0.in_layers.0.weight": (3,)}, "its 7 output_blocks in 3 levels are not those of GLIDE"),
    ],
)
def test_tensors_of_another_network_are_named(weights, changes, told):
    with pytest.raises(InputError) as raised:
        convert(weights | {name: torch.zeros(shape) for name, shape in changes.items()}, 3, 64)
    assert told in str(raised.value)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


class Executed:
    """A pickle that runs code when it is read."""

    def __reduce__(self):
        return (open, ("executed", "w"))


@pytest.fixture
def given(tmp_path):
    return originals(tmp_path / "published")


@pytest.mark.parametrize(
    ("key", "spoil", "told"),
    [
        ("base", lambda path: path.unlink(), "base.pt is missing; give the base of the original release"),
        ("base", cut, "base.pt is not a readable weight file; give the base of the original release"),
        ("base", lambda path: torch.save(Executed(), path), "base.pt is not a readable weight file; give the base"),
        ("base", lambda path: torch.save({"weights": 1}, path), "base.pt is not a weight file, because it holds more"),
        (
            "base",
            lambda path: torch.save({}, path),
            "base.pt is not GLIDE's base: it lacks token_embedding.weight; give",
        ),
        ("upsampler", cut, "upsample.pt is not a readable weight file; give the upsampler of the original release"),
        (
            "upsampler",
            lambda path: torch.save(checkpoint(BASE), path),
            "its input_blocks.0.0.weight has the shape 32x3x3x3, but must have 32x6x3x3; give the upsampler of the original",
        ),
        (
            "vocabulary",
            lambda path: path.unlink(),
            "vocab.bpe is missing; give GPT-2's merges, a file called vocab.bpe",
        ),
        (
            "vocabulary",
            lambda path: path.write_text("t h\nthe n\n"),
            "'the n' is not a pair of earlier tokens; give GPT-2",
        ),
        ("vocabulary", lambda path: path.write_text("<html>"), "'<html>' is not a pair of earlier tokens; give GPT-2"),
        ("vocabulary", lambda path: path.write_bytes(b"\xff\xff"), "vocab.bpe is damaged ("),
        ("vocabulary", lambda path: path.write_text("t h\n"), "has 258 tokens, but "),
    ],
)
def test_a_wrong_file_is_told_in_a_sentence(given, tmp_path, monkeypatch, key, spoil, told):
    monkeypatch.chdir(tmp_path)
    spoil(Path(given[key]))
    with pytest.raises(InputError) as raised:
        glide.make(given, {}, tmp_path / "files", None)
    assert told in str(raised.value) and given[key] in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "executed").exists()


def test_without_an_upsampler_the_base_alone_is_made(given, tmp_path):
    (tmp_path / "files/upsampler_unet").mkdir(parents=True)
    folder, about = glide.make(given | {"upsampler": None}, {}, tmp_path / "files", None)
    assert sorted(components(folder)) == ["scheduler", "text_encoder", "tokenizer", "unet"]
    assert set(about["originals"]) == {given["base"], given["vocabulary"]}
    assert not (folder / "upsampler_unet").exists(), "which an attempt left that was killed"


def test_a_converted_model_that_lacks_a_tensor_or_a_component_is_refused(given, tmp_path):
    folder, _ = glide.make(given | {"upsampler": None}, {}, tmp_path / "files", None)
    path = folder / "text_encoder/diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    save_file({name: value for name, value in weights.items() if name != "padding_embedding"}, path, {"format": "pt"})
    with pytest.raises(
        InputError, match="text_encoder lacks padding_embedding, or has other shapes; get the model again"
    ):
        components(folder)
    save_file(weights, path, {"format": "pt"})
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({key: index[key] for key in index if key != "scheduler"}))
    with pytest.raises(InputError, match="scheduler is missing; get the model again"):
        components(folder)


@pytest.mark.slow
def test_the_stage_keeps_the_digests_of_the_originals(given, tmp_path):
    output = tmp_path / "results/foundations/glide/foundation.parquet"
    ran = stage(REPOSITORY, "foundation", "--config", json.dumps({"kind": "glide"} | given), "--output", output)
    assert (
        ran.returncode == 0 and "is a whole Glide: scheduler, text_encoder, tokenizer, unet, upsampler_" in ran.stdout
    )
    about = made.about(output)
    assert about["originals"] == {path: digest(Path(path)) for path in given.values()}
    assert about["folder"] == str(output.parent / "files") and about["allow_pickle"] is False
    files = set(shards.read_table(output)["file"])
    assert {"model_index.json", "unet/diffusion_pytorch_model.safetensors", "tokenizer/tokenizer.json"} <= files
    Path(given["base"]).unlink()
    ran = stage(REPOSITORY, "foundation", "--config", json.dumps({"kind": "glide"} | given), "--output", output)
    assert ran.returncode == 1 and ran.stdout.startswith(f"error: {given['base']} is missing; give the base of")


def test_the_tokenizer_joins_the_pairs_in_their_order(tmp_path):
    plain = tmp_path / "merges.txt"
    plain.write_text("\n".join(MERGES))  # without the first line, as some copies of it are
    packed = tmp_path / "vocab.bpe.gz"
    packed.write_bytes(gzip.compress("\n".join(["#version: 0.2", *MERGES, ""]).encode()))
    for path in (plain, packed):
        tokenizer = read_tokenizer(path)
        assert len(tokenizer) == 256 + len(MERGES) + 1
        texts = ["the cat", "a\xe9", "", "in a"]
        the, cat, space = 257, 260, 220
        assert tokenizer(texts).input_ids == [[the, space, cat], [64, 127, 102], [], [258, 261]]
        assert tokenizer.pad_token_id == len(tokenizer) - 1
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"vocab\.bpe\.gz is damaged"):
        read_tokenizer(packed)
