"""Arrays within a bound: bits a value beside zlib, zfp and SZ3, and how far off the worst value is.

Smooth fields made by rule (waves; a random field with Kolmogorov's spectrum; a record of 131,072
values with faint noise), rows of 64 channels that hang together, photographs (BSDS500, luminance) and
a room's temperature (NAB). Bounds are shares of an array's range. All are given the same arrays
and bounds, and each result is decompressed and compared.

- zlib: steps of twice the bound, Lorenzo differences, smallest integer type, level 9.
- zfp 1.0.1 (zfpy, tolerance) and SZ3 (pysz, absolute bound), where they are installed.
- ours with a model, for the channels alone: an auto-encoder of four numbers fitted on other rows. The
  model's own bytes are not counted.

Seconds are of processor time, one thread. About a minute; `isthmus bench compression arrays`.
"""

from __future__ import annotations

import importlib.util
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.compression.fields import photographs, series, smooth, spectra
from benchmarks.harness import Claim, Missing, Result, main, say
from isthmus import AutoEncoder
from isthmus.jobs.arrays import ArrayCompressor

TITLE = "arrays within a bound: bits a value"
SHARES = (1e-2, 1e-3, 1e-4)
Packed = tuple[int, np.ndarray, float, float]


def run(quick: bool) -> Result:
    """Compress all arrays by all methods."""
    made = smooth(48 if quick else 128)
    fields = {name: (array, True, None) for name, array in made.items()}
    rows = spectra(3_000 if quick else 30_000)
    model = AutoEncoder(bottleneck="linear(size=4)", max_epochs=3 if quick else 30, threads=1, random_state=0)
    fields["channels, 64"] = (rows[len(rows) // 3 :], False, model.fit(rows[: len(rows) // 3]))
    for name, read in (("photographs", lambda: photographs(2 if quick else 10)), ("temperature", series)):
        try:
            fields[name] = (read(), False, None)
        except Missing as missing:
            say(f"{name} left out: {missing}")
    table = [line for name, (array, _, given) in fields.items() for line in _lines(name, array, given)]
    return Result(TITLE, _claims(table, [name for name, (_, even, _) in fields.items() if even]), {"table": table})


def _lines(name: str, array: np.ndarray, model: Any) -> list[dict[str, Any]]:
    lines = []
    for share in SHARES:
        bound = share * float(array.max() - array.min())
        methods = {"zlib": _zlib, **_peers(), "ours": _ours(None)}
        methods |= {} if model is None else {"ours, model": _ours(model)}
        for method, pack in methods.items():
            size, restored, packing, unpacking = pack(array, bound)
            worst = float(np.abs(array.astype(np.float64) - restored).max()) / bound
            millions = array.size / 1e6
            line = {"array": name, "bound": share, "method": method, "bits": 8 * size / array.size, "worst": worst}
            lines.append(line | {"pack": millions / packing, "unpack": millions / unpacking})
            say(f"{name:18} {share:g} {method:12} {line['bits']:7.3f} bits, worst {worst:.3f} of the bound")
    return lines


def _claims(table: list[dict[str, Any]], even: list[str]) -> list[Claim]:
    """Return ours beside each other method: the worst ratio of sizes, and the geometric mean."""
    found = {(line["array"], line["bound"], line["method"]): line for line in table}
    claims = []
    for peer in dict.fromkeys(line["method"] for line in table if not line["method"].startswith("ours")):
        for what, chosen in (("smooth fields", even), ("all arrays", list(dict.fromkeys(x["array"] for x in table)))):
            sizes = [found[name, b, "ours"]["bits"] / found[name, b, peer]["bits"] for name in chosen for b in SHARES]
            mean = float(np.exp(np.mean(np.log(sizes))))
            must = 1.0 if peer == "zlib" and chosen is even else None
            claims.append(Claim(f"largest size, share of {peer}'s, {what}", max(sizes), must=must))
            spread = {"low": min(sizes), "high": max(sizes), "spread": "range of arrays and bounds"}
            claims.append(Claim(f"size, share of {peer}'s, {what}, mean", mean, **spread))
    ours = [line["worst"] for line in table if line["method"].startswith("ours")]
    return [*claims, Claim("worst error, share of the bound", max(ours), must=1.0)]


def _timed(pack: Callable[[], Any], unpack: Callable[[Any], np.ndarray], size: Callable[[Any], int]) -> Packed:
    began = time.process_time()
    data = pack()
    middle = time.process_time()
    restored = unpack(data)
    return size(data), restored, middle - began, max(time.process_time() - middle, 1e-6)


def _ours(model: Any) -> Callable[[np.ndarray, float], Packed]:
    def pack(array: np.ndarray, bound: float) -> Packed:
        compressor = ArrayCompressor(f"abs:{bound!r}", model)
        return _timed(lambda: compressor.compress(array), compressor.decompress, len)

    return pack


def _zlib(array: np.ndarray, bound: float) -> Packed:
    def packed() -> tuple[bytes, np.dtype]:
        left = np.rint(array.astype(np.float64) / (2 * bound)).astype(np.int64)
        for axis in range(array.ndim):
            left = np.diff(left, axis=axis, prepend=0)
        kind = next(kind for kind in (np.int8, np.int16, np.int32) if np.abs(left).max() <= np.iinfo(kind).max)
        return zlib.compress(left.astype(kind).tobytes(), 9), np.dtype(kind)

    def unpacked(data: tuple[bytes, np.dtype]) -> np.ndarray:
        whole = np.frombuffer(zlib.decompress(data[0]), data[1]).astype(np.int64).reshape(array.shape)
        for axis in range(array.ndim):
            whole = np.cumsum(whole, axis=axis)
        return whole * (2 * bound)

    return _timed(packed, unpacked, lambda data: len(data[0]))


def _peers() -> dict[str, Callable[[np.ndarray, float], Packed]]:
    peers: dict[str, Callable[[np.ndarray, float], Packed]] = {}
    if importlib.util.find_spec("zfpy") is not None:
        peers["zfp"] = _zfp
    if importlib.util.find_spec("pysz") is not None:
        peers["SZ3"] = _sz3
    return peers


def _zfp(array: np.ndarray, bound: float) -> Packed:
    import zfpy

    return _timed(lambda: zfpy.compress_numpy(array, tolerance=bound), zfpy.decompress_numpy, len)


def _sz3(array: np.ndarray, bound: float) -> Packed:
    from pysz import sz, szConfig, szErrorBoundMode

    config = szConfig()
    config.errorBoundMode, config.absErrorBound = szErrorBoundMode.ABS, bound
    packed = lambda: sz.compress(array, config)[0]  # noqa: E731
    return _timed(packed, lambda data: sz.decompress(data, array.dtype, array.shape)[0], lambda data: data.nbytes)


if __name__ == "__main__":
    main(run)
