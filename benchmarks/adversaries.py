"""Adversaries: gradient reversal against alternating and simultaneous updates.

Each adversarial penalty is fitted on scikit-learn's 1,797 digits of 8x8 pixels (1,297 to learn
from, 500 held out) in each of the three ways, with equal steps, seeds and networks, at two
weights, beside the same auto-encoder without it. What the adversary is for, and what it costs
in reconstruction, are measured on the held-out digits:

- adversarial_prior: squared MMD between codes and the standard normal, times 1,000;
- independence_critic: total correlation of drawn codes, nats;
- label_classifier: accuracy of a fresh probe that reads the digit from the code;
- discriminator: squared Frechet distance between digits and decoded draws, on pixels.

The defaults of the four are set by this. Three seeds, 40 epochs; about 10 minutes on one core.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.linalg import sqrtm
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from benchmarks.harness import Claim, Result, main, t_interval
from isthmus import AutoEncoder
from isthmus.guards import seeded
from isthmus.penalties import AdversarialPrior, Discriminator, IndependenceCritic, LabelClassifier
from isthmus.penalties.critic import UPDATES
from isthmus.penalties.mmd import MMD, discrepancy
from isthmus.penalties.total_correlation import decompose
from isthmus.rows import as_rows

TITLE = "Adversaries: gradient reversal against alternating and simultaneous updates"
HELD_OUT = 500
FIT: dict[str, Any] = {
    "modality": "images",
    "encoder": "mlp_encoder(hidden=(128, 64))",
    "decoder": "mlp_decoder(hidden=(64, 128))",
    "loss": "gaussian_likelihood(link='sigmoid', sigma=0.2)",
    "batch_size": 64,
    "learning_rate": 2e-3,
    "validation_fraction": 0.0,
    "patience": 1_000,
    "threads": 1,
    "device": "cpu",
}


@dataclass(frozen=True)
class Digits:
    """Images ``(n, 8, 8)`` of 0..16 as bytes, and their labels, in two parts."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


@dataclass(frozen=True)
class Task:
    """An adversary, the bottleneck it acts on, what it should make small, and weights to try."""

    penalty: Callable[..., Any]
    bottleneck: str
    measure: Callable[[AutoEncoder, Digits], float]
    weights: tuple[float, ...]
    unit: str


def run(quick: bool) -> Result:
    """Fit every adversary in every way, and without it."""
    warnings.filterwarnings("ignore", module="sklearn.neural_network")  # a probe that could learn on
    digits = _digits()
    seeds, epochs = (2, 3) if quick else (3, 40)
    claims, figures = [], {}
    for name, task in TASKS.items():
        found: dict[str, Any] = {"none": _repeated(task, None, 0.0, digits, seeds, epochs)}
        for weight in task.weights[-1:] if quick else task.weights:
            for updates in UPDATES:
                began = time.perf_counter()
                found[f"{updates}, weight {weight:g}"] = _repeated(task, updates, weight, digits, seeds, epochs)
                spent = time.perf_counter() - began
                print(f"{name}: {updates}, weight {weight:g}: {spent:.0f} s", file=sys.stderr, flush=True)
        for way, (goals, errors) in found.items():
            claims.append(Claim(f"{name}, {way}: {task.unit}", **t_interval(goals)))
            claims.append(Claim(f"{name}, {way}: squared error", **t_interval(errors)))
        figures[name] = found
    return Result(TITLE, claims, figures | {"seeds": seeds, "epochs": epochs, "fit": FIT})


def _repeated(
    task: Task, updates: str | None, weight: float, digits: Digits, seeds: int, epochs: int
) -> tuple[list[float], list[float]]:
    """Return the task's measure and the squared error of held-out digits, for each seed."""
    goals, errors = [], []
    for seed in range(seeds):
        penalties = [] if updates is None else [task.penalty(weight=weight, updates=updates)]
        model = AutoEncoder(
            bottleneck=task.bottleneck, penalties=penalties, max_epochs=epochs, random_state=seed, **FIT
        )
        model.fit(digits.train, digits.train_labels)
        goals.append(task.measure(model, digits))
        back = model.reconstruct_batch(model.modality_.to_batch(as_rows(digits.test))).double().numpy()
        errors.append(float(np.mean(np.sum((back[..., 0] - digits.test / 255) ** 2, axis=(1, 2)))))
    return goals, errors


def _digits() -> Digits:
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    images = (data.images[order] * (255 / 16)).astype(np.uint8)
    labels = data.target[order]
    return Digits(images[HELD_OUT:], labels[HELD_OUT:], images[:HELD_OUT], labels[:HELD_OUT])


def _discrepancy(model: AutoEncoder, digits: Digits) -> float:
    z = torch.from_numpy(model.transform(digits.test)).double()
    with seeded(0):
        drawn = [discrepancy(z, torch.randn_like(z), MMD().scales) for _ in range(20)]
    return 1_000 * float(torch.stack(drawn).mean())


def _total_correlation(model: AutoEncoder, digits: Digits) -> float:
    module = model.module_
    with torch.no_grad():
        stored = model.modality_.to_batch(as_rows(digits.test))
        mean, log_variance = module.bottleneck.posterior(module.encoder(module.modality.expand(stored)))
        with seeded(0):
            z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        # The held-out digits are the whole data set here: their aggregate posterior is exact.
        return float(decompose(z, mean, log_variance, n=len(z)).total_correlation.mean())


def _probe(model: AutoEncoder, digits: Digits) -> float:
    scaler = StandardScaler().fit(model.transform(digits.train))
    probe = MLPClassifier((64,), max_iter=150, random_state=0)
    probe.fit(scaler.transform(model.transform(digits.train)), digits.train_labels)
    return float(probe.score(scaler.transform(model.transform(digits.test)), digits.test_labels))


def _frechet(model: AutoEncoder, digits: Digits) -> float:
    made = np.asarray(model.sample(2_000, random_state=0), dtype=float).reshape(2_000, -1) / 255
    real = digits.test.reshape(len(digits.test), -1) / 255
    one, other = np.cov(made.T), np.cov(real.T)
    cross = np.real(sqrtm(one @ other + 1e-9 * np.eye(len(one))))
    return float(np.sum((made.mean(0) - real.mean(0)) ** 2) + np.trace(one + other - 2 * cross))


TASKS = {
    "adversarial_prior": Task(AdversarialPrior, "linear(size=8)", _discrepancy, (1.0, 10.0), "1,000 MMD^2"),
    "independence_critic": Task(
        IndependenceCritic, "gaussian(size=8)", _total_correlation, (2.0, 10.0), "total correlation"
    ),
    "label_classifier": Task(
        lambda **options: LabelClassifier(adversarial=True, **options),
        "linear(size=8)",
        _probe,
        (3.0, 30.0),
        "accuracy of a fresh probe",
    ),
    "discriminator": Task(Discriminator, "gaussian(size=8)", _frechet, (1.0, 5.0), "Frechet distance"),
}


if __name__ == "__main__":
    main(run)
