"""Greedy layer-wise training: each layer an auto-encoder of its own, then the stack."""

from __future__ import annotations

import copy
from typing import Any

import torch
from sklearn.base import clone
from torch import Tensor, nn

from isthmus.batch import Batch, Code
from isthmus.bottlenecks import Linear
from isthmus.data import Resident
from isthmus.estimator import AutoEncoder
from isthmus.guards import seeded, threads_set
from isthmus.losses import BernoulliLikelihood, GaussianLikelihood
from isthmus.module import AutoEncoderModule
from isthmus.networks import MLPDecoder, MLPEncoder
from isthmus.options import Options
from isthmus.part import Part
from isthmus.training import Callback, train

__all__ = ["check_layers", "fit_layers"]

PIECE = 4_096


def check_layers(encoder: Part, bottleneck: Part) -> None:
    """Raise ValueError unless the encoder is a plain stack of layers and the code one layer more."""
    plain = isinstance(encoder, MLPEncoder) and not encoder.shortcut and not encoder.residual
    if not (plain and isinstance(bottleneck, Linear)):
        raise ValueError(
            "strategy='layerwise' trains one layer after another: it needs encoder=mlp_encoder(hidden=(...), "
            f"shortcut=False) without residual, and a linear bottleneck; got {encoder!r} and {bottleneck!r}."
        )


def fit_layers(estimator: AutoEncoder, data: Any, options: Options) -> list[dict[str, float]]:
    """Train the layers of a built auto-encoder one by one, then its decoder through all of them.

    Layer k learns, in the one loop and for the epochs of ``options``, to give back what the
    layers below it make of the clean rows from a corrupted version of that, through a linear
    decoder which is then thrown away. The corruption is the auto-encoder's; where it is of
    images, the layers above the first go without. Values of sigmoid layers are given back with
    cross-entropy, others with squared error.

    Returns
    -------
    list of dict
        The history of the last stage, the decoder's, as of an auto-encoder.

    References
    ----------
    Vincent et al., "Stacked denoising autoencoders", JMLR 11, 2010, section 3.5. Differs:
    decoders are not tied, and at the end a decoder of the whole stack is trained, so that it
    is an auto-encoder.
    """
    module: Any = estimator.module_
    encoder, bottleneck = module.encoder, module.bottleneck
    check_layers(encoder, bottleneck)
    layers = [*encoder.body.layers, nn.Sequential(bottleneck.linear, bottleneck.activate)]
    activations = [encoder.activation] * (len(layers) - 1) + [bottleneck.activation]
    given, below = data, ""
    for k, (layer, activation) in enumerate(zip(layers, activations, strict=True)):
        with seeded(options.seed + 1 + k, options.device):
            line = _line(module, layer, below, k)
        _trained(line, given, options, estimator.callback)
        trained: Any = line.encoder
        layer.load_state_dict(trained.layer.state_dict())
        if k == 0:
            encoder.stem.load_state_dict(trained.stem.state_dict())
        given, below = _codes(line, given, options), activation
    kept = [parameter for part in (encoder, bottleneck) for parameter in part.parameters()]
    for parameter in kept:
        parameter.requires_grad_(False)
    history = _trained(module, data, options, estimator.callback)
    for parameter in kept:
        parameter.requires_grad_(True)
    return history


class _Layer(Part):
    """A layer that is there already, as an encoder; the first with what reads the rows before it."""

    def __init__(self, layer: nn.Module, stem: nn.Module | None):
        super().__init__()
        self.layer, self.stem = layer, stem

    def forward(self, source: Batch) -> Tensor:
        return self.layer(source.x if self.stem is None else self.stem(source))


class _AsItIs(Part):
    """The features are the code."""

    def forward(self, features: Tensor) -> Code:
        return Code(features, features.new_zeros(len(features)))


class _Values(Part):
    """What a layer gave, as rows."""

    missing = False
    rank = 1

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def example(self) -> dict[str, Any]:
        return {"shape": [self.width]}

    def blank(self, n: int) -> Batch:
        return Batch(torch.zeros(n, self.width))

    def expand(self, stored: Batch) -> Batch:
        return stored


def _line(module: Any, layer: nn.Module, below: str, k: int) -> AutoEncoderModule:
    """Return an auto-encoder of one layer, a copy; ``below`` is the activation of the layer under it."""
    like, facts = next(module.parameters()), module.modality.facts
    # Copied to where a line is built; it is moved when it is whole.
    layer = copy.deepcopy(layer).to("cpu", torch.float32)
    corruption = None if module.corruption is None else clone(module.corruption)
    if k == 0:
        stem = copy.deepcopy(module.encoder.stem).to("cpu", torch.float32)
        modality, loss = clone(module.modality).build(**facts), clone(module.loss)
    else:
        stem, modality = None, _Values(next(layer.parameters()).shape[1])
        loss = BernoulliLikelihood() if below == "sigmoid" else GaussianLikelihood()
        corruption = corruption if _takes_values(corruption, modality) else None
    decoder = MLPDecoder(hidden=(), shortcut=False)
    return AutoEncoderModule(modality, _Layer(layer, stem), _AsItIs(), decoder, loss, corruption).to(like)


def _takes_values(corruption: Part | None, modality: Part) -> bool:
    """Whether a corruption is for rows of numbers too; one of images is not."""
    try:
        return corruption is not None and clone(corruption).build(**modality.example()) is not None
    except ValueError:
        return False


def _trained(
    module: AutoEncoderModule, data: Any, options: Options, callback: Callback | None
) -> list[dict[str, float]]:
    with threads_set(options.threads):
        history, _ = train(module, data, options, callback=callback)
    return history


@torch.no_grad()
def _codes(line: AutoEncoderModule, data: Any, options: Options) -> Resident:
    """Return what a layer makes of all rows."""
    pieces = torch.arange(len(data)).split(PIECE)
    return Resident(Batch(torch.cat([line.encode(data.take(piece).to(options.device)).cpu() for piece in pieces])))
