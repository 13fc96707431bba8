"""The composition: six parts in one line."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from isthmus.batch import Batch, Step
from isthmus.part import Part

__all__ = ["AutoEncoderModule"]


class AutoEncoderModule(nn.Module):
    """Corruption, encoder, bottleneck, decoder, loss and penalties, joined.

    Parameters
    ----------
    modality : Part
        Turns stored batches into what networks read (``expand``) and knows the facts.
    encoder, bottleneck, decoder, loss : Part
        Prototypes; they are built here, from the facts and from what the part before gives.
    corruption : Part, optional
        Prototype of the corruption, at work while training only.
    penalties : sequence of Part
        Prototypes.

    Raises
    ------
    ValueError
        If the parts do not fit each other.

    Notes
    -----
    The sizes between parts are not declared but seen: a blank batch runs through the line,
    and each part is built from the shape that reaches it. Any part that computes fits.
    """

    def __init__(
        self,
        modality: Part,
        encoder: Part,
        bottleneck: Part,
        decoder: Part,
        loss: Part,
        corruption: Part | None = None,
        penalties: Sequence[Part] = (),
    ):
        super().__init__()
        self.modality = modality
        self.corruption = corruption
        self.encoder = encoder
        self.bottleneck = bottleneck
        self.decoder = decoder
        self.loss = loss
        self.penalties = nn.ModuleList(penalties)
        self._build()
        self._wants_gradient = any(getattr(penalty, "needs_source_gradient", False) for penalty in self.penalties)

    @torch.no_grad()
    def _build(self) -> None:
        facts = self.modality.example()
        blank = self.modality.expand(self.modality.blank(2))
        source = blank
        if self.corruption is not None:
            source = self.corruption.build(**facts)(blank)
        # What is hidden while training must be told apart from zeros by the encoder.
        missing = self.modality.missing or source.mask is not None
        features = self.encoder.build(**facts, missing=missing).eval()(source)
        z = self.bottleneck.build(width=features.shape[-1], rank=self.modality.rank).eval()(features).z
        self.loss.build(**facts)
        shape = [*facts["shape"][:-1], self.loss.width]
        self.decoder.build(code=list(z.shape[1:]), shape=shape)
        if getattr(self.decoder, "tied", False):
            self.decoder.tie(self.encoder, self.bottleneck)
        output = self.decoder.eval()(z, blank)
        if list(output.shape) != [2, *shape]:
            raise ValueError(f"{self.decoder!r} gives {list(output.shape[1:])}, but the loss needs {shape}.")
        for penalty in self.penalties:
            penalty.build()
            if hasattr(penalty, "watch"):
                penalty.watch(self.encoder, self.bottleneck)

    def forward(self, stored: Batch, corrupt: bool | None = None) -> Step:
        """Run the line.

        Parameters
        ----------
        stored : Batch
            As the modality keeps it.
        corrupt : bool, optional
            Whether to corrupt the source; by default while training.
        """
        source = target = self.modality.expand(stored)
        if self.corruption is not None and (self.training if corrupt is None else corrupt):
            source = self.corruption(target)
        if self._wants_gradient and self.training:
            source = source.with_x(source.x.detach().requires_grad_())
        features = self.encoder(source)
        code = self.bottleneck(features)
        output = self.decoder(code.z, target)
        return Step(source, target, features, code, output)

    def cost(self, step: Step) -> Tensor:
        """Return what training minimises, nats ``(b,)``: loss, code, and while training the penalties."""
        cost = self.loss(step.output, step.target) + step.code.penalty
        if self.training:
            for penalty in self.penalties:
                cost = cost + penalty(step)
        return cost

    def encode(self, stored: Batch) -> Tensor:
        """Return the code ``(b, *p, d)`` of uncorrupted examples."""
        return self.bottleneck(self.encoder(self.modality.expand(stored))).z

    @torch.no_grad()
    def start(self, stored: Batch) -> None:
        """Let each part set its weights from a sample of rows, in the order of the line."""
        was_training = self.training
        self.eval()
        target = self.modality.expand(stored)
        self.encoder.start(target)
        features = self.encoder(target)
        self.bottleneck.start(features)
        self.decoder.start(self.bottleneck(features).z, self.loss.guess(target))
        self.train(was_training)
