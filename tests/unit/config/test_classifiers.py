"""Classifiers that cannot work."""

import pytest
from examples import refused

from pipeline.config.workflow import Workflow

SAU = {"scheme": "sau", "data": ["real", "whole"], "augment_2": [], "augment_3": []}
CLIP = {"backbone": "clip", "foundation": "eye"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"backbone": "resnet32", "width": 64}, "width is 64, but resnet32 has 16; resnet32x4 is the wide ResNet-32"),
        ({"pretrained": "w.pth"}, "pretrained is set, but torchvision has no weights of resnet32"),
        ({"pretrained": "w.pth", "backbone": "resnet50", "init": "f0"}, "init and pretrained are both set"),
        ({"data": ["real", "real"]}, "name each once"),
        ({"warmup_epochs": 7, "epochs": 7}, "warmup_epochs is 7; it must be less than epochs, 7"),
        ({"batch_size": 8, "gpus": 8}, "batch_size is 8; with 8 GPUs it must be at least 16"),
        (
            {"batch_size": 8, "gpus": 2, "accumulate": 4},
            "batch_size is 8; with 8 parts on 2 GPUs it must be at least 16",
        ),
        ({**SAU, "accumulate": 2}, "sau compares all pictures of a batch, so accumulate must be 1; use more GPUs"),
        ({"loss": {"kind": "focal", "generated_weight": 0.3}}, "new.loss.focal: unknown key 'generated_weight'"),
        (
            {"loss": {"kind": "balanced_softmax", "class_weights": "effective_number"}},
            "new.loss.balanced_softmax: unknown key 'class_weights'",
        ),
        (
            {"loss": {"kind": "ldam", "class_weights": {"start": 0.8}}},
            "new.loss.ldam.class_weights: 'kind' is missing; it chooses the type",
        ),
        ({"scheme": "cutmix", "patch_sampler": "class_aware"}, "new.patch_sampler: unknown kind 'class_aware'"),
        (
            {"schedule": "cosine", "decay_to": [0.1, 0.01]},
            "decay_to is [0.1, 0.01], which has an effect only with schedule",
        ),
        ({"optimizer": "adamw", "nesterov": True}, "nesterov is True, which has an effect only with optimizer: sgd"),
        (
            {"prior_from": "all"},
            "prior_from is all, but neither loss, class_weights nor scheme uses the classes' sizes",
        ),
        ({"nesterov": True, "momentum": 0}, "nesterov needs a momentum above 0"),
        (
            {"loss": {"kind": "weighted_cross_entropy", "generated_weight": 0.3}},
            "generated_weight needs real and generated pictures",
        ),
        ({"decay_at": [0.9, 0.8]}, "the first must rise and the second fall"),
        ({"decay_to": [0.1, 0.1]}, "the first must rise and the second fall"),
        ({"frozen_batch_norm": True}, "frozen_batch_norm keeps the statistics of init or pretrained; set one"),
        ({"mean": [125, 123, 113]}, "mean.0: Input should be less than or equal to 1"),
        (
            {"scheme": "mixup", "data_sampler": "half_real", "data": ["real", "whole"]},
            "mix real pictures only with real ones",
        ),
        ({"data": ["whole"], "loss": "ldam"}, "loss: ldam needs the classes' sizes, but data has no real pictures"),
        ({"data": ["whole"], "scheme": "glmc"}, "scheme: glmc needs the classes' sizes"),
        (
            {"scheme": "crt", "init": "f0", "std": [0.2, 0.2, 0.2]},
            "init names f0 with std (0.2023, 0.1994, 0.201) instead",
        ),
        ({"scheme": "tau_norm", "init": "f0", "side": 16}, "init names f0 with side None instead of 16; both must"),
        ({"data_sampler": "half_real"}, "the data sampler half_real needs real and generated pictures"),
        ({"scheme": "sau", "augment_2": [], "augment_3": []}, "sau needs real and generated pictures"),
        ({"scheme": "crt"}, "a second stage needs init, the name of the first stage's classifier"),
        (
            {"scheme": "lws", "init": "f0", "loss": "ldam"},
            "a second stage has a linear head, but ldam needs a cosine one",
        ),
        ({"scheme": "tau_norm"}, "tau_norm needs init, the name of the first stage's classifier"),
        (
            {"init": "wide"},
            "init names wide with backbone resnet32x4 instead of resnet32; both must be the same (in a recipe's vary, "
            "the first stage's key is classifiers.wide.backbone)",
        ),
        ({"scheme": "lws", "init": "margin"}, "init names margin with a cosine head instead of a linear one"),
        (
            {"augment": [{"kind": "crop", "pading": 3}]},
            "classifiers.new.augment.0.crop: unknown key 'pading' (did you mean",
        ),
        ({"scheme": "mixup", "mixing_alpha": 0}, "mixing_alpha: Input should be greater than 0"),
        ({"std": [0, 1, 1]}, "std.0: Input should be greater than 0"),
        ({"backbone": "clip"}, "foundation and the backbone clip go together; set both, or none"),
        ({"foundation": "eye"}, "foundation and the backbone clip go together; set both, or none"),
        ({"tuning": "lora"}, "tuning is lora, which has an effect only with backbone: clip"),
        (
            {**CLIP, "tuning_rank": 4},
            "tuning_rank is 4, which has an effect only with tuning: adaptformer or tuning: lora",
        ),
        ({"head_text": "a {class}"}, "head_text is a {class}, which has an effect only with backbone: clip"),
        ({**CLIP, "head_text": "a bird"}, "'a bird' must have {class} in it"),
        ({**CLIP, "head_scale": 30}, "head_scale is of a head from head_text, with any loss but ldam"),
        (
            {**CLIP, "head_scale": 30, "head_text": "{class}", "loss": "ldam"},
            "with any loss but ldam, which has its own",
        ),
        ({**CLIP, "width": 32}, "width is 32, but the foundation of clip has its own; remove it"),
        ({**CLIP, "pretrained": "w.pth"}, "torchvision has no weights of clip"),
        ({**CLIP, "foundation": "eyes"}, "unknown foundation 'eyes' (did you mean 'eye'?)"),
        (
            {**CLIP, "scheme": "crt", "init": "eye", "head_text": "{class}"},
            "a second stage has a linear head, but head_text gives a",
        ),
        (
            {**CLIP, "init": "eye", "tuning": "lora"},
            "init names eye with tuning head instead of lora; both must be the same",
        ),
    ],
)
def test_a_classifier_that_cannot_work_is_told(keys, message):
    first = {"f0": {"data": ["real"]}, "wide": {"data": ["real"], "backbone": "resnet32x4"}}
    first["margin"] = {"data": ["real"], "loss": "ldam"}
    first["eye"] = {"data": ["real"], **CLIP}
    pool = {
        "foundations": {"eye": {"kind": "folder", "path": "models/eye"}},
        "generators": {"g": {"kind": "cbdm"}},
        "pools": {"s": {"generator": "g", "per_class": 1}},
        "filters": {"whole": {"pool": "s"}},
    }
    told = refused(pool | {"classifiers": first | {"new": {"data": ["real"], **keys}}})
    assert message in told and "classifiers.new" in told


def test_crt_takes_any_first_stages_backbone():
    first = {"margin": {"data": ["real"], "loss": "ldam"}}
    second = {"scheme": "crt", "data": ["real"], "init": "margin"}
    assert Workflow({"classifiers": first | {"new": second}}).part("classifiers", "new").settings()["head"] == "linear"


def test_a_second_stage_with_features_of_its_own_may_look_at_pictures_otherwise():
    first = {"f0": {"data": ["real"]}}
    Workflow({"classifiers": first | {"new": {"data": ["real"], "init": "f0", "side": 16}}})
