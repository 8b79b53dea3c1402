"""Prompts that a language model writes: from the query to the table, the same whatever is drawn beside them."""

import json

import numpy as np
import pytest
import torch
from tiny_models import blip2, gpt2, listed, t5
from transformers import TopPLogitsWarper

from pipeline.config.prompts import PROMPTS, QUERY, SYSTEM
from pipeline.prompts import language_model
from pipeline.prompts.answers import messages, prompt, usable
from pipeline.stages import prompts

CHAT = (
    "{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
WITHOUT_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHAT


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    made = {"gpt2": gpt2(folder / "gpt2"), "chat": gpt2(folder / "chat", chat_template=CHAT), "t5": t5(folder / "t5")}
    made |= {"no_system": gpt2(folder / "no_system", chat_template=WITHOUT_SYSTEM), "blip2": blip2(folder / "blip2")}
    return {name: listed(path) for name, path in made.items()}


def settings(**given):
    short = {"per_class": 5, "max_new_tokens": 6, "batch_size": 2, "system": "Say", "query": "the {class}"}
    return PROMPTS["language_model"](**{"kind": "language_model", "foundation": "f"} | short | given).settings()


@pytest.mark.parametrize(
    "name", ["gpt2", *(pytest.param(name, marks=pytest.mark.slow) for name in ("chat", "no_system")), "t5"]
)
def test_each_class_gets_its_prompts(run, models, name):
    found = run(prompts, settings(), "--foundation", models[name])
    assert found["class"].tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert found["text"].is_unique and set(found["origin"]) == {str(models[name].parent)}
    for row in found.itertuples():
        assert row.text.startswith(f"{row.class_name.replace('_', ' ')}. ")
        assert usable(row.text.partition(". ")[2])


def written(models, name="gpt2", classes=("aquarium_fish", "owl"), **given):
    writer = language_model.Writer(models[name], settings(**given), torch.device("cpu"))
    return [writer.write(label, one) for label, one in enumerate(classes)]


def test_a_text_depends_on_its_class_number_and_seed_alone(models, cpu):
    first = written(models)
    assert written(models) == first
    assert [answers[:3] for answers in first] == written(models, per_class=3)
    assert first[1] == written(models, classes=("other", "owl"))[1]
    assert not set(first[0]) & set(written(models, seed=1)[0])
    assert not set(first[0]) & set(written(models, classes=("owl", "aquarium_fish"))[1])


def test_a_model_is_asked_in_its_own_chat_or_continues_the_words(models):
    asked = {
        name: language_model.Writer(models[name], settings(system=system), torch.device("cpu"))
        for name, system in (("gpt2", "Say"), ("chat", "Say"), ("no_system", "Say"), ("t5", ""))
    }
    said = {name: one._tokenizer.decode(one._asked("red_owl")["input_ids"][0]) for name, one in asked.items()}
    assert said == {
        "gpt2": "Say\n\nthe red owl".replace("\n", ""),  # the tiny tokenizer has no line breaks
        "chat": "[system] Say [user] the red owl [assistant] ",
        "no_system": "[user] Saythe red owl [assistant] ",
        "t5": "the red owl</s>",
    }


def test_sampling_has_the_probabilities_of_the_model():
    scores = torch.tensor([0.1, 0.2, 0.3, 0.4]).log().repeat(4000, 1)
    generators = [torch.Generator().manual_seed(seed) for seed in range(4000)]
    drawn = language_model.Draw(generators)(None, scores).argmax(-1)
    assert np.bincount(drawn, minlength=4) / 4000 == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.03)
    cut = TopPLogitsWarper(0.65)(None, scores)  # leaves the last two
    assert set(language_model.Draw(generators)(None, cut).argmax(-1).tolist()) == {2, 3}


class Exactly:
    """A generator whose numbers are chosen."""

    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize(("value", "token"), [(0.0, 1), (0.4999, 1), (0.5, 3), (1 - 2**-53, 3)])
def test_a_token_without_probability_is_never_drawn(value, token, monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda count, dtype, generator: torch.tensor([generator.value], dtype=dtype))
    scores = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    assert language_model.Draw([Exactly(value)])(None, scores).argmax().item() == token


@pytest.mark.slow
def test_temperature_and_the_likeliest_tokens_count(models):
    free, cold = written(models), written(models, decoding={"kind": "sampling", "temperature": 0.01})
    assert len(set(free[0])) == 5 and len(set(cold[0])) == 1
    only = written(models, decoding={"kind": "sampling", "top_k": 1})
    assert only == written(models, decoding={"kind": "sampling", "top_p": 1e-6}, seed=3)


def test_a_beam_search_gives_the_likeliest_texts(models):
    found = written(models, "t5", per_class=3, decoding="beam_search")
    assert found == written(models, "t5", per_class=3, decoding="beam_search", seed=5)
    assert [len(set(answers)) for answers in found] == [3, 3]
    loaded = language_model.load(models["t5"].parent / "t5")
    asked = loaded.tokenizer("owl", return_tensors="pt")
    greedy = loaded.tokenizer.decode(
        loaded.model.generate(**asked, num_beams=12, max_new_tokens=6)[0], skip_special_tokens=True
    )
    best = written(models, "t5", per_class=3, decoding="beam_search", system="", query="{class}")
    assert best[1][0] == greedy


def test_unusable_answers_are_asked_for_again_and_then_counted(run, models, monkeypatch, capsys):
    real, asked = language_model.Writer._sampled, []

    def sampled(self, about, seeds):
        asked.append(list(seeds))
        answers = real(self, about, seeds)
        # the second answer of a batch of two is empty at first; the fourth text of each class always is
        return [answer if place == 0 else " ! " for place, answer in enumerate(answers)]

    monkeypatch.setattr(language_model.Writer, "_sampled", sampled)
    found = run(prompts, settings(per_class=4), "--foundation", models["gpt2"])
    assert found.groupby("class").size().tolist() == [4, 4, 4]
    assert len({seed for seeds in asked for seed in seeds}) == sum(map(len, asked))  # each try has a seed of its own

    monkeypatch.setattr(language_model.Writer, "_sampled", lambda self, about, seeds: ["a"] + [""] * (len(seeds) - 1))
    monkeypatch.setattr(language_model, "TRIES", 1)
    found = run(prompts, settings(per_class=4, seed=1), "--foundation", models["gpt2"])
    assert found.groupby("class").size().tolist() == [2, 2, 2]
    assert "6 texts had no letters or damaged ones after 1 tries; they are left out" in capsys.readouterr().out


def test_a_class_without_a_usable_answer_is_one_sentence(run, models, monkeypatch):
    monkeypatch.setattr(language_model.Writer, "_sampled", lambda self, asked, seeds: ["\ufffd a"] * len(seeds))
    with pytest.raises(SystemExit, match="the model wrote nothing usable about the class 'aquarium_fish'; change the"):
        run(prompts, settings(), "--foundation", models["gpt2"])


def test_a_query_that_the_model_cannot_read_is_one_sentence(run, models):
    told = r"the query about the class 'aquarium_fish' has \d+ tokens, and max_new_tokens is 500, but the model reads only 512"
    with pytest.raises(SystemExit, match=told):
        run(prompts, settings(max_new_tokens=500), "--foundation", models["gpt2"])


def test_a_model_that_needs_pictures_is_refused(run, models):
    with pytest.raises(SystemExit, match="blip2 looks at pictures; `kind: captions` uses it"):
        run(prompts, settings(), "--foundation", models["blip2"])


def test_a_model_that_changed_is_refused(run, tmp_path):
    path = listed(gpt2(tmp_path / "model"))
    with open(tmp_path / "model/tokenizer_config.json", "a") as file:
        file.write("\n")
    with pytest.raises(SystemExit, match=r"tokenizer_config\.json is missing or damaged; say `make repair`"):
        run(prompts, settings(), "--foundation", path)


class Killed(Exception):
    pass


@pytest.mark.slow
def test_a_killed_job_continues_after_the_last_class(run, models, tmp_path, monkeypatch):
    expected = run(prompts, settings(), "--foundation", models["gpt2"])
    (tmp_path / "prompts.parquet").unlink()
    real, asked = language_model.Writer.write, []

    def write(self, label, name):
        asked.append(name)
        if len(asked) == 3:
            raise Killed
        return real(self, label, name)

    monkeypatch.setattr(language_model.Writer, "write", write)
    with pytest.raises(Killed):
        run(prompts, settings(), "--foundation", models["gpt2"])
    found = run(prompts, settings(), "--foundation", models["gpt2"])
    assert asked == ["aquarium_fish", "owl", "wren", "wren"]
    assert found.equals(expected)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_answers_become_prompts():
    assert (
        prompt("{class}. {answer}", "aquarium_fish", ' "A red fish,\n\n swimming." \n')
        == "aquarium fish. A red fish, swimming."
    )
    assert prompt("{class}{answer}", "owl", " at night, 4k") == "owl at night, 4k"
    assert prompt("{answer}", "owl", '"Hoot" says the "owl') == '"Hoot" says the "owl'
    assert prompt("{answer}", "owl", "an owl {class} {0}") == "an owl {class} {0}"
    assert usable("é") and usable("鳥") and not any(map(usable, ("", " \n", "...", "12", "a\ufffd")))


def test_the_query_is_saus():
    asked = messages(SYSTEM, QUERY, "aquarium_fish")
    assert [one["role"] for one in asked] == ["system", "user"]
    assert (
        "(30 to 50 words)" in asked[0]["content"] and "A photo of the class aquarium fish, with" in asked[0]["content"]
    )
    assert asked[1]["content"] == "What the aquarium fish looks like?"
    assert messages("", "{class}", "owl") == [{"role": "user", "content": "owl"}]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"query": "a bird"}, "'a bird' must have {class} in it, and nothing else in braces"),
        ({"text": "{class}"}, "'{class}' must have {answer} in it, may have {class} in it, and nothing else in braces"),
        ({"system": "{name}"}, "'{name}' may have {class} in it, and nothing else in braces"),
        ({"decoding": {"kind": "sampling", "top_p": 0}}, "greater than 0"),
    ],
)
def test_a_template_that_fits_nothing_is_refused(given, told):
    with pytest.raises(ValueError, match=told.replace("{", r"\{").replace("}", r"\}")):
        settings(**given)


def test_its_settings_are_plain_values():
    assert json.loads(json.dumps(settings())) == settings() and "foundation" not in settings()
