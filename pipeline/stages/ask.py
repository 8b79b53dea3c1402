"""Ask a chat endpoint with OpenAI's interface about a data set's classes, on a machine with a network.

    OPENAI_API_KEY=... python -m pipeline.stages.ask --config '{"url": "https://api.openai.com/v1", "model": "gpt-4o-mini",
        "system": "Write a prompt of 30 words.", "query": "What the {class} looks like?", "per_class": 20, "parameters": {},
        "key_variable": "OPENAI_API_KEY", "requests_at_once": 4, "timeout": 60, "tries": 6}' \\
        --manifest results/demo/subset/manifest.parquet --kept results/answers --output results/demo/prompts/chat/answers.parquet

writes class_name, number (of the answer, from 0) and answer. Every answer is kept in the folder `kept` as soon as it is there, so that
another run, or another data set with the same class, does not ask for it again.
"""

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.artifacts import shards
from pipeline.data.classes import class_names
from pipeline.jobs import command
from pipeline.jobs.progress import progress
from pipeline.prompts.answers import messages
from pipeline.prompts.chat import Chat
from pipeline.prompts.kept_answers import KeptAnswers


def main(args) -> None:
    config = args.config
    chat = Chat(*(config[key] for key in ("url", "key_variable", "timeout", "tries")))
    names = class_names(shards.read_table(args.manifest, ["class", "class_name"])).tolist()
    bodies = {
        name: {"model": config["model"], "messages": messages(config["system"], config["query"], name)}
        | config["parameters"]
        for name in names
    }
    kept = {name: KeptAnswers(args.kept, {"url": config["url"], "body": body}) for name, body in bodies.items()}
    numbers = range(config["per_class"])
    left = [(name, number) for number in numbers for name in names if number not in kept[name].found]
    print(f"{len(left)} of {len(names) * len(numbers)} answers are not there yet", flush=True)
    asked = _asked(chat, bodies, kept, left, config["requests_at_once"])
    for _ in progress(asked, "asking", len(left), unit="answer"):
        pass
    rows = [(name, number, kept[name].found[number]) for name in names for number in numbers]
    shards.write_table(pd.DataFrame(rows, columns=["class_name", "number", "answer"]), args.output)


def _asked(
    chat: Chat,
    bodies: Mapping[str, Mapping[str, Any]],
    kept: Mapping[str, KeptAnswers],
    left: Sequence[tuple[str, int]],
    at_once: int,
) -> Iterator[None]:
    """Ask for all answers that are left, and keep them; yields once for each.

    After an error or a request to stop, no more questions are asked, but those on their way are waited for and kept.
    """
    ended, waiting, running = threading.Event(), iter(left), set()

    def ask(name: str, number: int) -> None:
        kept[name].add(number, chat.answer(bodies[name], ended))

    with ThreadPoolExecutor(at_once, "ask") as threads:
        try:
            while True:
                for question in itertools.islice(waiting, at_once - len(running)):
                    running.add(threads.submit(ask, *question))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            ended.set()


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--kept", type=Path, required=True, help="the folder of all answers so far")
    parser.add_argument("--output", type=Path, required=True, help="the answers to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
