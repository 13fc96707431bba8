"""Arrays to compress: smooth fields made by rule, and real ones from the folder that ISTHMUS_DATA names."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import polars as pl
from PIL import Image

from benchmarks.papers.data import folder

__all__ = ["photographs", "series", "smooth", "spectra"]


def smooth(edge: int) -> dict[str, np.ndarray]:
    """Return smooth float32 fields: waves, a random field whose power falls as that of turbulence, a long record."""
    x, y, z = np.meshgrid(*[np.linspace(0, 1, edge)] * 3, indexing="ij")
    waves = np.sin(9 * x + 3 * y) * np.cos(7 * y * z) + 0.3 * np.sin(30 * x * y + 20 * z)
    random = np.random.default_rng(0)
    frequencies = [np.fft.fftfreq(edge), np.fft.fftfreq(edge), np.fft.rfftfreq(edge)]
    squares = sum(one**2 for one in np.meshgrid(*frequencies, indexing="ij"))
    # Kolmogorov's spectrum: energy falls by k^(-5/3), so amplitudes in three dimensions by k^(-11/6).
    falling = 1 / (squares + (1 / edge) ** 2) ** (11 / 12)
    field = np.fft.irfftn(np.fft.rfftn(random.normal(size=(edge,) * 3)) * falling, s=(edge,) * 3)
    t = np.arange(edge**2 * 8) / 500
    record = np.sin(t) + 0.4 * np.sin(3.3 * t + 1) + 1e-4 * random.normal(size=t.size)
    made = {"waves, 3-D": waves, "turbulence, 3-D": field / field.std(), "record, 1-D": record}
    return {name: np.ascontiguousarray(array.astype(np.float32)) for name, array in made.items()}


def spectra(n: int) -> np.ndarray:
    """Return rows of 64 channels that hang together by four numbers, bent, with noise of 0.002; float32."""
    random = np.random.default_rng(1)
    mixed = random.normal(size=(n, 4)) @ random.normal(size=(4, 64))
    return (np.tanh(mixed) + 0.002 * random.normal(size=mixed.shape)).astype(np.float32)


def photographs(n: int) -> np.ndarray:
    """Return the luminance of the first photographs of BSDS500 in landscape, 321 x 481, as float32 of 0 to 1."""
    found: list[np.ndarray] = []
    with tarfile.open(folder("bsds500") / "bsds500_val.tar") as opened:
        for member in sorted(opened.getmembers(), key=lambda one: one.name):
            if len(found) == n or not member.name.endswith(".jpg"):
                continue
            file = opened.extractfile(member)
            assert file is not None
            image = np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB"), np.float32) / 255
            if image.shape[:2] == (321, 481):
                found.append(image @ np.array([0.299, 0.587, 0.114], np.float32))
    return np.stack(found)


def series() -> np.ndarray:
    """Return the temperature of a room, hour by hour for ten months, of the NAB; float64."""
    file = folder("nab") / "data" / "realKnownCause" / "ambient_temperature_system_failure.csv.gz"
    return pl.read_csv(file)["value"].to_numpy()
