"""classifiers: networks, their training pictures and their training. `scheme` chooses the type of an entry."""

from collections.abc import Mapping
from itertools import combinations, pairwise
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from pipeline.classifiers import backbones
from pipeline.classifiers.rounds import last_epoch
from pipeline.config.augmentations import Augment, Crop, Flip
from pipeline.config.datasets import Dataset
from pipeline.config.parts import OWN, REAL, REST, Part, Reference, RunPart
from pipeline.config.searches import TRIAL
from pipeline.config.unread import refuse_unread

CLIP = "clip"
"""The backbone that is a part of a foundation."""


class Backbone(NamedTuple):
    """Facts about a network."""

    width: int | None
    """Channels of the first stage, or of a group; None if its foundation says it."""
    torchvision: bool = False
    """Whether torchvision publishes weights for it."""


BACKBONES = {
    "resnet32": Backbone(16),
    "resnet32x4": Backbone(64),
    "small": Backbone(32),
    "resnet10": Backbone(64),
    "resnet18": Backbone(64, torchvision=True),
    "resnet50": Backbone(64, torchvision=True),
    "resnet152": Backbone(64, torchvision=True),
    "resnext50_32x4d": Backbone(4, torchvision=True),
    CLIP: Backbone(None),
}


class Work(NamedTuple):
    """Passes over pictures for a cost estimate, besides those over the test split."""

    epochs: int
    """Epochs of training; 0 trains nothing."""
    looks_an_epoch: int = 0
    """Passes over the real training pictures before each epoch, without training on them."""
    looks_at_validation: int = 0
    """Passes over the validation split in total."""


Positive = Annotated[float, Field(gt=0)]
Level = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(gt=0, le=1)]


class Classifier(RunPart):
    """A network trained on real and generated pictures.

    The defaults are the CIFAR recipe of LDAM-DRW (Cao et al. 2019) without its re-weighting, because DiffuLT's
    baselines are that paper's figures and DiffuLT prints no recipe.
    """

    data: tuple[str, ...] = Field(min_length=1)
    """`real` and names of filters, each once. `rest` are the pictures that the long tail left out: with `real`, an upper bound
    for generated pictures in their place. Its results are shown apart."""
    init: str | None = None
    """Start from this classifier's weights, of the same seed."""
    steps_as: tuple[str, ...] = ()
    """Filters that make an epoch longer by their pictures, without using them: a control for longer training."""
    backbone: Literal[*BACKBONES] = "resnet32"
    """resnet32 is LDAM-DRW's network of 0.47 M weights; resnet32x4 is four times as wide, as in GLMC and SAU. clip is the vision
    transformer of a foundation."""
    foundation: str | None = None
    """Of the backbone `clip`: the foundation, a CLIP in open_clip's format. Its own weights stay as they are."""
    tuning: Literal["head", "adaptformer", "lora"] = "head"
    """Of the backbone `clip`: what is trained. `head` is a linear probe; the others train small changes in every block too."""
    tuning_rank: int | None = Field(default=None, ge=1)
    """Rank of `lora`'s changes, or width of `adaptformer`'s; by default such that about as many weights as a head has are added."""
    width: int | None = Field(default=None, ge=1)
    """Channels of the first stage of `small`; the other backbones have a fixed width."""
    pretrained: str | None = Field(default=None, min_length=1)
    """File of torchvision's weights for the backbone to start from."""
    side: int | None = Field(default=None, ge=8)
    """Use pictures as squares of this many pixels; by default as stored."""
    prior_from: Literal["real", "all"] = "real"
    """Pictures that losses and schemes count as the classes' sizes; samplers count all pictures that they draw from."""
    epochs: int = Field(default=200, ge=1)
    """Passes over the training pictures."""
    batch_size: int = Field(default=128, ge=2)
    """Pictures in a step, over all GPUs."""
    test_every: int = Field(default=1, ge=1)
    """Epochs from one look at the test split to the next, for the best test epoch; the last epoch is always looked at."""
    select_by: Literal["last", "val_top1", "val_worst_group"] = "last"
    """The epoch whose weights are kept: the last one, or the best on the validation split, of those after which the test split is
    looked at, by accuracy over its pictures or by the lowest accuracy of a group. Among equal ones of these, accuracy over all
    pictures decides."""
    patience: int | None = Field(default=None, ge=1)
    """End the training after so many looks at the validation split that find nothing better."""
    rounds: int = Field(default=1, ge=1)
    """Draw the pictures of its one filter in this many equal shares. The classifier of the shares so far guides the pool of the next one,
    or scores it, where another classifier does for the first."""
    one_training: bool = False
    """The rounds are one training: each goes on with the weights, the optimizer and the schedule of the one before. Round r of N ends
    after r/N of all epochs, or earlier by `patience` (Deliberate Practice, Askari-Hemmat et al. 2025)."""
    round: tuple[int, int] | None = None
    """Which round of how many of one training this is; `one_training` sets it."""
    continues: str | None = None
    """The round whose training this one continues; `one_training` sets it."""
    search: str | None = None
    """Keys of this classifier are chosen by this search, among its trials on the same data set."""
    trials: tuple[str, ...] = ()
    """The trials of `search`, which sets this."""
    trial: int | None = Field(default=None, ge=0)
    """Which trial of a search this is; a search sets it. A trial that diverges, or exceeds memory, has failed; the others count."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """The optimizer."""
    learning_rate: float = Field(default=0.1, gt=0)
    """Rate after the warm-up."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of `sgd`."""
    nesterov: bool = False
    """Nesterov's form of the momentum."""
    weight_decay: float = Field(default=2e-4, ge=0)
    """Weight decay."""
    schedule: Literal["step", "cosine"] = "step"
    """How the rate falls after the warm-up."""
    warmup_epochs: int = Field(default=5, ge=0)
    """Epochs over which the rate rises."""
    decay_at: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0.8, 0.9)
    """Rising shares of the epochs after which `step` lowers the learning rate to `decay_to` of its start."""
    decay_to: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (1e-2, 1e-4)
    """Shares of the rate from these epochs on, falling."""
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Evaluate an exponential moving average of the weights."""
    frozen_batch_norm: bool = False
    """Normalise by running statistics in training too, and do not update them; also the fresh ones of SAU's projection."""
    augment: Augment = (Crop(kind="crop"), Flip(kind="flip"))
    """What is done to a training picture, in order."""
    mean: tuple[Level, Level, Level] = (0.4914, 0.4822, 0.4465)
    """Mean of red, green and blue that is subtracted, as shares of the highest level."""
    std: tuple[Spread, Spread, Spread] = (0.2023, 0.1994, 0.2010)
    """Standard deviation of red, green and blue, which pictures are divided by, as shares of the highest level."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the network's operations."""
    compile: bool = False
    """Compile the network with torch.compile."""
    gpus: int = Field(default=1, ge=1)
    """GPUs of one node, which share each batch. Batch norm, and losses divided by a sum of weights, use each GPU's share
    alone."""
    accumulate: int = Field(default=1, ge=1)
    """Parts of its share of a batch that a GPU takes one after the other, to need less memory. Each part is like the share of one
    more GPU."""

    references: ClassVar[dict[str, Reference]] = {
        "data": Reference("filters", {"selected": "selected", "generated": "pictures"}),
        "steps_as": Reference("filters"),
        "init": Reference("classifiers"),
        "continues": Reference("classifiers", {"continues": "history"}),
        "foundation": Reference("foundations"),
        "search": Reference("searches", {"chosen": "chosen"}),
        "trials": Reference(
            "classifiers", {"trials": "metrics", "weights": "weights"}, seed="trial_seed", stage="search"
        ),
    }
    files: ClassVar[tuple[str, ...]] = ("pretrained",)

    @model_validator(mode="after")
    def _fits(self) -> "Classifier":
        backbone = BACKBONES[self.backbone]
        if self.width is not None and self.backbone == CLIP:
            raise ValueError(f"width is {self.width}, but the foundation of clip has its own; remove it")
        if self.width is not None and self.backbone != "small" and self.width != backbone.width:
            raise ValueError(
                f"width is {self.width}, but {self.backbone} has {backbone.width}; resnet32x4 is the wide ResNet-32"
            )
        if (self.foundation is None) == (self.backbone == CLIP):
            raise ValueError("foundation and the backbone clip go together; set both, or none")
        if self.pretrained and not backbone.torchvision:
            raise ValueError(f"pretrained is set, but torchvision has no weights of {self.backbone}; remove it")
        if self.pretrained and self.init:
            raise ValueError("init and pretrained are both set; give one")
        if len(set(self.data)) < len(self.data):
            raise ValueError(f"data is {list(self.data)}; name each once")
        if len(self.decay_at) != len(self.decay_to):
            raise ValueError(
                f"decay_at has {len(self.decay_at)} values and decay_to {len(self.decay_to)}; give equally many"
            )
        if not all(a < b for a, b in pairwise(self.decay_at)) or not all(a > b for a, b in pairwise(self.decay_to)):
            raise ValueError(
                f"decay_at is {list(self.decay_at)} and decay_to {list(self.decay_to)}; the first must rise and the second "
                "fall, because both are shares of the whole"
            )
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs is {self.warmup_epochs}; it must be less than epochs, {self.epochs}")
        if any(TRIAL not in name for name in self.trials) or (self.trials and not self.search):
            raise ValueError("trials are set by search; remove them, and name a search")
        if self.patience is not None and self.select_by == "last":
            raise ValueError("patience counts looks at the validation split; set select_by: val_top1, or remove it")
        if self.one_training and not 1 < self.rounds <= self.epochs:
            raise ValueError(
                f"one_training is of several rounds, each with an epoch or more, but rounds is {self.rounds} and epochs {self.epochs}"
            )
        if self.round and self.round[1] > self.epochs:
            raise ValueError(
                f"epochs is {self.epochs}, too few for {self.round[1]} rounds; give each an epoch, or set fewer rounds"
            )
        if self.one_training and self.search:
            raise ValueError(
                "one_training has the same keys in all rounds, but search would choose for each; remove one"
            )
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        if self.frozen_batch_norm and not (self.init or self.pretrained):
            raise ValueError("frozen_batch_norm keeps the statistics of init or pretrained; set one of them")
        parts = self.gpus * self.accumulate
        if self.batch_size < 2 * parts:
            of = f"{self.gpus} GPUs" if self.accumulate == 1 else f"{parts} parts on {self.gpus} GPUs"
            raise ValueError(f"batch_size is {self.batch_size}; with {of} it must be at least {2 * parts}")
        reader = self._reads_sizes()
        if reader and self.prior_from == "real" and REAL not in self.data:
            raise ValueError(
                f"{reader} needs the classes' sizes, but data has no real pictures to count; set prior_from: all"
            )
        if not reader and self.prior_from == "all":
            raise ValueError(
                "prior_from is all, but neither loss, class_weights nor scheme uses the classes' sizes; remove it"
            )
        if getattr(getattr(self, "data_sampler", None), "kind", None) == "half_real" and not self._has_both():
            raise ValueError(
                "the data sampler half_real needs real and generated pictures; set data: [real, some filter]"
            )
        refuse_unread(self)
        if REAL in self.steps_as or (self.steps_as and self.data != (REAL,)):
            raise ValueError("steps_as names filters of a control that trains on real pictures only; set data: [real]")
        return self

    everywhere: ClassVar[tuple[str, ...]] = ("rounds", "one_training", "round", "trial")
    """Keys that must be the same on all data sets, beside names of other parts."""
    trial_seed: ClassVar[int] = 0
    """The seed of a search's trials."""

    @property
    def filters(self) -> list[str]:
        """Filters of the generated pictures that it trains on."""
        return [name for name in self.data if name not in OWN]

    @property
    def splits(self) -> list[str]:
        """Splits of the data set whose pictures it trains on."""
        return [split for name, split in OWN.items() if name in self.data]

    @property
    def launcher(self) -> str:
        """The command that starts the training: one process, or one for each GPU of the node."""
        distributed = f"python -m torch.distributed.run --standalone --nproc-per-node {self.gpus}"
        return "python" if self.gpus == 1 else distributed

    @property
    def cores(self) -> int:
        """Cores of a training job; large pictures are decoded meanwhile, for each of its GPUs."""
        return 8 * self.gpus if (self.side or 0) > 64 else 1

    def settings(self) -> dict[str, Any]:
        own = {"real": REAL in self.data, "width": self._width()} | ({"rest": True} if REST in self.data else {})
        found = {**super().settings(), **own}
        return {key: value for key, value in found.items() if key not in ("rounds", "one_training")}  # the graph's

    def modules(self) -> list[str]:
        from_clip = ["classifiers.from_clip"] if self.backbone == CLIP else []
        return [*self.read_modules(), f"classifiers.schemes.{self.scheme}", *from_clip]

    def read_modules(self) -> list[str]:
        return [f"classifiers.backbones.{backbones.module_of(self.backbone)}"]

    def work(self) -> dict[str, Any]:
        return Work(self._own_epochs(), looks_at_validation=self._looks_at_validation())._asdict()

    def timed_settings(self) -> dict[str, Any]:
        """The stage's settings for timing a few steps, with all parts of the scheme active."""
        return self.settings()

    def check(self, parts: Mapping[str, Mapping[str, Part]]) -> None:
        for one, other in combinations(self.filters, 2):
            filters = [parts["filters"][name] for name in (one, other)]
            if filters[0].overlaps(filters[1], parts):
                pools = [each.pool_of(parts) for each in filters]
                if pools[0] == pools[1]:
                    raise ValueError(
                        f"data names {one} and {other}, but both select from the pool {pools[0]}; use one filter, or "
                        "give each a part of the pool by its fill_range"
                    )
                raise ValueError(
                    f"data names {one} and {other}, but the pools {pools[0]} and {pools[1]} have the same pictures; give "
                    "one of them another seed"
                )
        if self.init is None:
            return
        first: Classifier = parts["classifiers"][self.init]
        alike = (
            "backbone",
            "width",
            "foundation",
            "tuning",
            "tuning_rank",
            *(("mean", "std", "side") if self._keeps_features else ()),
        )
        for key in alike:
            one, other = (part._width() if key == "width" else getattr(part, key) for part in (first, self))
            if one != other:
                raise ValueError(
                    f"init names {self.init} with {key} {one} instead of {other}; both must be the same (in a recipe's "
                    f"vary, the first stage's key is classifiers.{self.init.split('~')[0]}.{key})"
                )
        if first._head() != self._head() and not self._fresh_head:
            raise ValueError(f"init names {self.init} with a {first._head()} head instead of a {self._head()} one")

    def check_on(self, dataset: Dataset, parts: Mapping[str, Mapping[str, Part]]) -> None:
        if self.select_by != "last" and dataset.has_validation is False:
            raise ValueError(
                f"select_by is {self.select_by}, but the data set has no validation split; {dataset.to_validate}set select_by: last"
            )
        if self.search and dataset.has_validation is False:
            raise ValueError(
                f"search chooses on a validation split, but the data set has none; {dataset.to_validate}remove search"
            )
        by_group = self.search and parts["searches"][self.search].by == "val_worst_group"
        if by_group and not dataset.may_have_groups:
            raise ValueError(f"search {self.search} chooses by val_worst_group, but the data set has no groups")
        if (reader := self._reads_groups()) and not dataset.may_have_groups:
            raise ValueError(f"{reader} needs groups, but the data set has none")
        if REST in self.data and (remedy := dataset.without_rest()):
            raise ValueError(f"data names rest, but the data set leaves no pictures out; {remedy}")
        side = self.side or dataset.side
        steps = [
            one for step in self._steps() for one in ((*step.first, *step.second) if step.kind == "either" else [step])
        ]
        for step in steps:
            if side and step.kind == "cutout" and step.size >= side:
                raise ValueError(f"cutout of size {step.size} would black out pictures of {side} px; it must be less")
            if side and step.kind == "crop" and step.padding >= side:
                raise ValueError(f"crop with padding {step.padding} would lose pictures of {side} px; it must be less")
        if self.side is not None:
            return
        if dataset.varied_sides:
            raise ValueError("the pictures differ in size; set side, in pixels")
        for pool in [parts["filters"][name].pool_of(parts) for name in self.filters]:
            self.require_side("it", pool, dataset, parts)

    def require_side(self, name: str, pool: str, dataset: Dataset, parts: Mapping[str, Mapping[str, Part]]) -> None:
        """Raise ValueError if this classifier, called `name`, has no side, and the pool's side differs from the stored one."""
        side = parts["pools"][pool].side(dataset, parts)
        if self.side is None and side != dataset.side:
            real = f"{dataset.side} px" if dataset.side else "as they are stored"
            drawn = f"{side} px" if side else "as large as its model draws them"
            raise ValueError(
                f"{name} has no side, but pictures of {pool} are {drawn} and real ones {real}; give {name} a side, in pixels"
                + (f", or the pool `store: {{side: {dataset.side}}}`" if dataset.side and not side else "")
            )

    _fresh_head: ClassVar[bool] = False
    """Whether the scheme trains a fresh head, so that the first stage may have another kind of head."""
    _keeps_features: ClassVar[bool] = False
    """Whether the scheme keeps the first stage's features, so that both stages must prepare pictures in the same way."""

    def _reads_sizes(self) -> str | None:
        """The key that needs the classes' sizes, or None."""
        return None

    def _reads_groups(self) -> str | None:
        """The key that needs groups, or None."""
        for key in ("data_sampler", "patch_sampler"):
            if getattr(getattr(self, key, None), "by", None) == "group":
                return f"a {key} by: group"
        return "select_by: val_worst_group" if self.select_by == "val_worst_group" else None

    def _looks_at_validation(self) -> int:
        """Looks at the validation split to choose an epoch."""
        return 0 if self.select_by == "last" else -(-self._own_epochs() // self.test_every)

    def _own_epochs(self) -> int:
        """Epochs of its own job."""
        if self.round is None:
            return self.epochs
        number, count = self.round
        return last_epoch(self.epochs, self.round) - last_epoch(self.epochs, (number - 1, count))

    def _width(self) -> int | None:
        return self.width or BACKBONES[self.backbone].width

    def _head(self) -> str:
        return "linear"

    def _steps(self) -> Augment:
        """Augmentation steps of all views."""
        return self.augment

    def _has_both(self) -> bool:
        """Whether there are real and generated pictures."""
        return REAL in self.data and len(self.filters) > 0
