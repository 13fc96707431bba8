import numpy as np
import pytest

from isthmus.coding import LatentCoder, LinearContexts, MagnitudeContexts
from isthmus.jobs import context_learning
from isthmus.jobs.context_learning import coders_of, learned_coder

LEVELS, CHANNELS = 2, 12


def numbers(n, seed, side=8):
    """Whole numbers as those of pictures are: smooth first channels, and energy that all share, at two levels."""
    random = np.random.default_rng(seed)
    rows, columns = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    waves = random.uniform(-0.6, 0.6, (n, 2, 1, 1))
    smooth = 8 * np.sin(waves[:, 0] * rows + waves[:, 1] * columns + random.uniform(0, 6, (n, 1, 1)))
    energy = np.exp(np.kron(random.normal(0, 1, (n, side // 4, side // 4)), np.ones((1, 4, 4))))
    detail = random.laplace(size=(n, side, side, CHANNELS)) * energy[..., None] / (1 + np.arange(CHANNELS))
    detail[..., 0] = smooth + 0.3 * detail[..., 0]
    return [np.rint(detail * step).astype(np.int32) for step in (1, 2)]


def bits(coders, given):
    of_level = [coders[0].at(level) if len(coders) == 1 else coders[level] for level in range(LEVELS)]
    return sum(coder.bits(one) for coder, maps in zip(of_level, given, strict=True) for one in maps)


@pytest.fixture(scope="module")
def fitted():
    given = numbers(300, 0)
    return learned_coder(given), [LatentCoder.fit(list(one)) for one in given]


def test_other_maps_take_fewer_bits_than_by_magnitudes(fitted):
    learned, counted = fitted
    others = numbers(60, 1)
    assert bits([learned], others) < 0.95 * bits(counted, others)


def test_what_is_smooth_is_expected(fitted):
    contexts = fitted[0].contexts.at(1)
    found, shift = [], []
    for one in numbers(20, 2)[1].astype(np.int64):
        last = [step for step in contexts.steps(one, np.ones(CHANNELS, bool)) if step.group == 0][-1]
        found.append(one[last.rows, last.columns, 0])
        shift.append(last.shift)
    assert np.abs(np.subtract(found, shift)).mean() < 0.5 * np.abs(found).mean()


def test_files_come_back_at_every_level(fitted):
    one = numbers(1, 3, side=12)[0][0]
    for level in (0, 0.5, 1):
        coder = fitted[0].at(level)
        assert (coder.decode(coder.encode(one), one.shape) == one).all()


def test_learned_contexts_are_taken_where_they_code_better(fitted, monkeypatch):
    given = numbers(300, 0)
    (chosen,) = coders_of(given)
    assert isinstance(chosen.contexts, LinearContexts)
    assert chosen.to_bytes() == fitted[0].to_bytes()
    monkeypatch.setattr(context_learning, "STEPS", 0)
    assert [type(one.contexts) for one in coders_of(given)] == [MagnitudeContexts] * LEVELS
