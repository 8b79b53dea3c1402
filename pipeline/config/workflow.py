"""The whole config, resolved: every part that any recipe needs, and every run of every recipe."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config.datasets import SPLIT_KEYS
from pipeline.config.parts import REST, Part
from pipeline.config.recipes import Recipe
from pipeline.config.resolve import (
    SCHEMA,
    Parts,
    Schema,
    build,
    check_references,
    expect,
    models_in,
    read,
    typed,
    with_keys,
)
from pipeline.config.rounds import unroll
from pipeline.config.searches import nested, searched, trial_name
from pipeline.config.seeding import for_each_seed, seeded_parts
from pipeline.config.site import Site
from pipeline.config.vary import SINGULAR, combinations, derive, refuse_repeated, short_enough, singular, slug, upstream
from pipeline.errors import InputError


@dataclass(frozen=True)
class Run:
    """One combination of a recipe's varied values on one data set: a row of results for each seed."""

    entry: str
    """Name of the recipe in the config."""
    recipe: str
    """Name of the run: the recipe's, or one of its classifiers', and the varied values."""
    dataset: str
    seeds: tuple[int, ...]
    seeds_of: tuple[str, ...]
    """What the seeds are given to: `classifier` and, if they are upstream of it, `pool` and `generator`."""
    classifiers: tuple[str, ...]
    """The classifier of each seed; all are the same one if only the classifier has seeds."""
    qualities: tuple[str, ...]
    """The quality of each seed, or one for all, or none."""
    main: bool
    varied: tuple[str, ...]
    """`section.key` of the keys with alternatives in `vary`: intended differences from a paper's defaults."""
    sees_rest: str = ""
    """How it uses pictures that the long tail left out, which other runs do not have: by `rest`, by `mini`, or not at all."""
    over_splits: str = ""
    """The name of the run without its values of SPLIT_KEYS: the same for all splits."""

    @property
    def classifier(self) -> str:
        """The first seed's classifier; the others differ from it in seeds alone."""
        return self.classifiers[0]


class Workflow:
    """The resolved config: parts by section and name, including derived ones, runs of all recipes, and keys of the site.

    `parts` have the values for all data sets; `on(dataset)` has the same parts with the values of their `where`.
    """

    def __init__(self, raw: Mapping[str, Any], schema: Schema = SCHEMA):
        self._schema = schema
        known = [*schema, *Site.model_fields]
        expect(set(raw) <= set(known), "", "section", sorted(map(str, set(raw) - set(known))), known)
        own = {key: value for key, value in raw.items() if key in Site.model_fields}
        self.site = typed(Site, "", own)
        self.parts, self._chains = read({key: raw[key] for key in raw if key not in own}, schema)
        self.runs = self._all_runs()
        for name, part in list(self.parts["classifiers"].items()):
            for key in ("trial", "round", "continues"):
                if getattr(part, key) is not None:
                    by = "a search" if key == "trial" else "one_training"
                    raise InputError(f"classifiers.{name}: {key} is set by {by}; remove it")
            unroll(self.parts, schema, name)
        self._add_trials()
        self._add_cells()
        check_references(self.parts)
        self._on: dict[str, Parts] = {}
        self._check_where()
        self._check_on_data_sets()

    def part(self, section: str, name: str, dataset: str | None = None) -> Part:
        """The part of that name, as it is on a data set if one is given. Raises KeyError if there is none."""
        return (self.on(dataset) if dataset else self.parts)[section][name]

    def sources(self) -> dict[str, str]:
        """Source -> the data set that has its raw data, of the sources with a fixed list of classes: the one of its name, or the first."""
        found: dict[str, str] = {}
        for name, entry in self.parts["datasets"].items():
            if entry.classes is not None and (entry.source not in found or name == entry.source):
                found[entry.source] = name
        return found

    def is_shared(self, section: str, name: str, dataset: str) -> bool:
        """Whether a part and all that it names need nothing of a data set but its classes, and are as on the first of its source."""
        first = self.sources().get(self._source(dataset))
        if first is None:
            return False
        here, there = self.on(dataset), self.on(first)
        found = [place for place in upstream(here, (section, name)) if place[0] != "datasets"]
        if any(here[target][other].needs_subset() for target, other in found):
            return False
        return all(here[target][other] == there[target][other] for target, other in found)

    def home(self, section: str, name: str, dataset: str) -> str:
        """The folder in results/ of a part's artifacts: the data set, or its source for a part that its data sets share.

        `dataset` may be a source. A data set whose raw data lie elsewhere may have other classes, and shares nothing.
        """
        entries = self.parts["datasets"]
        if dataset not in entries or not self.is_shared(section, name, dataset):
            return dataset
        entry = entries[dataset]
        return entry.source if entries[self.sources()[entry.source]].path == entry.path else dataset

    def on(self, dataset: str) -> Parts:
        """All parts as they are on a data set, or for a source as they are on its first data set."""
        entries = self.parts["datasets"]
        dataset = dataset if dataset in entries else self.sources()[dataset]
        if dataset not in self._on:
            lineage = self._lineage(dataset)
            self._on[dataset] = {
                section: {name: self._local(section, name, part, lineage) for name, part in entries.items()}
                for section, entries in self.parts.items()
            }
        return self._on[dataset]

    def families(self) -> dict[str, list[Run]]:
        """Family -> its main runs. By default, a data set's family is the root of its `extends`."""
        found: dict[str, list[Run]] = {}
        for run in self.runs:
            if run.main:
                found.setdefault(self.family(run.dataset), []).append(run)
        return found

    def family(self, dataset: str) -> str:
        return self.parts["datasets"][dataset].family or self._chains["datasets"][dataset.split("~")[0]][-1]

    def run(self, recipe: str, dataset: str) -> Run:
        """The run of that name. Raises InputError if there is none."""
        for run in self.runs:
            if (run.recipe, run.dataset) == (recipe, dataset):
                return run
        names = sorted({run.recipe for run in self.runs if run.dataset == dataset})
        raise InputError(f"no recipe '{recipe}' runs on {dataset}; there are {', '.join(names) or 'none'}")

    def needed(self, dataset: str, runs: Sequence[Run], comparisons: Sequence[str] = ()) -> Parts:
        """Section -> name -> part, of the runs' classifiers and qualities on a data set, of comparisons, and all parts that these need."""
        parts = self.on(dataset)
        starts = [("classifiers", name) for run in runs for name in run.classifiers]
        starts += [("qualities", name) for run in runs for name in run.qualities]
        starts += [("comparisons", name) for name in comparisons]
        found: Parts = {}
        for start in dict.fromkeys(starts):
            for section, name in upstream(parts, start):
                found.setdefault(section, {})[name] = parts[section][name]
        return found

    def pools(self, classifier: str, dataset: str) -> list[str]:
        """The pools that a classifier trains on, in the order of its `data`."""
        parts = self.on(dataset)
        return [parts["filters"][name].pool_of(parts) for name in parts["classifiers"][classifier].filters]

    def setting(self, run: Run, address: str) -> list[Any]:
        """Distinct values of `section.key` in the run's parts of that section that have the key, including the scorer, not trials.

        With `run.key`, only that of its own classifier. Raises InputError for a section or key that does not exist.
        """
        section, *path = address.split(".")
        parts = self.on(run.dataset)
        own = ("classifiers", run.classifier)
        sections = SINGULAR | {"run": "classifiers"}
        if section not in sections or not self._is_setting(sections[section], path):
            raise InputError(f"there is no setting '{address}'")
        found: list[Any] = []
        for target, name in [own] if section == "run" else upstream(parts, own):
            if target != sections[section] or searched(name) != name:
                continue
            value: Any = parts[target][name]
            for key in path:
                value = getattr(value, key, _ABSENT) if value is not None else _ABSENT
            if value is not _ABSENT and value not in found:
                found.append(value)
        return found

    def _all_runs(self) -> list[Run]:
        found: dict[tuple[str, str], Run] = {}
        owners: dict[tuple[str, str], str] = {}
        for name in list(self.parts["recipes"]):
            for run in _runs(self.parts, self._schema, name):
                place = run.recipe, run.dataset
                if place in found:
                    other = f" (the other is of recipes.{owners[place]})" if owners[place] != name else ""
                    raise InputError(
                        f"recipes.{name}: two runs would both be called {run.recipe} on {run.dataset}{other}"
                    )
                found[place], owners[place] = run, name
        return list(found.values())

    def _add_trials(self) -> None:
        """Add a classifier for each trial of a search: the one that names the search, with the trial's values."""
        for name, part in list(self.parts["classifiers"].items()):
            if part.search is None:
                continue
            search, names = self.parts["searches"][part.search], []
            for trial, drawn in enumerate(search.values()):
                names.append(trial_name(name, trial))
                values = with_keys(part, [*nested(drawn), {"trial": trial, "search": None}])
                self.parts["classifiers"][names[-1]] = build(self._schema, "classifiers", names[-1], values)
            self.parts["classifiers"][name] = part.model_copy(update={"trials": tuple(names)})

    def _add_cells(self) -> None:
        """Add a pool for each cell of a comparison: its pool with a few pictures, and with the cell's values."""
        for name, comparison in self.parts["comparisons"].items():
            if comparison.cells:
                raise InputError(f"comparisons.{name}: cells are set by the workflow; remove them")
            pool, cells = self.parts["pools"][comparison.pool], []
            for number, changes in enumerate(comparison.changes()):
                labels = "".join(f"~{key}={slug(value)}" for key, value in changes.items())
                cells.append(short_enough(f"{comparison.pool}~{name}.{number}{labels}"))
                values = with_keys(pool, [comparison.few(pool.batch_size), *nested(changes)])
                told = f"{comparison.pool} (varied by comparisons.{name})"
                self.parts["pools"][cells[-1]] = build(self._schema, "pools", told, values)
            self.parts["comparisons"][name] = comparison.model_copy(update={"cells": tuple(cells)})

    def _is_setting(self, section: str, path: list[str]) -> bool:
        """Whether parts of the section, of any kind, have this key."""
        kind = self._schema[section]
        types: list[Any] = list(kind[1].values()) if isinstance(kind, tuple) else [kind]
        for key in path:
            types = [found for one in types for found in models_in(one) if key in found.model_fields]
            types = [one.model_fields[key].annotation for one in types]
        return bool(types)

    def _source(self, dataset: str) -> str:
        """The source of a data set; `dataset` may be a source."""
        entries = self.parts["datasets"]
        return entries[dataset].source if dataset in entries else dataset

    def _lineage(self, dataset: str) -> list[str]:
        """Names of a data set in `where`, the most specific last: its family, those it extends, its own."""
        names = [*reversed(self._chains["datasets"][dataset.split("~")[0]]), dataset]
        return list(dict.fromkeys(names if self.family(dataset) in names else [self.family(dataset), *names]))

    def _local(self, section: str, name: str, part: Part, lineage: Sequence[str]) -> Part:
        """A part with the values that its `where` gives for these names of a data set."""
        layers = [(place, part.where[place]) for place in lineage if place in getattr(part, "where", {})]
        if not layers:
            return part
        values = with_keys(part.model_copy(update={"where": {}}), [keys for _, keys in layers])
        return build(self._schema, section, f"{name} (where {layers[-1][0]})", values)

    def _check_where(self) -> None:
        known = {place for dataset in self.parts["datasets"] for place in self._lineage(dataset)}
        for section, entries in self.parts.items():
            for name, part in entries.items():
                for place, keys in getattr(part, "where", {}).items():
                    expect(place in known, f"{section}.{name}.where", "data set", [place], sorted(known))
                    for key in sorted({"where", *part.references, *getattr(part, "everywhere", ())} & keys.keys()):
                        raise InputError(
                            f"{section}.{name}.where.{place}: '{key}' must be the same on all data sets; "
                            "set it in the vary of a recipe on these data sets"
                        )
                    self._local(section, name, part, [place])

    def _check_on_data_sets(self) -> None:
        seen = set()
        compared = self.parts["comparisons"].items()
        used = [(run.dataset, [run], []) for run in self.runs]
        used += [(dataset, [], [name]) for name, comparison in compared for dataset in comparison.datasets]
        for dataset, runs, comparisons in used:
            parts = self.on(dataset)
            for section, entries in self.needed(dataset, runs, comparisons).items():
                for name, part in entries.items():
                    if section in ("datasets", "comparisons") or (place := (section, name, dataset)) in seen:
                        continue
                    seen.add(place)
                    try:
                        part.check(parts)
                        part.check_on(self.part("datasets", dataset), parts)
                    except ValueError as error:
                        raise InputError(f"{section}.{name} on {dataset}: {error}") from None


def sees_rest(parts: Parts, start: tuple[str, str]) -> str:
    """How a part, (section, name), uses pictures that the long tail left out: by `rest`, by `mini`, or not at all."""
    named = [parts[section][name] for section, name in upstream(parts, start)]
    if any(REST in getattr(part, "data", ()) for part in named):
        return REST
    return next((part.kind for part in named if getattr(part, "trains", False)), "")


_ABSENT = object()
_SPLITS = {f"dataset.{key}" for key in SPLIT_KEYS}


def _runs(parts: Parts, schema: Schema, name: str) -> Iterable[Run]:
    recipe: Recipe = parts["recipes"][name]
    unused = set(recipe.seeds_of)
    for called, one in recipe.each(name):
        for changes, labels in combinations(name, recipe.vary):
            derived = derive(parts, schema, name, one, changes)
            kept = [label for key, label in labels.items() if singular(key) not in _SPLITS]
            seeds_of = seeded_parts(parts, name, derived)
            unused -= set(seeds_of)
            each = for_each_seed(parts, schema, name, derived, seeds_of)
            for dataset in derived.datasets:
                yield Run(
                    entry=name,
                    recipe=called + "".join(labels.values()),
                    dataset=dataset,
                    seeds=recipe.seeds,
                    seeds_of=seeds_of,
                    classifiers=tuple(seeded.classifier for seeded in each),
                    qualities=tuple(dict.fromkeys(seeded.quality for seeded in each if seeded.quality)),
                    main=recipe.main,
                    varied=tuple(singular(key) for key, value in recipe.vary.items() if isinstance(value, list)),
                    sees_rest=sees_rest(parts, ("classifiers", each[0].classifier)),
                    over_splits=called + "".join(kept),
                )
    refuse_repeated(name, recipe.vary)  # after the values themselves
    if unused:
        raise InputError(
            f"recipes.{name}: seeds_of names {min(unused)}, but nothing that its classifiers use is a {min(unused)} with a "
            "seed; remove it"
        )
