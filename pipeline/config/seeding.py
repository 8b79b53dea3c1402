"""Recipes for each of a recipe's seeds, if not its classifier alone has them."""

from pipeline.config.recipes import Recipe
from pipeline.config.resolve import Parts, Schema
from pipeline.config.vary import SINGULAR, derive, singular, upstream
from pipeline.errors import InputError


def seeded_parts(parts: Parts, name: str, recipe: Recipe) -> tuple[str, ...]:
    """The `seeds_of` of a recipe with one classifier, the classifier first, without those that are not upstream of it.

    `name` is the recipe's. Raises InputError where parts of a section have different seeds, because one seed for all would
    make them alike, and where `vary` has a seed.
    """
    above = upstream(parts, ("classifiers", recipe.classifier)) if len(recipe.seeds_of) > 1 else []
    found = ["classifier"]
    for part in recipe.seeds_of:
        if varied := [key for key in recipe.vary if singular(key) == f"{part}.seed"]:
            raise InputError(
                f"recipes.{name}: vary has '{varied[0]}', which seeds_of sets for each seed; remove one of them"
            )
        seeds = {
            other: parts[section][other].seed
            for section, other in above
            if section == SINGULAR[part] and hasattr(parts[section][other], "seed")
        }
        if len(set(seeds.values())) > 1:
            told = ", ".join(f"{other} has {seed}" for other, seed in sorted(seeds.items()))
            raise InputError(
                f"recipes.{name}: seeds_of gives every {part} the same seed, but they have different ones ({told}); "
                f"remove {part} from seeds_of"
            )
        found += [part] if seeds else []
    return tuple(found)


def for_each_seed(parts: Parts, schema: Schema, name: str, recipe: Recipe, seeded: tuple[str, ...]) -> list[Recipe]:
    """For each seed, the recipe with the names of `seeded` parts that have it. A classifier gets the seed from its job."""
    changes = [{f"{part}.seed": seed for part in seeded if part != "classifier"} for seed in recipe.seeds]
    return [derive(parts, schema, name, recipe, change) if change else recipe for change in changes]
