"""Contractive auto-encoders on MNIST, by the protocol of Rifai et al. (2011).

One layer of 1,000 sigmoid units is pre-trained as an auto-encoder with tied weights and
cross-entropy, then fine-tuned on the labels of the 60,000 training images (a tenth of which
chooses the epoch). Compared, in one run: the contractive penalty (CAE), Gaussian noise (DAE-g),
salt-and-pepper noise (DAE-s; the paper's DAE-b has zeros alone), weight decay (AE+wd), nothing
(AE), and no pre-training at all. The mean norm of the Jacobian and the share of saturated units
(within 0.05 of 0 or 1) are those of the pre-trained layer on 2,000 test images, before
fine-tuning.

The paper's errors, as a public thesis reprints its table: CAE 1.14, DAE-g 1.18, DAE-b 1.57,
AE+wd 1.68, AE 1.78. Its norms are about ten thousand times smaller than the Frobenius norm
here, so it must have divided by something that the table does not name: order, not size, can be
compared.

Modern ingredients, in every row: AdamW with a cosine for SGD, the average of the weights, a
standardised code of which a part is dropped, and smoothed labels while fine-tuning. In the row
"moved images" also: shifted, turned and scaled images at both stages.

Three seeds for the contractive rows, which are held to a limit, and one for the others; about
60 minutes on one core.
"""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

import click
import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from benchmarks.harness import Claim, Result, main, t_interval
from benchmarks.papers.data import mnist
from isthmus import AutoEncoder
from isthmus.jobs import PretrainedClassifier
from isthmus.penalties.jacobian import jacobian_norms, saturation
from isthmus.rows import as_rows

TITLE = "MNIST, contractive pre-training of 1,000 sigmoid units: test error"
LAYER: dict[str, Any] = {
    "encoder": "mlp_encoder(hidden=(), shortcut=False)",
    "bottleneck": "linear(size=1000, activation='sigmoid')",
    "decoder": "mlp_decoder(tied=True, shortcut=False)",
    "loss": "bernoulli_likelihood",
    "batch_size": 128,
    "learning_rate": 2e-3,
    "weight_decay": 0.0,
    "validation_fraction": 0.02,
    "device": "cpu",
    "threads": 1,
}
PENALTY = "contractive(weight=1.0)"
METHODS: dict[str, dict[str, Any]] = {
    "CAE": {"penalties": [PENALTY]},
    "DAE-g": {"corruption": "gaussian_noise(scale=0.3)"},
    "DAE-s": {"corruption": "salt_and_pepper(share=0.1)"},
    "AE+wd": {"weight_decay": 1.0},
    "AE": {},
    "not pre-trained": {},
}
MOVED = {"penalties": [PENALTY], "corruption": "affine(shift=0.1, angle=10.0, scale=0.1, both=True)"}
# Smoothed labels: the held-out cost then does not rise while errors still fall. Where no image comes
# twice, the layer cannot learn them by heart, and may learn fast.
FINE_TUNE = {"learning_rate": 1e-3, "smoothing": 0.1, "dropout": 0.5}
FINE_TUNE_MOVED = {"learning_rate": 4e-3, "smoothing": 0.1, "dropout": 0.2}
MAX_NORMS = 2_000


def run(quick: bool, only: str | None = None) -> Result:
    """Pre-train and fine-tune every method with every seed."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # the best epoch is kept, whether the last or not
    train, test = mnist("train"), mnist("test")
    if quick:
        train, test = (train[0][:1_000], train[1][:1_000]), (test[0][:1_000], test[1][:1_000])
    before, after = (1, 2) if quick else (15, 40)
    methods = {name: (options, before, after) for name, options in METHODS.items()}
    methods["CAE, moved images"] = (MOVED, before, after if quick else 120)
    found: dict[str, Any] = {}
    for name, (options, pre_train, fine_tune) in methods.items():
        if only in (None, name):
            seeds = 3 if name.startswith("CAE") and not quick else 1
            runs = [_one(name, options, train, test, (pre_train, fine_tune), seed) for seed in range(seeds)]
            found[name] = {key: [one[key] for one in runs] for key in runs[0]}
    claims = [
        claim
        for name, figures in found.items()
        for claim in (
            _error_claim(name, figures["error"]),
            Claim(f"{name}: mean norm of the Jacobian", **t_interval(figures["norm"])),
            Claim(f"{name}: saturated units", **t_interval(figures["saturation"]), better="higher", unit=" %"),
        )
    ]
    return Result(TITLE, claims, found | {"layer": LAYER, "methods": METHODS, "moved": MOVED})


def _error_claim(name: str, errors: list[float]) -> Claim:
    limits = {"must": 1.3, "aim": 1.0} if name.startswith("CAE") else {}
    return Claim(f"{name}: test error", **t_interval(errors), **limits, unit=" %")


def _one(
    name: str, options: dict[str, Any], train: Any, test: Any, epochs: tuple[int, int], seed: int
) -> dict[str, float]:
    """Return error, Jacobian and saturation of one run, in per cent where they are shares."""
    began = time.perf_counter()
    model = AutoEncoder(**LAYER | options, max_epochs=epochs[0])
    # Noise is for what pre-training learns; moved images teach at both stages.
    moves = "affine" in str(options.get("corruption"))
    job = PretrainedClassifier(
        model,
        strategy="none" if name == "not pre-trained" else "end_to_end",
        layer="code",
        max_epochs=epochs[1],
        corrupt=moves,
        random_state=seed,
        **(FINE_TUNE_MOVED if moves else FINE_TUNE),
    ).fit(*train)
    module: Any = job.estimator_.module_
    images = module.modality.expand(module.modality.to_batch(as_rows(test[0][:MAX_NORMS])))
    with torch.no_grad():
        codes = module.bottleneck(module.encoder(images)).z
    result = {
        "error": 100 * float(np.mean(job.predict(test[0]) != test[1])),
        "norm": float(jacobian_norms(module.encoder, module.bottleneck, images).mean()),
        "saturation": 100 * float(saturation(codes).mean()),
        "seconds": time.perf_counter() - began,
    }
    print(f"{name}, seed {seed}: {result}", file=sys.stderr, flush=True)
    return result


if __name__ == "__main__":
    main(run, click.Option(["--only"], help="One method alone, such as CAE."))
