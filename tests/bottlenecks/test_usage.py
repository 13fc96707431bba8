"""How much of a discrete code is in use."""

import math

import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from isthmus.bottlenecks.usage import Usage, collapse_text, perplexity, share_used, shares


def test_perplexity_is_the_number_of_symbols_where_all_are_equal_and_one_where_there_is_one():
    assert perplexity(torch.full((7,), 3.0)) == pytest.approx(7)
    assert perplexity(torch.tensor([0.0, 4.0, 0.0])) == 1


def test_perplexity_is_the_exponential_of_the_entropy_averaged_over_groups():
    p = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0]])
    expected = (math.exp(-sum(v * math.log(v) for v in (0.7, 0.2, 0.1))) + 2) / 2
    assert perplexity(100 * p) == pytest.approx(expected, rel=1e-6)


def test_a_symbol_is_in_use_from_a_hundredth_of_an_equal_share():
    # Of four symbols an equal share is 0.25.
    assert share_used(torch.tensor([0.5, 0.495, 0.0026, 0.0024])) == 0.75


def test_nothing_counted_leaves_all_symbols_equal():
    assert shares(torch.zeros(2, 4)).tolist() == [[0.25] * 4] * 2


def test_the_average_moves_towards_each_step_s_batch():
    usage = Usage(2, 3, "wait.", decay=0.9)
    usage.begin(torch.tensor([[0, 2], [0, 1]]))
    usage.see(torch.tensor([[[1, 2]], [[1, 2]]]))
    usage.move(0.1)
    torch.testing.assert_close(usage.frequencies(), torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.45, 0.55]]))
    usage.move(0.2)  # nothing new was seen
    torch.testing.assert_close(usage.frequencies(), torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.45, 0.55]]))


def test_a_collapsed_code_is_told_of_once_in_the_second_half_with_the_cure():
    usage = Usage(1, 50, "restart dead codes.")
    usage.begin(torch.zeros(9, 1, dtype=torch.int64))
    usage.move(0.4)
    with pytest.warns(ConvergenceWarning, match="2 % of its 50 symbols.*To use more of them, restart dead codes"):
        usage.move(0.5)
    usage.move(0.6)


def test_a_bit_that_is_always_on_has_collapsed_and_one_that_is_sometimes_off_has_not():
    assert "perplexity of 1.0" in collapse_text(torch.tensor([[0.0, 5.0]]), "wait.")
    assert collapse_text(torch.tensor([[1.0, 5.0]]), "wait.") == ""
