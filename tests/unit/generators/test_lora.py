"""Low-rank changes: learned as by hand, continued, saved for diffusers, and drawn with."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from real_pictures import adapting_job, manifest
from safetensors.torch import load_file
from tiny_models import SIDE, listed, stable_diffusion

from pipeline.artifacts import shards
from pipeline.config.draws import TextToImage
from pipeline.config.generators import Lora
from pipeline.errors import InputError
from pipeline.foundations.components import components
from pipeline.foundations.table import identity
from pipeline.generators.denoiser import Denoiser
from pipeline.generators.latents import sampled
from pipeline.generators.lora.sample import Sampler
from pipeline.generators.lora.steps import states_of, steps_of
from pipeline.generators.lora.train import about, train
from pipeline.generators.step_draws import Shape, drawn

LABELS = (0, 0, 0, 1, 2, 2)
NAMES = ["ant", "bee", "tree_frog"]


def settings(**keys):
    return Lora(
        **{"kind": "lora", "foundation": "tiny", "rank": 2, "steps": 4, "batch_size": 2, "learning_rate": 0.01} | keys
    ).adapting_settings()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return listed(stable_diffusion(tmp_path_factory.mktemp("models") / "sd"))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    return manifest(tmp_path_factory.mktemp("subset"), LABELS)


@pytest.fixture
def job(model, real, cpu, tmp_path):
    def made(*classes, minutes=60, name="output"):
        return adapting_job(model, real, NAMES, classes, tmp_path / name, minutes)

    return made


def by_hand(job, model, keys, label, first):
    """A and B of each layer after the training of a class, where W x + B A x is written out; `first` are the drawn A."""
    found = components(model.parent / "sd")
    unet, vae, text, words = (found[name] for name in ("unet", "vae", "text_encoder", "tokenizer"))
    layers = {name: layer for name, layer in unet.named_modules() if re.search(r"\.(to_q|to_k|to_v|to_out\.0)$", name)}
    down = {name: first[name].clone().requires_grad_(True) for name in layers}
    up = {name: torch.zeros(layer.out_features, keys["rank"], requires_grad=True) for name, layer in layers.items()}
    for name, layer in layers.items():
        layer.register_forward_hook(lambda _, x, y, name=name: y + x[0] @ down[name].T @ up[name].T)
    optimizer = torch.optim.AdamW(
        [*down.values(), *up.values()], keys["learning_rate"], weight_decay=keys["weight_decay"]
    )
    noising = DDPMScheduler.from_config(found["scheduler"].config)
    pictures = shards.read_pictures(job.real, job.folder, SIDE)
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1
    for step in range(keys["steps"]):
        draws = drawn(
            keys, label + 1, step, len(pixels), Shape(len(keys["templates"]), 1000, (4, SIDE // 2, SIDE // 2))
        )
        both = zip(pixels[draws.pictures], draws.mirrored, strict=True)
        seen = torch.stack([picture.flip(-1) if mirrored else picture for picture, mirrored in both])
        latents = sampled(vae.encode(seen).latent_dist.parameters, draws.of_latents) * vae.config.scaling_factor
        texts = [keys["templates"][number].replace("{class}", "bee") for number in draws.texts]
        ids = words(texts, padding="max_length", max_length=77, return_tensors="pt").input_ids
        predicted = unet(noising.add_noise(latents, draws.noise, draws.times), draws.times, text(ids)[0]).sample
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(predicted, draws.noise).backward()
        optimizer.step()
    return down, up


def layers_of(path):
    """Layer -> (down, up) of a file."""
    state = load_file(path)
    names = {name.removeprefix("unet.").rpartition(".lora")[0] for name in state}
    return {name: tuple(state[f"unet.{name}.lora.{part}.weight"] for part in ("down", "up")) for name in names}


def test_changes_are_those_of_a_plain_loop(job, model):
    keys = settings(templates=("a photo of a {class}", "the {class}"))
    untrained = job(1, name="untrained")
    train(keys | {"learning_rate": 1e-30, "weight_decay": 0.0}, untrained)
    first = {name: down for name, (down, _) in layers_of(untrained.output / "00001.safetensors").items()}
    one = job(1)
    history, (path,) = train(keys, one)
    down, up = by_hand(one, model, keys, 1, first)
    found = layers_of(path)
    assert found.keys() == down.keys() and len(found) == 32
    for name, (own_down, own_up) in found.items():
        # Adam's steps are as long for gradients near 0, whose rounding is not ours: up to 0.2 % of a step of 0.01
        torch.testing.assert_close(own_down, down[name].detach(), atol=2e-5, rtol=0)
        torch.testing.assert_close(own_up, up[name].detach(), atol=2e-5, rtol=0)
        assert own_up.abs().max() > 1e-3
    assert history[["class", "class_name", "step"]].to_numpy().tolist() == [[1, "bee", 4]]


class Stopped(Exception):
    pass


@pytest.mark.parametrize("passes", [1, 3, 4, 6, 11])
@pytest.mark.parametrize("per", ["class", "dataset"])
def test_a_stopped_training_continues_with_the_same_bytes(job, monkeypatch, passes, per):
    _, files = train(settings(per=per), job(0, 1, 2, name="whole"))
    usual, done = Denoiser.losses, []

    def stops(self, *arguments):
        done.append(None)
        if len(done) == passes + 1:
            raise Stopped
        return usual(self, *arguments)

    monkeypatch.setattr(Denoiser, "losses", stops)
    if passes < (12 if per == "class" else 4):
        with pytest.raises(Stopped):
            train(settings(per=per), job(0, 1, 2, minutes=0))
    monkeypatch.setattr(Denoiser, "losses", usual)
    history, again = train(settings(per=per), job(0, 1, 2, minutes=0))
    assert [path.name for path in again] == [path.name for path in files]
    assert len(again) == (3 if per == "class" else 1) and history["class"].tolist() == [0, 1, 2]
    for one, other in zip(again, files, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_nothing_of_the_model_moves_and_a_class_does_not_depend_on_others(job, monkeypatch):
    kept, usual = [], Denoiser.__init__

    def noted(self, *arguments):
        usual(self, *arguments)
        kept.append((self, {name: tensor.clone() for name, tensor in self.unet.state_dict().items()}))

    monkeypatch.setattr(Denoiser, "__init__", noted)
    _, files = train(settings(), job(0, 1, 2))
    ((denoiser, before),) = kept
    after = {name.replace(".base_layer", ""): tensor for name, tensor in denoiser.unet.state_dict().items()}
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    _, (alone,) = train(settings(), job(2, name="alone"))
    assert files[2].read_bytes() == alone.read_bytes()


def test_what_another_training_wrote_is_learned_again(job):
    """The checkpoint of a stopped training may say that a class is done whose file another training has replaced since."""
    one = job(0, 1)
    _, paths = train(settings(), one)
    own = [path.read_bytes() for path in paths]
    train(settings(learning_rate=0.05), job(0, name="other"))
    paths[0].write_bytes((one.output.parent / "other" / paths[0].name).read_bytes())
    assert paths[0].read_bytes() != own[0]
    train(settings(), one)
    assert [path.read_bytes() for path in paths] == own


def test_texts_that_are_cut_are_counted(job, capsys):
    train(settings(templates=("word " * 90 + "{class}", "a {class}")), job(1))
    assert "1 of 2 texts of bee are longer than the text encoder reads; their ends are cut" in capsys.readouterr().out


def test_a_loss_that_is_not_finite_names_the_class(job):
    with pytest.raises(InputError, match="the loss of ant is not a finite number before step 4; lower learning_rate"):
        train(settings(learning_rate=1e30), job(0))
    with pytest.raises(InputError, match="the loss of the data set is not a finite number"):
        train(settings(learning_rate=1e30, per="dataset"), job(0, 1, name="all"))


def test_steps_and_states():
    counts = np.array([5, 0, 1, 9])
    assert steps_of(settings(steps=7), counts).tolist() == [7, 0, 7, 7]
    assert steps_of(settings(steps=7, per="dataset"), counts).tolist() == [3, 0, 3, 3]
    assert states_of(settings(), np.array([7, 7])) == 2 and states_of(settings(per="dataset"), np.array([3, 3])) == 1


def test_several_jobs_for_one_change_are_refused():
    with pytest.raises(
        ValueError, match="shards is 2, but changes for the whole data set are learned in one job; remove it"
    ):
        settings(per="dataset", shards=2)


ROWS = pd.DataFrame(
    {
        "class": [0, 0, 1, 2, 0],
        "prompt": ["an ant", "ants", "a bee", "a tree frog", "an ant"],
        "seed": [5, 2**62, 7, 9, 5],
    }
)


@pytest.fixture
def draws(job, model, tmp_path):
    """Draws rows with the changes that were learned; `per` as in the config."""

    def drawn_by(rows, per="class", batch_size=2, foundation=model, scale=2.0):
        made = job(0, 1, 2, name=f"shard-{per}")
        history, files = train(settings(per=per), made)
        path = tmp_path / f"{per}.parquet"
        said = {"foundation": identity(model)} | about(settings(per=per))
        shards.write_table(history.assign(folder=made.output.name), path, files, said)
        draw = TextToImage(kind="text_to_image", steps=4, guidance_scale=scale).model_dump()
        generator = {"kind": "lora", "precision": "float32", "safety_checker": False}
        found = {"draw": draw, "batch_size": batch_size, "generator": generator}
        sampler = Sampler({"foundation": [foundation], "generator": [path]}, found, torch.device("cpu"))
        return np.concatenate(list(sampler.draw(rows))), made.output

    return drawn_by


def test_nothing_of_the_network_keeps_gradients_while_it_draws(draws, monkeypatch):
    usual, kept = UNet2DConditionModel.forward, []

    def forward(self, *args, **kwargs):
        if not torch.is_grad_enabled():  # it learns before
            kept.extend(weight.requires_grad for weight in self.parameters())
        return usual(self, *args, **kwargs)

    monkeypatch.setattr(UNet2DConditionModel, "forward", forward)
    draws(ROWS)
    assert kept and not any(kept)


@pytest.mark.parametrize("per", ["class", "dataset"])
def test_pictures_are_those_of_diffusers_with_the_same_changes(draws, model, per):
    found, folder = draws(ROWS, per)
    for label, own in ROWS.groupby("class"):
        pipeline = StableDiffusionPipeline.from_pretrained(model.parent / "sd", safety_checker=None)
        pipeline.set_progress_bar_config(disable=True)
        pipeline.load_lora_weights(
            folder, weight_name=f"{label:05d}.safetensors" if per == "class" else "all.safetensors"
        )
        generators = [torch.Generator().manual_seed(seed) for seed in own["seed"].tolist()]
        expected = pipeline(
            own["prompt"].tolist(), generator=generators, num_inference_steps=4, guidance_scale=2.0, output_type="np"
        ).images
        np.testing.assert_allclose(found[own.index], 255 * expected, atol=0.02)


def test_a_picture_depends_on_its_own_row_alone(draws):
    together, _ = draws(ROWS)
    for batch_size in (1, 4):
        np.testing.assert_allclose(draws(ROWS, batch_size=batch_size)[0], together, atol=0.02)
    np.testing.assert_array_equal(draws(ROWS.iloc[::-1])[0][::-1], together)
    assert np.abs(draws(ROWS.assign(**{"class": 1}))[0][0] - together[0]).max() > 0.1


def test_changes_of_another_model_or_without_a_file_are_refused(draws, tmp_path):
    other = listed(stable_diffusion(tmp_path / "other", seed=1))
    with pytest.raises(InputError, match=r"was learned with another model than .*other.parquet; learn it again"):
        draws(ROWS, foundation=other)
