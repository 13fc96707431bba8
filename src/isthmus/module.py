"""The composition: six parts in one line."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from isthmus.batch import Batch, Step
from isthmus.part import Part

__all__ = ["AutoEncoderModule"]

USE = ("perplexity", "share_used")


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
    objective : Part, optional
        Prototype of what becomes of the nats of codes that are drawn; by default their sum,
        with one draw an example.
    labels : int, default=0
        Classes of the labels in ``Batch.condition``.

    Attributes
    ----------
    is_game : bool
        Whether an adversary learns too, so that the cost is no measure of progress.

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
        objective: Part | None = None,
        labels: int = 0,
    ):
        super().__init__()
        self.modality = modality
        self.corruption = corruption
        self.encoder = encoder
        self.bottleneck = bottleneck
        self.decoder = decoder
        self.loss = loss
        self.penalties = nn.ModuleList(penalties)
        self.objective = objective
        self.labels = labels
        self._build()
        self._wants_gradient = any(getattr(penalty, "needs_source_gradient", False) for penalty in self.penalties)
        self._check_objective()
        # Held-out rows are judged as they are: a corruption that also moves the target does so while training.
        self._augments = hasattr(self.corruption, "augment")
        # Plain lists: what no part asks for costs nothing in a step.
        self._followers = [part for part in self.modules() if part is not self and hasattr(part, "after_step")]
        self.is_game = any(getattr(part, "is_game", False) for part in self.modules() if part is not self)

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
        seen: dict[str, Any] = {
            "width": features.shape[-1],
            "positions": list(features.shape[1:-1]),
            "rank": self.modality.rank,
            "labels": self.labels,
        }
        code = self.bottleneck.build_with(seen).eval()(features)
        z = code.z
        self.loss.build(**facts)
        shape = [*facts["shape"][:-1], self.loss.width]
        self.decoder.build(code=list(z.shape[1:]), shape=shape)
        if hasattr(self.decoder, "listen"):
            self.decoder.listen(self.loss)
        if getattr(self.decoder, "tied", False):
            self.decoder.tie(self.encoder, self.bottleneck)
        output = self.decoder.eval()(z, blank)
        if list(output.shape) != [2, *shape]:
            raise ValueError(f"{self.decoder!r} gives {list(output.shape[1:])}, but the loss needs {shape}.")
        pieces = {name: list(piece.shape[1:]) for name, piece in (code.factors or {}).items()}
        seen |= {**facts, "code": list(z.shape[1:]), "factors": pieces, "output": list(output.shape[1:])}
        for penalty in self.penalties:
            penalty.build_with(seen)
            if hasattr(penalty, "watch"):
                wanted = inspect.signature(penalty.watch).parameters
                penalty.watch(**{name: getattr(self, name) for name in wanted})
        if self.objective is not None:
            self.objective.build()
            if hasattr(self.bottleneck, "draw") and self.bottleneck.draw(features).log_ratio is None:
                raise ValueError(f"{self.objective!r} needs a code all of which is drawn, got {self.bottleneck!r}.")

    def _check_objective(self) -> None:
        if self.objective is None:
            return
        if not hasattr(self.bottleneck, "draw"):
            raise ValueError(f"{self.objective!r} needs a bottleneck that can draw, such as gaussian.")
        pairs = any(hasattr(penalty, "arrange") for penalty in self.penalties)
        if (self._wants_gradient or pairs) and self.objective.draws > 1:
            raise ValueError(
                f"{self.objective!r} draws many codes of an example, and a penalty needs one: use draws=1."
            )

    def forward(self, stored: Batch, as_training: bool | None = None) -> Step:
        """Run the line.

        Parameters
        ----------
        stored : Batch
            As the modality keeps it.
        as_training : bool, optional
            Whether to corrupt the source and draw the code, as often as the objective asks;
            by default while training.

        Returns
        -------
        Step
            With an objective of k draws every tensor has ``b * k`` rows, those of one example
            beside each other.
        """
        as_training = self.training if as_training is None else as_training
        source = target = self.modality.expand(stored)
        if self.corruption is not None and as_training:
            if self._augments and self.training:
                target = self.corruption.augment(target)
            source = self.corruption(target)
        if self._wants_gradient and self.training:
            source = source.with_x(source.x.detach().requires_grad_())
        features = self.encoder(source)
        if as_training and self.objective is not None and self.objective.draws > 1:
            source, target = source.repeat(self.objective.draws), target.repeat(self.objective.draws)
            features = features.repeat_interleave(self.objective.draws, 0)
        draws = as_training and (self.objective is not None or not self.training) and hasattr(self.bottleneck, "draw")
        code = self.bottleneck.draw(features) if draws else self.bottleneck(features)
        output = self.decoder(code.z, target)
        return Step(source, target, features, code, output)

    def cost(self, step: Step) -> Tensor:
        """Return what training minimises, nats ``(b,)``: loss, code, and while training the penalties."""
        nats = self.loss(step.output, step.target)
        if step.code.weight is not None:
            nats = step.code.weight * nats
        # Codes that were not drawn have no ratio for an objective to weigh.
        if self.objective is None or step.code.log_ratio is None:
            cost = nats + step.code.penalty
        else:
            cost = self.objective(nats, step.code)
        if self.training:
            for penalty in self.penalties:
                charge = penalty(step)
                cost = cost + (charge if len(charge) == len(cost) else charge.view(len(cost), -1).mean(1))
        return cost

    def arrange(self, data: Any, training: Tensor, batch_size: int) -> Any:
        """Return the data with the examples side by side that the penalties want to see together."""
        for penalty in self.penalties:
            if hasattr(penalty, "arrange"):
                data = penalty.arrange(data, training, batch_size, self.modality)
        return data

    def usage(self) -> dict[str, float]:
        """Return how much of a discrete code is in use; nothing for another code."""
        return {name: getattr(self.bottleneck, name) for name in USE if hasattr(self.bottleneck, name)}

    def after_step(self, progress: float) -> None:
        """Tell the parts that ask for it that a step was taken; ``progress`` is the share of all steps."""
        for part in self._followers:
            part.after_step(progress)

    def encode(self, stored: Batch, drawn: bool = False) -> Tensor:
        """Return the code ``(b, *p, d)`` of uncorrupted examples; drawn if asked, where the bottleneck can draw."""
        code = getattr(self.bottleneck, "draw", self.bottleneck) if drawn else self.bottleneck
        return code(self.encoder(self.modality.expand(stored))).z

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
