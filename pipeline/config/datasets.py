"""datasets: which raw data, and how long its tail is. One entry is one subset."""

from typing import Any, Literal, NamedTuple, get_args

from pydantic import Field, model_validator

from pipeline.config.parts import Part


class Known(NamedTuple):
    """What is known of a source before its pictures are read."""

    classes: int
    side: int | None
    """Pixels of the square pictures; None where they have sizes of their own."""
    has_validation: bool
    train_per_class: int | None = None
    """Training pictures of each class, where all have as many."""


KNOWN = {
    "digits": Known(10, 8, False, 120),
    "cifar10": Known(10, 32, False, 5000),
    "cifar100": Known(100, 32, False, 500),
    "fashion_mnist": Known(10, 28, False, 6000),
    "imagenet": Known(1000, None, True),
    "imagenet_pareto": Known(1000, None, False),
    "imagenet100": Known(100, None, False),
    "places": Known(365, 256, True),
    "inaturalist2018": Known(8142, None, False),
    "nico": Known(60, None, True),
}
"""Of every source but a person's own folder."""


class Dataset(Part):
    """What all data sets have: where the raw pictures lie, and how they are stored."""

    path: str | None = None
    """The raw data set's folder below the data root; the usual name of the source's folder, unless said."""
    store_side: int | None = Field(default=None, ge=1)
    """Store pictures with a shorter side of at most so many pixels; the original files, unless said."""
    shards: int = Field(default=1, ge=1, le=100_000)
    """Files that the pictures are stored in, each by a job of its own."""
    most_rejected: float = Field(default=0.001, ge=0, lt=1)
    """Share of pictures that may be unreadable; they are left out and listed."""
    family: str | None = None
    """`all_<family>` runs this entry; by default the entry at the root of its `extends`."""

    rest: bool = True
    """Keep what the long tail leaves out of the training split, as the reference of generator quality."""
    selection_seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Of whatever is drawn: the pictures of a long tail, held-out test pictures."""

    @property
    def classes(self) -> int | None:
        """None where it is not known yet; so with the next."""
        return KNOWN[self.source].classes if self.source in KNOWN else None

    @property
    def has_validation(self) -> bool | None:
        return KNOWN[self.source].has_validation if self.source in KNOWN else None

    @property
    def side(self) -> int | None:
        """Pixels of the stored pictures, where all are known to be squares of the same size."""
        side = KNOWN[self.source].side if self.source in KNOWN else None
        return side and min(side, self.store_side or side)

    @property
    def varied_sides(self) -> bool:
        """Whether pictures are known to have sizes of their own."""
        return self.source in KNOWN and KNOWN[self.source].side is None

    def settings(self) -> dict[str, Any]:
        """What decides which pictures are used."""
        return self.model_dump(mode="json", exclude={"path", "store_side", "shards", "most_rejected", "family"})

    def storing_settings(self) -> dict[str, Any]:
        """What decides how a picture is stored."""
        return self.model_dump(mode="json", include={"source", "store_side"})

    def gathering_settings(self) -> dict[str, Any]:
        """What the manifest depends on beyond the shards."""
        return self.model_dump(mode="json", include={"most_rejected"})


class LongTailed(Dataset):
    """An exponentially long-tailed subset of a balanced data set (LDAM, Cao et al. 2019)."""

    source: Literal["digits", "cifar10", "cifar100", "fashion_mnist"]
    imbalance_factor: float = Field(ge=1)
    """Pictures in the largest class over pictures in the smallest."""
    largest_class: int | None = Field(default=None, ge=1)
    """Pictures in the largest class; all that the source has, unless said."""

    @model_validator(mode="after")
    def _class_can_give(self) -> "LongTailed":
        available = KNOWN[self.source].train_per_class
        if self.largest_class is not None and self.largest_class > available:
            raise ValueError(
                f"largest_class is {self.largest_class}, but a class of {self.source} has {available} training pictures"
            )
        _require_tail(self.imbalance_factor, self.largest_class or available)
        return self


class LargeTail(Dataset):
    """A long tail of a large data set, most of which it leaves out: by lists, or drawn by counts of its own."""

    source: Literal["imagenet", "imagenet_pareto", "imagenet100", "places"]
    rest: bool = False


class AsItIs(Dataset):
    """A data set that is used whole: iNaturalist 2018, NICO++."""

    source: Literal["inaturalist2018", "nico"]


class ImageFolder(Dataset):
    """A person's own pictures: one folder a class, or a table of them."""

    source: Literal["image_folder"]
    path: str = Field(min_length=1)
    """The folder of the pictures, below the data root."""
    table: str | None = None
    """A CSV or Parquet file in that folder, with path and class, and group and split where it has them."""
    imbalance_factor: float | None = Field(default=None, ge=1)
    """Make an exponential long tail of it; as it is, unless said."""
    largest_class: int | None = Field(default=None, ge=1)
    test_per_class: int | None = Field(default=None, ge=1)
    """Hold out so many pictures of each class for the test; needed where there is no test split."""

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"path": self.path}  # another folder is other pictures

    @model_validator(mode="after")
    def _tail(self) -> "ImageFolder":
        if self.largest_class is not None and self.imbalance_factor is None:
            raise ValueError("largest_class is for a long tail; give imbalance_factor too")
        if self.largest_class is not None:
            _require_tail(self.imbalance_factor, self.largest_class)
        return self


def _require_tail(imbalance_factor: float, largest: int) -> None:
    if imbalance_factor > largest:
        raise ValueError(
            f"imbalance_factor is {imbalance_factor:g}; with {largest} pictures in the largest class, more than {largest} "
            "leaves none for the smallest"
        )


SOURCES: dict[str, type[Dataset]] = {
    source: kind
    for kind in (LongTailed, LargeTail, AsItIs, ImageFolder)
    for source in get_args(kind.model_fields["source"].annotation)
}
"""Source -> the type of its entries; the source's module is `pipeline.data.<source>`."""
