"""The whole config, resolved: every part that any recipe needs, and every run of every recipe."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config.parts import Part
from pipeline.config.recipes import Recipe
from pipeline.config.resolve import SCHEMA, Parts, Schema, check_references, read, typed
from pipeline.config.site import Site
from pipeline.config.vary import SINGULAR, combinations, derive, singular, upstream
from pipeline.errors import InputError


@dataclass(frozen=True)
class Run:
    """One combination of a recipe's varied values on one data set: a row of results for each seed."""

    recipe: str
    dataset: str
    classifier: str
    quality: str | None
    seeds: tuple[int, ...]
    main: bool
    varied: tuple[str, ...]
    """`section.key` of what `vary` gives alternatives for: what differs from a paper's defaults by intent."""


class Workflow:
    """Parts by section and name, derived ones included, the runs of all recipes, and the keys of the site."""

    def __init__(self, raw: Mapping[str, Any], schema: Schema = SCHEMA):
        self._schema = schema
        own = {key: value for key, value in raw.items() if key in Site.model_fields}
        self.site = typed(Site, "", own)
        self.parts, self._roots = read({key: raw[key] for key in raw if key not in own}, schema)
        self.runs = [run for name in list(self.parts["recipes"]) for run in _runs(self.parts, schema, name)]
        check_references(self.parts)
        self._check_on_data_sets()
        names = [(run.recipe, run.dataset) for run in self.runs]
        for recipe, dataset in names:
            if names.count((recipe, dataset)) > 1:
                raise InputError(f"recipes.{recipe.split('~')[0]}: two runs would both be called {recipe} on {dataset}")

    def part(self, section: str, name: str) -> Part:
        """The part of that name; KeyError where there is none."""
        return self.parts[section][name]

    def families(self) -> dict[str, list[Run]]:
        """Family -> its main runs. A data set is of the family at the root of its `extends`, unless it says."""
        found: dict[str, list[Run]] = {}
        for run in self.runs:
            if run.main:
                found.setdefault(self.family(run.dataset), []).append(run)
        return found

    def family(self, dataset: str) -> str:
        return self.parts["datasets"][dataset].family or self._roots["datasets"][dataset.split("~")[0]]

    def run(self, recipe: str, dataset: str) -> Run:
        """The run of that name; InputError where there is none."""
        for run in self.runs:
            if (run.recipe, run.dataset) == (recipe, dataset):
                return run
        names = sorted({run.recipe for run in self.runs if run.dataset == dataset})
        raise InputError(f"no recipe '{recipe}' runs on {dataset}; there are {', '.join(names) or 'none'}")

    def needed(self, runs: Sequence[Run]) -> dict[str, dict[str, Part]]:
        """Section -> name -> part, of all that the runs' classifiers and qualities are made with, themselves included."""
        starts = [("classifiers", run.classifier) for run in runs]
        starts += [("qualities", run.quality) for run in runs if run.quality]
        found: dict[str, dict[str, Part]] = {}
        for start in dict.fromkeys(starts):
            for section, name in upstream(self.parts, start):
                found.setdefault(section, {})[name] = self.parts[section][name]
        return found

    def pools(self, classifier: str) -> list[tuple[str, str]]:
        """(filter, samples) for the generated data of a classifier, in the order of its `data`."""
        return [(name, self.samples_of(name)) for name in self.part("classifiers", classifier).filters]

    def samples_of(self, name: str) -> str:
        """The pool that a filter decides about."""
        return self.part("filters", name).pool(self.parts)

    def setting(self, run: Run, address: str) -> list[Any]:
        """Distinct values of `section.key` in the run's parts of that section that have the key, f0 among them.

        Raises InputError for a section or key that does not exist.
        """
        section, *path = address.split(".")
        found = upstream(self.parts, ("classifiers", run.classifier))
        try:
            types = self._schema[SINGULAR[section]]
            types = types[1].values() if isinstance(types, tuple) else [types]
            if not any(path[0] in kind.model_fields for kind in types):
                raise KeyError(path[0])
            values = [self.parts[target][name] for target, name in found if target == SINGULAR[section]]
            values = [value for value in values if hasattr(value, path[0])]
            for key in path:
                values = [getattr(value, key) for value in values]
            return [value for i, value in enumerate(values) if value not in values[:i]]
        except (AttributeError, KeyError) as error:
            raise InputError(f"there is no setting '{address}': {error}") from None

    def _check_on_data_sets(self) -> None:
        seen = set()
        for run in self.runs:
            for section, entries in self.needed([run]).items():
                for name, part in entries.items():
                    if (place := (section, name, run.dataset)) in seen:
                        continue
                    seen.add(place)
                    try:
                        part.check_on(self.part("datasets", run.dataset), self.parts)
                    except ValueError as error:
                        raise InputError(f"{section}.{name} on {run.dataset}: {error}") from None


def _runs(parts: Parts, schema: Schema, name: str) -> Iterable[Run]:
    recipe: Recipe = parts["recipes"][name]
    for changes, suffix in combinations(name, recipe.vary):
        derived: Recipe = derive(parts, schema, name, changes)
        for dataset in derived.datasets:
            yield Run(
                recipe=name + suffix,
                dataset=dataset,
                classifier=derived.classifier,
                quality=derived.quality,
                seeds=recipe.seeds,
                main=recipe.main,
                varied=tuple(singular(key) for key, value in recipe.vary.items() if isinstance(value, list)),
            )
