"""Every sampler with feedback: the guide's uncertainty rises, any batch gives the same pictures, and without it nothing changes."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from real_pictures import embeddings
from safetensors.torch import load, save_file
from tiny_models import SIDE, stable_diffusion, stable_diffusion_xl, unclip

from pipeline.artifacts import shards
from pipeline.artifacts.pictures import encode
from pipeline.classifiers import network as networks
from pipeline.classifiers.network import Network
from pipeline.config.draws import Ddim, Feedback, TextToImage, Unclip
from pipeline.errors import InputError
from pipeline.foundations import table
from pipeline.generators.cbdm.sample import Sampler as CbdmSampler
from pipeline.generators.cbdm.unet import build
from pipeline.generators.drawn import drawn
from pipeline.generators.source_embeddings import SourceEmbeddings
from pipeline.generators.text_to_image.sample import Sampler as TextSampler
from pipeline.generators.unclip.sample import Sampler as UnclipSampler
from pipeline.guidance import AT_ONCE
from pipeline.guidance import feedback as classifier_feedback

CPU = torch.device("cpu")
COUNT, CLASSES = 9, 3
ROWS = pd.DataFrame(
    {
        "class": np.arange(COUNT) % CLASSES,
        "seed": np.arange(COUNT) + 40,
        "prompt": [f"a photo of a {name}" for name in ("cat", "dog", "owl")] * 3,
        "source": [f"real{row % 4}" for row in range(COUNT)],
    }
)
KINDS = ["cbdm", "text_to_image", "unclip"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Models, a guide with the features of real pictures, and a manifest of these."""
    folder = tmp_path_factory.mktemp("guided")
    torch.manual_seed(0)
    from diffusers import DDPMScheduler

    shape = {"channels": 32, "multipliers": (1,), "blocks": 1, "attention_levels": (0,), "dropout": 0.0}
    build(shape, CLASSES, SIDE, 3).save_pretrained(folder / "cbdm/unet")
    DDPMScheduler(60, 1e-4, 0.02, variance_type="fixed_large", clip_sample=False).save_pretrained(
        folder / "cbdm/scheduler"
    )
    for kind, make in (("text_to_image", stable_diffusion), ("unclip", unclip)):
        table.write(make(folder / kind), folder / f"{kind}.parquet", {"variant": None, "allow_pickle": False})
    guide = Network("small", 8, CLASSES, [0.5] * 3, [0.5] * 3)
    with torch.no_grad():
        guide.head.weight.mul_(4)
    networks.save(guide, folder / "guide.safetensors", {"picture_size": [SIDE, SIDE]})
    features = torch.rand(30, guide.backbone.feature_size)
    save_file({"features": features, "labels": torch.arange(30) % CLASSES}, folder / "features.safetensors")
    random = np.random.default_rng(0)
    made = [
        (f"real{i}", encode(random.integers(0, 256, (20, 20, 3), np.uint8)), "png", {"class": 0, "split": "train"})
        for i in range(4)
    ]
    shards.write_table(shards.write(folder / "manifest.tar", made), folder / "manifest.parquet")
    embeddings(folder / "manifest.parquet", folder / "unclip.parquet")
    return folder


@pytest.fixture
def draws(root, cpu):
    def pictures(kind, feedback=None, rows=ROWS, batch_size=3, broken=False, **keys):
        asked = None if feedback is None else Feedback(**{"scale": 0.1, "every": 2} | feedback)
        usual = {"cbdm": Ddim, "text_to_image": TextToImage, "unclip": Unclip}[kind]
        how = (
            {"kind": "ddim", "guidance": 1.0}
            if kind == "cbdm"
            else {"kind": kind, "scheduler": "ddim", "guidance_scale": 2.0}
        )
        draw = usual(**how | {"steps": 6, "feedback": asked} | keys).model_dump()
        settings = {
            "draw": draw,
            "batch_size": batch_size,
            "generator": {"kind": kind, "precision": "float32", "safety_checker": False},
        }
        inputs = (
            {"generator": [root / "cbdm/history.parquet"]}
            if kind == "cbdm"
            else {"foundation": [root / f"{kind}.parquet"]}
        )
        inputs |= {"manifest": [root / "manifest.parquet"], "embeddings": [root / "embeddings.safetensors"]}
        if asked:
            inputs["guide"] = [root / "guide.safetensors"]
            inputs |= {"guide_features": [root / "features.safetensors"]} if asked.needs_features else {}
        samplers = {"cbdm": CbdmSampler, "text_to_image": TextSampler, "unclip": UnclipSampler}
        sampler = samplers[kind](inputs, settings, CPU)
        return np.concatenate(list(drawn(sampler, rows) if broken else sampler.draw(rows)))

    return pictures


@pytest.fixture
def seen(monkeypatch):
    """What the U-Net, and `guided`, were called with: {"unet": [...], "guided": [...]}, in order, as dictionaries."""
    found = {"unet": [], "guided": []}
    for kind in (UNet2DModel, UNet2DConditionModel):

        def forward(self, sample, timestep, *others, usual=kind.forward, **conditions):
            made = usual(self, sample, timestep, *others, **conditions)
            needs = any(weight.requires_grad for weight in self.parameters())
            call = {"count": len(sample), "time": int(torch.as_tensor(timestep).flatten()[0]), "trained": needs}
            found["unet"].append(call | {"labels": conditions.get("class_labels")})
            return made

        monkeypatch.setattr(kind, "forward", forward)
    usual_guided = classifier_feedback.Feedback.guided

    def guided(self, latents, labels, seeds, predict, clean, noise_share, *others):
        call = {"place": len(found["unet"]), "noise_share": noise_share, "clean": clean, "latents": latents.clone()}
        moved, predicted = usual_guided(self, latents, labels, seeds, predict, clean, noise_share, *others)
        found["guided"].append(call | {"predicted": predicted})
        return moved, predicted

    monkeypatch.setattr(classifier_feedback.Feedback, "guided", guided)
    return found


def value(root, criterion, pictures):
    guide = networks.load(root / "guide.safetensors", CPU)
    logits = guide(torch.from_numpy(np.rint(pictures)).permute(0, 3, 1, 2)).detach().double()
    logs = logits.log_softmax(1)
    if criterion == "loss":
        return -logs[torch.arange(len(logs)), torch.tensor(ROWS["class"].to_numpy())].numpy()
    return -(logs.exp() * logs).sum(1).numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("criterion", ["entropy", "loss"])
def test_the_criterion_rises(kind, criterion, draws, root):
    usual, led = draws(kind), draws(kind, {"criterion": criterion, "scale": 0.2, "every": 1})
    rise = value(root, criterion, led) - value(root, criterion, usual)
    assert rise.mean() > 0 and (rise > 0).mean() > 0.7, rise


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["exact", "decoder", "pooled"])
def test_a_picture_is_the_same_in_any_batch(kind, mode, draws):
    feedback = {"mode": mode, "criterion": "combined"}
    alone, few, many = (np.rint(draws(kind, feedback, batch_size=size)) for size in (1, 7, 64))
    assert (alone == few).all() and (few == many).all()
    assert (np.rint(draws(kind)) != alone).any(axis=(1, 2, 3)).all()
    backwards = draws(kind, feedback, rows=ROWS[::-1], batch_size=4)[::-1]
    assert (np.rint(backwards) == alone).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["exact", "decoder"])
def test_six_of_thirty_steps_are_led_without_a_further_pass_of_the_network(kind, mode, draws, seen):
    draws(kind, {"mode": mode, "every": 5}, rows=ROWS[:2], steps=30)
    times = [call["time"] for call in seen["unet"]]
    assert len(set(times)) == 30 and times == sorted(times, reverse=True)
    assert sum(call["count"] for call in seen["unet"]) == 30 * 2 * AT_ONCE
    led = [times[call["place"]] for call in seen["guided"]]
    assert led == sorted(set(times), reverse=True)[::5]
    assert not any(call["trained"] for call in seen["unet"])  # no gradients of frozen parts


@pytest.mark.parametrize(
    ("kind", "predicts"), [("cbdm", "epsilon"), ("text_to_image", "epsilon"), ("unclip", "v_prediction")]
)
def test_the_guide_sees_the_clean_latents_that_the_prediction_means(kind, predicts, draws, seen, root):
    draws(kind, {"every": 1}, rows=ROWS[:1])
    assert len(seen["guided"]) == 6
    if kind == "cbdm":
        betas = np.linspace(1e-4, 0.02, 60)
    else:
        config = json.loads((root / kind / "scheduler/scheduler_config.json").read_text())
        assert config["beta_schedule"] == "scaled_linear" and config["prediction_type"] == predicts
        betas = np.linspace(config["beta_start"] ** 0.5, config["beta_end"] ** 0.5, 1000) ** 2
    for call in seen["guided"]:
        alpha_bar = np.cumprod(1 - betas)[seen["unet"][call["place"]]["time"]]
        signal, noise = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
        assert call["noise_share"] == pytest.approx(noise, rel=1e-4)
        noisy, predicted = call["latents"].double(), call["predicted"].double()
        expected = signal * noisy - noise * predicted
        if predicts == "epsilon":
            expected = (noisy - noise * predicted) / signal
        torch.testing.assert_close(call["clean"](predicted, noisy), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_feedback_of_no_length_changes_nothing(kind, draws):
    """Also the halves of the guided step's prediction, which are computed one after the other, are the usual ones."""
    np.testing.assert_allclose(draws(kind, {"scale": 0.0}), draws(kind), atol=2e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_without_classifier_free_guidance_there_is_feedback_too(kind, draws):
    keys = {"guidance": 0.0} if kind == "cbdm" else {"guidance_scale": 1.0}
    np.testing.assert_allclose(draws(kind, {"scale": 0.0}, **keys), draws(kind, **keys), atol=2e-2)
    assert np.abs(draws(kind, {}, **keys) - draws(kind, **keys)).max() > 1


@pytest.mark.parametrize("kind", ["cbdm", "unclip"])  # the other's scheduler clips what it predicts
def test_pictures_that_it_breaks_are_drawn_without_it(kind, draws):
    made = draws(kind, {"scale": 3e38}, broken=True)
    assert made["redrawn"].all() and made["picture"].std() > 1


@pytest.mark.parametrize("name", ["guide", "features"])
def test_damaged_files_of_a_guide_are_told(name, root, draws):
    path = root / f"{name}.safetensors"
    kept = path.read_bytes()
    path.write_bytes(kept[:100])
    try:
        with pytest.raises(InputError, match=f"{name}.safetensors is missing or damaged|{name}.safetensors is damaged"):
            draws("cbdm", {"criterion": "hardness"})
    finally:
        path.write_bytes(kept)


def test_a_model_that_takes_no_feedback_is_told(root, draws):
    path = root / "text_to_image.parquet"
    kept = path.read_bytes()
    table.write(stable_diffusion_xl(root / "xl"), path, {"variant": None, "allow_pickle": False})
    try:
        with pytest.raises(InputError, match="is a StableDiffusionXLPipeline, which takes no feedback; remove guide"):
            draws("text_to_image", {})
    finally:
        path.write_bytes(kept)


def test_dropout_of_the_embedding_is_the_rows_own(draws):
    usual, dropped = draws("unclip"), draws("unclip", embedding_dropout=0.5)
    assert (np.rint(usual) != np.rint(dropped)).any(axis=(1, 2, 3)).all()
    assert (np.rint(draws("unclip", embedding_dropout=0.5, batch_size=7)) == np.rint(dropped)).all()


def test_with_all_dropped_the_real_picture_makes_no_difference(draws):
    others = ROWS.assign(source=ROWS["source"].to_numpy()[::-1])
    assert (others["source"] != ROWS["source"]).any()
    found = draws("unclip", embedding_dropout=1.0)
    assert np.isfinite(found).all() and np.array_equal(found, draws("unclip", rows=others, embedding_dropout=1.0))
    assert not np.array_equal(draws("unclip"), draws("unclip", rows=others))


def test_dropout_takes_numbers_of_the_embedding_before_it_is_noised_and_none_of_the_noise_level(draws, seen, root):
    real = SourceEmbeddings(root / "manifest.parquet", root / "embeddings.safetensors").of(ROWS["source"][:AT_ONCE])
    labels = []
    for rate in (0.0, 0.25):
        seen["unet"].clear()
        draws("unclip", {"scale": 0.0}, rows=ROWS[:AT_ONCE], embedding_dropout=rate, guidance_scale=1.0)
        each = [call["labels"] for call in seen["unet"]]
        assert all(torch.equal(one, each[0]) for one in each)  # the same in all steps
        labels.append(each[0].double())
    width = real.shape[1]
    assert labels[0].shape == (AT_ONCE, 2 * width) and torch.equal(labels[0][:, width:], labels[1][:, width:])
    ratio = ((labels[1] - labels[0])[:, :width] / real)[real.abs() > 0.05]
    dropped = ratio < 0
    torch.testing.assert_close(ratio, torch.where(dropped, -1.0, 1 / 3).double(), rtol=0.02, atol=0)
    assert 0.1 < dropped.double().mean() < 0.4


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            {"class": [0, 3], "class_name": ["cat", "emu"]},
            "has nothing as class 3, but the plan 'emu'; name a guide that",
        ),
        (
            {"class": [1, 2], "class_name": ["dog", "emu"]},
            "has 'owl' as class 2, but the plan 'emu'; name a guide that",
        ),
    ],
)
def test_a_guide_of_other_classes_is_told(rows, told, tmp_path):
    weights = tmp_path / "guide.safetensors"
    guide = Network("small", 8, CLASSES, [0.5] * 3, [0.5] * 3)
    networks.save(guide, weights, {"picture_size": [SIDE, SIDE], "class_names": ["cat", "dog", "owl"]})
    classifier_feedback.require_classes(weights, pd.DataFrame({"class": [0, 2], "class_name": ["cat", "owl"]}))
    with pytest.raises(InputError, match=f"guide.safetensors {told}"):
        classifier_feedback.require_classes(weights, pd.DataFrame(rows))


@pytest.mark.parametrize("fault", ["size", "class", "number"])
def test_features_of_another_guide_are_told(fault, root, draws):
    path = root / "features.safetensors"
    kept = path.read_bytes()
    found = load(kept)
    if fault == "size":
        found["features"] = found["features"][:, :-1].contiguous()
    elif fault == "class":
        found["labels"][0] = CLASSES
    else:
        found["features"][0, 0] = torch.nan
    save_file(found, path)
    try:
        with pytest.raises(
            InputError, match=r"features\.safetensors has other classes than .*guide\.safetensors, features of"
        ):
            draws("cbdm", {"criterion": "hardness"})
    finally:
        path.write_bytes(kept)


def test_a_guide_of_oblong_pictures_needs_a_side(root, draws, tmp_path):
    guide = Network("small", 8, CLASSES, [0.5] * 3, [0.5] * 3)
    kept = (root / "guide.safetensors").read_bytes()
    networks.save(guide, root / "guide.safetensors", {"picture_size": [SIDE, 2 * SIDE]})
    try:
        with pytest.raises(
            InputError, match=f"was trained on pictures of {2 * SIDE} x {SIDE}; set the side of the feedback"
        ):
            draws("cbdm", {})
        assert draws("cbdm", {"side": 8}).shape[1:] == (SIDE, SIDE, 3)
    finally:
        (root / "guide.safetensors").write_bytes(kept)
