"""What the rows of images share: fits of so many minutes, real files that a fresh process reads, what is measured."""

from __future__ import annotations

import functools
import io
import math
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.harness import Claim, child, say
from benchmarks.papers.data import folder
from isthmus import AutoEncoder, saving
from isthmus.jobs import Compressor
from isthmus.jobs.standard_codecs import FORMATS, StandardCodec
from isthmus.losses import StructuralSimilarity
from isthmus.metrics import bd_rate, psnr
from isthmus.rows import Rows

__all__ = ["Points", "against", "coded", "fitted", "pixels", "started", "theirs", "times", "unpacked"]

# Rows that the seconds of a step are measured on; rows at least and at most; passes over them at least.
MEASURED, LEAST, MOST, PASSES = 256, 64, 20_000, 6
# Of the minutes given, the share that is planned for: the machine's pace may change.
PLANNED = 0.88
# In dB, of the second of two BD-rates.
WINDOW = (26.0, 32.0)
# Rows that the closed form begins at: as many as tables are counted over.
START = 512


@dataclass(frozen=True)
class Points:
    """What files of some settings came to, arrays ``(settings, images)``.

    Attributes
    ----------
    bpp : ndarray
        Bits a pixel, all of the file.
    psnr : ndarray
        dB, of uint8 values.
    similarity : ndarray
        Multi-scale structural similarity as ``-10 log10(1 - s)``, dB.
    """

    bpp: np.ndarray
    psnr: np.ndarray
    similarity: np.ndarray

    def curve(self, what: str = "psnr") -> tuple[np.ndarray, np.ndarray]:
        """Return rates and qualities, averages over images."""
        return self.bpp.mean(1), getattr(self, what).mean(1)

    def listed(self) -> list[dict[str, float]]:
        """Return averages, and the least PSNR of an image, as JSON."""
        columns = {"bpp": self.bpp.mean(1), "psnr": self.psnr.mean(1), "ms_ssim": self.similarity.mean(1)}
        columns["least_psnr"] = self.psnr.min(1)
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def unpacked(name: str, into: Path) -> Path:
    """Unpack the tar files of a data set and return the folder."""
    for file in sorted(folder(name).glob("*.tar")):
        with tarfile.open(file) as opened:
            opened.extractall(into, filter="data")
    return into


def fitted(
    make: Callable[..., AutoEncoder],
    rows_of: Callable[[int], Rows],
    minutes: float,
    threads: int,
    place: Path,
    job_of: Callable[[AutoEncoder], Any] = Compressor,
) -> tuple[Any, dict[str, Any]]:
    """Return a codec fitted for so many minutes on the clock, or the one that is saved in ``place``, and what it took.

    Steps a minute are measured first, as the learning rate falls towards an end that is known.
    """
    if place.exists():
        about = saving.inspect(place)["about"]
        say(f"not fitted in this run: {place}, {about}")
        return saving.load(place), {"fitted in this run": False} | about
    began, spent = time.monotonic(), time.process_time()
    few = MEASURED if minutes >= 1 else LEAST
    measured = make(max_epochs=1, threads=threads).fit(rows_of(few))
    each = measured.history_[-1]["seconds"] / (few * (1 - measured.options_.validation_fraction))
    left = max(0.0, PLANNED * 60 * minutes - (time.monotonic() - began))
    n = min(MOST, max(LEAST, int(left / each / PASSES)))
    epochs = max(1, int(left / each / n))
    say(f"{each:.4f} s a row: {epochs} epochs of {n} rows")
    job = job_of(make(max_epochs=epochs, threads=threads, callback=_told)).fit(rows_of(n))
    took = {
        "minutes": (time.monotonic() - began) / 60,
        "processor_minutes": (time.process_time() - spent) / 60,
        "threads": threads,
        "rows": n,
        "epochs": epochs,
        "best_epoch": int(min(job.estimator_.history_, key=lambda row: row.get("validation_cost", math.inf))["epoch"]),
    }
    saving.save(job, place, about=took)
    return job, {"fitted in this run": True} | took


def started(make: Callable[..., AutoEncoder], rows_of: Callable[[int], Rows], place: Path) -> Compressor:
    """Return the codec that a fit begins at: the transform in closed form, its tables counted, no step to speak of."""
    job = Compressor(make(max_epochs=1, learning_rate=1e-12, threads=1)).fit(rows_of(START))
    saving.save(job, place)
    return job


def coded(
    codec: Compressor, model: Path, files: Sequence[Path], qualities: Sequence[float], into: Path, **options: Any
) -> Points:
    """Write files of images at some qualities, have a fresh process read them, and measure what came back."""
    into.mkdir(parents=True)
    names = {(i, j): f"{i:02}-{j:02}" for i in range(len(qualities)) for j in range(len(files))}
    originals = [pixels(file) for file in files]
    for (i, j), name in names.items():
        (into / f"{name}.aec").write_bytes(codec.compress(originals[j], qualities[i], **options))
    written = sorted(map(str, into.glob("*.aec")))
    child("isthmus", "decompress", "--model", str(model), *written, "-o", str(into), threads=1)
    found = np.empty((3, len(qualities), len(files)))
    for (i, j), name in names.items():
        size = (into / f"{name}.aec").stat().st_size
        found[:, i, j] = _measured(originals[j], pixels(into / f"{name}.png"), size)
    return _said(into.name, Points(*found))


def theirs(files: Sequence[Path], every: int = 1) -> dict[str, Points]:
    """Return what the standard codecs of Pillow come to, each as good as its encoder makes it."""
    originals = [pixels(file) for file in files]
    results = {}
    for name in FORMATS:
        codec = StandardCodec(name)
        if not codec.is_there:
            say(f"{name} left out: this Pillow was built without it")
            continue
        steps = codec.steps[::every]
        found = np.empty((3, len(steps), len(files)))
        for i, step in enumerate(steps):
            for j, image in enumerate(originals):
                data = codec.compress(image, step)
                restored = codec.decompress(data)
                if restored.ndim > image.ndim:
                    restored = np.rint(restored.mean(2)).astype(np.uint8)
                found[:, i, j] = _measured(image, restored, len(data))
        results[name] = _said(name, Points(*found))
    return results


def against(ours: Points, peers: Mapping[str, Points], limits: Mapping[str, tuple[float, float]], of: str = "") -> Any:
    """Return a claim for each peer: the BD-rate over all that both reach, and over the window, PSNR; and MS-SSIM."""
    claims = []
    for name, points in peers.items():
        must, aim = limits.get(name, (None, None))
        if not math.isfinite(bd_rate(*ours.curve(), *points.curve())):
            say(f"{name} has no files as good as ours{of}, nor as bad")
            continue
        said = f"bits beyond {name}'s at equal PSNR{of}"
        claims.append(Claim(said, bd_rate(*ours.curve(), *points.curve()), must=must, aim=aim, unit=" %"))
        near = bd_rate(*ours.curve(), *points.curve(), within=WINDOW)
        if math.isfinite(near):
            claims.append(Claim(f"... between {WINDOW[0]:g} and {WINDOW[1]:g} dB{of}", near, unit=" %"))
        alike = bd_rate(*ours.curve("similarity"), *points.curve("similarity"))
        claims.append(Claim(f"... at equal MS-SSIM{of}", alike, unit=" %"))
    return claims


def times(codec: Compressor, files: Sequence[Path], quality: float, **options: Any) -> dict[str, list[float]]:
    """Return processor seconds of writing and of reading each image, one thread; the first image is not counted."""
    found: dict[str, list[float]] = {"encode": [], "decode": []}
    for file in (files[0], *files):
        image = pixels(file)
        began = time.process_time()
        data = codec.compress(image, quality, **options)
        middle = time.process_time()
        codec.decompress(data)
        found["encode"].append(middle - began)
        found["decode"].append(time.process_time() - middle)
    return {name: seconds[1:] for name, seconds in found.items()}


def pixels(path: Path | io.BytesIO) -> np.ndarray:
    """Return the pixels of an image file, ``(h, w)`` or ``(h, w, 3)``."""
    with Image.open(path) as image:
        return np.asarray(image if image.mode == "L" else image.convert("RGB"))


def _said(name: str, points: Points) -> Points:
    rates, qualities = points.curve()
    say(f"{name}: {rates.round(3).tolist()} bpp, {qualities.round(2).tolist()} dB")
    return points


def _measured(image: np.ndarray, restored: np.ndarray, size: int) -> tuple[float, float, float]:
    both = [torch.from_numpy(one.copy()).reshape(1, *image.shape[:2], -1).float() / 255 for one in (image, restored)]
    with torch.inference_mode():
        similarity = float(_similarity(*both[0].shape[1:]).similarity(*both))
    decibel = -10 * math.log10(max(1 - similarity, 1e-6))
    return 8 * size / (image.shape[0] * image.shape[1]), min(psnr(image, restored), 99.0), decibel


@functools.lru_cache(maxsize=8)
def _similarity(*shape: int) -> StructuralSimilarity:
    return StructuralSimilarity().build(shape=list(shape))


def _told(event: dict[str, Any]) -> None:
    if event["kind"] == "epoch":
        costs = ", ".join(f"{name} {event[name]:.0f}" for name in ("cost", "validation_cost") if name in event)
        say(f"epoch {event['epoch']} of {event['max_epochs']}: {costs}, {event['seconds']:.0f} s")
