"""Digits: through a code and back, without noise, on a map, and new ones."""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA

from isthmus import pictures
from isthmus.demo.tour import Tour, beside, verdict
from isthmus.estimator import AutoEncoder
from isthmus.jobs import Denoiser, Generator, Mapper
from isthmus.report import Report, said

__all__ = ["denoised", "generated", "mapped", "reconstructed"]

CODE = 8
NOISE = 0.3


def reconstructed(tour: Tour, page: Report) -> None:
    """Squeeze digits into a code and back, beside PCA."""
    tour.say(f"digits: {len(tour.train)} images into {CODE} numbers each")
    model = AutoEncoder(bottleneck=f"linear(size={CODE})", random_state=0, **tour.options).fit(tour.train)
    back = model.reconstruct(tour.test)
    flat, new = tour.train.reshape(len(tour.train), -1) / 255, tour.test.reshape(len(tour.test), -1) / 255
    pca = PCA(CODE).fit(flat)
    projected = pca.inverse_transform(pca.transform(new)).clip(0, 1)
    errors = {
        "auto-encoder": float(np.square(back.reshape(len(new), -1) / 255 - new).sum(1).mean()),
        "PCA": float(np.square(projected - new).sum(1).mean()),
    }
    by_pca = np.rint(projected.reshape(tour.test.shape) * 255)
    page.heading(f"Digits in {CODE} numbers")
    page.text(
        f"64 pixels are squeezed into {CODE} numbers and drawn again from these alone. {len(tour.train)} images "
        f"were fitted on; the {len(tour.test)} images below and in the table were not."
    )
    page.figure(
        pictures.image_grid(
            [tour.test[tour.shown], back[tour.shown], by_pca[tour.shown]], ["original", "auto-encoder", "PCA"]
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
    tour.portrait |= {"rows": [tour.test[tour.shown], back[tour.shown]]}
    tour.figures[f"squared error of digits from {CODE} numbers"] = beside(errors, "PCA")


def denoised(tour: Tour, page: Report) -> None:
    """Take noise off digits."""
    tour.say("digits: denoising")
    random = np.random.default_rng(1)
    clean = tour.test / 255
    noisy = np.rint((clean + NOISE * random.standard_normal(clean.shape)).clip(0, 1) * 255).astype(np.uint8)
    model = AutoEncoder(corruption=f"gaussian_noise(scale={NOISE})", bottleneck="linear(size=32)", **tour.options)
    job = Denoiser(model, random_state=0).fit(tour.train)
    restored = job.denoise(noisy)
    rows = job.compare(tour.train, noisy, tour.test)
    page.heading("Noise taken off")
    page.text(
        f"Normal noise with a standard deviation of {NOISE} of the full range is put on images that were not "
        "fitted on. The filters and PCA choose their strength on noisy training images whose clean ones they are "
        "told."
    )
    page.figure(
        pictures.image_grid(
            [noisy[tour.shown], restored[tour.shown], tour.test[tour.shown]], ["noisy", "denoised", "clean"]
        ),
        "Ten digits with noise, denoised, and clean",
    )
    page.table(rows, {"method": "method", "mse": "mean squared error of a pixel"}, ours="auto-encoder")
    page.text(verdict(rows, "mse", lowest=True))
    tour.portrait["rows"] += [noisy[tour.shown], restored[tour.shown]]
    tour.portrait["titles"] = ["original", f"from {CODE} numbers", "noisy", "denoised"]
    errors = {row["method"]: row["mse"] for row in rows}
    tour.figures["mean squared error of denoised pixels"] = beside(errors, "nothing", "PCA", "Gaussian filter")


def mapped(tour: Tour, page: Report) -> None:
    """Place digits on a map, beside PCA and t-SNE."""
    tour.say("digits: a map, beside PCA and t-SNE")
    job = tour.fit(Mapper(random_state=0))
    maps = job.maps(tour.train, tour.test)
    rows = job.compare(tour.train, tour.test, tour.labels)
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
        pictures.map_panel(maps, tour.labels, words), "Three maps of the digits, coloured by digit", "Test images."
    )
    heads = {
        "method": "method",
        "trustworthiness": "trustworthiness",
        "knn_accuracy": "5-NN accuracy",
        "places_new_rows": "places new rows",
    }
    page.table(rows, heads, ours="auto-encoder")
    page.text(verdict(rows, "knn_accuracy"))
    tour.portrait["subtitle"] = words["auto-encoder"]
    tour.portrait |= {"points": maps["auto-encoder"], "labels": tour.labels}
    accuracies = {row["method"]: row["knn_accuracy"] for row in rows}
    tour.figures["5-NN accuracy on the map of new digits"] = beside(accuracies, "PCA", "t-SNE")


def generated(tour: Tour, page: Report) -> None:
    """Draw digits that nobody wrote."""
    tour.say("digits: new ones")
    job = tour.fit(Generator(random_state=0))
    rows = job.compare(tour.train, tour.test)
    page.heading("Digits that nobody wrote")
    page.figure(
        pictures.samples_grid(np.asarray(job.sample(48)), across=16),
        "48 digits drawn from a variational auto-encoder",
        "Codes drawn from a density of the codes of real digits, decoded.",
    )
    heads = {"method": "method", "frechet": "Fréchet distance", "precision": "precision", "recall": "recall"}
    page.table(rows, heads, "Less distance is better; the last line is what real rows reach.", ours="auto-encoder")
    page.text(verdict([row for row in rows if not row["method"].startswith("(")], "frechet", lowest=True))
    distances = {row["method"]: row["frechet"] for row in rows}
    tour.figures["Fréchet distance of new digits"] = beside(distances, "Gaussian mixture on PCA")
