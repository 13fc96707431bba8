"""Our own loop and networks, set up as a benchmark needs them."""

from __future__ import annotations

from isthmus.bottlenecks import Linear
from isthmus.guards import seeded
from isthmus.losses import GaussianLikelihood
from isthmus.module import AutoEncoderModule
from isthmus.networks import MLPDecoder, MLPEncoder
from isthmus.options import Options
from isthmus.part import Part

__all__ = ["module", "options"]


def module(modality: Part, hidden: tuple[int, ...], code: int, activation: str, shortcut: bool) -> AutoEncoderModule:
    """Return a symmetric auto-encoder of dense layers, with or without our linear shortcuts."""
    with seeded(0):
        return AutoEncoderModule(
            modality,
            MLPEncoder(hidden, activation=activation, shortcut=shortcut),
            Linear(code),
            MLPDecoder(hidden[::-1], activation=activation, shortcut=shortcut),
            GaussianLikelihood(),
        )


def options(batch_size: int, epochs: int, threads: int, dtype: str = "float32") -> Options:
    """Return the loop's options, all its services on and nothing held out."""
    return Options(
        batch_size=batch_size,
        max_epochs=epochs,
        learning_rate=1e-3,
        weight_decay=0.03,
        clip=5.0,
        ema=0.999,
        warm_up=50,
        validation_fraction=0.0,
        patience=epochs,
        constant=False,
        dtype=dtype,
        device="cpu",
        threads=threads,
        seed=0,
    )
