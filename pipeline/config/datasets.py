"""datasets: raw data and their long tail. One entry is one subset."""

from typing import Any, ClassVar, NamedTuple

from pydantic import Field, PrivateAttr, model_validator

from pipeline.config.parts import Part

SPLIT_KEYS = ("selection_seed", "fold")
"""Keys that choose among splits of the same pictures. Results of data sets that differ in them alone are averaged."""


class Known(NamedTuple):
    """Facts about a source that are known before its pictures are read."""

    classes: int | None = None
    side: int | None = None
    """Side of the square pictures, in pixels."""
    varied_sides: bool = False
    """Whether its pictures differ in size."""
    has_validation: bool | None = None
    may_have_groups: bool = False
    train_per_class: int | None = None
    """Training pictures of each class, if all classes have equally many."""


class Dataset(Part):
    """Keys of all data sets: place of the raw pictures, and their storage."""

    source: str
    """Which raw data; the module is `pipeline.data.<source>`."""
    path: str | None = None
    """The raw data set's folder below the data root; by default the usual name for the source."""
    store_side: int | None = Field(default=None, ge=1)
    """Store pictures with a shorter side of at most this many pixels; by default the original files."""
    shards: int = Field(default=1, ge=1, le=100_000)
    """Number of files that the pictures are stored in, with one job each."""
    most_rejected: float = Field(default=0.001, ge=0, lt=1)
    """Largest share of unreadable pictures, which are skipped and listed; three are always allowed, unless it is 0."""
    family: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9_]*$")
    """`all_<family>` runs this entry; by default the name at the root of its `extends`."""

    rest: bool = True
    """Keep the training pictures that the long tail leaves out, as a reference for generator quality."""
    selection_seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of all draws: the pictures of a long tail, held-out test pictures. Each seed is another split."""

    known: ClassVar[dict[str, Known]] = {}
    """The sources of this type, and what is known of each."""
    to_validate: ClassVar[str] = ""
    """What to do where a validation split is lacking, and ", or "; nothing if there is no way."""
    _found: Known | None = PrivateAttr(default=None)
    """What is known of a source whose pictures were looked at."""

    @property
    def classes(self) -> int | None:
        """Number of classes; None if not known yet (the same holds for `has_validation`)."""
        return self.known[self.source].classes

    @property
    def has_validation(self) -> bool | None:
        return (self._found or self.known[self.source]).has_validation

    @property
    def may_have_groups(self) -> bool:
        """Whether its pictures may have groups."""
        return (self._found or self.known[self.source]).may_have_groups

    def found_with(self, validation: bool, groups: bool) -> "Dataset":
        """The data set, once it is known whether there are validation pictures and groups."""
        found = self.model_copy()
        found._found = self.known[self.source]._replace(has_validation=validation, may_have_groups=groups)
        return found

    def without_rest(self) -> str | None:
        """What to do if pictures that the long tail left out are wanted and there are none; None if there may be some."""
        return None if self.rest else "set its `rest` to true"

    @property
    def side(self) -> int | None:
        """Side of the stored pictures in pixels, if all are known to be squares of one size."""
        side = self.known[self.source].side
        return side and min(side, self.store_side or side)

    @property
    def varied_sides(self) -> bool:
        """Whether pictures are known to differ in size."""
        return self.known[self.source].varied_sides

    def modules(self) -> list[str]:
        return [f"data.{self.source}"]

    def read_modules(self) -> list[str]:
        """Modules that store the pictures."""
        return self.modules()

    def settings(self) -> dict[str, Any]:
        """Settings that decide which pictures are used."""
        return self.model_dump(
            mode="json", exclude={"path", "store_side", "levels", "shards", "most_rejected", "family"}
        )

    def storing_settings(self) -> dict[str, Any]:
        """Settings that decide how a picture is stored."""
        return self.model_dump(mode="json", include={"source", "store_side", "levels"})

    def gathering_settings(self) -> dict[str, Any]:
        """Settings of the manifest, besides the shards that it reads."""
        return self.model_dump(mode="json", include={"most_rejected", "levels"})


class LongTailed(Dataset):
    """An exponentially long-tailed subset of a balanced data set (LDAM, Cao et al. 2019)."""

    imbalance_factor: float = Field(ge=1)
    """Pictures in the largest class divided by pictures in the smallest."""
    largest_class: int | None = Field(default=None, ge=1)
    """Pictures in the largest class; by default all of the source."""

    known: ClassVar[dict[str, Known]] = {
        "digits": Known(10, 8, has_validation=False, train_per_class=120),
        "mnist_5k": Known(10, 28, has_validation=False, train_per_class=350),
        "cifar10": Known(10, 32, has_validation=False, train_per_class=5000),
        "cifar100": Known(100, 32, has_validation=False, train_per_class=500),
        "fashion_mnist": Known(10, 28, has_validation=False, train_per_class=6000),
    }

    @model_validator(mode="after")
    def _class_can_give(self) -> "LongTailed":
        available = self.known[self.source].train_per_class
        if self.largest_class is not None and self.largest_class > available:
            raise ValueError(
                f"largest_class is {self.largest_class}, but a class of {self.source} has {available} training pictures"
            )
        _require_tail(self.imbalance_factor, self.largest_class or available)
        return self


class LargeTail(Dataset):
    """A long tail that leaves out most of a large data set, by lists or by counts of its own."""

    rest: bool = False
    """Keep the training pictures that the long tail leaves out, as a reference for generator quality."""

    known: ClassVar[dict[str, Known]] = {
        "imagenet": Known(1000, varied_sides=True, has_validation=True),
        "imagenet_pareto": Known(1000, varied_sides=True, has_validation=False),
        "imagenet100": Known(100, varied_sides=True, has_validation=False),
        "places": Known(365, 256, has_validation=True),
    }


class AsItIs(Dataset):
    """A data set used as a whole: iNaturalist 2018, NICO++."""

    known: ClassVar[dict[str, Known]] = {
        "inaturalist2018": Known(8142, varied_sides=True, has_validation=False),
        "nico": Known(60, varied_sides=True, has_validation=True, may_have_groups=True),
    }

    def without_rest(self) -> str | None:
        return "name another data set, because it is used as a whole"


class ImageFolder(Dataset):
    """A user's own pictures: one folder per class, or a table."""

    path: str = Field(min_length=1)
    """The folder of the pictures, below the data root."""
    table: str | None = None
    """A CSV or Parquet file in that folder, with columns path, class and, optionally, group or context, and split."""
    splits: bool = True
    """Take folders called train, val and test as splits; `false` takes them as classes."""
    levels: int | None = Field(default=None, ge=1)
    """The level that is white in files of 16 or 32 bits, 4095 for a camera of 12 bits; by default 65535."""
    smallest_class: int | None = Field(default=None, ge=2)
    """Leave out classes with fewer training pictures than this, before test pictures are held out."""
    test_per_class: int | None = Field(default=None, ge=1)
    """Hold out this many pictures of each class for the test."""
    test_share: float | None = Field(default=None, gt=0, lt=1)
    """Hold out this share of each class: at least one picture, but never the last one."""
    val_share: float | None = Field(default=None, gt=0, lt=1)
    """Hold out this share of the other pictures of each class for choices, as of an epoch or in a search: the validation split."""
    folds: int | None = Field(default=None, ge=2)
    """Hold out one of this many folds. Each picture is in the test split of one fold."""
    fold: int = Field(default=0, ge=0)
    """Which of the folds is held out, from 0; `vary: {dataset.fold: [0, 1, 2, 3, 4]}` runs five."""
    imbalance_factor: float | None = Field(default=None, ge=1)
    """Make an exponential long tail; by default all pictures are used."""
    largest_class: int | None = Field(default=None, ge=1)
    """Pictures in the largest class of the long tail; by default as many as the largest class has."""

    known: ClassVar[dict[str, Known]] = {"image_folder": Known()}

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"path": self.path}  # another folder has other pictures

    @property
    def may_have_groups(self) -> bool:
        return super().may_have_groups if self._found else self.table is not None

    to_validate: ClassVar[str] = "give the data set a val_share, or "

    @property
    def has_validation(self) -> bool | None:
        return True if self.val_share else super().has_validation

    def without_rest(self) -> str | None:
        return "give it an imbalance_factor" if self.imbalance_factor is None else super().without_rest()

    @model_validator(mode="after")
    def _one_test_split(self) -> "ImageFolder":
        given = [key for key in ("test_per_class", "test_share", "folds") if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"{given[0]} and {given[1]} both hold out test pictures; give one of them")
        if self.fold and self.fold >= (self.folds or 1):
            given = f"folds is {self.folds}" if self.folds else "folds is not given"
            raise ValueError(f"fold is {self.fold}, but {given}; the folds of `folds: 5` are 0 to 4")
        return self

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
    source: kind for kind in (LongTailed, LargeTail, AsItIs, ImageFolder) for source in kind.known
}
"""Source -> the type of its entries: a new source is registered here."""
