"""Draw the pictures of docs/jobs/detect-series.md and detect-images.md: `python docs/draw_detect.py [NAME ...]`.

Both are of data that are made here, and seeded: the same call gives the same picture on one machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from drawing import command
from scipy.ndimage import gaussian_filter

from isthmus import AutoEncoder, pictures
from isthmus.jobs import AnomalyDetector, SeriesDetector
from isthmus.jobs.alerting import severity_of

DAY, SIDE = 48, 48


def series() -> Any:
    """Two months of a pump's load and pressure, and the next two weeks, in which three things go wrong."""
    random = np.random.default_rng(0)
    normal, later = pump(60, random), pump(14, random)
    known = [(4 * DAY + 20, 4 * DAY + 40), (8 * DAY + 16, 8 * DAY + 34), (11 * DAY, 11 * DAY + 30)]
    later[slice(*known[0]), 0] *= 0.45
    later[slice(*known[1]), 1] = later[known[1][0], 1]
    later[slice(*known[2])] = later[slice(*known[2])][::-1]
    detector = SeriesDetector(AutoEncoder("sequences", corruption="mask_spans", threads=1), window=DAY, random_state=0)
    detector.fit(normal)
    return pictures.alarm_strip(
        later,
        detector.score_samples(later),
        detector.offset_,
        detector.alarms(later),
        expected=detector.expected(later),
        names=["load", "pressure"],
        known=[(first, last - 1) for first, last in known],
    )


def pump(days: int, random: np.random.Generator) -> np.ndarray:
    """Return a load that follows the day, and a pressure that follows the load."""
    t = np.arange(days * DAY)
    size = np.repeat(1 + 0.15 * random.normal(size=days), DAY)
    load = size * (np.exp(2 * np.sin(2 * np.pi * (t / DAY - 0.3))) / 7) + 0.2
    pressure = 3 - gaussian_filter(load, 3) + 0.02 * random.normal(size=len(t))
    return np.stack([load + 0.02 * random.normal(size=len(t)), pressure], 1)


def images() -> Any:
    """Pieces of cloth: two as they should be, and four with faults."""
    random = np.random.default_rng(0)
    good, new = cloth(1000, random), cloth(6, random)
    new[2, 20:23] = new[2, 24:27]
    y, x = np.mgrid[:SIDE, :SIDE]
    new[3] *= 1 - 0.35 * np.exp(-((y - 14) ** 2 + (x - 32) ** 2) / 40)
    new[4, 26:38, 10:22] = gaussian_filter(new[4], 3)[26:38, 10:22]
    new[5] = gaussian_filter(new[5], 1.0)
    names = ["as it should be", "as it should be", "a thread pulled", "a stain", "worn", "out of focus"]
    detector = AnomalyDetector(AutoEncoder("images(network='dense')", threads=1), random_state=0).fit(bytes_of(good))
    given = bytes_of(new)
    severity = severity_of(detector, detector.score_samples(given))
    titles = [f"{name}: {far:.1f}" for name, far in zip(names, severity, strict=True)]
    heat = np.maximum(np.sqrt(detector.heat(given)) - 3, 0)
    expected = detector.estimator_.reconstruct(given)
    return pictures.fault_strip(given, expected, heat, titles, most=9.0, scale=1.35)


def cloth(n: int, random: np.random.Generator) -> np.ndarray:
    """Return woven cloth, a little shifted, lit from one side, with the noise of a camera."""
    y, x = np.mgrid[:SIDE, :SIDE]
    down, across, light = (random.normal(size=(n, 1, 1)) for _ in range(3))
    weave = np.sin(2 * np.pi * (y + 0.4 * down) / 6) * np.sin(2 * np.pi * (x + 0.4 * across) / 6)
    return 0.5 + 0.2 * weave + 0.05 * light * (x / SIDE - 0.5) + 0.02 * random.normal(size=(n, SIDE, SIDE))


def bytes_of(cloths: np.ndarray) -> np.ndarray:
    """Return pictures as a camera stores them."""
    return np.rint(255 * cloths.clip(0, 1)).astype(np.uint8)


if __name__ == "__main__":
    command("detect", (series, images), __doc__)()
