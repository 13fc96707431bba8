"""Multi-scale structural similarity, against numpy."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from isthmus.batch import Batch
from isthmus.losses import StructuralSimilarity


def restated(one, other, scales):
    """Return the similarity of two images ``(h, w)``, as the paper writes it."""
    exponents = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    exponents /= exponents.sum()
    place = np.arange(-5, 6)
    window = np.exp(-(place[:, None] ** 2 + place**2) / (2 * 1.5**2))
    window /= window.sum()
    total = 1.0
    for scale, exponent in enumerate(exponents):
        means = [convolve2d(image, window, "valid") for image in (one, other)]
        products = [convolve2d(a * b, window, "valid") for a, b in ((one, one), (other, other), (one, other))]
        xx, yy, xy = (p - means[i] * means[j] for p, (i, j) in zip(products, ((0, 0), (1, 1), (0, 1)), strict=True))
        found = (2 * xy + 9e-4) / (xx + yy + 9e-4)
        if scale == scales - 1:
            found = found * (2 * means[0] * means[1] + 1e-4) / (means[0] ** 2 + means[1] ** 2 + 1e-4)
        total *= max(found.mean(), 0.01) ** exponent
        height, width = (side // 2 * 2 for side in one.shape)
        halve = lambda image: image[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3))  # noqa: E731, B023
        one, other = halve(one), halve(other)
    return total


@pytest.mark.parametrize(("height", "width", "scales"), [(176, 180, 5), (45, 60, 3), (15, 21, 1)])
def test_nats_are_what_numpy_says(height, width, scales):
    random = np.random.default_rng(0)
    x = random.random((2, height, width, 2)).cumsum(1).cumsum(2)
    x /= x.max()
    y = np.clip(x + 0.05 * random.normal(size=x.shape), 0, 1)
    loss = StructuralSimilarity(2.0).build(shape=[height, width, 2]).double()
    similar = [np.mean([restated(x[i, ..., c], y[i, ..., c], scales) for c in range(2)]) for i in range(2)]
    nats = loss(torch.from_numpy(y), Batch(torch.from_numpy(x)))
    # The window is kept in float32.
    np.testing.assert_allclose(nats, 2 * math.log(2) * height * width * (1 - np.array(similar)), rtol=1e-4)


def test_an_image_is_wholly_similar_to_itself_and_opposites_have_a_slope():
    loss = StructuralSimilarity().build(shape=[16, 16, 1]).double()
    x = torch.rand(1, 16, 16, 1).double()
    assert float(loss.similarity(x, x)) == pytest.approx(1)
    output = (1 - x).requires_grad_()
    nats = loss(output, Batch(x))
    nats.sum().backward()
    assert bool(output.grad.isfinite().all() and (output.grad != 0).any())
    with torch.no_grad():
        assert loss(output - 1e-6 * output.grad.sign(), Batch(x)) <= nats


def test_what_is_no_image_is_refused():
    with pytest.raises(ValueError, match="is for images"):
        StructuralSimilarity().build(shape=[8, 8])
