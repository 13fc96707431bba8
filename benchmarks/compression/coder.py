"""The entropy coder: symbols a second of processor time, and bytes beyond the ideal length.

147,456 symbols (a latent map of 96 x 32 x 48) and two million, of Laplace distributions with 96 scales,
some 1.9 bits each, tables by index. Beside it constriction's ANS coder, where it is installed: it takes
one table for all symbols of a call, so it is given the symbols table by table. One thread; seconds.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from typing import Any

import numpy as np

from benchmarks.harness import Claim, Result, main
from isthmus.coding import Decoder, Encoder, Tables, lanes_for

TITLE = "the entropy coder: speed and bytes beyond the ideal"
N_TABLES, N_SYMBOLS = 96, 40


def run(quick: bool) -> Result:
    """Code symbols of two lengths."""
    claims: list[Claim] = []
    figures: dict[str, Any] = {}
    for n in (147_456,) if quick else (147_456, 2_097_152):
        found = _measured(n, 3)
        figures[f"{n:,}"] = found
        claims.append(Claim(f"bytes beyond the ideal, {n:,} symbols", found["beyond"], must=0.02, aim=0.01))
        claims.append(Claim(f"encoding, {n:,} symbols", found["encode"], "higher", unit=" M/s"))
        claims.append(Claim(f"decoding, {n:,} symbols", found["decode"], "higher", unit=" M/s"))
    return Result(TITLE, claims, figures)


def _measured(n: int, rounds: int) -> dict[str, float]:
    random = np.random.default_rng(0)
    index = np.sort(random.integers(0, N_TABLES, n))
    scales = np.geomspace(0.2, 3, N_TABLES)[index]
    symbols = np.clip(np.rint(random.laplace(size=n) * scales) + 20, 0, N_SYMBOLS - 1).astype(np.intp)
    counts = np.zeros((N_TABLES, N_SYMBOLS), np.int64)
    np.add.at(counts, (index, symbols), 1)
    tables, lanes = Tables.from_counts(counts), lanes_for(n)
    shuffled = random.permutation(n)
    ideal = tables.bits(symbols, index) / 8
    times: list[tuple[float, float]] = []
    for _ in range(rounds):
        began = time.process_time()
        encoder = Encoder()
        encoder.symbols(tables, symbols[shuffled], index[shuffled])
        data = encoder.finish(lanes)
        middle = time.process_time()
        decoder = Decoder(data, lanes)
        back = decoder.symbols(tables, index[shuffled])
        decoder.end()
        times.append((middle - began, time.process_time() - middle))
        assert (back == symbols[shuffled]).all()
    found = {"lanes": lanes, "bits": 8 * ideal / n, "beyond": len(data) / ideal - 1}
    for name, spent in zip(("encode", "decode"), zip(*times, strict=True), strict=True):
        found[name] = n / 1e6 / statistics.median(spent)
    if importlib.util.find_spec("constriction") is not None:
        found["beyond, constriction"] = _constriction(tables, symbols, index) / ideal - 1
    return found


def _constriction(tables: Tables, symbols: np.ndarray, index: np.ndarray) -> int:
    import constriction

    coder = constriction.stream.stack.AnsCoder()
    for table in range(N_TABLES):
        model = constriction.stream.model.Categorical(tables.frequencies[table] / 65536, perfect=False)
        coder.encode_reverse(symbols[index == table].astype(np.int32), model)
    return 4 * len(coder.get_compressed())


if __name__ == "__main__":
    main(run)
