"""Mixing, and each scheme's loss against a plain formula of separate passes."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from pipeline import kinds
from pipeline.classifiers.batch import Batch
from pipeline.classifiers.mixing import area_outside, mixed_up, pasted, random_box
from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import TrainingData
from pipeline.classifiers.schemes.remix import label_share
from pipeline.classifiers.schemes.sau import sau_box
from pipeline.config.resolve import SCHEMA, build

COUNTS = torch.tensor([50, 20, 5])
NO_GROUPS = torch.full((6,), -1)


def pictures(seed, count=6, side=8):
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=random, dtype=torch.uint8)


def batch(seed, views=1):
    labels = torch.tensor([0, 1, 2, 0, 1, 2]).roll(seed)
    generated = torch.tensor([False, False, False, True, True, True])
    return Batch([pictures(10 * seed + view) for view in range(views)], labels, generated, NO_GROUPS)


def scheme(name, batches=(), asked=None, by_class=None, **keys):
    """A small network's scheme; `asked` takes what it asks of the subset's own pictures."""

    def once(split, epoch, views):
        if asked is not None:
            asked.append((split, epoch, views))
        return iter(batches)

    torch.manual_seed(0)
    given = {"scheme": name, "data": ["real", "made"], "backbone": "small", "width": 4, "epochs": 10, **keys}
    network = Network("small", 4, 3, [0.4] * 3, [0.5] * 3)
    data = TrainingData(COUNTS, 3, once, lambda: by_class)
    settings = build(SCHEMA, "classifiers", "some", given).settings()
    return kinds.load("classifiers.schemes", name).build(settings, network, data).train()


def separate(made):
    """A copy, whose batch norm has not seen what the scheme's has."""
    return copy.deepcopy(made)


@given(st.integers(0, 10**6), st.floats(0, 1), st.integers(1, 40), st.integers(1, 40))
def test_labels_weigh_what_is_seen_of_them(seed, share, height, width):
    for draw in (random_box, sau_box):
        box = draw(np.random.default_rng(seed), share, height, width)
        mixed = pasted(torch.zeros(1, 3, height, width), torch.ones(1, 3, height, width), box)
        assert area_outside(box, height, width) == pytest.approx(1 - mixed.mean().item(), abs=1e-6)


def test_boxes_cover_what_their_laws_say():
    random = np.random.default_rng(0)
    shares = random.random(20_000)  # Beta(1, 1)
    clipped = [1 - area_outside(sau_box(random, share, 32, 32), 32, 32) for share in shares]
    assert np.mean(clipped) == pytest.approx(0.321, abs=0.005)
    for share in (0.0, 0.36, 1.0):
        boxes = np.array([random_box(random, share, 32, 32) for _ in range(3000)])
        inner = (boxes[:, 0] > 0) & (boxes[:, 1] < 32)
        expected = 2 * (int(32 * np.sqrt(1 - share)) // 2)
        if inner.any():
            assert set((boxes[:, 1] - boxes[:, 0])[inner]) == {expected}
        assert boxes[:, ::2].min() >= 0 and boxes[:, 1::2].max() <= 32


def test_remix_gives_the_label_to_the_smaller_class():
    """Chou et al. 2020, Eq. 8, pair by pair."""
    sizes = [1, 2, 3, 5, 6, 9, 100]
    for share in (0.1, 0.49, 0.51, 0.9):
        for first in sizes:
            for second in sizes:
                expected = share
                if first / second >= 3 and share < 0.5:
                    expected = 0.0
                elif first / second <= 1 / 3 and 1 - share < 0.5:
                    expected = 1.0
                found = label_share(share, torch.tensor([first]), torch.tensor([second]), 3.0, 0.5)
                assert found.item() == pytest.approx(expected), (share, first, second)


class Seen(torch.nn.Module):
    """In a loss's place: keeps what it is given, and costs 1, 2, ... in turn."""

    def __init__(self):
        super().__init__()
        self.given = []

    def forward(self, logits, batch, epoch):
        self.given.append((logits, batch, epoch))
        return torch.tensor(float(len(self.given)))


@pytest.mark.parametrize("name", ["plain", "mixup", "cutmix"])
def test_a_loss_sees_each_batch_once_with_its_groups(name):
    made = scheme(name, **{"cutmix_probability": 1.0} if name == "cutmix" else {})
    made.loss = Seen()
    batches = [batch(seed)._replace(groups=torch.arange(6) - seed) for seed in range(1 if name == "plain" else 2)]
    found = made(batches, 7, np.random.default_rng(5)).item()
    assert all(given is drawn for (_, given, _), drawn in zip(made.loss.given, batches, strict=True))
    assert {epoch for _, _, epoch in made.loss.given} == {7}
    assert len({id(logits) for logits, _, _ in made.loss.given}) == 1
    assert found == 1 if name == "plain" else 1 < found < 2


def test_mixup_is_a_weighted_sum_of_two_losses():
    made = scheme("mixup", mixing_alpha=0.7)
    plain = separate(made)
    first, second = batch(0), batch(1)
    found = made([first, second], 0, np.random.default_rng(3))
    share = np.random.default_rng(3).beta(0.7, 0.7)
    logits = plain.network(mixed_up(first.views[0], second.views[0], share)).double().log_softmax(1)
    expected = sum(
        -(share * row[one] + (1 - share) * row[other]) / 6
        for row, one, other in zip(logits, first.labels, second.labels, strict=True)
    )
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)


def test_cmo_cuts_between_its_first_and_last_epochs_only():
    made = scheme("cutmix", patch_sampler="power", cutmix_probability=1.0, uncut_epochs=[4, 3])
    assert [loader.sampler["kind"] for loader in made.loaders] == ["instance", "power"]
    cut = []
    for epoch in range(10):
        plain = separate(made)
        uncut = functional.cross_entropy(plain.network(batch(0).views[0]), batch(0).labels)
        found = separate(made)([batch(0), batch(1)], epoch, np.random.default_rng(1))
        cut.append(abs(found.item() - uncut.item()) > 1e-6)
    assert cut == [False] * 4 + [True] * 3 + [False] * 3


@pytest.mark.parametrize("label", ["area", "share"])
def test_cutmix_weighs_labels_as_told(label):
    made = scheme("cutmix", cutmix_label=label, cutmix_probability=1.0)
    plain = separate(made)
    first, second = batch(0), batch(1)
    found = made([first, second], 5, np.random.default_rng(0))
    random = np.random.default_rng(0)
    random.random()  # the coin
    share = random.beta(1, 1)
    box = random_box(random, share, 8, 8)
    logits = plain.network(pasted(first.views[0], second.views[0], box))
    weight = area_outside(box, 8, 8) if label == "area" else share
    losses = [functional.cross_entropy(logits, drawn.labels) for drawn in (first, second)]
    assert found.item() == pytest.approx((weight * losses[0] + (1 - weight) * losses[1]).item(), abs=1e-6)
    assert abs(area_outside(box, 8, 8) - share) > 0.01  # else the two would be one


@pytest.mark.parametrize("epoch", [0, 5])
def test_glmc_is_its_public_codes_loss(epoch):
    made = scheme("glmc", class_weights_power=1.2, consistency_weight=4.0)
    plain = separate(made)
    first, second = batch(0, views=2), batch(1, views=2)
    found = made([first, second], epoch, np.random.default_rng(2))
    random = np.random.default_rng(2)
    share = random.beta(1, 1)
    row, column = (int(random.integers(8)) for _ in range(2))
    half = int(np.ceil(8 * np.sqrt(1 - share))) // 2
    cut = first.views[1].clone()
    rows, columns = slice(max(row - half, 0), row + half), slice(max(column - half, 0), column + half)
    cut[:, :, rows, columns] = second.views[1][:, :, rows, columns]
    mixtures = [mixed_up(first.views[0], second.views[0], share), cut.float()]
    features = [plain.network.features(mixture) for mixture in mixtures]  # separate passes
    weights = COUNTS.double().numpy() ** -1.2
    weights *= 3 / weights.sum()
    plain_loss = balanced_loss = 0.0
    for one in features:
        for logits, weighted in ((plain.plain_head(one), False), (plain.network.head(one), True)):
            logs = logits.double().log_softmax(1)
            for i in range(6):
                for labels, part in ((first.labels, share), (second.labels, 1 - share)):
                    y = labels[i].item()
                    term = -part * logs[i, y].item() / 6
                    if weighted:
                        balanced_loss += weights[y] * term
                    else:
                        plain_loss += term
    z = [plain.projector(one) for one in features]
    p = [plain.predictor(one) for one in z]
    cosine = functional.cosine_similarity
    consistency = -(cosine(p[0], z[1]).mean() + cosine(p[1], z[0]).mean()).item()
    alpha = 1 - (epoch / 10) ** 2
    expected = alpha * plain_loss + (1 - alpha) * balanced_loss + 4 * consistency
    assert found.item() == pytest.approx(expected, abs=1e-5)
    assert [loader.sampler["kind"] for loader in made.loaders] == ["instance", "power"]
    assert [made.projector.out_features, *made.predictor.weight.shape] == [128, 128, 128]
    assert made.predictor.weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.05)  # Kaiming-normal, for CIFAR


VIEWS = {"augment_2": ["flip"], "augment_3": ["crop"]}


def contrast(vectors, labels, noise, pictures, strategy, temperature):
    """Eq. 11 to 13 in float64 by loops: the mean over anchors of -mean over positives of log softmax over all compared."""
    similar = vectors.double() @ vectors.double().T / temperature
    everything = range(len(labels))
    clean = [i for i in everything if not noise[i]]
    anchors = everything if strategy == "L2" else clean
    compared = clean if strategy == "L1" else everything
    total = 0.0
    for i in anchors:
        others = [j for j in compared if j != i]
        if noise[i]:
            positives = [j for j in others if noise[j] and pictures[j] == pictures[i]]
        else:
            positives = [j for j in others if not noise[j] and labels[j] == labels[i]]
        if positives:
            whole = sum(similar[i, j].exp() for j in others).log()
            total += sum((whole - similar[i, j]).item() for j in positives) / len(positives)
    return total / len(anchors)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"noise_strategy": "L1"},
        {"noise_strategy": "L3"},
        {"contrastive_temperature": 0.4},
        {"cutmix_label": "share"},
        {"normalised_prototypes": False},
    ],
    ids=str,
)
def test_sau_is_mixup_cutmix_and_the_contrast(keys):
    """Eq. 14; separate passes in the same order."""
    real = [batch(5, views=2)._replace(generated=torch.zeros(6, dtype=torch.bool))]
    weights = {"mixup_weight": 0.5, "cutmix_weight": 2.0, "contrastive_weight": 0.3}
    asked = []
    made = scheme("sau", real, asked, **VIEWS, **weights, **keys)
    made.start_epoch(7)
    assert made.training
    assert [(split, epoch) for split, epoch, _ in asked] == [("train", 7)]
    assert [[step["kind"] for step in view] for view in asked[0][2]] == [["flip"], ["crop"]]
    plain = separate(made)
    first, second = batch(0, views=3), batch(1)
    found = made([first, second], 0, np.random.default_rng(4))

    # prototypes: unit vectors in evaluation mode, averaged over a class and made unit again, for each view its own
    fresh = scheme("sau", real, **VIEWS).eval()
    for view, prototypes in zip(real[0].views, plain.prototypes, strict=True):
        vectors = functional.normalize(fresh.projection(fresh.network.features(view)))
        for label in range(3):
            mean = vectors[real[0].labels == label].mean(0)
            mean = mean / mean.norm() if keys.get("normalised_prototypes", True) else mean
            torch.testing.assert_close(prototypes[label], mean, atol=1e-5, rtol=1e-5)

    random = np.random.default_rng(4)
    mixup_share = random.beta(1, 1)
    cut_share = random.beta(1, 1)
    box = sau_box(random, cut_share, 8, 8)
    cut_label = cut_share if keys.get("cutmix_label") == "share" else area_outside(box, 8, 8)
    assert abs(cut_share - area_outside(box, 8, 8)) > 0.01  # else the two would be one
    mixtures = [
        (0.5, mixed_up(first.views[0], second.views[0], mixup_share), mixup_share),
        (2.0, pasted(first.views[0], second.views[0], box), cut_label),
    ]
    expected = 0.0
    for weight, mixture, share in mixtures:
        logs = plain.network(mixture).double().log_softmax(1)
        for i in range(6):
            label, other = first.labels[i], second.labels[i]
            expected -= weight * (share * logs[i, label] + (1 - share) * logs[i, other]).item() / 6
    views = [functional.normalize(plain.projection(plain.network.features(view))) for view in first.views[1:]]
    noise = [False] * 6
    for vectors, prototypes in zip(views, plain.prototypes, strict=True):
        known = [(vectors[j], first.labels[j].item()) for j in range(3)] + [(prototypes[c], c) for c in range(3)]
        for i in range(3, 6):
            nearest = max(known, key=lambda pair: functional.cosine_similarity(pair[0], vectors[i], dim=0).item())
            noise[i] |= nearest[1] != first.labels[i].item()
    assert any(noise)
    vectors = torch.cat([*views, *plain.prototypes])
    labels, none = first.labels.tolist(), [False] * 6
    expected += 0.3 * contrast(
        vectors, [*labels, *labels, 0, 1, 2, 0, 1, 2], [*noise, *noise, *none], [*range(6), *range(6), *none],
        keys.get("noise_strategy", "L2"), keys.get("contrastive_temperature", 0.1),
    )  # fmt: skip
    assert found.item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("neighbours", "is_noise"), [(1, False), (3, True)])
def test_sau_asks_as_many_neighbours_as_told(neighbours, is_noise):
    """The generated picture's nearest neighbour is of its own class 1, and the next two are of class 0."""
    made = scheme("sau", **VIEWS, neighbours=neighbours)
    turns = torch.tensor([0.1, -0.2, 0.0, 0.3, 2.0, 3.0])  # real of 1 and 0, generated, prototypes; radians in a plane
    vectors = torch.zeros(6, 128)
    vectors[:, 0], vectors[:, 1] = turns.cos(), turns.sin()
    made.prototypes = torch.stack([vectors[3:]] * 2)
    one = Batch([], torch.tensor([1, 0, 1]), torch.tensor([False, False, True]), NO_GROUPS[:3])
    found = made._contrast([vectors[:3]] * 2, one)
    labels, noise = one.labels.tolist(), [False, False, is_noise]
    expected = contrast(
        torch.cat([vectors[:3]] * 2 + [vectors[3:]] * 2), [*labels, *labels, 0, 1, 2, 0, 1, 2],
        [*noise, *noise, *[False] * 6], [0, 1, 2, 0, 1, 2, *[0] * 6], "L2", 0.1,
    )  # fmt: skip
    assert found.item() == pytest.approx(expected, abs=1e-5)


def test_sau_asks_for_the_views_that_it_uses():
    both = scheme("sau", **VIEWS)
    assert [len(loader.views) for loader in both.loaders] == [3, 1]
    alone = scheme("sau", **VIEWS, contrastive_weight=0, cutmix_weight=0)
    assert [len(loader.views) for loader in alone.loaders] == [1, 1]
    assert not hasattr(alone, "projection")
    first, second = batch(0), batch(1)
    plain = separate(alone)
    found = alone([first, second], 0, np.random.default_rng(6))
    share = np.random.default_rng(6).beta(1, 1)
    logits = plain.network(mixed_up(first.views[0], second.views[0], share))
    losses = [functional.cross_entropy(logits, drawn.labels) for drawn in (first, second)]
    assert found.item() == pytest.approx((share * losses[0] + (1 - share) * losses[1]).item(), abs=1e-6)


class ByClass:
    """Class c has 4 + c pictures. The level of a picture says its class and its place."""

    counts = torch.tensor([4, 5, 6])

    def __init__(self):
        self.asked = []

    def batch(self, classes, places, views, step):
        self.asked.append((classes, places, step))
        levels = (40 * classes + 6 * places)[:, None, None, None].expand(-1, 3, 8, 8)
        return Batch([levels.to(torch.uint8)], classes, torch.zeros(len(classes), dtype=torch.bool), NO_GROUPS)


def softmax(logits):
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_meta_sampler_learns_by_the_head_one_step_ahead(momentum):
    """Ren et al. 2020 by hand, in float64: gradients of the linear head, of its look ahead, of the Gumbel-softmax; Adam's first step."""
    by_class, rate, decay = ByClass(), 0.3, 0.02
    made = scheme(
        "meta_sampler", by_class=by_class, init="ce", momentum=momentum, meta_learning_rate=0.05, meta_power=0.5
    )
    powers = np.array([4.0, 5.0, 6.0]) ** -0.5
    expected_rates = powers / (powers.min() + powers.max())
    np.testing.assert_allclose(torch.sigmoid(made.rates).numpy(), expected_rates, rtol=1e-5)
    head = made.network.head
    velocities = [torch.randn_like(weight) for weight in (head.weight, head.bias)]
    optimizer = torch.optim.SGD(head.parameters(), rate, momentum, weight_decay=decay)
    if momentum:
        for weight, velocity in zip(head.parameters(), velocities, strict=True):
            optimizer.state[weight]["momentum_buffer"] = velocity
    made.trained_by(optimizer)
    made.eval()  # so that features do not depend on the batch
    judging = batch(1)
    loss = made([judging], 0, np.random.default_rng(3))

    random = np.random.default_rng(3)
    soft = softmax(np.log(expected_rates * [4, 5, 6]) + random.gumbel(size=(6, 3)))
    classes = soft.argmax(1)
    places = np.floor(random.random(6) * np.array([4, 5, 6])[classes]).astype(int)
    ((asked_classes, asked_places, step),) = by_class.asked
    assert (asked_classes.tolist(), asked_places.tolist(), step) == (classes.tolist(), places.tolist(), 0)

    def features(drawn):
        with torch.no_grad():
            found = made.network.features(drawn.views[0]).double().numpy()
        return np.column_stack([found, np.ones(len(found))])  # the bias is one more weight

    weights = np.column_stack([head.weight.detach().double().numpy(), head.bias.detach().double().numpy()])
    speed = momentum * np.column_stack([velocity.double().numpy() for velocity in velocities])
    drawn = by_class.batch(torch.from_numpy(classes), torch.from_numpy(places), [], 0)
    shares = softmax(features(drawn) @ weights.T + np.log([50, 20, 5]))
    one_hot = np.eye(3)
    each = (shares - one_hot[classes])[:, :, None] * features(drawn)[:, None, :]  # the gradient of each picture's loss
    ahead = weights - rate * (each.mean(0) + decay * weights + speed)
    judged = features(judging)
    of_ahead = (softmax(judged @ ahead.T) - one_hot[judging.labels]).T @ judged / 6
    of_chosen = -rate * (each * of_ahead).sum((1, 2)) / 6
    own = soft[np.arange(6), classes]
    of_logits = of_chosen[:, None] * own[:, None] * (one_hot[classes] - soft)
    gradient = of_logits.sum(0) * (1 - expected_rates)  # log sigmoid
    np.testing.assert_allclose(loss.item(), -np.log(shares[np.arange(6), classes]).mean(), rtol=1e-5)
    np.testing.assert_allclose(made.moments[0].numpy(), 0.1 * gradient, rtol=1e-3, atol=1e-9)
    moved = np.log(expected_rates / (1 - expected_rates)) - 0.05 * gradient / (np.abs(gradient) + 1e-8)
    np.testing.assert_allclose(made.rates.numpy(), moved, rtol=1e-4)
    loss.backward()
    assert all(weight.grad is None for weight in made.network.backbone.parameters())
    np.testing.assert_allclose(head.weight.grad.numpy(), each.mean(0)[:, :-1], rtol=1e-3, atol=1e-6)


def test_the_meta_sampler_draws_more_of_a_class_that_the_head_lacks():
    """The head is judged on class 2 alone, whose pictures are drawn least at first."""
    made = scheme("meta_sampler", by_class=ByClass(), init="ce", meta_learning_rate=0.1, meta_power=0.0)
    made.trained_by(torch.optim.SGD(made.network.head.parameters(), 0.5))
    before, random = torch.sigmoid(made.rates), np.random.default_rng(0)
    judging = ByClass().batch(torch.full((6,), 2), torch.arange(6), [], 0)
    for _ in range(40):
        made([judging], 0, random)
    after = torch.sigmoid(made.rates)
    assert after[2] > before[2] + 0.1 and (after[:2] < before[:2] - 0.1).all()
