"""All scores of disentanglement at once, and the two matrices that they are read from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from isthmus.metrics.factors import BINS, as_codes, factor_names
from isthmus.metrics.information import entropy, mig_of, modularity_of, mutual_information
from isthmus.metrics.prediction import dci, sap
from isthmus.metrics.votes import factor_vae_score

__all__ = ["Disentanglement", "disentanglement"]


class Disentanglement(NamedTuple):
    """What :func:`disentanglement` finds.

    Attributes
    ----------
    scores : dict of str to float
        ``mig``, ``disentanglement``, ``completeness``, ``informativeness``, ``sap``, and of two
        or more factors ``modularity`` and ``factor_vae``; 1 is the best of each.
    factors : list of str
        Names of the factors.
    information : ndarray of shape (d, k)
        Mutual information of dimension and factor as a share of the factor's entropy.
    importances : ndarray of shape (d, k)
        How much of what trees read of a factor comes from each dimension.
    """

    scores: dict[str, float]
    factors: list[str]
    information: np.ndarray
    importances: np.ndarray


def disentanglement(
    codes: Any, factors: Any, bins: int = BINS, least_variance: float = 0.0, random_state: Any = None
) -> Disentanglement:
    """Return every score of disentanglement of codes whose factors are known.

    Parameters
    ----------
    codes : array-like of shape (n, d)
        Codes.
    factors : array-like or data frame of shape (n, k)
        Columns of numbers, booleans or text, without missing values.
    bins : int, default=20
        Bins of a dimension, for mutual information.
    least_variance : float, default=0.0
        As for :func:`isthmus.metrics.factor_vae_score`.
    random_state : int, RandomState instance or None, default=None
        Of the halves that models learn from and are judged on, and of the votes.

    Examples
    --------
    >>> factors = np.random.default_rng(0).integers(0, 5, (500, 2))
    >>> found = disentanglement(factors, factors, random_state=0)
    >>> {name: round(score, 1) for name, score in found.scores.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'mig': 1.0, 'disentanglement': 1.0, 'completeness': 1.0, 'informativeness': 1.0, 'sap': 1.0,
     'modularity': 1.0, 'factor_vae': 1.0}
    """
    codes = as_codes(codes)
    names = factor_names(factors)
    random = check_random_state(random_state)
    information, entropies = mutual_information(codes, factors, bins), entropy(factors)
    read = dci(codes, factors, random)
    scores = {
        "mig": mig_of(information, entropies),
        "disentanglement": read.disentanglement,
        "completeness": read.completeness,
        "informativeness": read.informativeness,
        "sap": sap(codes, factors, random),
    }
    if len(names) > 1:
        scores["modularity"] = modularity_of(information)
        scores["factor_vae"] = factor_vae_score(codes, factors, least_variance=least_variance, random_state=random)
    return Disentanglement(scores, names, information / entropies, read.importances)
