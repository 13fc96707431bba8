"""The score of a row, an image or a step does not hang on what is scored with it, nor on how much."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from isthmus import AutoEncoder
from isthmus.jobs import AnomalyDetector, SeriesDetector
from isthmus.jobs.series_stream import SeriesStream

QUICK = dict(max_epochs=2, threads=1, random_state=0)
# Scores are 0 for a typical row, and in units of how far one row in ten is from it.
ALIKE = dict(rtol=1e-5, atol=1e-5)


def table(n: int, seed: int):
    random = np.random.default_rng(seed)
    size = random.normal(size=n)
    kind = random.choice(["ash", "oak", "elm"], n)
    gap = [None if one > 1 else one for one in size.tolist()]
    return pl.DataFrame({"a": size, "b": np.exp(size + random.normal(size=n)), "kind": kind, "gap": gap})


def images(n: int, seed: int):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (n, 12, 10), dtype=np.uint8) // (1 + np.arange(12)[:, None] // 6)


def series(n: int, seed: int):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 9, 2)).cumsum(1)


@pytest.mark.parametrize("make", [table, images, series])
def test_scores_of_detectors_are_the_same_in_batches_of_any_size(make):
    modality = "sequences" if make is series else None
    X = make(300, 0)
    # Sequences are told from images by the modality alone.
    detector = AnomalyDetector(AutoEncoder(modality, **QUICK), random_state=0).fit(X)
    new = make(5_000, 1)
    whole = detector.score_samples(new)
    for size in (1, 7):
        pieces = [detector.score_samples(new[begin : begin + size]) for begin in range(0, 10 * size, size)]
        np.testing.assert_allclose(np.concatenate(pieces), whole[: 10 * size], **ALIKE)


def test_scores_of_steps_are_the_same_in_pieces_of_any_size_and_in_series_of_any_length():
    random = np.random.default_rng(0)
    wave = np.sin(np.arange(20_000) / 5)[:, None] + 0.1 * random.normal(size=(20_000, 1))
    detector = SeriesDetector(AutoEncoder(**QUICK), window=16, random_state=0).fit(wave[:600])
    whole = detector.score_samples(wave)
    np.testing.assert_allclose(detector.score_samples(wave[:200])[:185], whole[:185], **ALIKE)
    for size in (1, 7):
        stream = SeriesStream(detector)
        pieces = [stream.update(wave[begin : begin + size]).scores for begin in range(0, 40 * size, size)]
        np.testing.assert_allclose(np.concatenate(pieces), whole[: 40 * size - 15], **ALIKE)
