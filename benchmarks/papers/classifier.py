"""A judge of images: a small convolutional classifier, in whose features samples are compared.

Distances between pixels say little about what an image shows. The features of a network that has
learned to tell the classes of the same data are what the Frechet distance of the literature is
measured in (Heusel et al., NeurIPS 2017, https://arxiv.org/abs/1706.08500), there an Inception
network for photographs, here one that fits 28 x 28 grey images. No contender sees it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.guards import seeded

__all__ = ["Classifier", "train_classifier"]

CHANNELS = (32, 64)
FEATURES = 128
BATCH = 128
# Adam's highest step size in the cycle, and the greatest shift of a training image in pixels.
RATE, SHIFT = 2e-3, 2
PIECE = 2_000


class Classifier(nn.Module):
    """Two strided convolutions and two dense layers; what enters the last of them are the features."""

    def __init__(self, classes: int, side: int):
        super().__init__()
        small = math.ceil(math.ceil(side / 2) / 2)
        self.body = nn.Sequential(
            nn.Conv2d(1, CHANNELS[0], 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(CHANNELS[0], CHANNELS[1], 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(CHANNELS[1] * small**2, FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits of pixels ``(b, 1, h, w)`` between 0 and 1."""
        return self.head(self.body(pixels))

    @torch.no_grad()
    def features(self, images: np.ndarray) -> np.ndarray:
        """Return the features of ``uint8`` images ``(n, h, w)``, ``(n, 128)`` in double precision."""
        return torch.cat([self.body(_pixels(piece)) for piece in _pieces(images)]).double().numpy()

    @torch.no_grad()
    def classes(self, images: np.ndarray) -> np.ndarray:
        """Return the most likely class of ``uint8`` images ``(n, h, w)``, ``(n,)``."""
        return torch.cat([self(_pixels(piece)).argmax(1) for piece in _pieces(images)]).numpy()


def train_classifier(images: np.ndarray, labels: np.ndarray, epochs: int, seed: int = 0) -> Classifier:
    """Return a classifier of ``uint8`` images ``(n, h, w)`` with labels ``(n,)``, in evaluation mode.

    Images are shifted by up to two pixels while training, and the step size goes through one
    cycle (Smith & Topin, 2018, https://arxiv.org/abs/1708.07120).
    """
    with seeded(seed):
        model = Classifier(int(labels.max()) + 1, images.shape[1])
        known = torch.from_numpy(labels)
        optimizer = torch.optim.AdamW(model.parameters(), RATE)
        steps = epochs * math.ceil(len(images) / BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
        for _ in range(epochs):
            for rows in torch.randperm(len(images)).split(BATCH):
                loss = F.cross_entropy(model(_shifted(_pixels(images[rows.numpy()]))), known[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return model.eval()


def _shifted(pixels: Tensor) -> Tensor:
    """Return the images of a batch, all shifted alike: the batches differ, and that is enough."""
    down, right = torch.randint(-SHIFT, SHIFT + 1, (2,)).tolist()
    padded = F.pad(pixels, (SHIFT,) * 4)
    height, width = pixels.shape[2:]
    return padded[:, :, SHIFT + down : SHIFT + down + height, SHIFT + right : SHIFT + right + width]


def _pixels(images: np.ndarray) -> Tensor:
    return torch.tensor(images)[:, None].float() / 255


def _pieces(images: np.ndarray) -> list[np.ndarray]:
    return [images[begin : begin + PIECE] for begin in range(0, len(images), PIECE)]
