"""Faces: drawn ones among real ones, and occluded or blurred ones of people never seen.

The real faces are ORL's, cut to a square and shrunk to 64 x 64: 30 people, drawn by the seed, are fitted on, the
100 images of the other 10 are the normal ones to judge. Drawn faces are 200 of 1,500, made grey, as the real ones
are. Each of the 100 faces is also judged *occluded*, by a square of a quarter to four tenths of its side, anywhere,
of one grey drawn uniformly; and *blurred*, by a Gaussian of 1 to 2 pixels. A square of one grey has no noise, which
gives it away to whatever looks at detail, a PNG file's size too. So, harder and beside the claims, *patched*: the
square holds a piece of a drawn face.

What is measured is `AnomalyDetector` with a dense auto-encoder; the fifth of the training images that it holds out
says what is usual. Beside it: the same auto-encoder's plain squared error; 64 principal components; distance to the
five nearest training images; and what embarrasses all of these: mean grey and size of the PNG file, each as distance
from the usual, and the size also the smaller the odder.

Full run: three seeds, about 4 minutes on one core. Needs ISTHMUS_DATA.
"""

from __future__ import annotations

import io
import tarfile
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score, roc_curve

from benchmarks.harness import Claim, Result, main, say, t_interval
from benchmarks.papers.data import flat, folder
from isthmus import AutoEncoder
from isthmus.jobs import AnomalyDetector
from isthmus.jobs.baselines import NeighborDistance, PCAReconstruction

TITLE = "faces: AUROC, and false alarms where 95 % are found, per cent"
OURS = "isthmus"
SIDE, PEOPLE, DRAWN = 64, 30, 200
SEEDS = range(3)
SQUARE, BLUR = (0.25, 0.4), (1.0, 2.0)
TRIVIAL = ("mean grey", "file size", "file size, smaller")
SECOND = "occluded or blurred"


def run(quick: bool) -> Result:
    """Real faces against drawn, occluded and blurred ones."""
    real, people = orl()
    drawn = anime()
    runs = []
    for seed in SEEDS[:1] if quick else SEEDS:
        runs.append(_one(real, people, drawn, seed, quick))
        for name, found in runs[-1].items():
            say(f"seed {seed}, {name}: " + ", ".join(f"{kind} {a:.1f}/{f:.1f}" for kind, (a, f) in found.items()))
    claims = []
    for kind in runs[0][OURS]:
        for name in runs[0]:
            limits: dict[str, Any] = {"aim": 5.0} if (name, kind) == (OURS, SECOND) else {}
            figures = [[one[name][kind][i] for one in runs] for i in (0, 1)]
            claims.append(Claim(f"{kind}, AUROC: {name}", better="higher", **t_interval(figures[0])))
            claims.append(Claim(f"{kind}, FPR at 95 % TPR: {name}", **limits, **t_interval(figures[1])))
    for name in (*TRIVIAL, "PCA-64"):
        above = [one[OURS][SECOND][0] - one[name][SECOND][0] for one in runs]
        claims.append(Claim(f"{SECOND}, AUROC above {name} by", better="higher", must=0.0, **t_interval(above)))
    return Result(TITLE, claims, {"runs": runs})


def orl() -> tuple[np.ndarray, np.ndarray]:
    """Return the real faces, ``(400, 64, 64)`` bytes, and whose each is."""
    with np.load(folder("orl_faces") / "orl_faces.npz", allow_pickle=False) as stored:
        images, people = stored["x"], stored["subject"]
    # The middle of the height, and a little below: chins, not hair.
    width, top = images.shape[2], (images.shape[1] - images.shape[2]) // 2 + 4
    return np.stack([_shrunk(Image.fromarray(image[top : top + width])) for image in images]), people


def anime() -> np.ndarray:
    """Return the drawn faces, grey, ``(n, 64, 64)`` bytes."""
    with tarfile.open(folder("anime_faces") / "anime_faces_64.tar") as tar:
        files = [tar.extractfile(member) for member in sorted(tar.getmembers(), key=lambda member: member.name)]
        return np.stack([_shrunk(Image.open(io.BytesIO(file.read())).convert("L")) for file in files if file])


def occluded(images: np.ndarray, random: np.random.Generator, source: np.ndarray | None = None) -> np.ndarray:
    """Return images with a square of one grey, or of a piece of another image, somewhere."""
    images = images.copy()
    for image in images:
        side = round(random.uniform(*SQUARE) * SIDE)
        top, left, down, right = random.integers(0, SIDE - side + 1, 4)
        piece = (
            None if source is None else source[random.integers(len(source))][down : down + side, right : right + side]
        )
        image[top : top + side, left : left + side] = random.integers(256) if piece is None else piece
    return images


def blurred(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return images out of focus."""
    smooth = [gaussian_filter(image.astype(np.float64), random.uniform(*BLUR)) for image in images]
    return np.rint(smooth).astype(np.uint8)


def _one(
    real: np.ndarray, people: np.ndarray, drawn: np.ndarray, seed: int, quick: bool
) -> dict[str, dict[str, tuple[float, float]]]:
    """Return AUROC and false-alarm rate of each contender for each kind of anomaly."""
    random = np.random.default_rng(seed)
    fitted = np.isin(people, random.permutation(np.unique(people))[:PEOPLE])
    train, normal = real[fitted], real[~fitted]
    drawn = drawn[random.permutation(len(drawn))]
    odd = {
        "drawn": drawn[:DRAWN],
        "occluded": occluded(normal, random),
        "blurred": blurred(normal, random),
        "patched": occluded(normal, random, drawn[DRAWN:]),
    }
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for name, cost in contenders(train[random.permutation(len(train))], seed, quick).items():
        usual, costs = cost(normal), {kind: cost(images) for kind, images in odd.items()}
        costs[SECOND] = np.concatenate([costs["occluded"], costs["blurred"]])
        found[name] = {kind: figures(usual, unusual) for kind, unusual in costs.items()}
    return found


def contenders(train: np.ndarray, seed: int, quick: bool) -> dict[str, Any]:
    """Return functions from images to costs, all fitted on the same ones."""
    model = AutoEncoder("images(network='dense')", max_epochs=2 if quick else None, threads=1)
    detector = AnomalyDetector(model, random_state=seed).fit(train)

    def errors(images: np.ndarray) -> np.ndarray:
        difference = flat(images) - flat(detector.estimator_.reconstruct(images))
        return np.square(difference).sum(1)

    pca, knn = PCAReconstruction(64).fit(flat(train)), NeighborDistance().fit(flat(train))
    grey, size = train.mean(), file_sizes(train).mean()
    return {
        OURS: lambda images: -detector.score_samples(images),
        "plain auto-encoder": errors,
        "PCA-64": lambda images: -pca.score_samples(flat(images)),
        "5-NN": lambda images: -knn.score_samples(flat(images)),
        "mean grey": lambda images: np.abs(images.mean((1, 2)) - grey),
        "file size": lambda images: np.abs(file_sizes(images) - size),
        "file size, smaller": lambda images: -file_sizes(images),
    }


def figures(usual: np.ndarray, unusual: np.ndarray) -> tuple[float, float]:
    """Return AUROC, and the share of normal images above the threshold that 95 % of the others are above."""
    y, costs = np.repeat([0, 1], [len(usual), len(unusual)]), np.concatenate([usual, unusual])
    false, true, _ = roc_curve(y, costs, drop_intermediate=False)
    return 100 * float(roc_auc_score(y, costs)), 100 * float(false[np.argmax(true >= 0.95)])


def file_sizes(images: np.ndarray) -> np.ndarray:
    """Return the bytes of each image as a PNG file."""
    sizes = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        sizes.append(file.tell())
    return np.array(sizes, np.float64)


def _shrunk(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


if __name__ == "__main__":
    main(run)
