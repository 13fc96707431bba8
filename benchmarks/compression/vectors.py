"""Vectors in 4, 8 and 16 bytes: error, recall and time beside faiss's quantizers, in the same run.

Three sets: MNIST and Fashion-MNIST as 64 principal components of their pixels (30,000 vectors to
learn from, 39,000 others to be searched, 1,000 of the test images the queries), and the texts of 20
newsgroups as latent semantic vectors of 128 numbers and length one (11,314 training texts to learn from; of
the test texts 1,000 are queries and 6,532 searched). Components are found on the learning vectors alone.

- faiss's product quantizer (PQ), that after a learned rotation (OPQ), and residual quantizer (RQ), as
  they are by default; numbers in a byte each (SQ8), which take as many bytes as there are dimensions.
- ours: ``VectorCompressor(n_bytes)``, whose files are entropy-coded: their bytes are given too.

All learn from the same vectors. Error: the mean squared distance between a vector and what comes back, as a share of
the variance around the mean of the learning vectors. Recall at k: the share of queries whose nearest
vector is among the k found, by the distances of the unquantised query to what comes back; exactly computed for all
methods by the same code. Seconds are of processor time, one thread; one seed.

About 12 minutes on one free core; `isthmus bench compression vectors`.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from benchmarks.harness import Claim, Missing, Result, main, say
from benchmarks.papers.data import fashion, flat, folder, mnist
from isthmus.jobs import VectorCompressor
from isthmus.nearest import nearest

TITLE = "vectors in some bytes: error and recall"
BYTES = (4, 8, 16)
QUERIES = 1_000
LEARN = 30_000
RECALLS = (1, 10)


class Set(NamedTuple):
    """Vectors to learn from, to compress and search, and to search for; float32."""

    learn: np.ndarray
    base: np.ndarray
    queries: np.ndarray


class Coded(NamedTuple):
    """What a method made of the base: again, bytes of a vector, seconds to learn and to encode."""

    again: np.ndarray
    n_bytes: float
    learned: float
    encoded: float


def run(quick: bool) -> Result:
    """Compress each set by each method, at each size."""
    if importlib.util.find_spec("faiss") is None:
        raise Missing("faiss, which vectors are compared with, is not installed: pip install faiss-cpu")
    table: list[Any] = []
    for name, read in (("MNIST", _pixels(mnist)), ("Fashion-MNIST", _pixels(fashion)), ("newsgroups", _texts)):
        if quick and table:
            break
        try:
            found = read()
        except Missing as missing:
            say(f"{name} left out: {missing}")
            continue
        found = Set(found.learn[:5_000], found.base[:3_000], found.queries[:300]) if quick else found
        table += _lines(name, found, BYTES[:1] if quick else BYTES)
    if not table:
        raise Missing("none of the sets is there: set ISTHMUS_DATA to the folder of data sets")
    return Result(TITLE, _claims(table), {"table": table})


def _lines(name: str, vectors: Set, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    base, queries = torch.from_numpy(vectors.base), torch.from_numpy(vectors.queries)
    truth = nearest(queries, base, 1)[1]
    variance = np.square(vectors.base - vectors.learn.mean(0)).sum(1).mean()
    width, lines = vectors.base.shape[1], []
    for method, n_bytes, make in _methods(sizes, width):
        coded = make(vectors)
        found = nearest(queries, torch.from_numpy(coded.again), max(RECALLS))[1] == truth
        line = {"set": name, "method": method, "bytes": n_bytes, "stored": coded.n_bytes}
        line["error"] = float(np.square(vectors.base - coded.again).sum(1).mean() / variance)
        line |= {f"recall at {k}": float(found[:, :k].any(1).float().mean()) for k in RECALLS}
        lines.append(line | {"learn": coded.learned, "encode": coded.encoded})
        shown = ", ".join(f"{key} {value:.3f}" for key, value in lines[-1].items() if isinstance(value, float))
        say(f"{name:14} {method:4} {n_bytes:3} bytes: {shown}")
    return lines


def _methods(sizes: tuple[int, ...], width: int) -> list[tuple[str, int, Callable[[Set], Coded]]]:
    import faiss

    faiss.omp_set_num_threads(1)
    methods: list[tuple[str, int, Callable[[Set], Coded]]] = [("SQ8", width, _faiss("SQ8"))]
    for n in sizes:
        # "np": without the training of polysemous codes, which is for filtering and would take most of the time.
        names = {"PQ": f"PQ{n}x8np", "OPQ": f"OPQ{n},PQ{n}x8np", "RQ": f"RQ{n}x8"}
        methods += [(method, n, _faiss(factory)) for method, factory in names.items()]
        methods.append(("ours", n, _ours(n)))
    return methods


def _faiss(factory: str) -> Callable[[Set], Coded]:
    def made(vectors: Set) -> Coded:
        import faiss

        index = faiss.index_factory(vectors.base.shape[1], factory)
        began = time.process_time()
        index.train(vectors.learn)
        middle = time.process_time()
        codes = index.sa_encode(vectors.base)
        encoded = time.process_time() - middle
        return Coded(index.sa_decode(codes), float(codes.shape[1]), middle - began, encoded)

    return made


def _ours(n_bytes: int) -> Callable[[Set], Coded]:
    def made(vectors: Set) -> Coded:
        began = time.process_time()
        job = VectorCompressor(n_bytes=n_bytes, random_state=0).fit(vectors.learn)
        middle = time.process_time()
        data = job.compress(vectors.base)
        encoded = time.process_time() - middle
        return Coded(job.decompress(data), len(data) / len(vectors.base), middle - began, encoded)

    return made


def _claims(table: list[dict[str, Any]]) -> list[Claim]:
    """Return the worst set and size of ours beside each other method: ratios of errors, differences of recalls."""
    found = {(line["set"], line["bytes"], line["method"]): line for line in table}
    ours = [line for line in table if line["method"] == "ours"]
    claims = []
    for peer in ("PQ", "OPQ", "RQ"):
        pairs = [(line, found[line["set"], line["bytes"], peer]) for line in ours]
        # A must beside PQ, an aim beside RQ.
        limits = {"must": {"PQ": 1.0}.get(peer), "aim": {"RQ": 1.0}.get(peer)}
        least = {"must": {"PQ": 0.0}.get(peer), "aim": {"RQ": 0.0}.get(peer)}
        spread = {"spread": "range of sets and sizes"}
        errors = [one["error"] / other["error"] for one, other in pairs]
        claims.append(
            Claim(
                f"error, share of {peer}'s: largest", max(errors), low=min(errors), high=max(errors), **limits, **spread
            )
        )
        for k in RECALLS:
            more = [one[f"recall at {k}"] - other[f"recall at {k}"] for one, other in pairs]
            what = f"recall at {k}, more than {peer}'s: least"
            claims.append(Claim(what, min(more), "higher", low=min(more), high=max(more), **least, **spread))
        for step in ("learn", "encode"):
            times = [one[step] / max(other[step], 1e-9) for one, other in pairs]
            claims.append(
                Claim(
                    f"seconds to {step}, times {peer}'s: geometric mean",
                    float(np.exp(np.mean(np.log(times)))),
                    low=min(times),
                    high=max(times),
                    **spread,
                )
            )
    stored = [line["stored"] / line["bytes"] for line in ours]
    claims.append(Claim("bytes of ours in a file, share of n_bytes: largest", max(stored), low=min(stored)))
    return claims


def _pixels(read: Callable[[str], tuple[np.ndarray, np.ndarray]]) -> Callable[[], Set]:
    def made() -> Set:
        learn, test = (flat(read(part)[0]) for part in ("train", "test"))
        learn, others = learn[:LEARN], learn[LEARN:]
        pca = PCA(64, svd_solver="covariance_eigh").fit(learn)
        found = _set(pca.transform(learn), pca.transform(test))
        return found._replace(base=np.concatenate([found.base, pca.transform(others).astype(np.float32)]))

    return made


def _texts() -> Set:
    path = folder("newsgroups20")
    learn, test = (_lines_of(path / f"20news-bydate-{part}.jsonl.gz") for part in ("train", "test"))
    words = TfidfVectorizer(max_features=30_000, min_df=3, sublinear_tf=True, stop_words="english")
    svd = TruncatedSVD(128, random_state=0)
    learned = svd.fit_transform(words.fit_transform(learn))
    return _set(*map(_directions, (learned, svd.transform(words.transform(test)))))


def _lines_of(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as opened:
        return [json.loads(line)["text"] for line in opened]


def _directions(vectors: np.ndarray) -> np.ndarray:
    """Return vectors of length one, without those of texts that have no known word."""
    lengths = np.linalg.norm(vectors, axis=1)
    return vectors[lengths > 0] / lengths[lengths > 0, None]


def _set(learn: np.ndarray, test: np.ndarray) -> Set:
    order = np.random.default_rng(0).permutation(len(test))
    parts = (learn, test[order[QUERIES:]], test[order[:QUERIES]])
    return Set(*(np.ascontiguousarray(part, dtype=np.float32) for part in parts))


if __name__ == "__main__":
    main(run)
