"""Series: reconstruction against PCA at one code size, and what contrastive prediction (CPC) makes of codes.

Two data sets. The 500 heartbeats of ECG5000's training file (140 steps; 350 to fit, 150 to test,
anew for each seed), as they are in the file. Windows of 64 steps of the 23 real series of the
Numenta Anomaly Benchmark: the first 70 % of each series to fit (every 8 steps), the rest to
test (windows that do not overlap), each series in standard deviations of its first part.

- Reconstruction: squared error of a test series over that of PCA with as many numbers (8), both
  fitted on the same series; below 1 is better than PCA. Every network at its defaults, and the
  modality's own choice.
- Probe: logistic regression on the codes of an encoder trained with `contrastive_prediction` (van
  den Oord et al., 2018) beside reconstruction, without labels, pooled (mean and largest) over the whole
  series or over each eighth of it; beside it the same regression on the raw series, and on the pooled
  codes of the same model without the penalty. Labels: the class of a heartbeat; which of the series
  a window is from, each window in its own standard deviations, so that its level does not say it.
  The regression's strength and the pooling are chosen by cross-validation on the rows that the
  encoder was fitted on. Heartbeats are cut alike, so that a raw step means the same in each and
  little is left to gain; windows are not.

Seed 0 is not among those that count: on its test rows the default network, the rate of the
transformer and that spikes are kept were chosen. The other seeds share rows with it (of NAB the
test windows are the same for all), so their numbers are still somewhat kind to us.

Needs ISTHMUS_DATA with `ucr_ecg` and `nab`. Takes some 40 minutes on one free core in full.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.harness import Claim, Result, main, say, t_interval
from benchmarks.papers.data import folder
from isthmus import AutoEncoder

TITLE = "Series: error over PCA's at 8 numbers; a probe of contrastive codes over raw series"
SIZE = 8
WINDOW, STRIDE = 64, 8
NETWORKS = {
    "default": {},
    "recurrent": {"encoder": "recurrent_encoder", "decoder": "recurrent_decoder"},
    "temporal convolution": {"encoder": "temporal_encoder", "decoder": "temporal_decoder"},
    "transformer": {"encoder": "transformer_encoder", "decoder": "transformer_decoder"},
}
PROBED: dict[str, Any] = {
    "encoder": "temporal_encoder(channels=(32, 64), summary='steps')",
    "bottleneck": "linear(size=64)",
    "decoder": "temporal_decoder",
}
POOLINGS = (1, 8)
CONTRAST = "contrastive_prediction(weight=1.0, ahead=3)"


def run(quick: bool) -> Result:
    """Compare on both data sets."""
    seeds = range(1) if quick else range(1, 4)
    epochs = 2 if quick else None
    claims: list[Claim] = []
    figures: dict[str, Any] = {"networks": NETWORKS, "probed": PROBED, "contrast": CONTRAST}
    for name, splits in (("ECG5000", _heartbeats), ("NAB", _windows)):
        ratios: dict[str, list[float]] = {network: [] for network in NETWORKS}
        probes: dict[str, list[float]] = {}
        for seed in seeds:
            data = splits(seed, quick)
            for network, parts in NETWORKS.items():
                ratios[network].append(_ratio(data["train"], data["test"], parts, seed, epochs))
                say(f"{name}, seed {seed}, {network}: {ratios[network][-1]:.3f} of PCA's error")
            for features, accuracy in _probe(data, seed, epochs).items():
                probes.setdefault(features, []).append(accuracy)
                say(f"{name}, seed {seed}, probe of {features}: {accuracy:.3f}")
        figures[name] = {"error over PCA's": ratios, "probe accuracy": probes}
        claims += [Claim(f"{name}, error over PCA's, {one}", must=1.0, **t_interval(of)) for one, of in ratios.items()]
        gain = [100 * (ours - raw) for ours, raw in zip(probes["contrastive"], probes["raw"], strict=True)]
        what = f"{name}, probe of contrastive codes less raw"
        claims.append(Claim(what, better="higher", must=0.0, unit=" %", **t_interval(gain)))
    return Result(TITLE, claims, figures)


def _ratio(train: np.ndarray, test: np.ndarray, parts: dict[str, Any], seed: int, epochs: int | None) -> float:
    pca = PCA(SIZE).fit(train)
    theirs = np.square(pca.inverse_transform(pca.transform(test)) - test).sum(1).mean()
    model = AutoEncoder("sequences", f"linear(size={SIZE})", max_epochs=epochs, random_state=seed, **parts).fit(train)
    return float(np.square(model.reconstruct(test) - test).sum(1).mean() / theirs)


def _probe(data: dict[str, np.ndarray], seed: int, epochs: int | None) -> dict[str, float]:
    """Return the test accuracy of logistic regression on raw series and on pooled codes."""
    train, test = (_standardised(data[part]) for part in ("train", "test"))
    found = {"raw": [(train, test)]}
    for name, penalties in (("contrastive", (CONTRAST,)), ("reconstruction only", ())):
        model = AutoEncoder("sequences", penalties=penalties, max_epochs=epochs, random_state=seed, **PROBED)
        model.fit(train)
        steps, size = model.code_shape_
        codes = [model.transform(one).reshape(-1, steps, size) for one in (train, test)]
        found[name] = [tuple(_pooled(part, pieces) for part in codes) for pieces in POOLINGS]
    accuracies = {}
    for name, choices in found.items():
        probes = [
            GridSearchCV(
                make_pipeline(StandardScaler(), LogisticRegression(max_iter=5_000)),
                {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]},
                cv=KFold(3, shuffle=True, random_state=seed),
            ).fit(before, data["train_labels"])
            for before, _ in choices
        ]
        best = int(np.argmax([probe.best_score_ for probe in probes]))
        accuracies[name] = float(probes[best].score(choices[best][1], data["test_labels"]))
    return accuracies


def _pooled(codes: np.ndarray, pieces: int) -> np.ndarray:
    """Return mean and largest of each piece of the series of codes, ``(n, 2 * pieces * size)``."""
    parts = np.array_split(codes, pieces, axis=1)
    return np.concatenate([pool(part, 1) for part in parts for pool in (np.mean, np.max)], axis=1)


def _heartbeats(seed: int, quick: bool) -> dict[str, np.ndarray]:
    table = np.loadtxt(folder("ucr_ecg") / "ECG5000_TRAIN.txt.gz")
    series, labels = table[:, 1:], table[:, 0].astype(int)
    names = ("train", "test", "train_labels", "test_labels")
    return dict(zip(names, train_test_split(series, labels, test_size=0.3, random_state=seed), strict=True))


def _windows(seed: int, quick: bool) -> dict[str, np.ndarray]:
    pieces: dict[str, list[np.ndarray]] = {"train": [], "test": [], "train_labels": [], "test_labels": []}
    files = sorted((folder("nab") / "data").glob("real*/*.csv.gz"))
    for label, file in enumerate(files[::5] if quick else files):
        values = pl.read_csv(file)["value"].to_numpy().astype(np.float64)
        first = int(0.7 * len(values))
        values = (values - values[:first].mean()) / (values[:first].std() or 1.0)
        windows = np.lib.stride_tricks.sliding_window_view
        for part, found in (
            ("train", windows(values[:first], WINDOW)[seed % STRIDE :: STRIDE]),
            ("test", windows(values[first:], WINDOW)[::WINDOW]),
        ):
            pieces[part].append(found)
            pieces[f"{part}_labels"].append(np.full(len(found), label))
    return {name: np.concatenate(found) for name, found in pieces.items()}


def _standardised(series: np.ndarray) -> np.ndarray:
    return (series - series.mean(1, keepdims=True)) / np.maximum(series.std(1, keepdims=True), 1e-6)


if __name__ == "__main__":
    main(run)
