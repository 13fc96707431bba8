"""Draw the pictures of docs/codes.md: `python docs/draw.py [NAME ...]`.

Each is made by Isthmus from data that come with scikit-learn or that are made here, in a minute at
most, and seeded: the same call gives the same picture on one machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from drawing import command
from sklearn.datasets import load_digits

from isthmus import AutoEncoder, pictures, recipes
from isthmus.jobs import Generator, SimilaritySearch

DATA = load_digits()
IMAGES = np.rint(DATA.images * (255 / 16)).astype(np.uint8)
ORDER = np.random.default_rng(0).permutation(len(IMAGES))
TRAIN, TEST, LABELS = IMAGES[ORDER[:1200]], IMAGES[ORDER[1200:]], DATA.target[ORDER[1200:]]
SHOWN = np.array([np.flatnonzero(digit == LABELS)[0] for digit in range(10)])
FITTING: dict[str, Any] = {"random_state": 0, "threads": 1}


def numbers() -> Any:
    """Digits through codes of 2, 4, 8 and 16 numbers."""
    rows, titles = [TEST[SHOWN]], ["original"]
    for size in (16, 8, 4, 2):
        model = AutoEncoder(bottleneck=f"linear(size={size})", **FITTING).fit(TRAIN)
        rows.append(model.reconstruct(TEST[SHOWN]))
        titles.append(f"{size} numbers")
    return pictures.image_grid(rows, titles)


def clouds() -> Any:
    """New digits, from a variational code."""
    return pictures.samples_grid(Generator(random_state=0).fit(TRAIN).sample(48), across=16)


def symbols() -> Any:
    """The alphabet of a vector-quantised code: what each of 32 symbols alone is decoded to."""
    model = AutoEncoder(bottleneck="vector_quantizer(symbols=32)", **FITTING).fit(TRAIN)
    bottleneck = model.module_.bottleneck
    often = np.argsort(-bottleneck.frequencies().flatten().cpu().numpy())
    z = bottleneck.dequantize(torch.from_numpy(often)[:, None])
    return pictures.samples_grid(model.inverse_transform(z.detach().flatten(1).numpy()), across=16)


def one_of_k() -> Any:
    """Ten clusters that an information-maximising one-hot code found, eight images of each."""
    model = recipes.imsat(**FITTING).fit(TRAIN)
    cluster = model.transform(TEST).argmax(1)
    rows = [TEST[np.flatnonzero(cluster == k)[:12]] for k in range(10)]
    kept = [k for k, row in enumerate(rows) if len(row) == 12]
    return pictures.image_grid([rows[k] for k in kept], [f"code {k}" for k in kept])


def bits() -> Any:
    """The nearest by 32 bits each."""
    search = SimilaritySearch(recipes.semantic_hashing(bits=32, **FITTING), metric="hamming").fit(TRAIN)
    _, nearest = search.kneighbors(TEST[SHOWN[:5]], 10)
    return pictures.similar_strip(TEST[SHOWN[:5]], TRAIN[nearest])


def dimensions() -> Any:
    """One image, and each dimension of a disentangled code moved by itself."""
    model = recipes.beta_tc_vae(size=6, beta=4.0, **FITTING).fit(TRAIN)
    z = model.transform(TEST[SHOWN[3:4]])
    rows = []
    for j in np.argsort(-model.transform(TRAIN).std(0)):
        moved = np.repeat(z, 11, 0)
        moved[:, j] = np.linspace(-2.5, 2.5, 11)
        rows.append(model.inverse_transform(moved))
    return pictures.image_grid(rows, [f"dimension {j + 1}" for j in range(len(rows))])


def series() -> Any:
    """Ragged series with gaps, and their reconstructions."""
    random = np.random.default_rng(0)
    given = [_wave(random, int(random.integers(60, 100))) for _ in range(400)]
    model = AutoEncoder(bottleneck="linear(size=8)", **FITTING).fit(given[:350])
    shown = given[350:354]
    return pictures.series_pairs(shown, model.reconstruct(shown), [f"series {i + 1}" for i in range(4)])


def _wave(random: np.random.Generator, steps: int) -> np.ndarray:
    t = np.arange(steps)[:, None]
    pulse = random.uniform(0.5, 1.5) * np.sin(2 * np.pi * t / random.uniform(18, 32) + random.uniform(0, 6))
    wave = pulse + random.uniform(-1, 1) + 0.15 * random.normal(size=t.shape)
    wave[random.random(steps) < 0.1] = np.nan
    return wave


if __name__ == "__main__":
    command("codes", (numbers, clouds, symbols, one_of_k, bits, dimensions, series), __doc__)()
