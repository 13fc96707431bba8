import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.coding import CorruptStreamError, Decoder, Encoder, Tables, decode_values, encode_values, lanes_for
from isthmus.coding.integers import WIDTHS, bit_length


def written(steps, tables, lanes):
    encoder = Encoder()
    for symbols, index in steps:
        encoder.symbols(tables, symbols, index)
    return encoder.finish(lanes)


def some(seed, n=500, n_tables=7, n_symbols=9):
    random = np.random.default_rng(seed)
    tables = Tables.from_counts(random.integers(0, 50, (n_tables, n_symbols)))
    return tables, random.integers(0, n_symbols, n), random.integers(0, n_tables, n)


def by_hand(data, tables, index, lanes):
    """The decoder of the docstring, one symbol at a time, in Python's whole numbers."""
    states = [int.from_bytes(data[4 * i : 4 * i + 4], "little") for i in range(lanes)]
    words = [int.from_bytes(data[i : i + 2], "little") for i in range(4 * lanes, len(data), 2)]
    found = []
    for i, table in enumerate(index):
        x = states[i % lanes]
        frequencies = tables.frequencies[table].tolist()
        start, symbol = 0, 0
        while start + frequencies[symbol] <= x % 65536:
            start += frequencies[symbol]
            symbol += 1
        x = frequencies[symbol] * (x // 65536) + x % 65536 - start
        states[i % lanes] = 65536 * x + words.pop(0) if x < 65536 else x
        found.append(symbol)
    return found, states, words


def test_a_decoder_of_one_symbol_at_a_time_reads_the_same():
    tables, symbols, index = some(0)
    data = written([(symbols, index)], tables, 4)
    found, states, words = by_hand(data, tables, index, 4)
    assert found == symbols.tolist()
    assert states == [65536] * 4
    assert words == []


@given(st.integers(0, 2**32), st.lists(st.integers(0, 200), max_size=6), st.sampled_from([1, 4, 64]))
def test_steps_come_back_whatever_their_sizes(seed, sizes, lanes):
    tables, symbols, index = some(seed, sum(sizes))
    cuts = np.cumsum(sizes)[:-1] if sizes else []
    steps = list(zip(np.split(symbols, cuts), np.split(index, cuts), strict=True)) if sizes else []
    decoder = Decoder(written(steps, tables, lanes), lanes)
    for expected, tables_of in steps:
        assert (decoder.symbols(tables, tables_of) == expected).all()
    decoder.end()


def test_a_context_may_depend_on_what_was_just_decoded():
    tables, symbols, _ = some(1, 300)
    pieces = np.split(symbols, 10)
    contexts = [np.zeros(30, int), *[piece % 7 for piece in pieces[:-1]]]
    decoder = Decoder(written(zip(pieces, contexts, strict=True), tables, 4), 4)
    context = np.zeros(30, int)
    for piece in pieces:
        found = decoder.symbols(tables, context)
        assert (found == piece).all()
        context = found % 7
    decoder.end()


def test_the_length_is_within_two_percent_of_the_ideal():
    random = np.random.default_rng(2)
    tables = Tables.from_counts((1000 * np.exp(-np.arange(20) / np.array([[0.3], [1.0], [4.0]]))).astype(int))
    index = random.integers(0, 3, 150_000)
    symbols = np.minimum(random.exponential(np.array([0.3, 1.0, 4.0])[index]).astype(int), 19)
    data = written([(symbols, index)], tables, lanes_for(len(symbols)))
    ideal = tables.bits(symbols, index) / 8
    assert ideal < len(data) < 1.02 * ideal


def test_lanes_are_as_many_as_the_format_says():
    assert [lanes_for(n) for n in (0, 8191, 8192, 2**17, 2**19, 2**20 - 1, 2**20, 2**40)] == [
        4,
        4,
        4,
        64,
        64,
        64,
        128,
        512,
    ]


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50), st.integers(0, 2**32))
def test_raw_bits_come_back(values, seed):
    values = np.array(values, np.uint64)
    widths = np.random.default_rng(seed).integers(0, 65, len(values))
    encoder = Encoder()
    encoder.bits(values, widths)
    decoder = Decoder(encoder.finish(4), 4)
    masks = np.array([(1 << int(width)) - 1 for width in widths], np.uint64)
    assert (decoder.bits(widths) == values & masks).all()
    decoder.end()


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=60))
def test_values_of_any_size_come_back_through_escapes(values):
    values = np.array(values, np.int64)
    tables = Tables.from_counts(np.ones((2, 10), int))
    index = np.arange(len(values)) % 2
    encoder = Encoder()
    encode_values(encoder, tables, values, index)
    decoder = Decoder(encoder.finish(4), 4)
    assert (decode_values(decoder, tables, index) == values).all()
    decoder.end()


def test_an_escape_costs_as_many_bits_as_its_exp_golomb_code():
    lengths = 16 - np.log2(WIDTHS.frequencies[0, :12])
    assert np.abs(lengths - np.arange(1, 13)).max() < 0.01


@given(st.integers(0, 2**64 - 1))
def test_bit_lengths_are_pythons(value):
    assert bit_length(np.array([value], np.uint64)).tolist() == [value.bit_length()]


def test_every_cut_and_every_flipped_byte_is_noticed_or_harmless():
    tables, symbols, index = some(3, 200)
    data = written([(symbols, index)], tables, 4)

    def decoded(stream):
        decoder = Decoder(stream, 4)
        found = decoder.symbols(tables, index)
        decoder.end()
        return found

    for length in range(len(data)):
        with pytest.raises(CorruptStreamError):
            decoded(data[:length])
    for place in range(len(data)):
        with pytest.raises(CorruptStreamError):
            decoded(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
    with pytest.raises(CorruptStreamError, match="does not end"):
        decoded(data + b"\0\0")


def test_sizes_are_those_of_constriction():
    constriction = pytest.importorskip("constriction")
    tables, symbols, index = some(4, 60_000, n_tables=1)
    model = constriction.stream.model.Categorical(tables.frequencies[0] / 65536, perfect=False)
    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(symbols.astype(np.int32), model)
    theirs = 4 * len(coder.get_compressed())
    ours = len(written([(symbols, index)], tables, lanes_for(len(symbols))))
    assert abs(ours - theirs) < 0.01 * theirs
