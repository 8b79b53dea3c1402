"""Feedback in the plane (LDM-FG, appendix A.3): a linear classifier leads a diffusion model of points to a rare mode of each class.

    python examples/feedback_toy.py --output docs/feedback_toy.png

Each of two classes has a mode with 90 % of its points and one with 10 %. A diffusion model learns the points, and a linear classifier
a line that cuts through the rare modes. Drawn with entropy feedback, more points are of the rare modes, where the classifier is unsure.
Prints their shares, and the accuracy on a test set with equal modes of classifiers trained with and without these points; draws all
three sets.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import nn

from pipeline.guidance.clean import predicted_clean
from pipeline.guidance.criteria import values
from pipeline.guidance.feedback import Feedback

COMMON, RARE = np.array([[-2.0, 0.0], [2.0, 0.0]]), np.array([[0.6, 2.0], [-0.6, -2.0]])
"""Centres of the modes of both classes."""
SPREAD, POINTS, STEPS = 0.3, 1000, 50


class Points(Feedback):
    """Feedback on points, float [B, 2, 1, 1], in place of pictures; the guide is a linear layer."""

    def _criterion(self, points: torch.Tensor, labels: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
        flat = points.flatten(1)
        return values("entropy", flat, self._guide(flat), labels, seeds, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("feedback_toy.png"), help="the picture to write, .png")
    parser.add_argument("--scale", type=float, default=0.05, help="length of a step over that of the point (0.05)")
    given = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)  # so small that threads would only wait for each other
    real, labels = points(0, 0.1)
    model, guide = denoiser(real, labels), linear(real, labels)
    usual, led = (
        drawn(model, labels, None),
        drawn(model, labels, Points(guide, {"mode": "exact", "blended": False, "every": 1, "scale": given.scale})),
    )
    sets = {"real": (real, labels), "drawn": (usual, labels), "drawn with feedback": (led, labels)}
    for name, (found, _) in sets.items():
        print(f"{name}: {100 * rare(found, labels).mean():.0f} % of the points are of a rare mode")
    test, truth = points(1, 0.5)
    for name, more in {"real": [], "real and drawn": [usual], "real and drawn with feedback": [led]}.items():
        trained = linear(np.concatenate([real, *more]), np.concatenate([labels] * (1 + len(more))))
        right = trained(torch.from_numpy(test).float()).argmax(1).numpy() == truth
        print(f"trained on {name}: {100 * right.mean():.1f} % of a test set with equal modes are right")
    plot(sets, guide, given.output)


def points(seed: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Points, float64 [2 POINTS, 2], of which a share is of the rare modes, and their classes, int64."""
    random, labels = np.random.default_rng(seed), np.repeat([0, 1], POINTS)
    is_rare = random.random(len(labels)) < share
    centres = np.where(is_rare[:, None], RARE[labels], COMMON[labels])
    return centres + SPREAD * random.normal(size=(len(labels), 2)), labels


def rare(found: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether each point is nearer to its class's rare mode than to the common one, bool [N]."""
    return np.linalg.norm(found - RARE[labels], axis=1) < np.linalg.norm(found - COMMON[labels], axis=1)


class Denoiser(nn.Module):
    """Predicts the noise of points [B, 2, 1, 1] of known classes."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 + 16 + 2, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 2)
        )

    def forward(self, noisy: torch.Tensor, times: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        waves = times[:, None] / 1000 * 2 ** torch.arange(8) * torch.pi
        read = [noisy.flatten(1), waves.sin(), waves.cos(), nn.functional.one_hot(labels, 2)]
        return self.layers(torch.cat(read, 1))[:, :, None, None]


def scheduler() -> DDIMScheduler:
    found = DDIMScheduler(1000, 1e-4, 0.02, clip_sample=False, timestep_spacing="trailing")
    found.set_timesteps(STEPS)
    return found


def denoiser(real: np.ndarray, labels: np.ndarray) -> Denoiser:
    model, noising = Denoiser(), scheduler()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    clean, classes = torch.from_numpy(real).float()[:, :, None, None], torch.from_numpy(labels)
    for _ in range(3000):
        rows = torch.randint(len(clean), (256,))
        noise, times = torch.randn(256, 2, 1, 1), torch.randint(1000, (256,))
        predicted = model(noising.add_noise(clean[rows], noise, times), times, classes[rows])
        optimizer.zero_grad()
        (predicted - noise).square().mean().backward()
        optimizer.step()
    return model.requires_grad_(False)


def linear(real: np.ndarray, labels: np.ndarray) -> nn.Linear:
    """The classifier, after a few epochs: it knows the common modes."""
    guide = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(guide.parameters(), 0.1)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(guide(torch.from_numpy(real).float()), torch.from_numpy(labels)).backward()
        optimizer.step()
    return guide.requires_grad_(False)


@torch.no_grad()
def drawn(model: Denoiser, labels: np.ndarray, feedback: Feedback | None) -> np.ndarray:
    """Points of these classes, float32 [N, 2]."""
    classes, steps = torch.from_numpy(labels), scheduler()
    found = torch.randn(len(labels), 2, 1, 1, generator=torch.Generator().manual_seed(7))
    for time in steps.timesteps:
        alpha_bar = steps.alphas_cumprod[time].item()

        def predict(noisy: torch.Tensor, time=time) -> torch.Tensor:
            return model(noisy, time.repeat(len(noisy)), classes)

        def clean(prediction: torch.Tensor, noisy: torch.Tensor, alpha_bar=alpha_bar) -> torch.Tensor:
            return predicted_clean("epsilon", prediction, noisy, alpha_bar)

        if feedback is None:
            predicted = predict(found)
        else:
            found, predicted = feedback.guided(
                found, classes, classes, predict, clean, (1 - alpha_bar) ** 0.5, lambda it: it
            )
        found = steps.step(predicted, time, found).prev_sample
    return found.flatten(1).numpy()


def plot(sets: dict[str, tuple[np.ndarray, np.ndarray]], guide: nn.Linear, path: Path) -> None:
    figure, panels = plt.subplots(1, 3, figsize=(10, 3.6), sharex=True, sharey=True, layout="constrained")
    weight, bias = (part[1] - part[0] for part in (guide.weight.numpy(), guide.bias.numpy()))
    for panel, (name, (found, labels)) in zip(panels, sets.items(), strict=True):
        panel.scatter(*found.T, s=3, c=np.array(["tab:blue", "tab:red"])[labels])
        panel.axline((-bias / weight[0], 0), (-(bias + weight[1]) / weight[0], 1), color="black", linewidth=1)
        panel.set(
            title=f"{name}: {100 * rare(found, labels).mean():.0f} % rare", xlim=(-4, 4), ylim=(-4, 4), aspect="equal"
        )
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
