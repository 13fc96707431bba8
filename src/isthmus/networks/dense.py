"""The multi-layer perceptron, as encoder and as decoder."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.batch import Batch
from isthmus.layers import check_widths
from isthmus.networks.blocks import Dense, LinearShortcut, Stem
from isthmus.networks.mirrored import check_mirrored, start_decoder, start_encoder
from isthmus.part import Part

__all__ = ["MLPDecoder", "MLPEncoder"]


def default_hidden(inputs: int) -> tuple[int, int]:
    """Return two widths for data of this many numbers: wider for wider data, within bounds."""
    wide = min(512, max(64, 2 ** math.ceil(math.log2(2 * max(inputs, 1)))))
    return (wide, max(32, wide // 2))


class MLPEncoder(Part):
    """Dense layers over the whole example: ``(b, *p, c)`` to ``(b, width)``.

    Parameters
    ----------
    hidden : tuple of int, optional
        Width of each layer, first to last. By default two layers, chosen from the number
        of inputs: 64 and 32 up to 32 inputs, 512 and 256 from 256 on.
    activation : str, default='silu'
        relu, gelu, silu, elu, leaky_relu, softplus, tanh, sigmoid or identity.
    norm : {'batch', 'layer'}, optional
        Normalisation between each linear layer and its activation.
    dropout : float, default=0.0
        Share of units dropped after each activation while training.
    residual : bool, default=False
        Add a layer's input to its output where both have one width.
    shortcut : bool, default=True
        Add a linear path from input to features. It starts at the principal components
        and the dense layers beside it at zero, so that training starts from PCA.
    mirrored : bool, default=False
        Without a shortcut: begin with units in pairs of opposite sign that pass the
        principal components on, so that plain layers start from PCA too. For the
        activations silu, gelu, relu and softplus.

    Facts
    -----
    shape : list of int
        ``(*p, c)`` of an example.
    categories : list of int, optional
        Symbols in each column of a table; 0 for a number, 1 for a boolean.
    missing : bool, default=False
        Whether values may be unobserved; the mask is then an input too.

    Raises
    ------
    ValueError
        If a width, an activation, a norm or a dropout is not one of those above.

    Notes
    -----
    With the shortcut, ``features = scale * mlp(x) + A x + a``, ``scale`` one number per
    feature that starts at zero (Bachlechner et al., 2020, https://arxiv.org/abs/2003.04887).

    References
    ----------
    Hinton & Salakhutdinov, "Reducing the dimensionality of data with neural networks",
    Science 313, 2006. Differs: no layer-wise pre-training; the linear path instead.

    Examples
    --------
    >>> encoder = MLPEncoder(hidden=(64, 16)).build(shape=[28, 28, 1])
    >>> encoder(Batch(torch.zeros(5, 28, 28, 1))).shape
    torch.Size([5, 16])
    """

    def __init__(
        self,
        hidden: tuple[int, ...] | None = None,
        activation: str = "silu",
        norm: str | None = None,
        dropout: float = 0.0,
        residual: bool = False,
        shortcut: bool = True,
        mirrored: bool = False,
    ):
        super().__init__()
        self.hidden = hidden
        self.activation = activation
        self.norm = norm
        self.dropout = dropout
        self.residual = residual
        self.shortcut = shortcut
        self.mirrored = mirrored

    def setup(self, shape, categories=None, missing: bool = False) -> None:
        """Create the layers."""
        if self.mirrored:
            check_mirrored(self.activation, self.norm, self.residual, self.shortcut)
        self.stem = Stem(shape, categories, missing)
        hidden = default_hidden(math.prod(shape)) if self.hidden is None else check_widths("hidden", self.hidden)
        self.body = Dense(self.stem.width, hidden, self.activation, self.norm, self.dropout, self.residual)
        if self.shortcut:
            self.linear = LinearShortcut(self.stem.width, self.body.width)
            self.scale = nn.Parameter(torch.zeros(self.body.width))

    @property
    def is_identity(self) -> bool:
        """Whether the features are the flattened input itself (``hidden=()``, no shortcut)."""
        return not (self.body.linears or self.shortcut or self.stem.missing or self.stem.table is not None)

    def forward(self, source: Batch) -> Tensor:
        """Return features ``(b, width)``."""
        x = self.stem(source)
        features = self.body(x)
        return torch.addcmul(self.linear(x), features, self.scale) if self.shortcut else features

    def start(self, source: Batch) -> None:
        """Begin the shortcut, or mirrored layers, at the principal components of ``source``."""
        if self.shortcut:
            self.linear.start_at_components(self.stem(source))
        elif self.mirrored:
            start_encoder(self.body.linears, self.stem(source))


class MLPDecoder(Part):
    """Dense layers from the whole code to the whole output: ``(b, *p, d)`` to ``(b, *shape)``.

    Parameters
    ----------
    hidden : tuple of int, optional
        Width of each layer, first to last. By default the default encoder's, reversed.
    activation, norm, dropout, residual
        As in :class:`MLPEncoder`.
    shortcut : bool, default=True
        Add a linear path from code to output, which starts at the least-squares solution;
        the dense layers beside it start at zero.
    tied : bool, default=False
        Use the transposed weights of the encoder's dense layers and of a linear bottleneck
        (biases are the decoder's own). ``hidden`` and ``shortcut`` are then the encoder's:
        leave ``hidden`` at None and give both networks ``shortcut=False``.
    mirrored : bool, default=False
        As in :class:`MLPEncoder`: without a shortcut, begin plain layers at the
        least-squares solution.

    Facts
    -----
    code : list of int
        ``(*p, d)`` of a code.
    shape : list of int
        ``(*p, c)`` of the output.

    Raises
    ------
    ValueError
        If a parameter is not one of those above, or ``tied`` meets another encoder.

    Examples
    --------
    >>> decoder = MLPDecoder(hidden=(16, 64)).build(code=[3], shape=[28, 28, 1])
    >>> decoder(torch.zeros(5, 3), None).shape
    torch.Size([5, 28, 28, 1])
    """

    def __init__(
        self,
        hidden: tuple[int, ...] | None = None,
        activation: str = "silu",
        norm: str | None = None,
        dropout: float = 0.0,
        residual: bool = False,
        shortcut: bool = True,
        tied: bool = False,
        mirrored: bool = False,
    ):
        super().__init__()
        self.hidden = hidden
        self.activation = activation
        self.norm = norm
        self.dropout = dropout
        self.residual = residual
        self.shortcut = shortcut
        self.tied = tied
        self.mirrored = mirrored

    def setup(self, code, shape) -> None:
        """Create the layers, but for those that are tied."""
        self.shape = tuple(shape)
        if self.mirrored:
            check_mirrored(self.activation, self.norm, self.residual, self.shortcut)
        if self.tied:
            self._setup_tied()
            return
        before, after = math.prod(code), math.prod(shape)
        hidden = default_hidden(after)[::-1] if self.hidden is None else check_widths("hidden", self.hidden)
        self.body = Dense(before, hidden, self.activation, self.norm, self.dropout, self.residual)
        self.head = nn.Linear(self.body.width, after)
        if self.shortcut:
            self.linear = LinearShortcut(before, after)
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def _setup_tied(self) -> None:
        if self.hidden is not None or self.shortcut or self.norm or self.residual or self.dropout or self.mirrored:
            raise ValueError(
                "a tied decoder has the encoder's layers: leave hidden, norm, residual, dropout and mirrored "
                f"at their defaults and set shortcut=False, got {self!r}."
            )
        self.activation_layer = Dense(1, (1,), self.activation, None, 0.0, False).layers[0][1]
        self._transposed: tuple[nn.Linear, ...] = ()

    def tie(self, encoder: Part, bottleneck: Part) -> None:
        """Take the transposed weights of these two; called after all three were built.

        Raises
        ------
        ValueError
            Unless the encoder is an ``MLPEncoder(shortcut=False)`` over plain numbers and the
            bottleneck has one ``linear`` layer.
        """
        last = getattr(bottleneck, "linear", None)
        fits = isinstance(encoder, MLPEncoder) and not encoder.shortcut and not encoder.residual and not encoder.norm
        if not (fits and isinstance(last, nn.Linear) and encoder.stem.width == math.prod(self.shape)):
            raise ValueError(
                "tied=True needs an encoder MLPEncoder(shortcut=False) without norm or residual, over numbers "
                f"with none missing, and a Linear bottleneck; got {encoder!r} and {bottleneck!r}."
            )
        # A plain tuple: the weights stay the encoder's, saved and counted once.
        self._transposed = (last, *reversed(encoder.body.linears))
        self.biases = nn.ParameterList(torch.zeros(linear.in_features).to(linear.weight) for linear in self._transposed)

    def forward(self, z: Tensor, target: Batch | None = None) -> Tensor:
        """Return ``(b, *shape)``; the target is not looked at."""
        z = z.flatten(1)
        if self.tied:
            flat = self._forward_tied(z)
        else:
            flat = self.head(self.body(z))
            if self.shortcut:
                flat = flat + self.linear(z)
        return flat if len(self.shape) == 1 else flat.view(len(z), *self.shape)

    def _forward_tied(self, h: Tensor) -> Tensor:
        for linear, bias in zip(self._transposed[:-1], self.biases[:-1], strict=True):
            h = self.activation_layer(F.linear(h, linear.weight.T, bias))
        return F.linear(h, self._transposed[-1].weight.T, self.biases[-1])

    def start(self, z: Tensor, guess: Tensor) -> None:
        """Begin at the least-squares map from ``z`` to ``guess``, an output that would fit."""
        if self.shortcut and not self.tied:
            self.linear.start_at_least_squares(z, guess)
        elif self.mirrored:
            start_decoder(self.body.linears, self.head, z, guess)
