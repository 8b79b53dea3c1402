"""Feedback in the plane (LDM-FG, appendix A.3): a linear classifier leads a diffusion model of points to a rare mode of each class.

    PYTHONPATH=. python benchmarks/feedback_toy.py --output feedback_toy.png

Each of two classes has a mode with 90 % of its points and one with 10 %. A diffusion model learns the points, and a linear classifier a
line that cuts through the rare modes. With entropy feedback by Eq. 3, more of the drawn points are of the rare modes, where the classifier
is unsure. Prints their shares, and how classifiers trained without and with the drawn points do where both modes are equally frequent, and
draws the three sets.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional

from pipeline.guidance.clean import predicted_clean
from pipeline.guidance.criteria import entropy

COMMON, RARE = np.array([[-2.0, 0.0], [2.0, 0.0]]), np.array([[0.6, 2.0], [-0.6, -2.0]])
"""Centres of both classes' modes, which are normal distributions."""
SPREAD, POINTS, STEPS, OMEGA = 0.3, 1000, 50, 6.0
"""Standard deviation of a mode; points of each class; denoising steps; the scale of feedback."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("feedback_toy.png"), help="the picture to write, .png")
    parser.add_argument("--omega", type=float, default=OMEGA, help=f"scale of feedback ({OMEGA:g})")
    given = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)  # so small that threads would only wait for each other
    real, labels = points(0, rare_share=0.1)
    model, guide = denoiser(real, labels), classifier(real, labels)
    sets = {
        "real": real,
        "drawn": drawn(model, guide, labels, 0.0),
        "drawn with feedback": drawn(model, guide, labels, given.omega),
    }
    test, truth = points(1, rare_share=0.5)
    for name, found in sets.items():
        trained = classifier(*((real, labels) if name == "real" else (np.r_[real, found], np.r_[labels, labels])))
        right = 100 * (trained(torch.from_numpy(test).float()).argmax(1).numpy() == truth).mean()
        on = "real points" if name == "real" else f"real points and those {name}"
        print(
            f"{name}: {100 * is_rare(found, labels).mean():.0f} % of a rare mode, {100 * is_far(found, labels).mean():.0f} % of none; "
            f"trained on {on}: {right:.1f} % right where both modes are equally frequent"
        )
    plot(sets, labels, guide).savefig(given.output, dpi=100, metadata={"Software": None})


def points(seed: int, rare_share: float) -> tuple[np.ndarray, np.ndarray]:
    """Points, float64 [2 POINTS, 2], of which a share is of the rare modes, and their classes, int64."""
    random, labels = np.random.default_rng(seed), np.repeat([0, 1], POINTS)
    rare = random.random(len(labels)) < rare_share
    centres = np.where(rare[:, None], RARE[labels], COMMON[labels])
    return centres + SPREAD * random.normal(size=(len(labels), 2)), labels


def is_rare(found: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether each point is nearer to its class's rare mode than to the common one, bool [N]."""
    return _distance(found, RARE[labels]) < _distance(found, COMMON[labels])


def is_far(found: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether each point is over four standard deviations from both modes of its class, bool [N]."""
    return np.minimum(_distance(found, RARE[labels]), _distance(found, COMMON[labels])) > 4 * SPREAD


def _distance(found: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.linalg.norm(found - centres, axis=1)


class Denoiser(nn.Module):
    """Predicts the noise of points, float [B, 2], of known classes at some times."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 + 16 + 2, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 2)
        )

    def forward(self, noisy: torch.Tensor, times: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        waves = times[:, None] / 1000 * 2 ** torch.arange(8) * torch.pi
        return self.layers(torch.cat([noisy, waves.sin(), waves.cos(), functional.one_hot(labels, 2)], 1))


def denoiser(real: np.ndarray, labels: np.ndarray) -> Denoiser:
    """A denoiser of these points."""
    model, noising = Denoiser(), _scheduler()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    clean, classes = torch.from_numpy(real).float(), torch.from_numpy(labels)
    for _ in range(3000):
        rows = torch.randint(len(clean), (256,))
        noise, times = torch.randn(256, 2), torch.randint(1000, (256,))
        predicted = model(noising.add_noise(clean[rows], noise, times), times, classes[rows])
        optimizer.zero_grad()
        (predicted - noise).square().mean().backward()
        optimizer.step()
    return model.requires_grad_(False)


def classifier(found: np.ndarray, labels: np.ndarray) -> nn.Linear:
    """A linear classifier after a few epochs, when it knows the common modes."""
    model = nn.Linear(2, 2)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(30):
        optimizer.zero_grad()
        functional.cross_entropy(model(torch.from_numpy(found).float()), torch.from_numpy(labels)).backward()
        optimizer.step()
    return model.requires_grad_(False)


@torch.no_grad()
def drawn(model: Denoiser, guide: nn.Linear, labels: np.ndarray, omega: float) -> np.ndarray:
    """Points of these classes by ancestral sampling with entropy feedback, float32 [N, 2].

    The score gets omega times the gradient of the entropy at the predicted clean points (Eq. 3).
    """
    classes, steps = torch.from_numpy(labels), _scheduler()
    random = torch.Generator().manual_seed(7)
    found = torch.randn(len(labels), 2, generator=random)
    for time in steps.timesteps:
        alpha_bar = steps.alphas_cumprod[time].item()
        with torch.enable_grad():
            noisy = found.clone().requires_grad_()
            noise = model(noisy, time.repeat(len(noisy)), classes)
            logits = guide(predicted_clean("epsilon", noise, noisy, alpha_bar))
            (gradient,) = torch.autograd.grad(entropy(None, logits, None, None).sum(), noisy)
        noise = noise.detach() - (1 - alpha_bar) ** 0.5 * omega * gradient
        found = steps.step(noise, time, found, eta=1.0, generator=random).prev_sample
    return found.numpy()


def _scheduler() -> DDIMScheduler:
    found = DDIMScheduler(1000, 1e-4, 0.02, clip_sample=False, timestep_spacing="trailing")
    found.set_timesteps(STEPS)
    return found


def plot(sets: dict[str, np.ndarray], labels: np.ndarray, guide: nn.Linear) -> Figure:
    """A panel for each set of points, with the line of the guide."""
    figure = Figure(figsize=(9.6, 3.5), layout="constrained")
    weight, bias = (part[1] - part[0] for part in (guide.weight.numpy(), guide.bias.numpy()))
    panels = figure.subplots(1, len(sets), sharex=True, sharey=True)
    for panel, (name, found) in zip(panels, sets.items(), strict=True):
        for label, colour in enumerate(("tab:blue", "tab:red")):
            panel.scatter(*found[labels == label].T, s=2, color=colour, alpha=0.5)
        panel.axline(-bias * weight / (weight @ weight), slope=-weight[0] / weight[1], color="black", linewidth=1)
        rare = 100 * is_rare(found, labels).mean()
        panel.set(title=f"{name}: {rare:.0f} % rare", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), aspect="equal")
    return figure


if __name__ == "__main__":
    main()
