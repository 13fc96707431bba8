"""What codes are good for besides: search among them, symbols instead of numbers, walks from one to another."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from isthmus import pictures
from isthmus.demo.tour import Tour, beside, verdict
from isthmus.estimator import AutoEncoder
from isthmus.jobs import Generator, SimilaritySearch
from isthmus.report import Report

__all__ = ["found", "in_symbols", "walked"]

NEAREST = 8
GROUPS, SYMBOLS = 4, 32
STEPS = 9


def found(tour: Tour, page: Report) -> None:
    """Search for digits like others."""
    tour.say("digits: a search")
    job = tour.fit(SimilaritySearch(random_state=0))
    rows = job.compare(tour.train, tour.test, tour.labels)
    asked = tour.shown[:6]
    _, nearest = job.kneighbors(tour.test[asked], NEAREST)
    page.heading("The most similar ones")
    page.figure(
        pictures.similar_strip(tour.test[asked], tour.train[nearest]),
        "Six digits, each beside the eight most similar ones of the images fitted on",
        "Framed: what was asked for, from images not fitted on. Beside it what was found, nearest first.",
    )
    heads = {
        "method": "compared by",
        "numbers": "numbers an image",
        "precision_at_10": "of the ten nearest, the same digit",
        "mean_average_precision": "mean average precision",
    }
    page.table(rows, heads, "Each test image asked for among the other test images.", ours="auto-encoder")
    page.text(verdict(rows, "precision_at_10"))
    precisions = {row["method"]: row["precision_at_10"] for row in rows}
    tour.figures["share of the ten most similar digits that are the same"] = beside(precisions, *list(precisions)[1:])


def in_symbols(tour: Tour, page: Report) -> None:
    """Code digits as four symbols, beside product quantisation of principal components."""
    bits = GROUPS * int(np.log2(SYMBOLS))
    tour.say(f"digits: {GROUPS} symbols each, {bits} bits")
    bottleneck = f"grouped(quantizer=vector_quantizer(symbols={SYMBOLS}), groups={GROUPS})"
    model = AutoEncoder(bottleneck=bottleneck, random_state=0, **tour.options).fit(tour.train)
    back, codes = model.reconstruct(tour.test), model.transform(tour.test)
    flat, new = (images.reshape(len(images), -1) / 255 for images in (tour.train, tour.test))
    by_means = _product_quantized(flat, new)
    errors = {
        "auto-encoder": float(np.square(back.reshape(len(new), -1) / 255 - new).sum(1).mean()),
        "product quantisation of PCA": float(np.square(by_means - new).sum(1).mean()),
    }
    page.heading(f"Digits in {GROUPS} symbols")
    page.text(
        f"A vector-quantised code: each image becomes {GROUPS} symbols of an alphabet of {SYMBOLS}, {bits} bits in "
        "all. Product quantisation does the same to principal components, with as many bits."
    )
    drawn = np.rint(by_means.reshape(tour.test.shape).clip(0, 1) * 255)
    page.figure(
        pictures.image_grid(
            [tour.test[tour.shown], back[tour.shown], drawn[tour.shown]], ["original", "auto-encoder", "product quant."]
        ),
        "Ten digits, and what is left of them in 20 bits",
    )
    rows = [{"method": name, "error": error} for name, error in errors.items()]
    page.table(rows, {"method": "method", "error": "squared error per image"}, ours="auto-encoder")
    used = model.module_.bottleneck.share_used
    page.figure(
        pictures.scatter_map(PCA(2).fit_transform(codes), tour.labels, "the codes' two principal components"),
        "A map of vector-quantised codes, coloured by digit",
        f"{100 * used:.0f} % of the codebooks' entries are in use. Images with the same symbols lie on one point.",
    )
    tour.figures[f"squared error of digits from {bits} bits"] = beside(errors, "product quantisation of PCA")


def walked(tour: Tour, page: Report) -> None:
    """Walk from digit to digit through a variational code."""
    tour.say("digits: walks from one to another")
    job = tour.fit(Generator(random_state=0))
    begin, end = tour.test[tour.shown[[1, 3, 4, 0]]], tour.test[tour.shown[[7, 8, 9, 6]]]
    through = np.stack(job.interpolate(begin, end, STEPS), 1)
    shares = np.linspace(0, 1, STEPS)[None, :, None, None]
    faded = (1 - shares) * begin[:, None] + shares * end[:, None]
    between = [np.concatenate([through[i], faded[i]]) for i in range(len(begin))]
    page.heading("From one digit to another")
    page.figure(
        pictures.samples_grid(np.concatenate(between), across=STEPS),
        "Walks between four pairs of digits",
        "In pairs of lines: first the way through the code, each image decoded from a place between two codes; "
        "below it the plain cross-fade of the same two images.",
    )
    page.text(
        "How much of a digit the images on the way are: the distance to the nearest image that was fitted on, in units "
        f"of that of new digits, is {_strangeness(tour, through):.2f} through the code and "
        f"{_strangeness(tour, faded):.2f} by cross-fading."
    )


def _strangeness(tour: Tour, steps: np.ndarray) -> float:
    """Return how far the middle of each walk is from the nearest training image, against test images."""
    from_middle = _nearest(tour, steps[:, STEPS // 3 : -(STEPS // 3)].reshape(-1, *tour.test.shape[1:]))
    return from_middle / _nearest(tour, tour.test)


def _nearest(tour: Tour, images: np.ndarray) -> float:
    flat, train = (one.reshape(len(one), -1) for one in (images, tour.train))
    return float(NearestNeighbors(n_neighbors=1).fit(train).kneighbors(flat)[0].mean())


def _product_quantized(train: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return new rows by k-means in each of some groups of principal components."""
    pca = PCA(2 * GROUPS).fit(train)
    before, after = pca.transform(train), pca.transform(new)
    for group in range(GROUPS):
        # Dealt out in turn, so that no group has all of the variance.
        columns = slice(group, None, GROUPS)
        means = KMeans(SYMBOLS, n_init=3, random_state=0).fit(before[:, columns])
        after[:, columns] = means.cluster_centers_[means.predict(after[:, columns])]
    return pca.inverse_transform(after)
