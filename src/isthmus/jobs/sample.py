"""Sampling: new rows, drawn from what was learned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from isthmus.bottlenecks import Gaussian
from isthmus.building import part_of
from isthmus.data import blocks
from isthmus.estimator import AutoEncoder
from isthmus.guards import seeded
from isthmus.inference import decode, encode
from isthmus.jobs.baselines import GaussianMixtureOnPCA, Matrix
from isthmus.jobs.densities import density_from, density_state, fit_density
from isthmus.jobs.job import Job, choose, is_table
from isthmus.layers import check_choice
from isthmus.metrics import covered, frechet_distance
from isthmus.modalities import Images
from isthmus.part import Part
from isthmus.priors import Mixture
from isthmus.rows import Rows, as_rows

__all__ = ["Generator"]

VALUES = ("auto", "mean", "draw")
PATHS = ("line", "arc")
MOST_COMPARED = 2_000
VARIANCE = 0.9
# Of a density that nobody chose: a covariance takes several rows for each dimension.
MOST_COMPONENTS, ROWS_PER_COMPONENT, ROWS_PER_DIMENSION = 100, 100, 10


class Generator(Job):
    """Draw new rows that look like the fitted ones, and walk between them.

    Parameters
    ----------
    estimator : AutoEncoder, optional
        The auto-encoder; by default :meth:`default_estimator`. With ``density=None`` its
        bottleneck must be able to sample.
    density : Part, str or None, default='auto'
        Where codes lie: one of ``isthmus.priors``, such as ``"mixture(components=20)"`` or
        ``"flow"``, fitted to the codes of the rows when the auto-encoder is done. None: codes
        are drawn from the bottleneck's own prior. 'auto': from its own if it has learned one
        or codes are discrete or have positions, and otherwise from a fitted mixture of
        Gaussians with full covariances: one for every 100 rows, or for every ten times as
        many rows as a code has dimensions if that is more; at most 100.
    values : {'auto', 'mean', 'draw'}, default='auto'
        What becomes of a drawn code: the expected row, or a row drawn around it. 'auto' is
        'mean' for images, which look noisy otherwise, and 'draw' for all else.
    random_state : int, RandomState instance or None, default=None
        Of the auto-encoder where it has none of its own, and of :meth:`sample` and
        :meth:`compare`.

    Attributes
    ----------
    estimator_ : AutoEncoder
        The fitted auto-encoder.
    density_ : Part or None
        The fitted density of codes; None where they are drawn from the bottleneck's own prior.
    n_features_in_, feature_names_in_
        As of the auto-encoder.

    Raises
    ------
    ValueError
        If ``density`` is None, and the bottleneck has no prior to draw codes from.

    Notes
    -----
    Of a variational auto-encoder with sharp reconstructions the codes leave the standard
    normal prior: it weighs little beside the likelihood. Most codes drawn from the prior then
    lie where no row's code does. A density fitted afterwards knows where codes are; on MNIST
    (20,000 images, 784-512-16, a spread of 0.1 of the pixels' range) it brings the Frechet
    distance of samples in a classifier's features from 188 down to 7.5; that of as many
    training images is 2.4 (`benchmarks/papers/generation.py` has the full measurement).

    References
    ----------
    A density fitted after the auto-encoder: Ghosh et al., "From variational to deterministic
    autoencoders", ICLR 2020, https://arxiv.org/abs/1903.12436, section 4. Attributes as
    directions of the code: Larsen et al., 2016, https://arxiv.org/abs/1512.09300, section 4.2.
    Arcs between codes: White, 2016, https://arxiv.org/abs/1609.04468.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> images = load_digits().images[:200]
    >>> model = AutoEncoder(bottleneck="gaussian(size=8)", max_epochs=3, random_state=0)
    >>> Generator(model).fit(images).sample(5).shape
    (5, 8, 8)
    """

    verb: ClassVar[str] = "sample"
    needs: ClassVar[tuple[str, ...]] = ("sample",)

    def __init__(
        self,
        estimator: AutoEncoder | None = None,
        *,
        density: Part | str | None = "auto",
        values: str = "auto",
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.density = density
        self.values = values
        self.random_state = random_state

    def default_estimator(self, X: Any) -> AutoEncoder:
        """Return the auto-encoder fitted where none is given: a variational one.

        The spread of the likelihood decides how much of a row is drawn and how much is left
        to the decoder's mean. For pixels it is 0.1 of their range: with 1, the default of
        reconstruction, the code would be too dear to use and every sample the mean image. A
        table's columns each learn their own.
        """
        if is_table(X):
            return AutoEncoder(bottleneck="gaussian", loss="cell_likelihood(learned=True)")
        return AutoEncoder(bottleneck="gaussian(size=16)", loss="gaussian_likelihood(sigma=0.1, link='sigmoid')")

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the distribution of rows.

        Parameters
        ----------
        X : array-like, data frame or Rows
            A table or images, as :class:`AutoEncoder` takes them.
        y : None
            Not used.

        Returns
        -------
        Self
        """
        check_choice("values", self.values, VALUES)
        asked = None if self.density == "auto" else part_of(self.density, "priors")
        rows = as_rows(X)
        self.estimator_ = self._prepared(rows).fit(rows)
        density = self._chosen(len(rows)) if self.density == "auto" else asked
        self.density_ = None
        if density is not None:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
            self.density_ = fit_density(density, self._codes(rows, seed), seed, self.estimator_.options_.threads)
        return self

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Return new rows, as the fitted rows were.

        Parameters
        ----------
        n_samples : int, default=1
            How many.
        random_state : int, RandomState instance or None, default=None
            Of the draw; by default the job's own.
        """
        check_is_fitted(self, "estimator_")
        random = check_random_state(self.random_state if random_state is None else random_state)
        seed, model = int(random.randint(2**31 - 1)), self.estimator_
        with seeded(seed, self._device), torch.no_grad():
            if self.density_ is None:
                z = model.module_.bottleneck.sample(n_samples, model.code_shape_[:-1])
            else:
                z = self.density_.sample(n_samples)
            return self._decoded(z)

    def interpolate(self, A: Any, B: Any, n_steps: int = 9, path: str = "line") -> list[Any]:
        """Return the rows on the way from each row of A to the row of B beside it.

        Parameters
        ----------
        A, B : array-like, data frame or Rows of n rows
            Where to begin and to end.
        n_steps : int, default=9
            Rows on the way, both ends counted; the ends are reconstructions.
        path : {'line', 'arc'}, default='line'
            Straight from code to code, or on the circle about the origin that passes both, as
            codes of a normal prior in many dimensions lie near a sphere.

        Returns
        -------
        list of n_steps arrays or data frames, each of n rows

        Raises
        ------
        ValueError
            If A and B differ in length, n_steps is below 2, or the path is another.
        """
        check_choice("path", path, PATHS)
        if n_steps < 2:
            raise ValueError(f"n_steps must be at least 2, the two ends, got {n_steps}.")
        begin, end = (torch.from_numpy(self.estimator_.transform(self._rows(rows))) for rows in (A, B))
        if len(begin) != len(end):
            raise ValueError(f"A and B must be of one length, got {len(begin)} and {len(end)} rows.")
        between = _arc if path == "arc" else torch.lerp
        shares = torch.linspace(0, 1, n_steps, dtype=begin.dtype)
        return [self._decoded(between(begin, end, share), mean=True) for share in shares]

    def direction(self, X: Any, y: Any) -> np.ndarray:
        """Return the direction of an attribute: mean code of rows that have it, minus that of those that have not.

        Parameters
        ----------
        X : array-like, data frame or Rows of n rows
            Rows.
        y : array-like of n booleans
            Which of them have the attribute.

        Returns
        -------
        ndarray of shape (values of a code,)
        """
        codes, has = self.estimator_.transform(self._rows(X)), np.asarray(y)
        if has.shape != (len(codes),) or not np.isin(has, (0, 1)).all() or len(np.unique(has)) != 2:
            raise ValueError(f"y must say yes or no for each of {len(codes)} rows, both at least once, got {y!r:.80}.")
        has = has.astype(bool)
        return codes[has].mean(0) - codes[~has].mean(0)

    def shift(self, X: Any, direction: np.ndarray, amount: float = 1.0) -> Any:
        """Return rows with more of an attribute (less, where ``amount`` is negative).

        Parameters
        ----------
        X : array-like, data frame or Rows
            Rows to change.
        direction : ndarray of shape (values of a code,)
            From :meth:`direction`.
        amount : float, default=1.0
            How far to go along it.
        """
        codes = self.estimator_.transform(self._rows(X))
        if np.shape(direction) != codes.shape[1:]:
            raise ValueError(f"a direction of these codes has shape {codes.shape[1:]}, got {np.shape(direction)}.")
        return self._decoded(torch.from_numpy(codes + amount * np.asarray(direction)), mean=True)

    def state(self) -> dict[str, Any]:
        """Return the fitted density of codes, if there is one."""
        return {} if self.density_ is None else density_state(self.density_)

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Take back what :meth:`state` returned."""
        self.density_ = density_from(dict(state)) if state else None
        return self

    def _check_needs(self, estimator: AutoEncoder) -> None:
        if self.density is None:
            super()._check_needs(estimator)

    def _chosen(self, n: int) -> Part | None:
        """Return the density to fit to n codes where none is asked for; None if the bottleneck's own will do."""
        bottleneck = self.estimator_.module_.bottleneck
        is_standard = isinstance(bottleneck, Gaussian) and bottleneck.prior is None
        has_own = hasattr(bottleneck, "sample") and not (is_standard and len(self.estimator_.code_shape_) == 1)
        if has_own:
            return None
        each = max(ROWS_PER_COMPONENT, ROWS_PER_DIMENSION * math.prod(self.estimator_.code_shape_))
        return Mixture(max(1, min(MOST_COMPONENTS, n // each)), "full")

    def _codes(self, rows: Rows, seed: int) -> Tensor:
        """Return the codes of rows, ``(n, values of a code)``, drawn where the bottleneck draws."""
        model = self.estimator_
        with seeded(seed, self._device):
            found = [encode(model.module_, block, drawn=True) for block in blocks(rows, model.modality_, self._dtype)]
        return torch.cat(found)

    def _decoded(self, z: Tensor, mean: bool = False) -> Any:
        """Return the rows that codes stand for: expected ones, or drawn around them."""
        model = self.estimator_
        is_mean = mean or self.values == "mean" or (self.values == "auto" and isinstance(model.modality_, Images))
        read = model.module_.loss.mean if is_mean else model.module_.loss.draw
        return model.modality_.to_rows(decode(model.module_, z.view(len(z), *model.code_shape_), read))

    def baselines(self) -> dict[str, Any]:
        """Return a mixture of ten Gaussians on principal components."""
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        return {"Gaussian mixture on PCA": GaussianMixtureOnPCA(random_state=seed, variance=VARIANCE)}

    def compare(self, train: Any, test: Any, y: Any = None) -> list[dict[str, Any]]:
        """Return how near samples are to rows that no method has seen.

        As many samples are drawn as there are test rows, at most 2,000 of both. The rows of
        ``train`` themselves are the last line: what a perfect copy would reach.

        Parameters
        ----------
        train, test : array-like, data frame or Rows
            Rows to fit on, and others.
        y : None
            Not used.

        Returns
        -------
        list of dict
            ``method``; ``frechet`` (:func:`isthmus.metrics.frechet_distance` on the principal
            components that hold 90 % of the variance of ``train``; less is better);
            ``precision`` (share of samples that lie among the test rows,
            :func:`isthmus.metrics.covered`) and ``recall`` (share of test rows that lie among
            the samples).

        References
        ----------
        Kynkäänniemi et al., "Improved precision and recall metric for assessing generative
        models", NeurIPS 2019, https://arxiv.org/abs/1904.06991. Differs: distances are
        between standardised rows, not between a classifier's features.
        """
        job = self._fitted(train)
        modality = job.estimator_.modality_
        random = np.random.default_rng(int(check_random_state(self.random_state).randint(2**31 - 1)))
        matrix = Matrix(modality).fit(train)
        n = min(len(as_rows(train)), len(as_rows(test)), MOST_COMPARED)
        before, real = matrix.transform(train), matrix.transform(_some(test, n, random))
        drawn = {"auto-encoder": matrix.transform(job.sample(n))}
        for name, model in job.baselines().items():
            samples = model.fit(before).sample(n)
            drawn[name] = samples.clip(0, 1) if isinstance(modality, Images) else samples
        drawn["(training rows)"] = matrix.transform(_some(train, n, random))
        space = PCA(VARIANCE, svd_solver="full").fit(before)
        return [
            {
                "method": name,
                "frechet": frechet_distance(space.transform(samples), space.transform(real)),
                "precision": covered(samples, real),
                "recall": covered(real, samples),
            }
            for name, samples in drawn.items()
        ]


def _arc(begin: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Return the codes at a share of the way along the arcs between codes ``(n, d)``, lengths changing evenly."""
    lengths = begin.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True)
    one, other = (code / length.clamp_min(1e-12) for code, length in zip((begin, end), lengths, strict=True))
    angle = (one * other).sum(1, keepdim=True).clamp(-1, 1).arccos()
    # Where codes lie on one ray there is no arc, and where they are opposite it is not known which.
    bends = angle.sin() > 1e-6
    sine = torch.where(bends, angle.sin(), 1.0)
    turned = (((1 - share) * angle).sin() * one + (share * angle).sin() * other) / sine
    return torch.where(bends, turned * torch.lerp(*lengths, share), torch.lerp(begin, end, share))


def _some(X: Any, n: int, random: np.random.Generator) -> Any:
    rows = as_rows(X)
    return choose(rows, np.sort(random.choice(len(rows), n, replace=False)))
