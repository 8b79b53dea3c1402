"""Mistakes in the config: one sentence that names the entry, its key and what is allowed."""

import re

import pytest
from examples import EXAMPLE, example, painted, refused, runs, varied

from pipeline.config.presets import read
from pipeline.config.reads import inputs
from pipeline.config.workflow import Workflow
from pipeline.errors import InputError

GLIDE = {"kind": "glide", "base": "base.pt", "upsampler": "up.pt", "vocabulary": "vocab.bpe"}
BAD = {
    "unknown section": (example(pool={}), "unknown section 'pool'", "did you mean 'pools'?", "classifiers"),
    "unknown key": (
        example(generators={"cbdm": {"gama": 1}}),
        "generators.cbdm: unknown key 'gama'",
        "did you mean 'gamma'?",
        "allowed: batch_size",
    ),
    "true for a number": (
        example(generators={"cbdm": {"steps": True}}),
        "generators.cbdm: steps is true, but must be a",
    ),
    "false in a list of numbers": (
        example(classifiers={"ce": {"decay_to": [0.1, False]}}),
        "classifiers.ce: decay_to is false, but must be a number",
    ),
    "true for a number inside": (
        example(generators={"cbdm": {"unet": {"channels": True}}}),
        "generators.cbdm.unet: channels is true, but must be a number",
    ),
    "level without channels": (
        example(generators={"cbdm": {"unet": {"multipliers": [1, 0], "attention_levels": []}}}),
        "generators.cbdm.unet.multipliers.1: ",
        "greater than or equal to 1",
    ),
    "level of less than no channels": (
        example(generators={"cbdm": {"unet": {"multipliers": [-1], "attention_levels": []}}}),
        "generators.cbdm.unet.multipliers.0: ",
        "greater than or equal to 1",
    ),
    "pool in the place of a filter": (
        example(classifiers={"diffult": {"data": ["real", "cbdm"]}}),
        "classifiers.diffult: data is 'cbdm', which is in generators; name one of filters instead",
    ),
    "site key with a mistake": (
        example(checkpoint_minute=1),
        "unknown section 'checkpoint_minute' (did you mean 'checkpoint_minutes'?)",
    ),
    "text for a list": (
        example(recipes={"diffult": {"datasets": "cifar100_lt"}}),
        "recipes.diffult.datasets: it must be a list, such as [cifar100_lt] (it is 'cifar100_lt')",
    ),
    "model of a hub without its owner": (
        example(foundations={"gpt": {"kind": "pretrained", "hub": ["gpt2"]}}),
        "foundations.gpt.hub: 'gpt2' is no model's name; write owner/name, or owner/name@revision",
    ),
    "small model of a data set without a tail": (
        example(
            datasets={"mine": {"source": "image_folder", "path": "mine"}},
            foundations={"small": {"kind": "mini", "dataset": "mine"}},
        ),
        "foundations.small: it trains on pictures that mine leaves out, but there are none; give it an imbalance_factor",
    ),
    "small model of pictures of many sizes": (
        example(
            datasets={"mine": {"source": "imagenet", "rest": True}},
            foundations={"small": {"kind": "mini", "dataset": "mine"}},
        ),
        "foundations.small: the pictures of mine differ in size; set side, in pixels",
    ),
    "lora drawn with vectors": (
        painted(
            generators={"sd": {"kind": "lora", "foundation": "tiny"}},
            pools={"painted": {"draw": {"kind": "textual_inversion"}}},
        ),
        "pools.painted: draw is textual_inversion, but sd accepts only text_to_image",
    ),
    "template with a format": (
        painted(prompts={"plain": {"kind": "templates", "templates": ["a {class:d}"]}}),
        "'a {class:d}' has more than a word in braces; remove what follows the word",
    ),
    "placeholder of two words": (
        painted(generators={"ti": {"kind": "textual_inversion", "foundation": "tiny", "placeholder": "a b"}}),
        "generators.ti.placeholder: 'a b' is no token; write one word without blanks, as <learned>",
    ),
    "no templates": (
        painted(generators={"ti": {"kind": "textual_inversion", "foundation": "tiny", "templates": []}}),
        "generators.ti.templates",
    ),
    "feedback without a guide": (
        example(pools={"cbdm": {"draw": {"kind": "ddim", "feedback": {}}}}),
        "pools.cbdm: guide and the feedback of draw go together; set both, or none",
    ),
    "feedback with another scheduler": (
        painted(pools={"painted": {"guide": "ce", "draw": {"kind": "text_to_image", "feedback": {}}}}),
        "pools.painted.draw.text_to_image: scheduler is saved, but feedback needs ddim; set scheduler: ddim",
    ),
    "a side for a guide that has its own": (
        painted(
            foundations={"eye": {"kind": "folder", "path": "models/eye"}},
            classifiers={"seer": {"extends": "ce", "backbone": "clip", "foundation": "eye"}},
            pools={
                "painted": {"guide": "seer", "draw": {"scheduler": "ddim", "feedback": {"side": 64}}},
            },
        ),
        "pools.painted: the guide seer sees pictures of its CLIP's side alone; remove the side of feedback",
    ),
    "guide that would be its own product": (
        example(
            pools={"cbdm": {"guide": "diffult", "draw": {"kind": "ddim", "feedback": {}}}},
        ),
        "the config has a circular reference: ",
    ),
    "quality with a key that nothing reads": (
        painted(qualities={"q": {"pool": "painted", "foundation": "tiny", "splits": 3}}),
        "qualities.q: splits is 3, which has an effect only with scorer or inception_weights",
    ),
    "small model of pictures that are not kept": (
        example(
            datasets={"cifar100_lt": {"rest": False}}, foundations={"small": {"kind": "mini", "dataset": "cifar100_lt"}}
        ),
        "foundations.small: it trains on pictures that cifar100_lt leaves out, but there are none; set its `rest` to true",
    ),
    "left-out pictures of a data set without a tail": (
        example(
            datasets={"mine": {"source": "image_folder", "path": "mine"}},
            classifiers={"bound": {"extends": "ce", "data": ["real", "rest"]}},
            recipes={"bound": {"classifier": "bound", "datasets": ["mine"]}},
        ),
        "classifiers.bound on mine: data names rest, but the data set leaves no pictures out; give it an imbalance_factor",
    ),
    "fold without folds": (
        example(datasets={"mine": {"source": "image_folder", "path": "mine", "fold": 1}}),
        "datasets.mine: fold is 1, but folds is not given; the folds of `folds: 5` are 0 to 4",
    ),
    "family that is no name": (
        example(datasets={"cifar100_lt": {"family": "my birds"}}),
        "datasets.cifar100_lt.family: it must have lower-case letters, digits and _ only (it is 'my birds')",
    ),
    "data set in the place of the papers' tables": (
        example(datasets={"tables": {"extends": "cifar100_lt"}}),
        "datasets: a data set cannot be called 'tables'",
    ),
    "name that no folder can have": (
        example(classifiers={"a" * 101: {"extends": "ce"}}),
        "is not a valid name; use up to 100 lower-case letters",
    ),
    "text-to-image pool without prompts": (
        painted(pools={"painted": {"prompts": None}}),
        "pools.painted: sd draws from texts; name some prompts",
    ),
    "prompts for a generator that reads none": (
        painted(pools={"cbdm": {"prompts": "plain"}}),
        "pools.cbdm: cbdm reads no texts; remove prompts",
    ),
    "way of drawing of another generator": (
        painted(pools={"painted": {"draw": {"kind": "ddim"}}}),
        "pools.painted: draw is ddim, but sd accepts only text_to_image",
    ),
    "prompts for a model that reads pictures alone": (
        painted(
            generators={"sd": {"kind": "image_variation", "foundation": "tiny"}},
            pools={"painted": {"draw": {"kind": "image_variation"}}},
        ),
        "pools.painted: sd reads no texts; remove prompts",
    ),
    "image to image without prompts": (
        painted(
            generators={"sd": {"kind": "image_to_image", "foundation": "tiny"}},
            pools={"painted": {"prompts": None, "draw": {"kind": "image_to_image", "strength": 0.5}}},
        ),
        "pools.painted: sd draws from texts; name some prompts",
    ),
    "strength that does no step": (
        painted(
            generators={"sd": {"kind": "image_to_image", "foundation": "tiny"}},
            pools={"painted": {"draw": {"kind": "image_to_image", "strength": 0.01}}},
        ),
        "pools.painted.draw.image_to_image: strength is 0.01, which is less than one of 50 steps; raise one of them",
    ),
    "safety checker that the foundation does not get": (
        painted(generators={"sd": {"safety_checker": True}}),
        "generators.sd: safety_checker is true, but tiny comes without one; set foundations.tiny.safety_checker too",
    ),
    "pictures as large as the model draws them": (
        painted(pools={"painted": {"store": {"side": None}}}),
        "pictures of painted are as large as its model draws them and real ones 32 px; give it a side, in pixels, or the",
        "or the pool `store: {side: 32}`",
    ),
    "negative prompt without guidance": (
        painted(pools={"painted": {"draw": {"kind": "text_to_image", "guidance_scale": 1, "negative_prompt": "a"}}}),
        "pools.painted.draw.text_to_image: negative_prompt has no effect without guidance; set guidance_scale above 1",
    ),
    "model that another kind of generator draws with": (
        painted(foundations={"tiny": GLIDE}),
        "generators.sd: tiny is a GLIDE, which a generator of `kind: glide` draws with",
    ),
    "pictures of an upsampler that is not there": (
        painted(
            foundations={"glide": {key: GLIDE[key] for key in ("kind", "base", "vocabulary")}},
            generators={"glide": {"kind": "glide", "foundation": "glide"}},
            pools={"painted": {"generator": "glide", "draw": {"kind": "glide", "upsample": True}}},
        ),
        "pools.painted: upsample is true, but the foundation glide has no upsampler; give it one",
    ),
    "pickles that are read anyway": (
        painted(foundations={"glide": GLIDE | {"allow_pickle": True}}),
        "foundations.glide: unknown key 'allow_pickle'",
    ),
    "template without a class": (
        painted(prompts={"plain": {"templates": ["a photo of {name}"]}}),
        "prompts.plain.templates: 'a photo of {name}' must have {class} in it, may have {context} in it, and nothing else in braces",
    ),
    "a key in the place of its variable": (
        painted(prompts={"chat": {"kind": "endpoint", "url": "https://h/v1", "model": "m", "key_variable": "sk-1"}}),
        "prompts.chat.key_variable: it must be the name of an environment variable, in capital letters, and not the key",
    ),
    "query without a class": (
        painted(prompts={"lm": {"kind": "language_model", "foundation": "tiny", "query": "a bird"}}),
        "prompts.lm.query: 'a bird' must have {class} in it, and nothing else in braces",
    ),
    "beams for sampling": (
        painted(prompts={"lm": {"kind": "language_model", "foundation": "tiny", "decoding": {"beams_per_prompt": 2}}}),
        "prompts.lm.decoding: ",
    ),
    "data set in the place of the answers": (
        example(datasets={"answers": {"extends": "cifar100_lt"}}),
        "datasets: a data set cannot be called 'answers', because results/answers has answers of endpoints",
    ),
    "foundation on some data sets": (
        painted(foundations={"tiny": {"where": {"cifar100_lt": {"path": "b"}}}}),
        "foundations.tiny.where: a foundation belongs to no data set, so it has no `where`; write another foundation",
    ),
    "data set in the place of the foundations": (
        example(datasets={"foundations": {"extends": "cifar100_lt"}}),
        "datasets: a data set cannot be called 'foundations', because results/foundations has the foundations",
    ),
    "value twice": (
        varied({"generator.tau": [0, 0.1, "1e-1"]}),
        "recipes.tried: vary: 'generator.tau' has the value 0.1 twice, once as 1e-1; give it once",
    ),
    "unknown source": (
        example(datasets={"cifar100_lt": {"source": "cifar"}}),
        "datasets.cifar100_lt: unknown source 'cifar'",
        "allowed: digits, mnist_5k, cifar10, cifar100",
    ),
    "missing kind": (example(generators={"new": {"tau": 1}}), "generators.new: 'kind' is missing", "one of cbdm"),
    "missing key": (example(pools={"new": {"fill_to": "max"}}), "pools.new.generator: Field required"),
    "misspelt reference": (
        example(pools={"cbdm": {"generator": "cdbm"}}),
        "pools.cbdm: unknown generator 'cdbm'",
        "did you mean 'cbdm'?",
        "allowed: cbdm",
    ),
    "misspelt data": (
        example(classifiers={"diffult": {"data": ["real", "likly"]}}),
        "classifiers.diffult: unknown data 'likly'",
        "did you mean 'likely'?",
    ),
    "dangling extends": (
        example(datasets={"cifar100_lt_200": {"extends": "cifar10_lt"}}),
        "datasets.cifar100_lt_200: unknown extends 'cifar10_lt'",
        "did you mean 'cifar100_lt'?",
    ),
    "imbalance factor below 1": (
        example(datasets={"cifar100_lt": {"imbalance_factor": 0.5}}),
        "datasets.cifar100_lt.imbalance_factor",
        "greater than or equal to 1",
        "0.5",
    ),
    "larger class than there is": (
        example(datasets={"cifar100_lt": {"largest_class": 600}}),
        "datasets.cifar100_lt: largest_class is 600",
        "cifar100 has 500",
    ),
    "own pictures without a folder": (
        example(datasets={"birds": {"source": "image_folder"}}),
        "datasets.birds.path: Field required",
    ),
    "longer tail than there are pictures": (
        example(datasets={"cifar100_lt": {"imbalance_factor": 501}}),
        "datasets.cifar100_lt: imbalance_factor is 501; with 500 pictures in the largest class",
    ),
    "longer tail of own pictures than there are": (
        example(datasets={"b": {"source": "image_folder", "path": "b", "largest_class": 9, "imbalance_factor": 10}}),
        "datasets.b: imbalance_factor is 10; with 9 pictures in the largest class",
    ),
    "long tail of own pictures without its factor": (
        example(datasets={"birds": {"source": "image_folder", "path": "birds", "largest_class": 10}}),
        "datasets.birds: largest_class is for a long tail; give imbalance_factor too",
    ),
    "two ways to hold test pictures out": (
        example(datasets={"b": {"source": "image_folder", "path": "b", "test_share": 0.2, "folds": 5}}),
        "datasets.b: test_share and folds both hold out test pictures; give one of them",
    ),
    "a fold beyond the folds": (
        example(datasets={"b": {"source": "image_folder", "path": "b", "folds": 5, "fold": 5}}),
        "datasets.b: fold is 5, but folds is 5; the folds of `folds: 5` are 0 to 4",
    ),
    "imbalance factor of a data set with lists": (
        example(datasets={"big": {"source": "imagenet", "imbalance_factor": 100}}),
        "datasets.big: unknown key 'imbalance_factor'",
        "most_rejected",
    ),
    "share of rejected pictures above 1": (
        example(datasets={"cifar100_lt": {"most_rejected": 1.5}}),
        "datasets.cifar100_lt.most_rejected",
        "less than 1",
    ),
    "side that the U-Net cannot halve": (
        example(generators={"cbdm": {"side": 28}}),
        "generators.cbdm: side is 28; with 4 levels it must be a multiple of 8",
    ),
    "negative threshold": (
        example(filters={"likely": {"keep": "d1 <= -1"}}),
        "filters.likely: keep is 'd1 <= -1': the threshold of d1 must be at least 0",
    ),
    "probability above 1": (example(filters={"likely": {"keep": "d3 >= 1.5"}}), "filters.likely: keep", "lie in 0..1"),
    "metric that is not scored": (
        example(scores={"by_ce": {"metrics": ["d1", "d2"]}}),
        "filters.likely: keep is 'd3 >= 5e-7'",
        "scores.by_ce has only d1, d2",
    ),
    "keep that is no expression": (
        example(filters={"likely": {"keep": "the likely ones"}}),
        "filters.likely.keep: keep is 'the likely ones'",
        "write 'all' or conditions like",
    ),
    "condition on bare samples": (
        example(filters={"bare": {"pool": "cbdm", "keep": "d3 >= 0.5"}}),
        "filters.bare: keep is 'd3 >= 0.5', but the filter has no scores",
    ),
    "filter of both": (
        example(filters={"likely": {"pool": "cbdm"}}),
        "filters.likely: exactly one of pool and scores",
    ),
    "both fill_to and per_class": (
        example(pools={"cbdm": {"per_class": 5}}),
        "pools.cbdm: exactly one of fill_to and per_class",
    ),
    "neither fill_to nor per_class": (
        example(pools={"cbdm": {"fill_to": None}}),
        "pools.cbdm: exactly one of fill_to and per_class",
    ),
    "fill_to of nothing": (example(pools={"cbdm": {"fill_to": 0}}), "pools.cbdm.fill_to: it is 0", "at least 1"),
    "fill_range backwards": (
        example(pools={"cbdm": {"fill_range": [0.6, 0.3]}}),
        "pools.cbdm: fill_range is [0.6, 0.3]",
        "0 <= from < to <= 1",
    ),
    "fill_range of a filter beyond the pool": (
        example(filters={"likely": {"fill_range": [0.5, 1.5]}}),
        "filters.likely: fill_range is [0.5, 1.5]",
        "0 <= from < to <= 1",
    ),
    "steps that do not divide": (
        example(pools={"cbdm": {"draw": {"kind": "ddpm", "steps": 300}}}),
        "pools.cbdm: steps is 300",
        "must divide the generator's 1000 timesteps",
    ),
    "a data set with another source's name": (
        example(datasets={"cifar10": {"source": "cifar100", "imbalance_factor": 2}}),
        "datasets: a data set of cifar100 cannot be called 'cifar10', because results/cifar10 has what all data sets of the",
    ),
    "surplus below nothing": (example(pools={"cbdm": {"surplus": -0.1}}), "pools.cbdm.surplus", "-0.1"),
    "the highest of all": (
        example(filters={"likely": {"highest": "d3"}}),
        "filters.likely: highest would keep every picture, because cbdm has no surplus",
    ),
    "the highest of another score": (
        example(pools={"cbdm": {"surplus": 0.3}}, filters={"likely": {"highest": "entropy"}}),
        "filters.likely: highest is 'entropy', but scores.by_ce has only d1, d2, d3",
    ),
    "the highest without scores": (
        example(filters={"whole": {"pool": "cbdm", "highest": "d3"}}),
        "filters.whole: highest is d3, but the filter has no scores; give scores, or remove highest",
    ),
    "one training of one round": (
        example(classifiers={"ce": {"one_training": True}}),
        "classifiers.ce: one_training is of several rounds, each with an epoch or more, but rounds is 1 and epochs 200",
    ),
    "a key of an optional mapping": (
        example(pools={"cbdm": {"guide": "ce", "draw": {"kind": "ddim", "feedback": {"strength": 0.1}}}}),
        "feedback: unknown key 'strength'; allowed: blended, covariance, criterion, every, levels, mode, scale, side",
    ),
    "a covariance that nothing reads": (
        example(pools={"cbdm": {"guide": "ce", "draw": {"kind": "ddim", "feedback": {"covariance": "per_class"}}}}),
        "covariance is per_class, which has an effect only with criterion: hardness or criterion: combined",
    ),
    "a round by hand": (
        example(classifiers={"ce": {"round": [1, 2]}}),
        "classifiers.ce: round is set by one_training; remove it",
    ),
    "top-up without a surplus": (
        example(filters={"likely": {"top_up": True}}),
        "filters.likely: top_up would keep every picture, because cbdm has no surplus",
    ),
    "top-up without scores": (
        example(pools={"cbdm": {"surplus": 0.3}}, filters={"whole": {"pool": "cbdm", "top_up": True}}),
        "filters.whole: top_up is for pictures that scores reject; give scores",
    ),
    "top-up by another score": (
        example(pools={"cbdm": {"surplus": 0.3}}, filters={"likely": {"top_up": "d1"}}),
        "filters.likely: top_up is 'd1', but keep has 0 conditions that it may mean: 'd3 >= 5e-7'; name a score",
    ),
    "top-up by one of two scores": (
        example(
            pools={"cbdm": {"surplus": 0.3}}, filters={"likely": {"keep": "d3 >= 5e-7 and d1 <= 3500", "top_up": True}}
        ),
        "filters.likely: top_up is true, but keep has 2 conditions that it may mean",
        "name a score",
    ),
    "weight with cross-entropy": (
        example(classifiers={"ce": {"generated_weight": 0.3}}),
        "classifiers.ce: unknown key 'generated_weight'",
    ),
    "weight above 1": (
        example(classifiers={"diffult": {"loss": {"generated_weight": 1.5}}}),
        "diffult.loss.weighted_cross_entropy.generated_weight",
        "1.5",
    ),
    "unknown loss": (
        example(classifiers={"ce": {"loss": "focl"}}),
        "classifiers.ce.loss: unknown kind 'focl' (did you mean 'focal'?); allowed: cross_entropy, weighted_cross_entropy",
    ),
    "key of another loss": (
        example(classifiers={"ce": {"loss": {"kind": "focal", "tau": 1}}}),
        "classifiers.ce.loss.focal: unknown key 'tau'",
        "allowed: class_weights, form, gamma, kind",
    ),
    "key with a hyphen": (
        example(pools={"cbdm": {"draw": {"kind": "ddim", "clip-denoised": True}}}),
        "pools.cbdm.draw.ddim: unknown key 'clip-denoised' (did you mean 'clip_denoised'?)",
    ),
    "key with a blank in a list": (
        example(classifiers={"ce": {"augment": ["flip", {"kind": "crop", "pad ding": 1}]}}),
        "classifiers.ce.augment.1.crop: unknown key 'pad ding' (did you mean 'padding'?)",
    ),
    "key without letters": (
        example(classifiers={"ce": {"loss": {"kind": "focal", "": 1}}}),
        "classifiers.ce.loss.focal: unknown key ''",
    ),
    "unknown key of a distribution": (
        example(
            searches={"s": {"over": {"learning_rate": {"kind": "log_uniform", "low": 0.01, "high": 0.1, "wole": True}}}}
        ),
        "searches.s.over.learning_rate.log_uniform: unknown key 'wole' (did you mean 'whole'?)",
    ),
    "unknown key of a distribution of an inner key": (
        example(searches={"s": {"over": {"loss.gamma": {"kind": "uniform", "low": 0.1, "hig": 1}}}}),
        "searches.s.over.loss.gamma.uniform: unknown key 'hig' (did you mean 'high'?)",
    ),
    "highest of nothing": (example(filters={"likely": {"highest": ""}}), "filters.likely.highest: "),
    "way of drawing that the generator does not have": (
        example(pools={"cbdm": {"draw": "dpm"}}),
        "pools.cbdm.draw: unknown kind 'dpm'",
        "allowed: ddpm, ddim",
    ),
    "metric that does not exist": (
        example(scores={"by_ce": {"metrics": ["d4"]}}),
        "scores.by_ce.metrics: 'd4' is not a metric; allowed: d1, d2, d3",
    ),
    "one classifier and several": (
        example(recipes={"new": {"classifier": "ce", "classifiers": ["ce"], "datasets": ["cifar100_lt"]}}),
        "recipes.new: exactly one of classifier and classifiers",
    ),
    "difference on an unknown data set": (
        example(generators={"cbdm": {"where": {"cifar10_lt": {"tau": 0}}}}),
        "generators.cbdm.where: unknown data set 'cifar10_lt' (did you mean 'cifar100_lt'?)",
    ),
    "unknown key on a data set": (
        example(generators={"cbdm": {"where": {"cifar100_lt_200": {"taus": 0}}}}),
        "generators.cbdm (where cifar100_lt_200): unknown key 'taus' (did you mean 'tau'?)",
    ),
    "what does not fit on a data set": (
        example(pools={"cbdm": {"where": {"cifar100_lt": {"draw": {"steps": 300}}}}}),
        "pools.cbdm on cifar100_lt: steps is 300",
    ),
    "wrong type": (example(classifiers={"ce": {"epochs": "many"}}), "classifiers.ce.epochs", "integer", "'many'"),
    "name for a list": (
        example(classifiers={"ce": {"data": "real"}}),
        "classifiers.ce.data: it must be a list",
        "'real'",
    ),
    "misspelt real": (
        example(classifiers={"ce": {"data": ["reel"]}}),
        "classifiers.ce: unknown data 'reel' (did you mean 'real'?); allowed: real, rest, likely",
    ),
    "augmentation without its kind": (
        example(classifiers={"ce": {"augment": [{"padding": 2}]}}),
        "classifiers.ce.augment.0: 'kind' is missing",
    ),
    "not a number": (example(generators={"cbdm": {"tau": float("nan")}}), "generators.cbdm.tau", "nan"),
    "attention nowhere": (
        example(generators={"cbdm": {"unet": {"attention_levels": [4]}}}),
        "generators.cbdm.unet: attention_levels is [4]; 4 multipliers give levels 0 to 3",
    ),
    "unequal decay": (
        example(classifiers={"ce": {"decay_at": [0.5]}}),
        "classifiers.ce: decay_at has 1 values and decay_to 2",
    ),
    "control with generated data": (
        example(classifiers={"diffult": {"steps_as": ["likely"]}}),
        "classifiers.diffult: steps_as names filters",
        "data: [real]",
    ),
    "seeds twice": (example(recipes={"diffult": {"seeds": [1, 1]}}), "recipes.diffult.seeds", "must be distinct"),
    "quality by a tainted classifier": (
        example(qualities={"q": {"pool": "cbdm", "scorer": "diffult"}}),
        "qualities.q: scorer is 'diffult', but diffult trains on generated pictures",
        "data: [real]",
    ),
    "quality by a classifier that starts from a tainted one": (
        example(
            classifiers={"later": {"data": ["real"], "init": "diffult"}},
            qualities={"q": {"pool": "cbdm", "scorer": "later"}},
        ),
        "qualities.q: scorer is 'later', but diffult trains on generated pictures",
    ),
    "quality without an extractor": (example(qualities={"q": {"pool": "cbdm"}}), "qualities.q: exactly one of scorer"),
    "entry that is no mapping": (example(datasets={"new": 3}), "datasets.new: must be a mapping", "is 3"),
    "section that is no mapping": ({"datasets": ["demo"]}, "datasets: must be a mapping", "['demo']"),
    "bad name": (example(filters={"my filter": {}}), "filters: 'my filter' is not a valid name", "lower-case letters"),
    "number for a name": (example(datasets={2018: {"source": "digits"}}), "datasets: '2018' is not a valid name"),
    "real for a classifier": (example(recipes={"diffult": {"classifier": "real"}}), "unknown classifier 'real'"),
    "real for a data set": (example(recipes={"diffult": {"datasets": ["real"]}}), "unknown datasets 'real'"),
    "no shots": (example(pools={"cbdm": {"shots": []}}), "pools.cbdm.shots", "at least 1"),
    "quality of png": (
        example(pools={"cbdm": {"store": {"quality": 50}}}),
        "pools.cbdm.store: quality is 50, which has an effect only with format: jpeg or format: webp",
    ),
    "a pool twice": (
        example(filters={"whole": {"pool": "cbdm"}}, classifiers={"diffult": {"data": ["real", "likely", "whole"]}}),
        "classifiers.diffult: data names likely and whole, but both select from the pool cbdm",
    ),
    "pictures twice": (
        example(
            pools={"more": {"generator": "cbdm", "per_class": 20}},
            filters={"whole": {"pool": "more"}},
            classifiers={"diffult": {"data": ["real", "likely", "whole"]}},
        ),
        "classifiers.diffult: data names likely and whole, but the pools cbdm and more have the same pictures; give one",
    ),
    "vary nowhere upstream": (
        varied({"filter.keep": ["all"]}, classifier="ce"),
        "recipes.tried: vary: 'filter.keep'",
        "nothing upstream of the classifier ce is in filters",
    ),
    "vary a part that is not upstream": (
        example(
            classifiers={"other": {"data": ["real"]}},
            recipes={"diffult": {"vary": {"classifiers.other.epochs": [1]}}},
        ),
        "recipes.diffult: vary: 'classifiers.other.epochs': classifiers.other is not upstream",
        "there are ce, diffult",
    ),
    "vary a whole part": (varied({"classifier": ["ce"]}), "recipes.tried: vary: 'classifier'", "write section.key"),
    "vary a whole part by its name": (varied({"classifiers.diffult": [3]}), "vary: 'classifiers.diffult'", "write sec"),
    "vary a list's values without a list of them": (
        varied({"classifier.std": [0.2, 0.2, 0.2]}),
        "classifiers.diffult (varied by recipes.tried).std: it must be a list; in a recipe's vary",
    ),
    "vary no address": (
        varied({"tau": [1]}),
        "recipes.tried: vary: 'tau'",
        "write section.key (dataset, foundation, prompts, generator",
    ),
    "vary an unknown key": (
        varied({"generator.taus": [1]}),
        "generators.cbdm (varied by recipes.tried): unknown key 'taus'",
        "did you mean 'tau'?",
    ),
    "vary to a bad value": (varied({"generator.tau": [-1]}), "generators.cbdm (varied by recipes.tried).tau", "-1"),
    "vary to an unknown name": (
        varied({"score.scorer": ["cee"]}),
        "scores.by_ce (varied by recipes.tried): unknown scorer 'cee'",
        "did you mean 'ce'?",
    ),
    "vary to what does not fit": (
        varied({"pool.draw.steps": [7]}),
        "pools.cbdm~draw.steps=7: steps is 7",
        "1000 timesteps",
    ),
    "colliding names": (
        varied({"filter.keep": ["d1 <= 35", "d1<=35"]}),
        "recipes.tried: two different parts would both be called filters.likely~keep=d1_le_35",
    ),
    # a nested mapping's unknown key is pydantic's "Extra inputs are not permitted"
    "unknown nested key": (
        example(generators={"cbdm": {"unet": {"chanels": 32}}}),
        "generators.cbdm.unet",
        "'chanels'",
        "did you mean 'channels'?",
    ),
    # sorting keys of different types is a TypeError
    "number for a key": (example(generators={"cbdm": {1: 32, "x": 3}}), "generators.cbdm: unknown key '1'"),
    # float()'s own words
    "threshold that is no number": (
        example(filters={"likely": {"keep": "d3 >= 1.2.3"}}),
        "filters.likely.keep: keep is 'd3 >= 1.2.3'",
        "write 'all' or conditions like",
    ),
    # the first of a union's errors, "pools.cbdm.fill_to.literal['max']: Input should be 'max'"
    "fill_to of a fraction": (example(pools={"cbdm": {"fill_to": 2.5}}), "pools.cbdm.fill_to: ", "max", "number"),
    # such a filter is taken and can never be named, for `real` means the real pictures
    "filter called real": (example(filters={"real": {"pool": "cbdm"}}), "filters: 'real'"),
    # seeds have no upper end, and NumPy refuses these with a traceback hours later
    "selection seed that NumPy refuses": (
        example(datasets={"cifar100_lt": {"selection_seed": 2**32}}),
        "datasets.cifar100_lt.selection_seed",
        str(2**32 - 1),
    ),
    "recipe's seed that torch refuses": (
        example(recipes={"diffult": {"seeds": [2**64]}}),
        "recipes.diffult.seeds",
        str(2**32 - 1),
    ),
    "betas of another schedule": (
        example(generators={"cbdm": {"schedule": "cosine", "beta_end": 0.01}}),
        "generators.cbdm: beta_end is 0.01, which has an effect only with schedule: linear",
    ),
    "generator seed that NumPy refuses": (
        example(generators={"cbdm": {"seed": 2**32}}),
        "generators.cbdm.seed",
        str(2**32 - 1),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_sentence(case):
    raw, *parts = BAD[case]
    message = refused(raw)
    for part in parts:
        assert part in message


def test_unknown_run_is_answered_with_those_there_are():
    with pytest.raises(InputError, match="no recipe 'ce' runs on cifar100_lt; there are diffult, diffult_filters~"):
        Workflow(EXAMPLE).run("ce", "cifar100_lt")


# a list where the key that chooses the type is expected is a TypeError
def test_list_for_the_source_is_refused():
    assert "datasets.cifar100_lt" in refused(example(datasets={"cifar100_lt": {"source": ["cifar100"]}}))


def test_vary_may_choose_a_scheme_and_its_keys():
    flow = Workflow(varied({"classifier.scheme": "mixup", "classifier.mixing_alpha": [0.2, 1.0]}, classifier="ce"))
    alphas = [flow.part("classifiers", run.classifier).mixing_alpha for run in runs(flow, "tried")]
    assert alphas == [0.2, 1.0]


def test_a_key_that_stands_twice_in_a_file_is_told_with_its_lines(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("a: &same {x: 1, y: [{z: 1}, {z: 2}]}\nb: {<<: *same, x: 2}\nc: *same\n")
    read(path)
    for text, line, first in (
        ("a: 1\nb: 2\na: 1\n", 3, 1),
        ("a:\n- {b: 1,\n  b: 2}\n", 3, 2),
        ("a: {1: 2, 1: 3}\n", 1, 1),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=rf"config.yaml, line {line}: '\w' is already in line {first}"):
            read(path)
    path.write_text("")
    read(path)


# the same for the name of an entry
def test_list_for_extends_is_refused():
    assert "datasets.cifar100_lt_200" in refused(example(datasets={"cifar100_lt_200": {"extends": ["cifar100_lt"]}}))


# a recipe without alternatives vanishes without a word
def test_empty_list_of_alternatives_is_refused():
    assert "recipes.tried" in refused(varied({"generator.tau": []}))


# an address in the recipe itself is taken and does nothing
def test_vary_cannot_address_the_recipe_itself():
    assert "recipes.tried.seeds" in refused(varied({"recipes.tried.seeds": [[1], [2]]}))


# one of two values with the same slug is the base part, so only the runs' names collide
def test_two_runs_of_one_name_are_refused():
    assert "recipes.tried" in refused(varied({"filter.keep": ["d3 >= 5e-7", "d3>=5e-7"]}))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"epochs": 9, "loss": {"kind": "focal", "class_weights": {"kind": "effective_number", "start": 0.95}}},
            "class_weights.start is 0.95, which 9 epochs never reach; lower it, or train longer",
        ),
        (
            {"epochs": 7, "scheme": "cutmix", "uncut_epochs": [4, 3]},
            "uncut_epochs is [4, 3], which leaves none of 7 epochs for CutMix; give fewer, or train longer",
        ),
    ],
    ids=["class weights", "CutMix"],
)
def test_what_never_comes_is_refused_where_it_is_run(keys, message):
    """And not in the config: a recipe may be shortened, and parts that extend its parts not be run."""
    flow = Workflow(example(classifiers={"ce": keys, "new": {"extends": "ce", "epochs": 300}}))
    place = {"dataset": "cifar100_lt", "seed": "0"}
    inputs(flow, "classifier", place | {"name": "new"})
    with pytest.raises(InputError, match=re.escape(f"classifiers.ce: {message}")):
        inputs(flow, "classifier", place | {"name": "ce"})
