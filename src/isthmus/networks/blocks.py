"""What several networks are made of: dense layers, the stem, the linear shortcut."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from isthmus.batch import Batch
from isthmus.layers import BatchNorm, activation_layer, check_choice, principal_components

__all__ = ["Dense", "LinearShortcut", "Stem"]

NORMS = ("batch", "layer")


class Dense(nn.Module):
    """``width -> hidden[0] -> ... -> hidden[-1]``, each layer: linear, norm, activation, dropout.

    Parameters
    ----------
    width : int
        Channels of the input.
    hidden : tuple of int
        Width of each layer.
    activation : str
        One of ``ACTIVATIONS``.
    norm : {'batch', 'layer'} or None
        Normalisation before the activation.
    dropout : float
        Probability of dropping a unit after the activation.
    residual : bool
        Add a layer's input to its output wherever both have one width.
    """

    def __init__(
        self, width: int, hidden: tuple[int, ...], activation: str, norm: str | None, dropout: float, residual: bool
    ):
        super().__init__()
        if norm is not None:
            check_choice("norm", norm, NORMS)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {dropout}.")
        widths = (width, *hidden)
        self.layers = nn.ModuleList()
        for before, after in zip(widths, widths[1:], strict=False):
            # Batch normalisation takes every bias away again.
            layer = [nn.Linear(before, after, bias=norm != "batch")]
            if norm is None:
                # LeCun's scale: at torch's, 0.58 times that, values stay where SiLU is almost
                # straight, and a fit can stay at the linear map that it starts from.
                nn.init.normal_(layer[0].weight, std=before**-0.5)
            if norm is not None:
                layer.append(BatchNorm(after) if norm == "batch" else nn.LayerNorm(after))
            layer.append(activation_layer(activation))
            if dropout:
                layer.append(nn.Dropout(dropout))
            self.layers.append(nn.Sequential(*layer))
        self._adds = [residual and before == after for before, after in zip(widths, widths[1:], strict=False)]
        self.width = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(b, hidden[-1])``."""
        for layer, adds in zip(self.layers, self._adds, strict=True):
            before = x
            # Called one by one: a narrow layer takes hardly longer than a call of Sequential.
            for module in layer:  # type: ignore[attr-defined]
                x = module(x)
            if adds:
                x = before + x
        return x

    @property
    def linears(self) -> list[nn.Linear]:
        """The linear layers, first to last."""
        return [layer[0] for layer in self.layers]


class Stem(nn.Module):
    """A batch as one flat vector an example: ``(b, *p, c)`` to ``(b, width)``.

    A cell that was not observed reads zero: the mean of a number, the embedding of "absent"
    for a category. Where cells may be missing, the mask is read too.

    Parameters
    ----------
    shape : tuple of int
        ``(*p, c)`` of an example.
    categories : tuple of int, optional
        For each column of a table, how many symbols it has; 0 for a number, 1 for a boolean.
    missing : bool
        Whether the mask is an input as well.
    embedding : int, default=8
        Size of a category's learned embedding.
    """

    def __init__(self, shape, categories=None, missing: bool = False, embedding: int = 8):
        super().__init__()
        kinds = torch.tensor(categories or [], dtype=torch.long)
        self.missing = missing
        self.table: nn.Embedding | None = None
        width = math.prod(shape)
        if bool((kinds > 1).any()):
            symbols = kinds[kinds > 1]
            self.register_buffer("numbers", (kinds <= 1).nonzero().flatten(), persistent=False)
            self.register_buffer("symbols", (kinds > 1).nonzero().flatten(), persistent=False)
            self.register_buffer("offsets", symbols.cumsum(0) - symbols, persistent=False)
            self.table = nn.Embedding(int(symbols.sum()), embedding)
            nn.init.normal_(self.table.weight, std=embedding**-0.5)
            width += (embedding - 1) * len(symbols)
        # Of a table or a series any cell may be missing, of an image a position as a whole.
        self.has_cells = len(shape) <= 2
        self.width = width + missing * math.prod(shape if self.has_cells else shape[:-1])

    def forward(self, batch: Batch) -> Tensor:
        """Return ``(b, width)``."""
        x, mask = batch.x, batch.mask
        if mask is not None:
            mask = mask if mask.ndim == x.ndim else mask.unsqueeze(-1)
            x = x * mask
            mask = mask.expand_as(x) if self.has_cells else mask
        flat = x.flatten(1)
        if self.table is not None:
            symbols = flat[:, self.symbols].long() + self.offsets
            flat = torch.cat([flat[:, self.numbers], self.table(symbols).flatten(1)], 1)
        if self.missing:
            seen = flat.new_ones(len(flat), self.width - flat.shape[1]) if mask is None else mask.flatten(1).to(flat)
            flat = torch.cat([flat, seen], 1)
        return flat


class LinearShortcut(nn.Module):
    """A linear path past a network, begun at a closed form.

    With it an auto-encoder starts as principal component analysis and is trained away from
    there: the network beside it starts at zero. Baldi & Hornik (1989) show that this start
    is the global optimum among linear auto-encoders.
    """

    def __init__(self, before: int, after: int):
        super().__init__()
        self.linear = nn.Linear(before, after)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(b, after)``."""
        return self.linear(x)

    @torch.no_grad()
    def start_at_components(self, x: Tensor, most: int = 4096) -> None:
        """Read the leading principal components of ``x``, largest first, the first of unit variance.

        The others keep their size beside it: a bottleneck that reads the components of these
        features must still be able to tell which matter.
        """
        components, scales, mean = principal_components(x[:most], self.linear.out_features)
        weight = torch.zeros_like(self.linear.weight)
        if len(scales):  # one row, or rows all alike, have no component
            weight[: len(scales)] = (components / scales[0]).to(weight)
        self.linear.weight.copy_(weight)
        self.linear.bias.copy_(-(weight @ mean.to(weight)))

    @torch.no_grad()
    def start_at_least_squares(self, z: Tensor, target: Tensor, most: int = 4096) -> None:
        """Predict ``target`` from ``z`` as well as a linear map can."""
        z, target = z[:most].flatten(1).double(), target[:most].flatten(1).double()
        z_mean, mean = z.mean(0), target.mean(0)
        z = z - z_mean
        gram = z.T @ z
        # A constant dimension, or one that repeats others, has no least-squares weight of its own.
        # The ridge gives it one, stands far above float32 rounding (1e-14), and bends the rest by 1e-8.
        gram.diagonal().add_(1e-8 * gram.diagonal().mean() + 1e-12)
        weight = torch.linalg.solve(gram, z.T @ (target - mean)).T
        self.linear.weight.copy_(weight)
        self.linear.bias.copy_(mean - weight @ z_mean)
