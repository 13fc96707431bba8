"""DCI and SAP on codes whose answer is known."""

import numpy as np
import pytest

from isthmus.metrics import dci, sap

RANDOM = np.random.default_rng(0)
UNIFORM = RANDOM.uniform(size=(600, 2))
KINDS = RANDOM.integers(0, 3, 600)


def test_one_dimension_for_each_factor_is_perfect():
    found = dci(UNIFORM[:, ::-1], UNIFORM, random_state=0)
    assert found.importances.argmax(0).tolist() == [1, 0]
    assert np.allclose(found.importances.sum(0), 1)
    assert min(found[:3]) > 0.95
    assert sap(UNIFORM[:, ::-1], UNIFORM) > 0.95


def test_a_random_code_has_nothing():
    noise = RANDOM.normal(size=(600, 4))
    found = dci(noise, UNIFORM, random_state=0)
    assert found.informativeness == 0
    assert found.disentanglement < 0.2
    assert found.completeness < 0.2
    assert sap(noise, UNIFORM) < 0.02


def test_a_rotated_code_is_informative_and_entangled():
    rotated = (UNIFORM - 0.5) @ np.array([[1, -1], [1, 1]]) / np.sqrt(2)
    found = dci(rotated, UNIFORM, random_state=0)
    assert found.informativeness > 0.85
    assert found.disentanglement < 0.2
    assert found.completeness < 0.2
    assert sap(rotated, UNIFORM) < 0.1


def test_a_doubled_code_is_disentangled_and_not_complete():
    found = dci(np.hstack([UNIFORM, UNIFORM]), UNIFORM, random_state=0)
    assert found.disentanglement > 0.9
    # Each factor is spread over two of four dimensions: 1 - log 2 / log 4.
    assert found.completeness == pytest.approx(0.5, abs=0.15)
    assert sap(np.hstack([UNIFORM, UNIFORM]), UNIFORM) == pytest.approx(0, abs=1e-9)


def test_one_dimension_for_two_factors_is_complete_and_entangled():
    # The whole number and the fraction of one dimension, beside a dimension of noise.
    whole, part = RANDOM.integers(0, 3, 2_000), RANDOM.integers(0, 3, 2_000)
    codes = np.stack([3 * whole + part, RANDOM.normal(size=2_000)], axis=1)
    found = dci(codes, np.stack([whole, part], axis=1), random_state=0)
    assert found.completeness > 0.9
    assert found.disentanglement < 0.1
    assert found.informativeness > 0.95


def test_scores_are_those_of_the_equations():
    found = dci(UNIFORM @ np.array([[1, 0.6], [0.2, 1]]), UNIFORM, random_state=0)
    R = found.importances
    P, Q = R / R.sum(1, keepdims=True), R / R.sum(0)
    weights = R.sum(1) / R.sum()
    assert found.disentanglement == pytest.approx(weights @ (1 + (P * np.log2(P)).sum(1)))
    assert found.completeness == pytest.approx(np.mean(1 + (Q * np.log2(Q)).sum(0)))


def test_categories_are_read_as_such():
    texts = np.array(["heart", "square", "ellipse"])[KINDS][:, None]
    hot = np.eye(3)[KINDS] + 0.01 * RANDOM.normal(size=(600, 3))
    found = dci(hot, texts, random_state=0)
    assert found.disentanglement == pytest.approx(1)  # there is but one factor to tell of
    assert found.informativeness > 0.95
    line = np.stack([KINDS.astype(float), RANDOM.normal(size=600)], axis=1)
    assert dci(line, texts, random_state=0).completeness > 0.9
    assert sap(np.stack([KINDS == 0, RANDOM.normal(size=600)], axis=1), (KINDS == 0)[:, None]) > 0.8


def test_a_constant_code_scores_zero():
    found = dci(np.ones((100, 2)), UNIFORM[:100], random_state=0)
    assert found[:3] == (0.0, 0.0, 0.0)
    assert sap(np.ones((100, 2)), UNIFORM[:100]) == 0
    assert sap(np.ones((100, 2)), (KINDS[:100] == 0)[:, None]) == 0


def test_one_random_state_gives_one_answer():
    codes = UNIFORM + 0.3 * RANDOM.normal(size=UNIFORM.shape)
    one, other = (dci(codes, UNIFORM, random_state=3) for _ in range(2))
    assert one[:3] == other[:3] and np.array_equal(one.importances, other.importances)
