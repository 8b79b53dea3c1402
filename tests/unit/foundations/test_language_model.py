"""Language models in transformers' format: whole ones are loaded, and whatever is missing is named instead of made up."""

import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import blip2, clip, gpt2, t5

from pipeline.artifacts import shards
from pipeline.errors import InputError
from pipeline.foundations.hub import File, chosen
from pipeline.foundations.language_model import load
from pipeline.jobs import command
from pipeline.stages import foundation

MADE = {"gpt2": gpt2, "t5": t5, "blip2": blip2}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: make(folder / name) for name, make in MADE.items()}


@pytest.fixture(params=MADE)
def copy(request, models, tmp_path):
    return shutil.copytree(models[request.param], tmp_path / "model")


def test_a_whole_model_is_loaded(copy):
    found = load(copy)
    saved = load_file(copy / "model.safetensors")
    state = found.model.state_dict()
    assert saved and all(torch.equal(state[name], value) for name, value in saved.items() if name in state)
    assert len(found.tokenizer) == found.model.get_input_embeddings().num_embeddings
    assert (found.processor is not None) == (found.model.main_input_name == "pixel_values")
    assert not any(value.requires_grad for value in found.model.parameters())
    assert load(copy, torch.bfloat16).model.dtype == torch.bfloat16 and load(copy, "auto").model.dtype == torch.float32


def test_a_missing_tensor_is_named(copy):
    weights = load_file(copy / "model.safetensors")
    gone = sorted(weights)[len(weights) // 2]
    save_file(
        {key: value for key, value in weights.items() if key != gone}, copy / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(InputError, match=rf"model lacks \S*{gone.removeprefix('transformer.')}, or has other shapes"):
        load(copy)


def test_any_file_that_is_missing_or_cut_is_told(copy, tmp_path):
    optional = {"generation_config.json", "tokenizer_config.json"}  # what they say stands in other files, too
    for place, file in enumerate(sorted(path.name for path in copy.iterdir())):
        for how in ("missing", "cut"):
            damaged = shutil.copytree(copy, tmp_path / f"{how}-{place}")
            data = (damaged / file).read_bytes()
            (damaged / file).unlink()
            if how == "cut":
                (damaged / file).write_bytes(data[: len(data) // 2])
            elif file in optional:
                continue
            with pytest.raises(InputError) as raised:
                load(damaged)
            assert str(damaged) in str(raised.value) and "\n" not in str(raised.value), (how, file)


def test_another_models_vocabulary_is_told(models, tmp_path):
    copy = shutil.copytree(models["gpt2"], tmp_path / "model")
    words = json.loads((copy / "tokenizer.json").read_text())
    words["model"]["vocab"] = dict(list(words["model"]["vocab"].items())[:20])
    (copy / "tokenizer.json").write_text(json.dumps(words))
    with pytest.raises(InputError, match="knows 20 tokens, but the text encoder 96"):
        load(copy)


@pytest.mark.parametrize(
    ("architectures", "told"),
    [
        (["GPT2Model"], "has a GPT2Model, which writes no texts; name a language model's folder"),
        (["GPTOfTomorrow"], "is a GPTOfTomorrow of transformers, which this version of that library does not have"),
        ([], "config.json names no architecture"),
        (["T5ForConditionalGeneration"], "model "),
    ],
)
def test_another_architecture_is_told(models, tmp_path, architectures, told):
    copy = shutil.copytree(models["gpt2"], tmp_path / "model")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"architectures": architectures}))
    with pytest.raises(InputError, match=told):
        load(copy)


def test_a_pickle_is_read_only_if_allowed(models, tmp_path):
    copy = shutil.copytree(models["gpt2"], tmp_path / "model")
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(InputError, match="model is missing or damaged"):
        load(copy)
    assert load(copy, allow_pickle=True).model.dtype == torch.float32


def checked(folder, output, monkeypatch):
    config = {"kind": "folder", "path": str(folder), "variant": None, "allow_pickle": False}
    monkeypatch.setattr(sys, "argv", ["stage", "--config", json.dumps(config), "--output", str(output)])
    command.run(foundation.main, foundation.arguments())


def test_the_stage_checks_it_and_lists_its_files(copy, tmp_path, monkeypatch, capsys):
    output = tmp_path / "foundation.parquet"
    checked(copy, output, monkeypatch)
    assert f"{copy} is a whole " in capsys.readouterr().out
    assert set(shards.read_table(output)["file"]) == {path.name for path in copy.iterdir()}
    (copy / "tokenizer.json").unlink()
    with pytest.raises(SystemExit, match="model"):
        checked(copy, output, monkeypatch)


def test_the_stage_still_takes_clip_for_clip(tmp_path, monkeypatch, capsys):
    folder = clip(tmp_path / "clip")
    (folder / "config.json").write_text("{}")  # which some of open_clip's folders have
    checked(folder, tmp_path / "foundation.parquet", monkeypatch)
    assert "is a whole CLIP" in capsys.readouterr().out


def test_of_a_hub_only_what_is_needed_is_fetched():
    names = [
        *(
            "config.json",
            "generation_config.json",
            "tokenizer.json",
            "spiece.model",
            "chat_template.jinja",
            "README.md",
        ),
        *("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"),
        *("pytorch_model.bin", "training_args.bin", "optimizer.pt", "tf_model.h5", "consolidated.safetensors"),
        *("onnx/model.safetensors", "runs/events.json", "pytorch_model.bin.index.json"),
    ]
    taken = {file.name for file in chosen([File(name, 1, None) for name in names])}
    assert taken == {*names[:5], *names[6:9]}
    pickles = [File(name, 1, None) for name in ("config.json", "pytorch_model.bin", "training_args.bin")]
    with pytest.raises(InputError, match=r"it has no weights in the safetensors format \(there are .bin\)"):
        chosen(pickles)
    assert [file.name for file in chosen(pickles, allow_pickle=True)] == ["config.json", "pytorch_model.bin"]
