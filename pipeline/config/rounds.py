"""rounds: a classifier guides the drawing of more pictures, with which it is trained again, and so on."""

from pipeline.config.classifiers import Classifier
from pipeline.config.filters import Filter
from pipeline.config.parts import OWN
from pipeline.config.pools import Pool
from pipeline.config.resolve import Parts, Schema, build, with_keys
from pipeline.errors import InputError


def unroll(parts: Parts, schema: Schema, name: str) -> None:
    """Replace a classifier's one filter by a filter for each of its `rounds`, and add what these need to `parts`.

    Of N rounds, the pool of round r has the r-th of N equal shares of the pool's pictures. The pool's own guide leads the first one. The
    classifier of rounds 1 to r - 1, trained from the start, leads round r. Raises InputError if the classifier does not draw from one
    guided, whole pool.
    """
    last: Classifier = parts["classifiers"][name]
    if last.rounds == 1:
        return
    filter_name = _only_filter(parts, name, last)
    whole: Filter = parts["filters"][filter_name]
    pool_name = whole.pool_of(parts)
    pool: Pool = parts["pools"][pool_name]
    for key in ("first", "fill_to"):
        if getattr(whole, key) is not None or _somewhere(whole, key):
            raise InputError(
                f"classifiers.{name}: rounds would apply the {key} of {filter_name} to each share; remove {key}"
            )
    if not pool.guide:
        raise InputError(f"classifiers.{name}: rounds need feedback, but {pool_name} has no guide; give it one")
    if pool.fill_range != (0, 1) or pool.surplus or _somewhere(pool, "fill_range") or _somewhere(pool, "surplus"):
        raise InputError(
            f"classifiers.{name}: rounds share a whole pool; remove the fill_range or surplus of {pool_name}"
        )
    filters: list[str] = []
    guide = pool.guide
    for number in range(1, last.rounds + 1):
        ending = f"~{name}.round={number}"
        share = {"fill_range": [(number - 1) / last.rounds, number / last.rounds], "guide": guide}
        share |= {"guide_seed": 0} if number > 1 else {}
        parts["pools"][pool_name + ending] = build(schema, "pools", pool_name + ending, with_keys(pool, [share]))
        source = {"pool": pool_name + ending}
        if whole.scores:
            scores = parts["scores"][whole.scores]
            parts["scores"][whole.scores + ending] = scores.model_copy(update=source)
            source = {"scores": whole.scores + ending}
        parts["filters"][filter_name + ending] = whole.model_copy(update=source)
        filters.append(filter_name + ending)
        own = [place for place in last.data if place in OWN]
        part = last.model_copy(update={"data": (*own, *filters), "rounds": 1})
        guide = f"{name}~round={number}" if number < last.rounds else name
        parts["classifiers"][guide] = part


def _somewhere(part: Filter | Pool, key: str) -> bool:
    """Whether the part has the key on some data sets alone."""
    return any(key in keys for keys in part.where.values())


def _only_filter(parts: Parts, name: str, part: Classifier) -> str:
    if len(part.filters) != 1:
        raise InputError(
            f"classifiers.{name}: rounds draw the pictures of one filter, but data is {list(part.data)}; name one filter, beside real"
        )
    return part.filters[0]
