"""rounds: a classifier guides the drawing of more pictures, or scores them, is trained with them, and so on."""

from typing import Any

from pipeline.config.classifiers import Classifier
from pipeline.config.filters import Filter
from pipeline.config.parts import OWN
from pipeline.config.pools import Pool
from pipeline.config.resolve import Parts, Schema, build, with_keys
from pipeline.config.scores import ByClassifier
from pipeline.config.vary import short_enough
from pipeline.errors import InputError


def unroll(parts: Parts, schema: Schema, name: str) -> None:
    """Replace a classifier's one filter by a filter for each of its `rounds`, and add what these need to `parts`.

    Of N rounds, the filter of round r selects from the r-th of N equal shares of the pool's pictures. A classifier leads: the pool's
    guide, so that each share is a pool of its own, or without one the scorer of the filter's scores, so that the shares are parts of
    one pool. The classifier of rounds 1 to r - 1 takes its place in round r. It is trained from the start, or goes on with the training
    of the round before (`one_training`). Raises InputError if no classifier leads, or if the pictures are not those of one whole pool.
    """
    last: Classifier = parts["classifiers"][name]
    if last.rounds == 1:
        return
    filter_name = _only_filter(parts, name, last)
    whole: Filter = parts["filters"][filter_name]
    scores = parts["scores"][whole.scores] if whole.scores else None
    pool_name = whole.pool_of(parts)
    pool: Pool = parts["pools"][pool_name]
    for key in ("first", "fill_to"):
        if getattr(whole, key) is not None or _somewhere(whole, key):
            raise InputError(
                f"classifiers.{name}: rounds would apply the {key} of {filter_name} to each share; remove {key}"
            )
    for owner, part in ((filter_name, whole), (pool_name, pool)):
        if part.fill_range != (0, 1) or _somewhere(part, "fill_range"):
            raise InputError(f"classifiers.{name}: rounds share a whole pool; remove the fill_range of {owner}")
    if pool.per_class is not None and pool.per_class < last.rounds:
        raise InputError(
            f"classifiers.{name}: {last.rounds} rounds would share {pool.per_class} pictures of each class; raise per_class of {pool_name}"
        )
    scorer = scores.scorer if isinstance(scores, ByClassifier) else None
    leader = pool.guide or scorer
    if leader is None:
        raise InputError(
            f"classifiers.{name}: rounds need a classifier that leads, but the pool {pool_name} has no guide, and the filter "
            f"{filter_name} no scores by a classifier; give one of them"
        )
    for recipe, part in parts["recipes"].items():
        quality = part.quality and parts["qualities"][part.quality]
        if pool.guide and quality and quality.pool == pool_name and part.classifier == name:
            raise InputError(
                f"recipes.{recipe}: the quality {part.quality} would be that of {pool_name}, of which rounds draw each share with "
                "another guide; remove quality"
            )
    filters: list[str] = []
    for number in range(1, last.rounds + 1):
        ending = f"~{name}.round={number}"
        before = short_enough(f"{name}~round={number - 1}")
        share = ((number - 1) / last.rounds, number / last.rounds)
        source: dict[str, Any] = {"fill_range": share}
        drawn = pool_name
        if pool.guide:
            led = {"guide": before, "guide_seed": 0} if number > 1 else {}
            # other classifiers may share the first one
            drawn = short_enough(pool_name + (ending if led else f"~share=1.{last.rounds}"))
            keys = {"fill_range": share} | led
            parts["pools"][drawn] = build(schema, "pools", drawn, with_keys(pool, [keys]))
            source = {} if whole.scores else {"pool": drawn}
        judging = {"scorer": before, "scorer_seed": 0} if number > 1 and scorer == leader else {}
        if scores is not None and (pool.guide or judging):
            judge = source["scores"] = short_enough(whole.scores + ending)
            parts["scores"][judge] = build(schema, "scores", judge, with_keys(scores, [{"pool": drawn} | judging]))
        filters.append(short_enough(filter_name + ending))
        parts["filters"][filters[-1]] = whole.model_copy(update=source)
        real = [place for place in last.data if place in OWN]
        update = {"data": (*real, *filters), "rounds": 1, "one_training": False}
        if last.one_training:
            update |= {"round": (number, last.rounds), "continues": before if number > 1 else None}
        trained = short_enough(f"{name}~round={number}") if number < last.rounds else name
        parts["classifiers"][trained] = last.model_copy(update=update)


def _somewhere(part: Filter | Pool, key: str) -> bool:
    """Whether the part has the key on some data sets alone."""
    return any(key in keys for keys in part.where.values())


def _only_filter(parts: Parts, name: str, part: Classifier) -> str:
    if len(part.filters) != 1:
        raise InputError(
            f"classifiers.{name}: rounds draw the pictures of one filter, but data is {list(part.data)}; name one filter, beside real"
        )
    return part.filters[0]
