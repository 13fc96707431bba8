"""Time for an MNIST VAE to become as good as pythae's becomes in 20 epochs of its defaults.

Both are 784-512-16-512-784 with one latent layer, the standard normal prior, and the likelihood
that pythae's VAE takes by default ("mse"): half the sum of squared differences, which is a
Gaussian with standard deviation one, but for its constant. pythae trains as its
BaseTrainerConfig says: Adam at 1e-4, batches of 64; its own networks. Isthmus trains with its own
defaults but for the number of epochs: whole fits of 1, 2, 3, ... epochs, each with its
learning-rate schedule, start, held-out rows and choice of the best weights, until one fit is as
good. Its time is that of this fit; what the shorter fits took is in the figures.

One evaluator judges both: the evidence lower bound of the 10,000 test images, one draw of the
code each from the same noise, the divergence in closed form. Neither has seen these images.

Both run on one thread, one after the other, for each of 3 seeds; the time is that of the fit call
alone, the data in memory before it. Some 15 minutes on one core, nearly all of it pythae's.
"""

from __future__ import annotations

import io
import logging
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import Claim, Missing, Result, main, range_of, say
from benchmarks.papers.data import mnist
from isthmus import AutoEncoder
from isthmus.bottlenecks import Gaussian
from isthmus.guards import threads_set
from isthmus.modalities import Images
from isthmus.networks import MLPDecoder, MLPEncoder

TITLE = "MNIST VAE 784-512-16: time to reach the held-out ELBO of pythae's defaults after 20 epochs"
HIDDEN, CODE = 512, 16
BUDGETS = (1, 2, 3, 4, 6, 8, 12, 16, 20)
SEEDS = (0, 1, 2)

# Mean and log-variance of the codes of flat images; flat images of codes.
Encode = Callable[[Tensor], tuple[Tensor, Tensor]]
Decode = Callable[[Tensor], Tensor]


def run(quick: bool) -> Result:
    """Train both, judge both."""
    train, test = mnist()[0], mnist("test")[0]
    rows, epochs, seeds = (3_000, 2, SEEDS[:1]) if quick else (len(train), 20, SEEDS)
    rounds = []
    with threads_set(1):
        for seed in seeds:
            theirs = _pythae(train[:rows], test, epochs, seed)
            say(f"seed {seed}: pythae {theirs['seconds']:.1f} s, ELBO {-theirs['nats']:.3f}")
            tried: list[dict[str, Any]] = []
            for budget in BUDGETS:
                tried.append(_isthmus(train[:rows], test, budget, seed) | {"epochs": budget})
                say(f"seed {seed}: isthmus {budget} epochs, {tried[-1]['seconds']:.1f} s, {-tried[-1]['nats']:.3f}")
                if tried[-1]["nats"] <= theirs["nats"]:
                    break
            rounds.append({"seed": seed, "pythae": theirs, "isthmus": tried})
    return _result(rounds, epochs)


def _result(rounds: list[dict[str, Any]], epochs: int) -> Result:
    figures = {"rounds": rounds, "pythae_epochs": epochs}
    reached = [turn for turn in rounds if turn["isthmus"][-1]["nats"] <= turn["pythae"]["nats"]]
    if len(reached) < len(rounds):
        return Result(TITLE, skipped="isthmus did not reach pythae's bound within its longest fit", figures=figures)
    last = [turn["isthmus"][-1] for turn in rounds]
    theirs = [turn["pythae"] for turn in rounds]
    shares = [ours["seconds"] / peer["seconds"] for ours, peer in zip(last, theirs, strict=True)]
    claims = [
        Claim("time, as a share of pythae's", **range_of(shares), must=0.2),
        Claim("isthmus: time of the fit", **range_of([ours["seconds"] for ours in last]), unit=" s"),
        Claim(f"pythae: time of {epochs} epochs", **range_of([peer["seconds"] for peer in theirs]), unit=" s"),
        Claim("isthmus: held-out ELBO", **range_of([-ours["nats"] for ours in last]), better="higher", unit=" nats"),
        Claim("pythae: held-out ELBO", **range_of([-peer["nats"] for peer in theirs]), better="higher", unit=" nats"),
    ]
    return Result(TITLE, claims, figures)


def _pythae(train: np.ndarray, test: np.ndarray, epochs: int, seed: int) -> dict[str, float]:
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            from pythae.models import VAE, VAEConfig
            from pythae.pipelines import TrainingPipeline
            from pythae.trainers import BaseTrainerConfig
    except ImportError as error:
        raise Missing("pip install pythae, to compare with it") from error
    data = torch.tensor(train)[:, None] / 255
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(io.StringIO()):
        torch.manual_seed(seed)
        model = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=CODE))
        config = BaseTrainerConfig(output_dir=folder, num_epochs=epochs, seed=seed, no_cuda=True)
        pipeline = TrainingPipeline(model=model, training_config=config)
        began = time.perf_counter()
        pipeline(train_data=data)
        seconds = time.perf_counter() - began
    logging.disable(logging.NOTSET)
    # The best epoch, which it writes to its folder.
    best = pipeline.trainer._best_model.eval()

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        found = best.encoder(x.view(-1, 1, 28, 28))
        return found.embedding, found.log_covariance

    return {"seconds": seconds, **_judged(encode, lambda z: best.decoder(z)["reconstruction"].flatten(1), test)}


def _isthmus(train: np.ndarray, test: np.ndarray, epochs: int, seed: int) -> dict[str, float]:
    model = AutoEncoder(
        Images(),
        Gaussian(CODE),
        encoder=MLPEncoder((HIDDEN,), shortcut=False, mirrored=True),
        decoder=MLPDecoder((HIDDEN,), shortcut=False, mirrored=True),
        max_epochs=epochs,
        device="cpu",
        threads=1,
        random_state=seed,
    )
    began = time.perf_counter()
    model.fit(train)
    seconds = time.perf_counter() - began
    module = model.module_

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        batch = module.modality.blank(1).with_x(x.view(-1, 28, 28, 1))
        return module.bottleneck.posterior(module.encoder(batch))

    return {"seconds": seconds, **_judged(encode, lambda z: module.loss.mean(module.decoder(z)).flatten(1), test)}


@torch.inference_mode()
def _judged(encode: Encode, decode: Decode, test: np.ndarray) -> dict[str, float]:
    """Return minus the evidence lower bound in nats, without the likelihood's constant, and its two terms."""
    x = torch.tensor(test).flatten(1) / 255
    mean, log_variance = encode(x)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
    output = decode(mean + noise * (0.5 * log_variance).exp())
    error = 0.5 * float((output - x).square().sum(1).double().mean())
    divergence = float(0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1).double().mean())
    return {"nats": error + divergence, "half_error": error, "divergence": divergence}


if __name__ == "__main__":
    main(run)
