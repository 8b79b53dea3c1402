"""Every job that a data set's main recipes need, and what each will do: the workflow's graph in numbers."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline.artifacts.shards import rows_of
from pipeline.costs.figures import (
    BYTES_A_PICTURE,
    BYTES_OF_CHECKPOINT,
    BYTES_OF_WEIGHTS,
    SECONDS_A_PAIR,
    SECONDS_A_PICTURE,
    SECONDS_A_STEP,
    START,
    START_OF_GENERATORS,
    Figure,
)
from pipeline.generators.plan import Plan

AT_ONCE = 500
"""Pictures that a classifier looks at together; the last batch is filled up, and takes as long as the others."""


class Job(NamedTuple):
    """One job. `piece` is its shard or seed; `work` is how much it does of what each figure is about, on each of its GPUs."""

    stage: str
    part: str
    piece: str
    gpus: int
    work: Mapping[Figure, float]
    needs: Sequence[int]
    """Places in the list of jobs of those whose outputs it reads, all before its own."""


def jobs(config: Mapping[str, Any], counts: Mapping[str, np.ndarray]) -> list[Job]:
    """All jobs, each after those that it needs; what several recipes share is there once.

    config: dataset (its name), shards (of its real pictures), runs (classifier, quality, seeds), and all parts that these
    need, with all their keys, by section and name. counts: of each class, int64 [C], in each split. Filters are taken to
    keep whatever they may.
    """
    graph = _Graph(config, counts)
    ends = []
    for run in config["runs"]:
        ends += [graph.evaluate(run["classifier"], seed) for seed in run["seeds"]]
        ends += [graph.quality(run["quality"])] if run["quality"] else []
    for run in config["runs"]:
        for name in graph.filters_of(run["classifier"]):
            graph.grid(graph.pool_of(name))
    graph.add("summary", config["dataset"], needs=ends)
    return graph.jobs


def _once(method):
    """Of a method that adds jobs and gives their places: asked for the same again, it adds none."""

    @functools.wraps(method)
    def remembering(self, *names):
        key = (method, *names)
        if key not in self.places:
            self.places[key] = method(self, *names)
        return self.places[key]

    return remembering


class _Graph:
    def __init__(self, config: Mapping[str, Any], counts: Mapping[str, np.ndarray]):
        self.config, self.counts = config, counts
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
        start = START_OF_GENERATORS if stage in ("generator", "sample") else START
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
    def generator(self, name: str) -> int:
        part = self.config["generators"][name]
        work = {Figure("generator", name, SECONDS_A_PICTURE): part["steps"] * part["batch_size"]}
        return self.add("generator", name, "", 1, work | _kept("generator", name), [self.manifest()])

    @_once
    def sample(self, pool: str) -> list[int]:
        """All shards of a pool."""
        part = self.config["samples"][pool]
        plan = self.add("plan", pool, needs=[self.manifest()])
        needs = [self.generator(part["generator"]), plan]
        found = []
        for shard, rows in enumerate(self._shards(pool)):
            work = {
                Figure("sample", pool, SECONDS_A_STEP): _filled_up(len(rows), part["batch_size"]) * part["steps"],
                Figure("sample", pool, BYTES_A_PICTURE): len(rows),
            }
            found.append(self.add("sample", pool, f"shard {shard}", 1, work, needs))
        return found

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
        """All shards of a pool's scores."""
        part = self.config["scores"][name]
        by = part["by"], part["by_seed"]
        needs = [self.manifest(), self.features(*by), self.classifier(*by)]
        labels = np.repeat(np.arange(len(self.counts["train"])), self._generated(part["samples"]))  # as a plan has them
        found = []
        for shard, (sample, rows) in enumerate(
            zip(self.sample(part["samples"]), self._shards(part["samples"]), strict=True)
        ):
            peers = self.counts["train"][labels[rows.start : rows.stop]]
            work = {
                Figure("evaluate", part["by"], SECONDS_A_PICTURE): _filled_up(len(rows), AT_ONCE),
                Figure("score", name, SECONDS_A_PAIR): int(peers.sum()),
            }
            found.append(self.add("score", name, f"shard {shard}", 1, work, [*needs, sample]))
        return found

    @_once
    def select(self, name: str) -> int:
        scores = self.config["filters"][name]["scores"]
        return self.add("select", name, needs=self.sample(self.pool_of(name)) + (self.score(scores) if scores else []))

    @_once
    def classifier(self, name: str, seed: int) -> int:
        part = self.config["classifiers"][name]
        filters = self.filters_of(name)
        needs = [self.manifest(), *(self.select(used) for used in (*filters, *part["steps_as"]))]
        needs += [place for used in filters for place in self.sample(self.pool_of(used))]
        needs += [self.classifier(part["init"], seed)] if part["init"] else []
        gpus = part["gpus"]  # which share the pictures that are looked at, too
        looks = _filled_up(math.ceil(self._pictures("test") / gpus), AT_ONCE)
        if part["scheme"] == "tau_norm":  # trains nothing
            looks += 0 if part["norm_tau"] is not None else _filled_up(self._pictures("val"), AT_ONCE)
            trained = 0
        else:
            # SAU's prototypes are made of two views of the real pictures before each epoch
            views = 2 if part["scheme"] == "sau" and part["contrastive_weight"] else 0
            looks = part["epochs"] * (looks + views * self._pictures("train") / gpus)
            trained = part["epochs"] * self._epoch(name)
        work = {
            Figure("classifier", name, SECONDS_A_PICTURE): trained / gpus,
            Figure("evaluate", name, SECONDS_A_PICTURE): looks,
        }
        return self.add("classifier", name, f"seed {seed}", gpus, work | _kept("classifier", name), needs)

    @_once
    def evaluate(self, name: str, seed: int) -> int:
        work = {Figure("evaluate", name, SECONDS_A_PICTURE): _filled_up(self._pictures("test"), AT_ONCE)}
        return self.add("evaluate", name, f"seed {seed}", 1, work, [self.manifest(), self.classifier(name, seed)])

    @_once
    def quality(self, name: str) -> int:
        part = self.config["qualities"][name]
        needs = [self.manifest(), *self.sample(part["samples"])]
        if part["by"] is None:  # Inception, of whose speed nothing is known
            return self.add("quality", name, "", 1, {}, needs)
        real, made = self._pictures("train") + self._pictures("rest"), int(self._generated(part["samples"]).sum())
        work = {
            Figure("evaluate", part["by"], SECONDS_A_PICTURE): _filled_up(real, AT_ONCE) + _filled_up(made, AT_ONCE)
        }
        return self.add("quality", name, "", 1, work, [*needs, self.classifier(part["by"], part["by_seed"])])

    @_once
    def grid(self, pool: str) -> int:
        return self.add("grid", pool, needs=[self.manifest(), *self.sample(pool)])

    def filters_of(self, classifier: str) -> list[str]:
        return [name for name in self.config["classifiers"][classifier]["data"] if name != "real"]

    def pool_of(self, name: str) -> str:
        """The pool that a filter decides about."""
        part = self.config["filters"][name]
        return part["samples"] or self.config["scores"][part["scores"]]["samples"]

    def _pictures(self, split: str) -> int:
        return int(self.counts[split].sum())

    def _generated(self, pool: str) -> np.ndarray:
        """Pictures of each class in a pool."""
        return Plan(self.config["samples"][pool], self.counts["train"]).per_class

    def _shards(self, pool: str) -> list[range]:
        total, shards = int(self._generated(pool).sum()), self.config["samples"][pool]["shards"]
        return [rows_of(total, shard, shards) for shard in range(shards)]

    def _selected(self, name: str) -> int:
        """Pictures that a filter keeps at most."""
        made, first = self._generated(self.pool_of(name)), self.config["filters"][name]["first"]
        return int((np.minimum(made, first) if first else made).sum())

    def _epoch(self, classifier: str) -> int:
        """Pictures of an epoch."""
        part = self.config["classifiers"][classifier]
        real = self._pictures("train") if "real" in part["data"] else 0
        return real + sum(self._selected(name) for name in (*self.filters_of(classifier), *part["steps_as"]))


def _kept(stage: str, name: str) -> dict[Figure, float]:
    """What a training leaves on disk, the checkpoint for as long as it runs."""
    return {Figure(stage, name, quantity): 1 for quantity in (BYTES_OF_WEIGHTS, BYTES_OF_CHECKPOINT)}


def _filled_up(pictures: int, batch_size: int) -> int:
    """Pictures in batches of which the last one is filled up."""
    return -(-pictures // batch_size) * batch_size
