"""All jobs of a data set's main recipes and the work of each: the workflow's graph in numbers."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline import kinds
from pipeline.artifacts.shards import rows_of
from pipeline.classifiers import AT_ONCE
from pipeline.classifiers.rounds import of_all_rounds
from pipeline.costs.figures import (
    BYTES_A_PICTURE,
    BYTES_A_STATE,
    BYTES_OF_CHECKPOINT,
    BYTES_OF_WEIGHTS,
    SECONDS_A_PAIR,
    SECONDS_A_PICTURE,
    SECONDS_A_STEP,
    SECONDS_TO_ENCODE,
    START,
    START_OF_GENERATORS,
    Figure,
)
from pipeline.data.classes import part_of
from pipeline.generators.plan import Plan
from pipeline.generators.shares import classes_of
from pipeline.scores.selection import asked


class Job(NamedTuple):
    """One job. `piece` is its shard or seed; `work` is its amount for each figure, on each of its GPUs."""

    stage: str
    part: str
    piece: str
    gpus: int
    work: Mapping[Figure, float]
    needs: Sequence[int]
    """Positions, in the list of jobs, of the jobs that it reads outputs of; all are before its own."""


def jobs(
    config: Mapping[str, Any],
    counts: Mapping[str, np.ndarray],
    groups: pd.DataFrame | None = None,
    names: Sequence[str] | None = None,
) -> list[Job]:
    """All jobs, each after those that it needs; jobs that several recipes share appear once.

    config: dataset (its name), shards (of its real pictures), runs (seeds, the classifier of each, qualities), and by section and
    name all parts that these need, with all their keys and their `work`. Of generators, it has only those that are trained. Of
    foundations and prompts, it has what they need, and their jobs have no work but their start. counts: pictures of each class,
    int64 [C], by split. groups: the cells of pools that fill groups, as `cells_of` gives them. names: of the classes, for pools of
    some of them. Filters are assumed to keep as much as they can.
    """
    graph = _Graph(config, counts, groups, names)
    ends = []
    for run in config["runs"]:
        ends += [graph.evaluate(*seeded) for seeded in zip(run["classifiers"], run["seeds"], strict=True)]
        ends += [graph.quality(name) for name in run["qualities"]]
    for classifier in (name for run in config["runs"] for name in run["classifiers"]):
        for name in graph.filters_of(classifier):
            graph.grid(graph.pool_of(name))
    for name, part in config["scores"].items():
        if part["kind"] == "copies":
            graph.copies(name)
    graph.add("summary", config["dataset"], needs=ends)
    return graph.jobs


def _once(method):
    """Decorate a method that adds jobs and returns their positions: a repeated call adds no jobs."""

    @functools.wraps(method)
    def remembering(self, *names):
        key = (method, *names)
        if key not in self.places:
            self.places[key] = method(self, *names)
        return self.places[key]

    return remembering


class _Graph:
    def __init__(
        self,
        config: Mapping[str, Any],
        counts: Mapping[str, np.ndarray],
        groups: pd.DataFrame | None,
        names: Sequence[str] | None,
    ):
        self.config, self.counts = config, counts
        classes = pd.DataFrame(
            {"class": np.arange(len(counts["train"])), "class_name": names, "train": counts["train"]}
        )
        self.cells = {"class": classes, "group": groups}
        self.jobs: list[Job] = []
        self.places: dict[tuple, Any] = {}

    def add(
        self,
        stage: str,
        part: str,
        piece: str = "",
        gpus: int = 0,
        work: Mapping[Figure, float] | None = None,
        needs: Sequence[int] = (),
    ) -> int:
        start = START_OF_GENERATORS if stage in ("generator", "adapt", "sample", "embeddings") else START
        self.jobs.append(Job(stage, part, piece, gpus, {start: 1, **(work or {})}, sorted(set(needs))))
        return len(self.jobs) - 1

    @_once
    def manifest(self) -> int:
        dataset, shards = self.config["dataset"], self.config["shards"]
        subset, stored = self.add("subset", dataset), []
        for shard in range(shards):
            rows = len(rows_of(sum(map(self._pictures, self.counts)), shard, shards))
            work = {Figure("store", dataset, quantity): rows for quantity in (SECONDS_A_PICTURE, BYTES_A_PICTURE)}
            stored.append(self.add("store", dataset, f"shard {shard}", work=work, needs=[subset]))
        return self.add("manifest", dataset, needs=stored)

    @_once
    def generator(self, name: str) -> list[int]:
        """The last job of a generator's training; none if nothing trains it."""
        part = self.config["generators"].get(name)
        if part is None:
            return []
        if part["adapted"]:
            return self._adapted(name, part)
        work = {Figure("generator", name, SECONDS_A_PICTURE): part["work"]["trained_pictures"]}
        return [self.add("generator", name, "", 1, work | _kept("generator", name), [self.manifest()])]

    def _adapted(self, name: str, part: Mapping[str, Any]) -> list[int]:
        counts = self.counts["train"]
        kind = kinds.load("generators", f"{part['kind']}.steps")
        steps = kind.steps_of(part, counts)
        needs, found = [self.manifest(), self.foundation(part["foundation"])], []
        for shard in range(part["shards"]):
            own = classes_of(steps, shard, part["shards"])
            work = {
                Figure("adapt", name, SECONDS_A_PICTURE): int(steps[own].sum()) * part["batch_size"],
                Figure("adapt", name, SECONDS_TO_ENCODE): int(counts[own].sum()),
                Figure("adapt", name, BYTES_A_STATE): kind.states_of(part, steps[own]),
                Figure("adapt", name, BYTES_OF_CHECKPOINT): len(own),
            }
            found.append(self.add("adapt", name, f"shard {shard}", 1, work, needs))
        return [self.add("states", name, needs=found)]

    @_once
    def foundation(self, name: str) -> int:
        part = self.config["foundations"][name]
        needs = [self.manifest()] if part["dataset"] == self.config["dataset"] else []
        needs += [self.add("fetch", name)] if part["fetched"] else []
        return self.add("foundation", name, "", int(part["trains"]), needs=needs)

    @_once
    def classes(self) -> int:
        return self.add("classes", self.config["source"])

    @_once
    def prompts(self, name: str) -> int:
        part = self.config["prompts"][name]
        needs = [self.classes() if part["shared"] else self.manifest()]
        needs += [self.add("ask", name, needs=needs)] if part["asked"] else []
        needs += [self.foundation(part["foundation"])] if part["foundation"] else []
        return self.add("prompts", name, "", int(part["on_gpu"]), needs=needs)

    @_once
    def sample(self, pool: str) -> list[int]:
        """Jobs of all shards of a pool."""
        part = self.config["pools"][pool]
        texts = [self.prompts(part["prompts"])] if part["prompts"] else []
        counted = self.classes() if part["shared"] else self.manifest()
        generator = self.generator(part["generator"])
        plan = self.add("plan", pool, needs=[counted, *texts, *(generator if "checkpoints" in part["draw"] else [])])
        needs = [plan, *generator, *map(self.foundation, part["foundations"])]
        needs += [self.embeddings(part["embedded_by"])] if part["embedded_by"] else []
        if part["guide"]:
            needs.append(self.classifier(part["guide"], part["guide_seed"]))
            if part["reads_guide_features"]:
                needs.append(self.features(part["guide"], part["guide_seed"]))
        found = []
        for shard, rows in enumerate(self._shards(pool)):
            work = {
                Figure("sample", pool, SECONDS_A_STEP): _filled_up(len(rows), part["batch_size"])
                * part["work"]["steps"],
                Figure("sample", pool, BYTES_A_PICTURE): len(rows),
            }
            found.append(self.add("sample", pool, f"shard {shard}", 1, work, needs))
        return found

    @_once
    def embeddings(self, foundation: str) -> int:
        work = {Figure("embeddings", foundation, SECONDS_A_PICTURE): self._pictures("train")}
        return self.add("embeddings", foundation, "", 1, work, [self.manifest(), self.foundation(foundation)])

    @_once
    def features(self, name: str, seed: int) -> int:
        real = self._pictures("train")
        work = {
            Figure("evaluate", name, SECONDS_A_PICTURE): _filled_up(real, AT_ONCE),
            Figure("features", name, BYTES_A_PICTURE): real,
        }
        return self.add("features", name, f"seed {seed}", 1, work, [self.manifest(), self.classifier(name, seed)])

    @_once
    def score(self, name: str) -> list[int]:
        """Jobs of all shards of a pool's scores."""
        part = self.config["scores"][name]
        needs, scorer = [self.manifest()], part.get("scorer")
        if part.get("foundation"):
            needs += [self.foundation(part["foundation"])]
        by_metrics = part["kind"] == "classifier"
        if scorer:
            needs.append(self.classifier(scorer, part["scorer_seed"]))
        if part["reads_features"]:
            needs.append(self.features(scorer, part["scorer_seed"]))
        labels = np.repeat(np.arange(len(self.counts["train"])), self._generated(part["pool"]))  # in the plan's order
        found = []
        for shard, (sample, rows) in enumerate(zip(self.sample(part["pool"]), self._shards(part["pool"]), strict=True)):
            peers, work = self.counts["train"][labels[rows.start : rows.stop]], {}
            if scorer:
                seen = len(rows) if by_metrics else len(rows) + self._pictures("train") + self._pictures("test")
                work[Figure("evaluate", scorer, SECONDS_A_PICTURE)] = _filled_up(seen, AT_ONCE)
            if part["reads_features"]:
                work[Figure("score", name, SECONDS_A_PAIR)] = int(peers.sum())
            found.append(self.add("score", name, f"shard {shard}", 1, work, [*needs, sample]))
        return found

    @_once
    def select(self, name: str) -> int:
        scores = self.config["filters"][name]["scores"]
        pool = self.sample(self.pool_of(name))
        return self.add("select", name, needs=[self.manifest(), *pool, *(self.score(scores) if scores else [])])

    @_once
    def classifier(self, name: str, seed: int) -> int:
        part = self.config["classifiers"][name]
        filters, timed = self.filters_of(name), part["timed_as"]
        needs = [self.manifest(), *(self.select(used) for used in (*filters, *part["steps_as"]))]
        needs += [place for used in filters for place in self.sample(self.pool_of(used))]
        needs += [self.classifier(part[first], seed) for first in ("init", "continues") if part[first]]
        needs += [self.foundation(part["foundation"])] if part["foundation"] else []
        gpus = part["gpus"]  # the GPUs share predictions, too
        looks = _filled_up(math.ceil(self._pictures("test") / gpus), AT_ONCE)
        epochs, views, at_validation = (
            part["work"][key] for key in ("epochs", "looks_an_epoch", "looks_at_validation")
        )
        looks = max(-(-epochs // part["test_every"]), 1) * looks + epochs * views * self._pictures("train") / gpus
        looks += at_validation * _filled_up(self._pictures("val"), AT_ONCE)
        work = {
            Figure("classifier", timed, SECONDS_A_PICTURE): epochs * self._epoch(name) / gpus,
            Figure("evaluate", timed, SECONDS_A_PICTURE): looks,
        }
        needs += [self.search(name)] if part["search"] else []
        return self.add("classifier", name, f"seed {seed}", gpus, work | _kept("classifier", timed), needs)

    @_once
    def search(self, name: str) -> int:
        trials = self.config["classifiers"][name]["trials"]
        return self.add("search", name, needs=[self.evaluate(trial, 0) for trial in trials])

    @_once
    def evaluate(self, name: str, seed: int) -> int:
        judged = self._pictures("test") + self._pictures("val")
        timed = self.config["classifiers"][name]["timed_as"]
        work = {Figure("evaluate", timed, SECONDS_A_PICTURE): _filled_up(judged, AT_ONCE)}
        return self.add("evaluate", name, f"seed {seed}", 1, work, [self.manifest(), self.classifier(name, seed)])

    @_once
    def quality(self, name: str) -> int:
        part = self.config["qualities"][name]
        needs = [self.manifest(), *self.sample(part["pool"])]
        needs += [self.foundation(part["foundation"])] if part["foundation"] else []
        if part["scorer"] is None:  # the speed of others is unknown
            return self.add("quality", name, "", 1, {}, needs)
        splits = ("train", "rest") if part["against"] == "training" else (part["against"],)
        real, generated = sum(map(self._pictures, splits)), int(self._asked(part["pool"]).sum())
        work = {
            Figure("evaluate", part["scorer"], SECONDS_A_PICTURE): _filled_up(real, AT_ONCE)
            + _filled_up(generated, AT_ONCE)
        }
        return self.add("quality", name, "", 1, work, [*needs, self.classifier(part["scorer"], part["scorer_seed"])])

    @_once
    def grid(self, pool: str) -> int:
        return self.add("grid", pool, needs=[self.manifest(), *self.sample(pool)])

    @_once
    def copies(self, name: str) -> int:
        pool = self.sample(self.config["scores"][name]["pool"])
        return self.add("copies", name, needs=[self.manifest(), *pool, *self.score(name)])

    def filters_of(self, classifier: str) -> list[str]:
        return self.config["classifiers"][classifier]["filters"]

    def pool_of(self, name: str) -> str:
        """The pool that a filter selects from."""
        part = self.config["filters"][name]
        return part["pool"] or self.config["scores"][part["scores"]]["pool"]

    def _pictures(self, split: str) -> int:
        return int(self.counts[split].sum())

    def _plan(self, pool: str, **changed: Any) -> Plan:
        part = self.config["pools"][pool]
        return Plan(part | changed, self.cells[part["cells"]])

    def _generated(self, pool: str) -> np.ndarray:
        """Number of pictures of each class in a pool, with its surplus."""
        return self._plan(pool).per_class

    def _asked(self, pool: str) -> np.ndarray:
        """Number of pictures of each cell in a pool, without its surplus."""
        return self._plan(pool, surplus=0).per_cell

    def _shards(self, pool: str) -> list[range]:
        total, shards = int(self._generated(pool).sum()), self.config["pools"][pool]["shards"]
        return [rows_of(total, shard, shards) for shard in range(shards)]

    def _selected(self, name: str) -> int:
        """Largest number of pictures that a filter can keep."""
        part, pool = self.config["filters"][name], self.pool_of(name)
        cells = self.cells[self.config["pools"][pool]["cells"]]
        planned, drawn = (
            np.diff(part_of(count, part["fill_range"]), axis=0)[0]
            for count in (self._asked(pool), self._plan(pool).per_cell)
        )
        most = asked(planned, part, cells["train"].to_numpy())
        return int(np.minimum(most, drawn).sum())

    def _epoch(self, classifier: str) -> int:
        """Number of pictures in an epoch."""
        part = self.config["classifiers"][classifier]
        own = sum(map(self._pictures, part["splits"])) + sum(map(self._selected, part["steps_as"]))
        return own + of_all_rounds(sum(map(self._selected, self.filters_of(classifier))), part["round"])


def _kept(stage: str, name: str) -> dict[Figure, float]:
    """Disk use of a training: weights, and a checkpoint while it runs."""
    return {Figure(stage, name, quantity): 1 for quantity in (BYTES_OF_WEIGHTS, BYTES_OF_CHECKPOINT)}


def _filled_up(pictures: int, batch_size: int) -> int:
    """Number of pictures with the last batch padded."""
    return -(-pictures // batch_size) * batch_size
