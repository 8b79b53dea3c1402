"""Vectors that stand for classes: learned together as apart, kept, continued, and read by this project and by diffusers."""

import copy
import re
import shutil
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, StableDiffusionPipeline
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from real_pictures import adapting_job, manifest
from safetensors.torch import load_file
from tiny_models import SIDE, WIDTH, listed, stable_diffusion, tokenizer
from workflow_helpers import REPOSITORY

from pipeline.artifacts import shards
from pipeline.config.draws import TextualInversion as Draw
from pipeline.config.generators import TextualInversion
from pipeline.errors import InputError
from pipeline.foundations.components import components
from pipeline.foundations.table import identity
from pipeline.generators.latents import sampled
from pipeline.generators.step_draws import Shape
from pipeline.generators.textual_inversion.learning import Learning
from pipeline.generators.textual_inversion.model import Model
from pipeline.generators.textual_inversion.sample import Sampler
from pipeline.generators.textual_inversion.steps import steps_of
from pipeline.generators.textual_inversion.train import about as about_of
from pipeline.generators.textual_inversion.train import train
from pipeline.generators.textual_inversion.words import Words

LABELS = (0, 0, 0, 1, 2, 2)
SHORT = {
    "kind": "textual_inversion",
    "foundation": "tiny",
    "steps_per_picture": 2,
    "least_steps": 3,
    "most_steps": 6,
    "checkpoint_steps": 2,
}


def settings(**keys):
    return TextualInversion(**SHORT | keys).adapting_settings()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return listed(stable_diffusion(tmp_path_factory.mktemp("models") / "sd"))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    return manifest(tmp_path_factory.mktemp("subset"), LABELS)


@pytest.fixture
def job(model, real, cpu, tmp_path):
    """The job of some classes; its checkpoint is due after `minutes`."""

    def made(*classes, foundation=model, minutes=60, name="output"):
        return adapting_job(foundation, real, ["class 0", "class 1", "class 2"], classes, tmp_path / name, minutes)

    return made


def learned(folder, label):
    """Step -> vectors of a class."""
    return {int(step): vectors for step, vectors in load_file(folder / f"{label:05d}.steps.safetensors").items()}


def test_steps_follow_the_number_of_pictures():
    counts = np.array([0, 1, 5, 20, 21, 100, 101, 1280])
    found = steps_of(TextualInversion(kind="textual_inversion", foundation="x").adapting_settings(), counts)
    assert found.tolist() == [0, 2000, 2000, 2000, 2100, 10000, 10000, 10000]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_classes_learn_together_what_they_learn_alone(job, at_once):
    """Classes of 6, 3 and 4 steps leave the batch one after the other, and others take their place."""
    history, files = train(settings(classes_at_once=at_once), job(0, 1, 2, name="together"))
    assert history[["class", "step"]].to_numpy().tolist() == [[0, 2], [0, 4], [0, 6], [1, 2], [1, 3], [2, 2], [2, 4]]
    assert len(files) == 6
    for label in (0, 1, 2):
        alone = job(label, name=f"alone{label}")
        train(settings(), alone)
        both = [learned(files[0].parent, label), learned(alone.output, label)]
        assert both[0].keys() == both[1].keys()
        for step in both[0]:
            torch.testing.assert_close(both[0][step], both[1][step], atol=1e-6, rtol=0)
        moved = (both[0][max(both[0])] - both[0][min(both[0])]).abs().max()
        assert moved > 1e-3


def by_a_larger_table(job, model, label, keys):
    """The vectors of a class as the common procedure learns them: as rows of the text encoder's own table."""
    found = components(model.parent / "sd")
    words, encoder, unet, vae = found["tokenizer"], found["text_encoder"], found["unet"], found["vae"]
    names = ["<learned>", "<learned>_1", "<learned>_2", "<learned>_3"]
    words.add_tokens(names)
    encoder.resize_token_embeddings(len(words), mean_resizing=False)
    table = encoder.get_input_embeddings().weight.requires_grad_(True)
    own = words.convert_tokens_to_ids(names)
    first = words("object", add_special_tokens=False).input_ids
    with torch.no_grad():
        table[own] = table[[first[place % len(first)] for place in range(4)]]
    before = table.detach().clone()
    optimizer = torch.optim.AdamW([table], lr=keys["learning_rate"], weight_decay=keys["weight_decay"])
    noising = DDPMScheduler.from_config(found["scheduler"].config)
    pictures = shards.read_pictures(job.real.iloc[[0]], job.folder, SIDE)  # of the right size
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1
    one = Learning(label, 1, 3, before[own].clone(), keys)
    texts = [text.replace("*", " ".join(names)) for text in keys["templates"]]
    for _ in range(3):
        draws = one.draw(Shape(len(texts), 1000, (4, SIDE // 2, SIDE // 2)))
        seen = torch.stack([pixels[0].flip(-1) if mirrored else pixels[0] for mirrored in draws.mirrored])
        latents = sampled(vae.encode(seen).latent_dist.parameters, draws.of_latents) * vae.config.scaling_factor
        noisy = noising.add_noise(latents, draws.noise, draws.times)
        ids = words([texts[number] for number in draws.texts], padding="max_length", max_length=77, return_tensors="pt")
        predicted = unet(noisy, draws.times, encoder(ids.input_ids)[0]).sample
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(predicted, draws.noise).backward()
        optimizer.step()
        with torch.no_grad():  # the decay of all other rows, and nothing else, is undone
            kept = table[own].clone()
            table.copy_(before)
            table[own] = kept
        one.step += 1
    return table[own].detach()


def test_vectors_are_those_of_a_larger_table_of_tokens(job, model):
    keys = settings(templates=("a photo of a *", "the *, at night"), most_steps=3)
    one = job(1)
    train(keys, one)
    expected = by_a_larger_table(one, model, 1, keys)
    torch.testing.assert_close(learned(one.output, 1)[3], expected, atol=1e-6, rtol=0)


class Stopped(Exception):
    pass


def test_a_stopped_training_continues_with_the_same_bytes(job, monkeypatch):
    train(settings(classes_at_once=2), job(0, 1, 2, name="whole"))
    passes, usual = [], Model.losses

    def stops(self, active):
        passes.append(len(active))
        if len(passes) == 4:
            raise Stopped
        return usual(self, active)

    monkeypatch.setattr(Model, "losses", stops)
    with pytest.raises(Stopped):
        train(settings(classes_at_once=2), job(0, 1, 2, minutes=0))
    continued = job(0, 1, 2, minutes=0)
    history, files = train(settings(classes_at_once=2), continued)
    for file in files:
        assert file.read_bytes() == (continued.output.parent / "whole" / file.name).read_bytes()
    assert len(passes) == 4 + 4  # after three passes of seven
    assert history["loss"].notna().all()


def test_the_vae_sees_each_picture_and_its_mirror_image_once(job, monkeypatch):
    seen, usual = [], torch.nn.Conv2d.forward

    def counted(self, value):
        if self.in_channels == 3:  # the first layer of the VAE's encoder
            seen.append(len(value))
        return usual(self, value)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", counted)
    train(settings(), job(0, 1, 2))
    train(settings(), job(0, 1, 2))  # continues: nothing is encoded again
    assert seen == [2 * len(LABELS)]


def test_nothing_of_the_model_moves(job, monkeypatch):
    models, usual = [], Model.__init__

    def kept(self, *arguments):
        usual(self, *arguments)
        parts = {"unet": self.denoiser.unet, "text_encoder": self.words.text_encoder, "vae": self.denoiser._vae}
        models.append((parts, {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}))

    monkeypatch.setattr(Model, "__init__", kept)
    train(settings(), job(0, 1))
    ((parts, before),) = models
    for name, part in parts.items():
        for key, tensor in part.state_dict().items():
            assert torch.equal(tensor, before[name][key]), (name, key)
        assert all(parameter.grad is None for parameter in part.parameters())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_class_that_diverges_ends_alone(job, monkeypatch, capsys, precision):
    usual = Learning.take

    def take(self, loss):
        if self.label == 2 and self.step == 2:
            self.vectors.grad[:] = float("inf")
        usual(self, loss)

    monkeypatch.setattr(Learning, "take", take)
    history, _ = train(settings(learning_precision=precision), job(0, 1, 2))
    assert history.groupby("class")["step"].max().to_dict() == {0: 6, 1: 3, 2: 2}
    assert "class 2 diverged before step 4; those of step 2 are the last good ones" in capsys.readouterr().out


def test_a_class_without_any_finite_vectors_is_an_error(job):
    with pytest.raises(InputError, match=r"class 0 and of 2 more classes were not finite.* lower learning_rate"):
        train(settings(learning_rate=1e36), job(0, 1, 2))


def test_the_first_vectors_are_those_of_the_initial_text(job, model):
    encoder = components(model.parent / "sd")["text_encoder"].get_input_embeddings().weight
    ids = tokenizer()("object", add_special_tokens=False).input_ids
    found = Model(settings(vectors=8), job(0)).initial("class 0")
    torch.testing.assert_close(found, encoder[[ids[place % len(ids)] for place in range(8)]], atol=0, rtol=0)
    named = Model(settings(initial_text="{class}", vectors=2), job(0)).initial("ab_c")
    torch.testing.assert_close(
        named, encoder[tokenizer()("ab c", add_special_tokens=False).input_ids[:2]], atol=0, rtol=0
    )


def test_the_learning_rate_is_scaled_by_the_batch_if_asked(job):
    first = {
        scale: Learning(0, 3, 1, torch.zeros(4, WIDTH), settings(scale_learning_rate=scale)).optimizer.defaults["lr"]
        for scale in (False, True)
    }
    assert first == {False: 5e-3, True: 1e-2}


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"placeholder": "A"}, "has a token 'A' already; choose another placeholder"),
        ({"placeholder": "<|endoftext|>x"}, "splits '<|endoftext|>x'; choose another placeholder"),
        ({"placeholder": "pho"}, "has pho in it, which is the placeholder; choose another one"),
        ({"templates": ("a photo " * 20 + "*",)}, "is beyond the 77 tokens that the text encoder reads"),
        ({"initial_text": "<learned>"}, "the text '<learned>' has the placeholder in it; change initial_text"),
        ({"vectors": 64, "templates": ["word " * 12 + "*"]}, "is beyond the 77 tokens that the text encoder reads"),
    ],
)
def test_what_does_not_fit_the_tokenizer(job, keys, message):
    with pytest.raises(InputError, match=re.escape(message)):
        Model(settings(**keys), job(0)).initial("class 0")


def test_a_prompt_without_a_place_for_the_vectors(model):
    found = components(model.parent / "sd")
    words = Words(found["tokenizer"], found["text_encoder"], "<learned>", 4)
    for text in ("a photo", "a * and a *"):
        with pytest.raises(InputError, match="must have one \\*"):
            words.tokens([text])


@pytest.fixture
def draws(job, model, tmp_path):
    """Draws rows with the vectors of all three classes; further keys are those of `draw`."""
    made = job(0, 1, 2)
    history, files = train(settings(), made)
    tables = []
    for shard, labels in enumerate([(0, 2), (1,)]):
        own = tmp_path / "adapt" / f"shard-{shard:05d}"
        own.mkdir(parents=True)
        for file in files:
            if int(file.name[:5]) in labels:
                shutil.copy(file, own)
        tables.append(own.with_suffix(".parquet"))
        about = {"foundation": identity(model)} | about_of(settings())
        shards.write_table(history[history["class"].isin(labels)], tables[-1], sorted(own.iterdir()), about)
    states = tmp_path / "adapt" / "states.parquet"
    listed_by = ["--adapted", *map(str, tables), "--output", str(states)]
    subprocess.run([sys.executable, "-m", "pipeline.stages.states", *listed_by], check=True, cwd=REPOSITORY)

    def drawn(rows, batch_size=2, foundation=model, **keys):
        draw = Draw(kind="textual_inversion", **{"steps": 4} | keys).model_dump()
        generator = {"kind": "textual_inversion", "precision": "float32", "safety_checker": False}
        found = {"draw": draw, "batch_size": batch_size, "generator": generator}
        sampler = Sampler({"foundation": [foundation], "generator": [states]}, found, torch.device("cpu"))
        return np.concatenate(list(sampler.draw(rows)))

    return drawn, tables


ROWS = pd.DataFrame(
    {
        "class": [0, 1, 2, 1, 0],
        "prompt": ["a photo of a *", "* at night", "a photo of a *, asleep", "a *", "a photo of a *"],
        "seed": [5, 2**62 + 1, 7, 9, 5],
        "checkpoint": [6, 3, 4, 2, 2],
    }
)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_pictures_are_those_of_diffusers_with_the_same_vectors(draws, model, scale):
    draw, tables = draws
    last = ROWS.iloc[:3]  # the vectors of the last steps, which other programs read
    pipeline = StableDiffusionPipeline.from_pretrained(model.parent / "sd", safety_checker=None)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    for label, shard in ((0, 0), (1, 1), (2, 0)):
        folder = tables[shard].with_suffix("")
        pipeline.load_textual_inversion(str(folder / f"{label:05d}.safetensors"), token=f"<class-{label}>")
    texts = [row[1].replace("*", f"<class-{row[0]}>") for row in last.itertuples(index=False)]
    generators = [torch.Generator().manual_seed(seed) for seed in last["seed"].tolist()]
    expected = pipeline(
        texts, generator=generators, num_inference_steps=4, guidance_scale=scale, output_type="np"
    ).images
    np.testing.assert_allclose(draw(last, guidance_scale=scale), 255 * expected, atol=0.02)


def test_a_picture_depends_on_its_own_row_alone(draws):
    draw, _ = draws
    together = draw(ROWS)
    for batch_size in (1, 2, 5):
        alone = [draw(ROWS.iloc[[row]], batch_size) for row in range(len(ROWS))]
        np.testing.assert_allclose(np.concatenate(alone), together, atol=0.02)
    np.testing.assert_array_equal(draw(ROWS.iloc[::-1])[::-1], together)
    assert np.abs(together[0] - together[4]).max() > 0.5  # of the same seed and text, with earlier vectors


def test_vectors_of_another_model_are_refused(draws, tmp_path):
    draw, _ = draws
    other = listed(stable_diffusion(tmp_path / "other", seed=1))
    with pytest.raises(InputError, match=r"was learned with another model than .*other.parquet; learn it again"):
        draw(ROWS, foundation=other)


def test_missing_vectors_are_named(draws):
    draw, tables = draws
    with pytest.raises(InputError, match=r"00000.steps.safetensors has no vectors of step 5"):
        draw(ROWS.assign(checkpoint=5))
    (tables[0].with_suffix("") / "00002.steps.safetensors").unlink()
    with pytest.raises(InputError, match=r"00002.steps.safetensors has no vectors of step 4"):
        draw(ROWS)


@settings_of_hypothesis(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations([0, 1, 2]),
    sizes=st.sampled_from([(3,), (1, 2), (2, 1), (1, 1, 1)]),
    at_once=st.integers(1, 3),
    kill=st.integers(1, 6),
)
def test_any_grouping_order_and_kill_gives_the_same_vectors(job, order, sizes, at_once, kill):
    train(settings(), job(0, 1, 2, name="reference"))
    ends = np.cumsum(sizes)
    for number, own in enumerate(np.split(np.array(order), ends[:-1])):
        name = f"{order}{sizes}{at_once}{kill}{number}".replace(" ", "")
        keys, usual, passes = settings(classes_at_once=at_once), Model.losses, []

        def stops(self, active, passes=passes, usual=usual):
            passes.append(len(active))
            if len(passes) == kill + 1:
                raise Stopped
            return usual(self, active)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Model, "losses", stops)
            with suppress(Stopped):
                train(keys, job(*sorted(own.tolist()), minutes=0, name=name))
        made = job(*sorted(own.tolist()), minutes=0, name=name)
        train(keys, made)
        for label in own:
            found = learned(made.output, label)
            for step, vectors in learned(made.output.parent / "reference", label).items():
                torch.testing.assert_close(found[step], vectors, atol=1e-6, rtol=0)
