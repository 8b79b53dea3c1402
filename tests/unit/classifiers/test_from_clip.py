"""Classifiers that start from a CLIP: against the model itself, and plain formulas in float64."""

import json

import numpy as np
import open_clip
import pytest
import torch
from tiny_models import clip as tiny_clip
from torch.nn import functional

from pipeline.classifiers import from_clip
from pipeline.classifiers import network as networks
from pipeline.classifiers.backbones.clip import default_rank
from pipeline.errors import InputError
from pipeline.foundations import clip, table

NAMES = ["aquarium_fish", "owl", "wren"]
SETTINGS = {"mean": [0.5] * 3, "std": [0.25] * 3, "side": None, "tuning": "head", "tuning_rank": 2}
WITH_TEXTS = SETTINGS | {"head": "cosine", "head_scale": 25.0, "head_text": "a photo of a {class}."}
TUNINGS = ["head", "adaptformer", "lora"]
PICTURES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), np.uint8))


@pytest.fixture(scope="module")
def foundation(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    table.write(tiny_clip(folder / "clip"), folder / "foundation.parquet")
    return folder / "foundation.parquet"


def built(foundation, settings=SETTINGS, **keys):
    torch.manual_seed(0)
    return from_clip.build(settings | keys, NAMES, (32, 32), foundation)


def moved(network):
    """The network, with what is trained away from where it starts."""
    with torch.no_grad():
        for weight in network.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.3)
    return network


@pytest.mark.parametrize("tuning", TUNINGS)
def test_it_starts_as_the_clip_and_its_texts(foundation, tuning):
    network = built(foundation, WITH_TEXTS, tuning=tuning).eval()
    loaded = clip.load(foundation.parent / "clip")
    projection = loaded.model.visual.proj.detach().double()
    texts = [f"a photo of a {name}." for name in ("aquarium fish", "owl", "wren")]
    words = loaded.model.encode_text(loaded.tokenize(texts), normalize=True).detach().double()
    features = network.features(PICTURES).detach()
    seen = loaded.model.encode_image((PICTURES / 255 - 0.5) / 0.25).detach().double()
    torch.testing.assert_close(features.double() @ projection, seen, rtol=1e-5, atol=1e-5)
    cosines = functional.cosine_similarity(features.double()[:, None], (words @ projection.T)[None], dim=2)
    torch.testing.assert_close(network(PICTURES).detach().double(), 25 * cosines, rtol=1e-5, atol=1e-5)


def plainly(network, tuning, tokens):
    """Blocks of the transformer in float64, from its tensors by name, without its modules."""
    found = {name: tensor.double() for name, tensor in network.backbone.state_dict().items()}
    width = tokens.shape[2]

    def norm(x, name):
        return functional.layer_norm(x, (width,), found[f"{name}.weight"], found[f"{name}.bias"])

    def linear(x, name):
        return functional.linear(x, found[f"{name}.weight"], found[f"{name}.bias"])

    for block in range(2):
        place = f"transformer.resblocks.{block}"
        if tuning == "lora":
            weight = found[f"{place}.attn.parametrizations.in_proj_weight.original"].clone()
            down, up = (found[f"{place}.attn.parametrizations.in_proj_weight.0.{name}"] for name in ("down", "up"))
            weight[:width] += up[0] @ down[0] / 2
            weight[2 * width :] += up[1] @ down[1] / 2
        else:
            weight = found[f"{place}.attn.in_proj_weight"]
        queries, keys, values = functional.linear(
            norm(tokens, f"{place}.ln_1"), weight, found[f"{place}.attn.in_proj_bias"]
        ).chunk(3, dim=2)
        heads = [slice(start, start + 8) for start in range(0, width, 8)]
        seen = [((queries[..., one] @ keys[..., one].mT / 8**0.5).softmax(-1) @ values[..., one]) for one in heads]
        tokens = tokens + linear(torch.cat(seen, 2), f"{place}.attn.out_proj")
        if tuning == "adaptformer":
            narrow = f"{place}.mlp.narrow"
            beside = linear(linear(norm(tokens, f"{narrow}.0"), f"{narrow}.1").relu(), f"{narrow}.3")
            beside = found[f"{place}.mlp.scale"] * beside
            names = f"{place}.mlp.norm", f"{place}.mlp.mlp"
        else:
            beside, names = 0, (f"{place}.ln_2", f"{place}.mlp")
        hidden = functional.gelu(linear(norm(tokens, names[0]), f"{names[1]}.c_fc"))
        tokens = tokens + linear(hidden, f"{names[1]}.c_proj") + beside
    return norm(tokens, "ln_post")[:, 0]


@pytest.mark.parametrize("tuning", TUNINGS)
def test_the_changes_are_those_of_the_formulas(foundation, tuning):
    network = moved(built(foundation, tuning=tuning)).double().eval()
    with torch.no_grad():
        tokens = network.backbone._embeds((PICTURES.double() / 255 - 0.5) / 0.25)
        found = network.backbone((PICTURES.double() / 255 - 0.5) / 0.25)
        torch.testing.assert_close(found, plainly(network, tuning, tokens), rtol=1e-9, atol=1e-9)
    start = built(foundation).double().eval().backbone((PICTURES.double() / 255 - 0.5) / 0.25)
    assert ((found - start).abs().max() > 0.01) == (tuning != "head")


@pytest.mark.parametrize("tuning", TUNINGS)
def test_nothing_of_the_clip_moves(foundation, tuning):
    network = built(foundation, WITH_TEXTS, tuning=tuning).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.SGD([weight for weight in network.parameters() if weight.requires_grad], 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        functional.cross_entropy(network(PICTURES), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    own = {"adaptformer": ".mlp.narrow.", "lora": ".in_proj_weight.0."}
    new = {name for name in before if (tuning in own and own[tuning] in name) or name.endswith(".mlp.scale")}
    assert changed == {"head.weight"} | new
    assert len(new) == {"head": 0, "adaptformer": 2 * 7, "lora": 2 * 2}[tuning]
    frozen = {name for name, weight in network.named_parameters() if weight.grad is None}
    assert not changed & frozen


@pytest.mark.parametrize("tuning", TUNINGS)
def test_it_is_saved_and_loaded_whole(foundation, tuning, tmp_path):
    network = moved(built(foundation, WITH_TEXTS, tuning=tuning)).eval()
    networks.save(network, tmp_path / "weights.safetensors", {"settings": {}})
    loaded = networks.load(tmp_path / "weights.safetensors", torch.device("cpu"))
    for one, other in zip(network.predict(PICTURES), loaded.predict(PICTURES), strict=True):
        assert torch.equal(one, other)
    outcome = networks.outcome(tmp_path / "weights.safetensors")
    assert networks.label(outcome) == f"clip, width 32, pretrained, {tuning} trained"
    again = built(foundation, WITH_TEXTS, tuning=tuning)
    networks.start_from(again, tmp_path / "weights.safetensors")
    assert torch.equal(again.eval()(PICTURES), network(PICTURES))
    with pytest.raises(InputError, match="is of another network: clip"):
        networks.start_from(built(foundation, tuning="lora", tuning_rank=3), tmp_path / "weights.safetensors")


def test_the_rank_is_lifts():
    """From its public code: 32 for ImageNet's 1,000 classes and 12 layers, 8 for Places', 256 for iNaturalist's, 4 for CIFAR-100's."""
    found = [default_rank(classes, 12) for classes in (1000, 365, 8142, 100, 10)]
    assert found == [32, 8, 256, 4, 1]


def test_another_size_of_pictures_is_refused(foundation):
    with pytest.raises(
        InputError, match="sees pictures otherwise; set `side: 32`, because the pictures have 28 x 24 px"
    ):
        from_clip.build(SETTINGS, NAMES, (24, 28), foundation)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"mean": [0.4, 0.5, 0.5]}, r"sees pictures otherwise; set `mean: \[0.5, 0.5, 0.5\]`"),
        ({"std": [0.2] * 3}, r"sees pictures otherwise; set `std: \[0.25, 0.25, 0.25\]`"),
    ],
)
def test_another_look_at_pictures_is_refused(foundation, keys, message):
    with pytest.raises(InputError, match=message):
        built(foundation, **keys)


def resnet(model):
    model["vision_cfg"] |= {"layers": [1, 1, 1, 1]}


def timm(model):
    model["vision_cfg"] = {"timm_model_name": "vit_base", "image_size": 32}


def without_a_token(model):
    model["vision_cfg"] |= {"pool_type": "none"}


def with_tokens(model):
    model["vision_cfg"] |= {"output_tokens": True}


def nothing(model):
    model.clear()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (resnet, "is a CLIP without open_clip's vision transformer; name another foundation"),
        (timm, "is a CLIP without open_clip's vision transformer; name another foundation"),
        (without_a_token, "is a CLIP without open_clip's vision transformer; name another foundation"),
        (with_tokens, "is a CLIP without open_clip's vision transformer; name another foundation"),
        (nothing, "open_clip_config.json is missing or damaged, or of no CLIP; get the model again"),
    ],
)
def test_a_clip_of_another_kind_is_refused(tmp_path, change, message):
    config = tiny_clip(tmp_path / "clip") / "open_clip_config.json"
    about = json.loads(config.read_text())
    change(about["model_cfg"])
    config.write_text(json.dumps(about))
    table.write(tmp_path / "clip", tmp_path / "foundation.parquet")
    with pytest.raises(InputError, match=message):
        built(tmp_path / "foundation.parquet")


@pytest.mark.parametrize("mean", [[0.5, 0.5], [float("nan")] * 3, None])
def test_a_clip_without_a_mean_is_refused(tmp_path, mean):
    config = tiny_clip(tmp_path / "clip") / "open_clip_config.json"
    about = json.loads(config.read_text())
    about["preprocess_cfg"]["mean"] = mean
    config.write_text(json.dumps(about))
    table.write(tmp_path / "clip", tmp_path / "foundation.parquet")
    with pytest.raises(InputError, match="clip"):
        built(tmp_path / "foundation.parquet")


def test_classes_that_are_read_alike_are_told(foundation):
    """Their names begin after the last token that the CLIP reads."""
    with pytest.raises(
        InputError, match="as it reads the text of another class, because it is too long; shorten head_text"
    ):
        built(foundation, WITH_TEXTS, head_text="word " * 90 + "{class}")


def test_patches_are_never_left_out(tmp_path):
    """CLIPs are trained with fewer patches for speed; nothing here reads such a key of their config."""
    config = tiny_clip(tmp_path / "clip") / "open_clip_config.json"
    about = json.loads(config.read_text())
    about["model_cfg"]["vision_cfg"]["patch_dropout"] = 0.5
    config.write_text(json.dumps(about))
    table.write(tmp_path / "clip", tmp_path / "foundation.parquet")
    network = built(tmp_path / "foundation.parquet")
    assert isinstance(open_clip.CLIP(**about["model_cfg"]).visual.patch_dropout, open_clip.transformer.PatchDropout)
    torch.testing.assert_close(network.train()(PICTURES), network.eval()(PICTURES))
