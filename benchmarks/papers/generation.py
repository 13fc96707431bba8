"""New images of MNIST and Fashion-MNIST: ours, and those of a pythae VAE of the same size and time.

All auto-encoders are 784-512-16-512-784 and see the 60,000 training images. pythae's VAE is that of
its defaults (its networks, its "mse" likelihood, Adam at 1e-4, batches of 64) for 20 epochs, drawn
from by its NormalSampler and by its GaussianMixtureSampler; the better of the two, by its mean over
the seeds, is the opponent. Ours is `Generator` with its own defaults (a Gaussian likelihood whose
spread is a tenth of the pixels' range; after the fit a mixture of 100 Gaussians with full
covariances, fitted to the codes), but for the networks, which have plain layers of the same widths
and no linear path past them, and for the number of epochs: 20 as theirs. That fit and density
together take no more processor time than pythae's fit without its sampler is a claim of its own.

Shown without a limit: pythae's BetaVAE with the weight of the divergence that our spread amounts to
(what it takes to find that setting is the user's, its default is 1), a mixture of Gaussians on the
principal components that hold 90 % of the variance, and other training images, the floor that
10,000 against 10,000 images have.

10,000 images of each are compared with the 10,000 test images, as bytes, in the features of a
classifier trained here on the training labels (`classifier.py`): Frechet distance, precision
(share of samples among the test images) and recall (the reverse), each image reaching to its third
neighbour.

3 seeds, one thread; some 70 minutes on one core, three quarters of it pythae's. Needs ISTHMUS_DATA with
`mnist` and `fashion_mnist`, and pythae. A full run draws `results/papers/generation_NAME.png`.
"""

from __future__ import annotations

import io
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
import torch

from benchmarks.harness import RESULTS, Claim, Missing, Result, main, say, t_interval
from benchmarks.papers.classifier import Classifier, train_classifier
from benchmarks.papers.data import fashion, mnist
from isthmus import AutoEncoder
from isthmus.guards import threads_set
from isthmus.jobs import Generator
from isthmus.jobs.baselines import GaussianMixtureOnPCA
from isthmus.metrics import covered, frechet_distance
from isthmus.networks import MLPDecoder, MLPEncoder

TITLE = "New images, 784-512-16: distance from test images in a classifier's features"
SETS: dict[str, Callable[[str], tuple[np.ndarray, np.ndarray]]] = {"MNIST": mnist, "Fashion-MNIST": fashion}
HIDDEN, CODE = 512, 16
# Half the squared error over the square of this, beside a whole divergence; where the error's
# weight is a half, that is a divergence of SIGMA^2.
SIGMA = 0.1
# Names of the contenders.
OURS, NORMAL, MIXTURE, BETA = "isthmus", "pythae, normal", "pythae, mixture", "pythae, beta"
PCA, FLOOR = "Gaussian mixture on PCA", "(training images)"
SHOWN = 16


@dataclass(frozen=True)
class Plan:
    """How much is done: images to fit on, images drawn, passes over the data, repetitions."""

    rows: int
    samples: int
    their_epochs: int
    our_epochs: int
    judge_epochs: int
    seeds: int


FULL = Plan(60_000, 10_000, 20, 20, 8, 3)
QUICK = Plan(2_000, 500, 2, 3, 3, 1)


def run(quick: bool, only: str | None = None) -> Result:
    """Draw from each, judge all."""
    plan = QUICK if quick else FULL
    claims: list[Claim] = []
    figures: dict[str, Any] = {"plan": vars(plan), "sigma": SIGMA}
    with threads_set(1):
        for name, read in SETS.items():
            if only not in (None, name):
                continue
            found = _data_set(name, read, plan, is_drawn=not quick)
            claims += _claims(name, found["runs"])
            figures[name] = found
    return Result(TITLE, claims, figures)


def _data_set(name: str, read: Callable[[str], Any], plan: Plan, is_drawn: bool) -> dict[str, Any]:
    """Return the accuracy of the classifier, and scores and times of each contender and seed."""
    (images, labels), (test, test_labels) = read("train"), read("test")
    images, labels, test = images[: plan.rows], labels[: plan.rows], test[: plan.samples]
    judge = train_classifier(images, labels, plan.judge_epochs)
    accuracy = float((judge.classes(test) == test_labels[: len(test)]).mean())
    say(f"{name}: test accuracy of the classifier {accuracy:.4f}")
    runs = []
    for seed in range(plan.seeds):
        drawn, seconds = _contenders(images, plan, seed)
        scores = _judged(judge, drawn, test)
        runs.append({"seed": seed, "cpu_seconds": seconds, "scores": scores})
        say(f"{name}, seed {seed}: {scores}, processor seconds {seconds}")
        if is_drawn and not seed:
            _draw(name, drawn, test)
    return {"classifier_accuracy": accuracy, "runs": runs}


def _contenders(images: np.ndarray, plan: Plan, seed: int) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return images drawn by each contender, and the processor seconds of the fits."""
    theirs, time_theirs = _pythae(images, plan, seed)
    beta, time_beta = _pythae(images, plan, seed, beta=SIGMA**2)
    ours, time_ours = _isthmus(images, plan, seed)
    chosen = np.random.default_rng(seed).choice(len(images), plan.samples, replace=False)
    began = time.process_time()
    mixture = GaussianMixtureOnPCA(random_state=seed).fit(images.reshape(len(images), -1) / 255)
    time_mixture = time.process_time() - began
    drawn = {
        OURS: ours,
        NORMAL: theirs["normal"],
        MIXTURE: theirs["mixture"],
        BETA: beta["mixture"],
        PCA: _as_bytes(mixture.sample(plan.samples)).reshape(-1, *images.shape[1:]),
        FLOOR: images[chosen],
    }
    return drawn, {"isthmus": time_ours, "pythae": time_theirs, "pythae, beta": time_beta, PCA: time_mixture}


def _isthmus(images: np.ndarray, plan: Plan, seed: int) -> tuple[np.ndarray, float]:
    """Return images that ours draws, and the processor seconds of its fit, the density's included."""
    model = AutoEncoder(
        bottleneck=f"gaussian(size={CODE})",
        encoder=MLPEncoder((HIDDEN,), shortcut=False, mirrored=True),
        decoder=MLPDecoder((HIDDEN,), shortcut=False, mirrored=True),
        loss=f"gaussian_likelihood(sigma={SIGMA}, link='sigmoid')",
        max_epochs=plan.our_epochs,
        patience=plan.our_epochs,
        device="cpu",
        threads=1,
        random_state=seed,
    )
    began = time.process_time()
    job = Generator(model, random_state=seed).fit(images)
    seconds = time.process_time() - began
    return job.sample(plan.samples), seconds


def _pythae(
    images: np.ndarray, plan: Plan, seed: int, beta: float | None = None
) -> tuple[dict[str, np.ndarray], float]:
    """Return images that pythae draws with each of two samplers, and the processor seconds of its fit."""
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            from pythae.models import VAE, BetaVAE, BetaVAEConfig, VAEConfig
            from pythae.pipelines import TrainingPipeline
            from pythae.samplers import GaussianMixtureSampler, NormalSampler
            from pythae.trainers import BaseTrainerConfig
    except ImportError as error:
        raise Missing("pip install pythae, to compare with it") from error
    data = torch.tensor(images)[:, None] / 255
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(io.StringIO()):
        torch.manual_seed(seed)
        facts = {"input_dim": tuple(data.shape[1:]), "latent_dim": CODE}
        model = VAE(VAEConfig(**facts)) if beta is None else BetaVAE(BetaVAEConfig(beta=beta, **facts))
        config = BaseTrainerConfig(output_dir=folder, num_epochs=plan.their_epochs, seed=seed, no_cuda=True)
        pipeline = TrainingPipeline(model=model, training_config=config)
        began = time.process_time()
        pipeline(train_data=data)
        seconds = time.process_time() - began
        # The best epoch, which it writes to its folder.
        best = pipeline.trainer._best_model.eval()
        mixture = GaussianMixtureSampler(best)
        mixture.fit(data)
        drawn = {"normal": NormalSampler(best).sample(plan.samples), "mixture": mixture.sample(plan.samples)}
    logging.disable(logging.NOTSET)
    return {name: _as_bytes(pixels[:, 0].numpy()) for name, pixels in drawn.items()}, seconds


def _judged(judge: Classifier, drawn: dict[str, np.ndarray], test: np.ndarray) -> dict[str, dict[str, float]]:
    real = judge.features(test)
    scores = {}
    for name, images in drawn.items():
        features = judge.features(images)
        scores[name] = {
            "frechet": frechet_distance(features, real),
            "precision": covered(features, real),
            "recall": covered(real, features),
        }
    return scores


def _claims(name: str, runs: list[dict[str, Any]]) -> list[Claim]:
    def of(who: str, score: str) -> list[float]:
        return [run["scores"][who][score] for run in runs]

    def ratio(above: str) -> dict[str, Any]:
        pairs = zip(of(above, "frechet"), of(OURS, "frechet"), strict=True)
        return t_interval([theirs / ours for theirs, ours in pairs])

    opponent = min((NORMAL, MIXTURE), key=lambda who: statistics.fmean(of(who, "frechet")))
    shares = [run["cpu_seconds"]["isthmus"] / run["cpu_seconds"]["pythae"] for run in runs]
    claims = [
        Claim(f"{name}: Frechet distance, {opponent} over ours", better="higher", must=1.0, aim=2.0, **ratio(opponent)),
        Claim(f"{name}: the same, {BETA} over ours", better="higher", **ratio(BETA)),
        Claim(f"{name}: processor time, ours over pythae's", must=1.0, **t_interval(shares)),
    ]
    for score, better in (("frechet", "lower"), ("precision", "higher"), ("recall", "higher")):
        said = "Frechet distance" if score == "frechet" else score
        claims += [
            Claim(f"{name}: {said}, {who}", better=better, **t_interval(of(who, score)))
            for who in (OURS, NORMAL, MIXTURE, BETA, PCA, FLOOR)
        ]
    return claims


def _draw(name: str, drawn: dict[str, np.ndarray], test: np.ndarray) -> None:
    from isthmus import pictures

    random = np.random.default_rng(0)
    rows, titles = [], []
    for who, images in (drawn | {"test images": test}).items():
        if who not in (PCA, FLOOR):
            # At random: scikit-learn draws a mixture one component after the other.
            chosen = images[random.choice(len(images), 2 * SHOWN, replace=False)]
            rows += [chosen[:SHOWN], chosen[SHOWN:]]
            titles += [who, ""]
    path = RESULTS / "papers" / f"generation_{name.lower().replace('-', '_')}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures.save(pictures.image_grid(rows, titles, title=f"{name}: {2 * SHOWN} of each, at random"), path)


def _as_bytes(pixels: np.ndarray) -> np.ndarray:
    """Return pixels between 0 and 1 as bytes, as the real images are."""
    return np.round(255 * pixels.clip(0, 1)).astype(np.uint8)


if __name__ == "__main__":
    main(run, click.Option(["--only"], type=click.Choice(list(SETS))))
