"""Rate and distortion, against cases that can be done by hand."""

import math

import numpy as np
import pytest

from isthmus.metrics import bd_rate, psnr


def test_psnr_is_that_of_the_formula():
    image = np.array([[0, 10], [20, 30]], np.uint8)
    restored = image + np.array([[1, 2], [3, 4]], np.uint8)
    assert psnr(image, restored) == pytest.approx(10 * math.log10(255**2 / 7.5))
    assert psnr(restored, image) == psnr(image, restored)  # no wrapping around of uint8
    assert psnr(image, image) == math.inf


def test_bd_rate_of_half_the_bits_is_minus_fifty_per_cent():
    rates, qualities = np.array([0.1, 0.17, 0.5, 1.1]), np.array([25.0, 27.0, 31.5, 35.0])
    assert bd_rate(rates / 2, qualities, rates, qualities) == pytest.approx(-50)
    assert bd_rate(rates, qualities, rates / 2, qualities) == pytest.approx(100)


def test_bd_rate_of_straight_lines_is_the_mean_of_their_distance_over_what_both_reach():
    # ln r = q / 10 and ln r = q / 5 - 3: the second is q / 10 - 3 more, on average over 32 to 36 dB 0.4.
    one, other = np.array([30.0, 33.0, 36.0]), np.array([32.0, 35.0, 38.0])
    found = bd_rate(np.exp(other / 5 - 3), other, np.exp(one / 10), one)
    assert found == pytest.approx(100 * math.expm1(0.4))


def test_bd_rate_may_be_that_of_a_range():
    # Twice the bits up to 30 dB and equal bits from there on.
    qualities, rates = np.array([26.0, 28, 30, 32, 34]), np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    more = rates * np.array([2, 2, 1, 1, 1])
    assert bd_rate(more, qualities, rates, qualities, within=(32, 40)) == pytest.approx(0, abs=1e-9)
    assert bd_rate(more, qualities, rates, qualities, within=(20, 27)) > 50
    assert math.isnan(bd_rate(rates, qualities, rates, qualities, within=(40, 50)))


def test_bd_rate_leaves_out_points_that_others_beat_and_does_not_depend_on_order():
    rates, qualities = np.array([0.1, 0.2, 0.4]), np.array([28.0, 30.0, 32.0])
    worse = bd_rate([0.3, 0.4, 0.1, 0.2], [29.0, 32.0, 28.0, 30.0], 2 * rates, qualities)
    assert worse == pytest.approx(-50)


def test_bd_rate_without_anything_in_common_is_not_a_number():
    assert math.isnan(bd_rate([1, 2], [20, 22], [1, 2], [30, 32]))
    assert math.isnan(bd_rate([1, 2], [20, math.inf], [1, 2], [20, 22]))
    with pytest.raises(ValueError, match="rates must be positive"):
        bd_rate([0, 2], [20, 22], [1, 2], [20, 22])
