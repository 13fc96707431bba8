import math

import numpy as np
import pytest

from isthmus.coding import CorruptStreamError, LatentCoder, LinearContexts, Tables

GROUPS, MEANS, LEVELS = (1, 1, 2, 3), 2, 3
CHANNELS, WIDEST = sum(GROUPS), max(GROUPS)
FOUR, DIAGONAL = [(-1, 0), (1, 0), (0, -1), (0, 1)], [(-1, -1), (-1, 1), (1, -1), (1, 1)]


def contexts(seed=0, scale=300):
    random = np.random.default_rng(seed)

    def weights(*shape, largest=scale):
        return random.integers(-largest, largest + 1, shape)

    return LinearContexts(
        GROUPS,
        biases=weights(LEVELS, 5, CHANNELS, largest=60_000) + 100_000,
        gains=random.integers(2000, 6000, (LEVELS, 5, CHANNELS)),
        before=weights(CHANNELS, CHANNELS, 3),
        own=weights(4, CHANNELS, WIDEST),
        mean_before=weights(MEANS, MEANS, 5, largest=2000),
        mean_own=weights(4, MEANS, WIDEST, 4, largest=2000),
    )


def coder(seed=0):
    random = np.random.default_rng(seed)
    made = contexts(seed)
    return LatentCoder(made, Tables.from_counts(random.integers(0, 50, (made.n_tables, 16))))


def maps(seed, shape):
    return np.rint(np.random.default_rng(seed).laplace(size=(*shape, CHANNELS)) * 3).astype(np.int64)


def stage_of(row, column):
    """By the docstring: every 4th row and column, centres, and so on."""
    if row % 2 == 0 and column % 2 == 0:
        if row % 4 == column % 4:
            return 0 if row % 4 == 0 else 1
        return 2
    return 3 if row % 2 and column % 2 else 4


OFFSETS = [[], [(2 * i, 2 * j) for i, j in DIAGONAL], [(2 * i, 2 * j) for i, j in FOUR], DIAGONAL, FOUR]


def by_hand(made, level, values, row, column, channel):
    """Return table and mean of one value, by loops over what the docstring names."""
    given = made._given
    begins = np.cumsum((0, *GROUPS))
    number = int(np.searchsorted(begins, channel, "right")) - 1
    group = range(begins[number], begins[number + 1])
    stage = stage_of(row, column)

    def at(i, j, other):
        i, j = row + i, column + j
        return int(values[i, j, other]) if 0 <= i < values.shape[0] and 0 <= j < values.shape[1] else 0

    def loud(i, j, other):
        return int(np.rint(16 * math.log2(1 + min(abs(at(i, j, other)), 255))))

    total = 0
    for other in range(begins[number]):
        same, cross, diagonal = (int(one) for one in given["before"][channel, other])
        total += same * loud(0, 0, other) + cross * sum(loud(*side, other) for side in FOUR)
        total += diagonal * sum(loud(*side, other) for side in DIAGONAL)
    for place, other in enumerate(group if stage else ()):
        total += int(given["own"][stage - 1, channel, place]) * sum(loud(*side, other) for side in OFFSETS[stage])
    total = (total * int(given["gains"][level, stage, channel]) >> 12) + int(given["biases"][level, stage, channel])
    found = min(max(total >> 12, 0), 63)
    first = [0, 192, 384, 448][number]
    if channel >= MEANS:
        return first + found, 0
    mean = 0
    for other in range(begins[number]):
        sides = [(0, 0), *FOUR]
        mean += sum(int(w) * at(*s, other) for w, s in zip(given["mean_before"][channel, other], sides, strict=True))
    for place, other in enumerate(group if stage else ()):
        weights = given["mean_own"][stage - 1, channel, place]
        mean += sum(int(w) * at(*side, other) for w, side in zip(weights, OFFSETS[stage], strict=True))
    whole = math.floor(mean / 4096 + 0.5)
    third = math.floor(3 * (mean / 4096 + 0.5 - whole))
    return first + 3 * found + third, whole


def test_tables_and_means_are_chosen_as_documented():
    made, values = contexts(), maps(1, (7, 6))
    values[2, 3, 1] = -1000
    seen = np.zeros(values.shape, int)
    for step in made.at(2).steps(values, np.ones(CHANNELS, bool)):
        seen[step.cells] += 1
        index, shift = (one.reshape(len(step.rows), -1) for one in (step.index, step.shift))
        for i, (row, column) in enumerate(zip(step.rows, step.columns, strict=True)):
            for j, channel in enumerate(step.channels):
                assert (index[i, j], shift[i, j]) == by_hand(made, 2, values, row, column, channel)
    assert (seen == 1).all()


def test_a_level_between_two_has_biases_between_theirs():
    made = contexts()
    for name in ("biases", "gains"):
        given = made._given[name].astype(np.int64)
        assert (made.at(1)._at_level(name) == given[1]).all()
        assert (made.at(0.25)._at_level(name) == (3 * given[0] + given[1]) >> 2).all()
    assert made.at(1).at(0).head() == made.head()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2), (13, 9), (24, 30)])
def test_maps_of_any_size_come_back_and_the_length_is_told(shape):
    values, made = maps(2, shape), coder().at(1.5)
    values[:, :, 3] = 0
    data = made.encode(values)
    assert (made.decode(data, values.shape) == values).all()
    assert len(data) == pytest.approx(made.bits(values) / 8, rel=0.01, abs=8)
    assert (made.decode(made.encode(values, short=True), values.shape, short=True) == values).all()


def test_values_far_beyond_the_tables_come_back():
    values = maps(3, (5, 6))
    values[2, 3, 1], values[0, 0, 0], values[4, 5, 6] = 10**12, -(2**63), 2**63 - 1
    assert (coder().decode(coder().encode(values), values.shape) == values).all()


def test_weights_as_large_as_can_be_are_summed_without_error():
    given = {name: np.full_like(one, np.iinfo(one.dtype).max) for name, one in contexts()._given.items()}
    made = LinearContexts(GROUPS, **given)
    values = np.full((6, 6, CHANNELS), 2**15 - 1)
    for step in made.steps(values, np.ones(CHANNELS, bool)):
        for i, channel in enumerate(step.channels):
            found = step.index.reshape(len(step.rows), -1)[0, i], step.shift.reshape(len(step.rows), -1)[0, i]
            assert found == by_hand(made, 0, values, step.rows[0], step.columns[0], channel)


def test_the_first_groups_alone_give_a_preview():
    values, made = maps(4, (9, 8)), coder()
    data = made.encode(values)
    end = made.length(data, values.shape, 2)
    preview = made.decode(data[:end], values.shape, groups=2)
    assert (preview[:, :, :2] == values[:, :, :2]).all()
    assert not preview[:, :, 2:].any()


def test_moves_are_judged_about_the_expected_value():
    made, values = coder().at(1), maps(5, (8, 8))
    nothing = np.zeros(values.shape)
    lighter = made.lighter(values, nothing, nothing, both=True)
    assert np.abs(lighter - values).max() == 1
    assert made.bits(lighter) < made.bits(values)
    assert (made.lighter(values, nothing, nothing + 1e3, both=True) == values).all()


def test_a_coder_comes_back_from_its_bytes():
    again = LatentCoder.from_bytes(coder().to_bytes())
    assert again.to_bytes() == coder().to_bytes()
    values = maps(6, (6, 9))
    assert again.at(2).encode(values) == coder().at(2).encode(values)
    assert again.at(2).encode(values) != coder().encode(values)


def test_damaged_coders_are_refused():
    data = coder().to_bytes()
    head = data.index(b"}")
    for damaged in (b"", data[:3], data[:head], data[: head + 9], data[:-1], b"\xff" * 4 + data[4:]):
        with pytest.raises(CorruptStreamError):
            LatentCoder.from_bytes(damaged)
    for old, new in ((b'"levels":3', b'"levels":9'), (b'"means":2', b'"means":3'), (b'"levels":3', b'"levels":-')):
        with pytest.raises(CorruptStreamError):
            LatentCoder.from_bytes(data.replace(old, new))
    with pytest.raises(CorruptStreamError):
        LatentCoder.from_bytes(data.replace(b"[1,1,2,3]", b"[1,1,2,4]"))


def test_every_cut_stream_is_refused():
    values = maps(7, (5, 4))
    data = coder().encode(values)
    for length in range(len(data)):
        with pytest.raises(CorruptStreamError):
            coder().decode(data[:length], values.shape)


def test_arrays_that_do_not_fit_are_refused():
    given = contexts()._given
    with pytest.raises(ValueError, match=r"own must have shape \(4, 7, 3\)"):
        LinearContexts(GROUPS, **given | {"own": given["own"][:3]})
    with pytest.raises(ValueError, match="groups must be"):
        LinearContexts((0, 7), **given)
    odd = {"mean_before": np.zeros((3, 3, 5)), "mean_own": np.zeros((4, 3, WIDEST, 4))}
    with pytest.raises(ValueError, match="means of whole groups"):
        LinearContexts(GROUPS, **given | odd)
