"""The tour: the jobs on real data that come with scikit-learn, and a report of what came out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA

from isthmus import pictures
from isthmus.estimator import AutoEncoder
from isthmus.jobs import AnomalyDetector, Denoiser, Generator, Mapper
from isthmus.report import Report, said

__all__ = ["Demo", "run"]

CODE = 8
SEEDS = 3
NOISE = 0.3
TRAIN = 1_200


@dataclass(frozen=True)
class Demo:
    """What a tour leaves.

    Attributes
    ----------
    report : Path
        The page.
    picture : Path
        Digits before and after, and their map.
    figures : dict of str to str
        The most telling numbers, and what each is.
    """

    report: Path
    picture: Path
    figures: dict[str, str]


def run(out: str | Path, say: Callable[[str], None] = lambda line: None, quick: bool = False) -> Demo:
    """Fit, compare, draw, and write ``report.html`` and ``digits.png``.

    Parameters
    ----------
    out : str or Path
        Folder for both.
    say : callable, optional
        Called with a line about each stage.
    quick : bool, default=False
        Fit for three epochs only: to see whether all stages run, not what comes out.
    """
    out, began = Path(out), time.monotonic()
    tour = _Tour(say, {"max_epochs": 3} if quick else {})
    page = Report(
        "What the codes learned",
        "Auto-encoders on the digit images and the breast-cancer table that come with scikit-learn, each beside what "
        "one would use instead, on the same rows.",
    )
    tour.reconstruct(page)
    tour.denoise(page)
    tour.map(page)
    tour.sample(page)
    tour.detect(page)
    page.footer(f"Written by isthmus demo in {time.monotonic() - began:.0f} s. Every number was measured in this run.")
    picture = pictures.save(
        pictures.images_and_map(**tour.portrait, title="a map of the digits", subtitle=tour.map_said),
        out / "digits.png",
    )
    return Demo(page.write(out / "report.html"), picture, tour.figures)


class _Tour:
    """The stages; each adds its section to the page, and its number to the figures."""

    def __init__(self, say: Callable[[str], None], options: dict[str, Any]):
        self.say, self.options = say, options
        self.figures: dict[str, str] = {}
        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
        order = np.random.default_rng(0).permutation(len(images))
        self.train, self.test = images[order[:TRAIN]], images[order[TRAIN:]]
        self.labels = digits.target[order[TRAIN:]]
        # One example of each digit, for the pictures.
        self.shown = np.array([np.flatnonzero(self.labels == digit)[0] for digit in range(10)])

    def reconstruct(self, page: Report) -> None:
        """Squeeze digits into a code and back, beside PCA."""
        self.say(f"digits: {len(self.train)} images into {CODE} numbers each")
        model = AutoEncoder(bottleneck=f"linear(size={CODE})", random_state=0, **self.options).fit(self.train)
        back = model.reconstruct(self.test)
        flat, new = self.train.reshape(len(self.train), -1) / 255, self.test.reshape(len(self.test), -1) / 255
        pca = PCA(CODE).fit(flat)
        projected = pca.inverse_transform(pca.transform(new)).clip(0, 1)
        errors = {
            "auto-encoder": float(np.square(back.reshape(len(new), -1) / 255 - new).sum(1).mean()),
            "PCA": float(np.square(projected - new).sum(1).mean()),
        }
        by_pca = np.rint(projected.reshape(self.test.shape) * 255)
        page.heading(f"Digits in {CODE} numbers")
        page.text(
            f"64 pixels are squeezed into {CODE} numbers and drawn again from these alone. {len(self.train)} images "
            f"were fitted on; the {len(self.test)} images below and in the table were not."
        )
        page.figure(
            pictures.image_grid(
                [self.test[self.shown], back[self.shown], by_pca[self.shown]], ["original", "auto-encoder", "PCA"]
            ),
            "Ten digits, their reconstructions by the auto-encoder and by PCA",
        )
        rows = [{"method": name, "error": error} for name, error in errors.items()]
        page.table(rows, {"method": "method", "error": "squared error per image"}, ours="auto-encoder")
        page.figure(
            pictures.loss_curves(model.history_),
            "Cost and reconstruction error falling over the epochs, on training and held-out images",
            "The weights with the lowest held-out cost are kept. Epoch 0 is the start, at principal components.",
        )
        self.portrait: dict[str, Any] = {"rows": [self.test[self.shown], back[self.shown]]}
        self.figures[f"squared error of digits from {CODE} numbers"] = _beside(errors, "PCA")

    def denoise(self, page: Report) -> None:
        """Take noise off digits."""
        self.say("digits: denoising")
        random = np.random.default_rng(1)
        clean = self.test / 255
        noisy = np.rint((clean + NOISE * random.standard_normal(clean.shape)).clip(0, 1) * 255).astype(np.uint8)
        model = AutoEncoder(corruption=f"gaussian_noise(scale={NOISE})", bottleneck="linear(size=32)", **self.options)
        job = Denoiser(model, random_state=0).fit(self.train)
        restored = job.denoise(noisy)
        rows = job.compare(self.train, noisy, self.test)
        page.heading("Noise taken off")
        page.text(
            f"Normal noise with a standard deviation of {NOISE} of the full range is put on images that were not "
            "fitted on. The filters and PCA choose their strength on noisy training images whose clean ones they are "
            "told."
        )
        page.figure(
            pictures.image_grid(
                [noisy[self.shown], restored[self.shown], self.test[self.shown]], ["noisy", "denoised", "clean"]
            ),
            "Ten digits with noise, denoised, and clean",
        )
        page.table(rows, {"method": "method", "mse": "mean squared error of a pixel"}, ours="auto-encoder")
        page.text(_verdict(rows, "mse", lowest=True))
        self.portrait["rows"] += [noisy[self.shown], restored[self.shown]]
        self.portrait["titles"] = ["original", f"from {CODE} numbers", "noisy", "denoised"]
        errors = {row["method"]: row["mse"] for row in rows}
        self.figures["mean squared error of denoised pixels"] = _beside(errors, "nothing", "PCA", "Gaussian filter")

    def map(self, page: Report) -> None:
        """Place digits on a map, beside PCA and t-SNE."""
        self.say("digits: a map, beside PCA and t-SNE")
        job = Mapper(random_state=0)
        if self.options:
            job.estimator = job.default_estimator(self.train).set_params(**self.options)
        job.fit(self.train)
        maps = job.maps(self.train, self.test)
        rows = job.compare(self.train, self.test, self.labels)
        words = {
            row["method"]: f"trustworthiness {said(row['trustworthiness'])}, 5-NN accuracy {said(row['knn_accuracy'])}"
            for row in rows
        }
        page.heading("A map")
        page.text(
            "The auto-encoder and PCA were fitted on other images and place these by a function; t-SNE has no place "
            "for new rows, and was fitted on these very images. The labels were used for the colours only."
        )
        page.figure(
            pictures.map_panel(maps, self.labels, words), "Three maps of the digits, coloured by digit", "Test images."
        )
        heads = {
            "method": "method",
            "trustworthiness": "trustworthiness",
            "knn_accuracy": "5-NN accuracy",
            "places_new_rows": "places new rows",
        }
        page.table(rows, heads, ours="auto-encoder")
        page.text(_verdict(rows, "knn_accuracy"))
        self.map_said = words["auto-encoder"]
        self.portrait |= {"points": maps["auto-encoder"], "labels": self.labels}
        accuracies = {row["method"]: row["knn_accuracy"] for row in rows}
        self.figures["5-NN accuracy on the map of new digits"] = _beside(accuracies, "PCA", "t-SNE")

    def sample(self, page: Report) -> None:
        """Draw digits that nobody wrote."""
        self.say("digits: new ones")
        job = Generator(random_state=0)
        if self.options:
            job.estimator = job.default_estimator(self.train).set_params(**self.options)
        job.fit(self.train)
        rows = job.compare(self.train, self.test)
        page.heading("Digits that nobody wrote")
        page.figure(
            pictures.samples_grid(np.asarray(job.sample(48)), across=16),
            "48 digits drawn from a variational auto-encoder",
            "Codes drawn from the prior, decoded.",
        )
        heads = {"method": "method", "frechet": "Fréchet distance", "precision": "precision", "recall": "recall"}
        page.table(rows, heads, "Less distance is better; the last line is what real rows reach.", ours="auto-encoder")
        page.text(_verdict([row for row in rows if not row["method"].startswith("(")], "frechet", lowest=True))
        distances = {row["method"]: row["frechet"] for row in rows}
        self.figures["Fréchet distance of new digits"] = _beside(distances, "Gaussian mixture on PCA")

    def detect(self, page: Report) -> None:
        """Find malignant cells by what benign ones look like."""
        self.say(f"breast cancer: anomalies, {SEEDS} seeds")
        data = load_breast_cancer()
        table = pl.DataFrame(data.data, [str(name) for name in data.feature_names])
        runs = []
        for seed in range(SEEDS):
            train, test, malignant = _one_class(table, data.target == 1, seed)
            job = AnomalyDetector(
                AutoEncoder(corruption="swap_rows", **self.options), false_alarm_rate=0.05, random_state=seed
            )
            job.fit(train)
            runs.append(job.compare(train, test, malignant))
        rows = _over_seeds(runs)
        page.heading("Odd cells, and why")
        page.text(
            f"The table has {table.width} measurements of cell nuclei. Half of the benign cases are fitted on; the "
            "other half and all malignant cases are scored, none of them seen before. Mean and standard deviation "
            f"over {SEEDS} splits; 5 % of false alarms were asked for."
        )
        heads = {
            "method": "method",
            "auroc": "AUROC",
            "average_precision": "average precision",
            "found": "malignant found",
            "false_alarms": "false alarms",
        }
        page.table(rows, heads, ours="auto-encoder")
        means = {row["method"]: float(np.mean([_of(run, row["method"])["auroc"] for run in runs])) for row in rows}
        page.text(_verdict([{"method": name, "auroc": mean} for name, mean in means.items()], "auroc"))
        scores = -job.score_samples(test)
        page.figure(
            pictures.score_histogram(scores, -job.offset_, malignant, label="score (1 is a typical row)"),
            "Scores of benign and malignant cases, with the threshold between most of them",
        )
        page.heading("The oddest cases", 3)
        page.table(
            _reasons(job.alerts(test)[:6], malignant), caption="Errors are in units of the feature's typical error."
        )
        self.figures["AUROC of malignant cases, from benign ones alone"] = _beside(means, *list(means)[1:])


def _one_class(table: pl.DataFrame, normal: np.ndarray, seed: int) -> tuple[pl.DataFrame, pl.DataFrame, np.ndarray]:
    """Return half of the normal rows, all other rows, and which of these are not normal."""
    order = np.random.default_rng(seed).permutation(np.flatnonzero(normal))
    train = np.sort(order[: len(order) // 2])
    test = np.setdiff1d(np.arange(len(table)), train)
    return table[train], table[test], ~normal[test]


def _over_seeds(runs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    rows = []
    for row in runs[0]:
        values = {name: [_of(run, row["method"])[name] for run in runs] for name in row if name != "method"}
        rows.append(
            {"method": row["method"]}
            | {name: f"{np.mean(v):.3f} ± {np.std(v, ddof=1):.3f}" for name, v in values.items()}
        )
    return rows


def _of(run: list[dict[str, Any]], method: str) -> dict[str, Any]:
    return next(row for row in run if row["method"] == method)


def _reasons(alerts: list[dict[str, Any]], malignant: np.ndarray) -> list[dict[str, Any]]:
    rows = []
    for alert in alerts:
        why = [
            f"{reason['feature']} {said(reason['value'])} "
            f"(expected {said(reason['expected'])}, error {said(reason['error'])})"
            for reason in alert["reasons"]
        ]
        kind = "malignant" if malignant[alert["row"]] else "benign"
        rows.append({"row": alert["row"], "is": kind, "score": -alert["score"], "reasons": "; ".join(why)})
    return rows


def _beside(values: dict[str, float], *others: str) -> str:
    known = ", ".join(f"{name} {said(values[name])}" for name in others)
    return f"{said(values['auto-encoder'])} ({known})"


def _verdict(rows: list[dict[str, Any]], figure: str, lowest: bool = False) -> str:
    """Return a sentence that says who is best, the auto-encoder or not."""
    best = (min if lowest else max)(rows, key=lambda row: row[figure])
    if best["method"] == "auto-encoder":
        return "Here the auto-encoder is best."
    return f"Here {best['method']} is better than the auto-encoder."
