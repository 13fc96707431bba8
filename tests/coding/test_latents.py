import numpy as np
import pytest

from isthmus.coding import CorruptStreamError, LatentCoder, MagnitudeContexts, Tables, channel_groups
from isthmus.coding.integers import symbols_of


def latents(seed, shape=(24, 30, 24)):
    """Maps whose scale differs from place to place and falls with the channel, as those of pictures do."""
    random = np.random.default_rng(seed)
    coarse = np.abs(random.normal(size=(-(-shape[0] // 4), -(-shape[1] // 4))))
    scale = np.kron(coarse, np.ones((4, 4)))[: shape[0], : shape[1], None] * 4 / np.sqrt(1 + np.arange(shape[2]))
    return np.rint(random.laplace(size=shape) * scale).astype(np.int64)


CODER = LatentCoder.fit([latents(seed) for seed in range(4)])


@pytest.mark.parametrize("shape", [(1, 1, 24), (1, 7, 24), (2, 2, 24), (13, 9, 24), (24, 30, 24)])
def test_maps_of_any_size_come_back(shape):
    found = latents(9, shape)
    assert (CODER.decode(CODER.encode(found), shape) == found).all()


def test_values_far_beyond_the_tables_come_back():
    found = latents(10, (5, 6, 24))
    found[2, 3, 1], found[0, 0, 0], found[4, 5, 23] = 10**12, -(2**63), 2**63 - 1
    assert (CODER.decode(CODER.encode(found), found.shape) == found).all()


def test_a_map_of_zeros_takes_nearly_nothing():
    assert len(CODER.encode(np.zeros((24, 30, 24), int))) == 3 + 4 * 4


def test_the_size_is_within_two_percent_of_the_ideal_length():
    found = latents(11, (64, 96, 24))
    assert len(CODER.encode(found)) == pytest.approx(CODER.bits(found) / 8, rel=0.005)


def test_the_length_is_told_with_escapes():
    found = latents(11, (64, 96, 24))
    found[::4, ::4, 0] = 10**9
    assert len(CODER.encode(found)) == pytest.approx(CODER.bits(found) / 8, rel=0.005)


@pytest.mark.parametrize("both", [False, True])
def test_a_value_alone_becomes_the_cheapest_within_one(both):
    coder = LatentCoder.fit([latents(seed, (24, 30, 1)) for seed in range(4)])
    random = np.random.default_rng(0)
    for value in [*range(-9, -1), *range(2, 10)]:
        slope, bend = random.normal(size=2) * (6, 3)
        moves = (0, 1, -1) if both else (0, -np.sign(value))
        one = np.array([[[value]]])
        prices = {move: slope * move + bend * move**2 + coder.bits(one + move) for move in moves}
        cheapest = value + min(prices, key=prices.get)
        assert coder.lighter(one, np.full(one.shape, slope), np.full(one.shape, bend), both).item() == cheapest


def test_only_what_is_free_to_lose_is_made_lighter():
    found = latents(15)
    found[3, 4, 2], found[5, 6, 7] = 10**12, -(2**63)
    nothing = np.zeros(found.shape)
    assert (CODER.lighter(found, nothing, nothing + 1e3, both=True) == found).all()
    lighter = CODER.lighter(found, nothing, nothing)
    assert (np.abs(found.astype(float)) - np.abs(lighter.astype(float)) >= 0).all()
    assert (found - lighter).max() == 1
    assert CODER.bits(lighter) < 0.8 * CODER.bits(found)


def test_contexts_beat_a_table_for_each_channel():
    train, found = [latents(seed) for seed in range(4)], latents(12)
    counts = np.zeros((24, 64), int)
    for one in train:
        np.add.at(counts, (np.broadcast_to(np.arange(24), one.shape), symbols_of(one, 31)), 1)
    static = Tables.from_counts(counts).bits(symbols_of(found, 31), np.broadcast_to(np.arange(24), found.shape))
    assert CODER.bits(found) < 0.95 * static


def test_the_first_groups_alone_give_a_preview():
    found = latents(13)
    preview = CODER.decode(CODER.encode(found), found.shape, groups=3)
    assert (preview[:, :, :4] == found[:, :, :4]).all()
    assert not preview[:, :, 4:].any()


def test_a_coder_comes_back_from_its_bytes():
    again = LatentCoder.from_bytes(CODER.to_bytes())
    assert again.to_bytes() == CODER.to_bytes()
    assert again.encode(latents(14)) == CODER.encode(latents(14))


def test_damaged_coders_are_refused():
    data = CODER.to_bytes()
    for damaged in (b"", data[:3], data[:50], data[:-1], b"\xff" * 4 + data[4:], data[:4] + b"[" + data[5:]):
        with pytest.raises(CorruptStreamError):
            LatentCoder.from_bytes(damaged)


def test_every_cut_stream_is_refused():
    found = latents(15, (6, 5, 24))
    data = CODER.encode(found)
    for length in range(len(data)):
        with pytest.raises(CorruptStreamError):
            CODER.decode(data[:length], found.shape)


def test_what_is_no_map_of_integers_is_refused():
    with pytest.raises(TypeError, match="round them"):
        CODER.encode(np.zeros((2, 2, 24)))
    with pytest.raises(ValueError, match="h, w, 24"):
        CODER.encode(np.zeros((2, 2, 23), int))


def test_groups_double_and_cover_all_channels():
    for n in (1, 2, 3, 5, 192, 256):
        sizes = channel_groups(n)
        assert sum(sizes) == n
        assert all(b <= sum(sizes[: i + 1]) for i, b in enumerate(sizes[1:]))


def context_by_hand(values, decoded, h, w, channel, groups):
    """The two sums of the docstring, by loops: of what is decoded when the pass of this cell begins."""
    begins = np.cumsum([0, *groups])
    group = int(np.searchsorted(begins, channel, "right")) - 1
    small = np.minimum(np.abs(values), 15)
    before = small[:, :, begins[max(group - 2, 0)] : begins[group]].sum(axis=2)

    def at(a, i, j):
        return int(a[i, j]) if 0 <= i < a.shape[0] and 0 <= j < a.shape[1] else 0

    eight = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    around = 2 * int(before[h, w]) + sum(at(before, h + i, w + j) for i, j in eight) // 2
    if not decoded:
        return 0, around
    four = [(-1, 0), (1, 0), (0, -1), (0, 1)]
    own = small[:, :, begins[group] : begins[group + 1]].sum(axis=2)
    around += sum(at(own, h + i, w + j) for i, j in four)
    return min(15, sum(at(small[:, :, channel], h + i, w + j) for i, j in four)), around


def test_tables_are_chosen_as_documented():
    values, groups = latents(16, (5, 6, 7)), (1, 1, 2, 3)
    values[:, :, 0] += 1  # no channel is empty
    edges = np.sort(np.random.default_rng(0).integers(0, 60, (4, 2, 7)), axis=2)
    for step in MagnitudeContexts(groups, edges).steps(values, np.ones(7, bool)):
        turn = (step.rows[0] + step.columns[0]) % 2
        found = step.index.reshape(len(step.rows), len(step.channels))
        for i, (h, w) in enumerate(zip(step.rows, step.columns, strict=True)):
            for j, channel in enumerate(step.channels):
                assert (h + w) % 2 == turn
                near, around = context_by_hand(values, turn == 1, h, w, channel, groups)
                bins = [0, 1, 2, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5][near]
                level = sum(around >= edge for edge in edges[step.group, turn])
                assert found[i, j] == 96 * step.group + 48 * turn + 8 * bins + level
