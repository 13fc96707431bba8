import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.coding import ARRAY, Chunk, CorruptStreamError
from isthmus.coding.container import MAGIC, pieces, read, write

CHUNKS = [Chunk(b"RESI", b"12345"), Chunk(b"note", b"skip me"), Chunk(b"RESI", b"")]
FILE = write(ARRAY, b"header", CHUNKS, model=2**64 - 1)


def summed(piece, before=0):
    return struct.pack("<I", zlib.crc32(piece, before))


def test_a_file_is_laid_out_as_documented():
    start = struct.pack("<8sBBHQI", bytes.fromhex("894145430d0a1a0a"), 1, 1, ARRAY, 7, 2) + b"hd"
    chunk = b"RESI" + struct.pack("<I", 3) + b"abc"
    end = b"END " + struct.pack("<I", 0)
    seal = zlib.crc32(summed(start) + summed(chunk))
    parts = [start, summed(start), chunk, summed(chunk), end, summed(end, seal)]
    assert write(ARRAY, b"hd", [Chunk(b"RESI", b"abc")], model=7) == b"".join(parts)


def test_files_written_before_there_was_a_seal_are_read():
    start = struct.pack("<8sBBHQI", MAGIC, 1, 0, ARRAY, 7, 0)
    parts = [start, b"RESI" + struct.pack("<I", 3) + b"abc", b"END " + struct.pack("<I", 0)]
    old = b"".join(piece + summed(piece) for piece in parts)
    assert bytes(read(old, known=(b"RESI",)).chunks[0].payload) == b"abc"


def test_chunks_of_another_file_are_noticed():
    other = write(ARRAY, b"header", [Chunk(b"RESI", b"54321"), *CHUNKS[1:]], model=2**64 - 1)
    first = FILE.index(b"RESI")
    second = FILE.index(b"note")
    mixed = [
        FILE[:first] + other[first:second] + FILE[second:],  # one in place of another
        FILE[:first] + FILE[second:],  # one left out
        FILE[:second] + FILE[first:],  # one twice
        other[:second] + FILE[second:],
    ]
    for spliced in mixed:
        with pytest.raises(CorruptStreamError, match="END"):
            read(spliced, known=(b"RESI",))


def test_what_was_written_is_read_and_what_may_be_skipped_is():
    found = read(FILE, known=(b"RESI",))
    assert (found.kind, found.model, found.header) == (ARRAY, 2**64 - 1, b"header")
    assert [bytes(payload) for _, payload in found.chunks] == [b"12345", b""]


def test_payloads_are_views_of_the_file():
    assert all(chunk.payload.obj is FILE for chunk in read(FILE, known=(b"RESI",)).chunks)


@given(st.binary(max_size=40), st.lists(st.binary(max_size=40), max_size=4))
def test_any_header_and_payloads_come_back(header, payloads):
    found = read(write(ARRAY, header, [Chunk(b"DATA", payload) for payload in payloads]), known=(b"DATA",))
    assert (found.header, [bytes(chunk.payload) for chunk in found.chunks]) == (header, payloads)


def test_every_cut_is_noticed():
    for length in range(len(FILE)):
        with pytest.raises(CorruptStreamError):
            read(FILE[:length], known=(b"RESI",))


def test_every_flipped_bit_is_noticed():
    for place in range(8 * len(FILE)):
        damaged = bytearray(FILE)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(CorruptStreamError):
            read(bytes(damaged), known=(b"RESI",))


def test_bytes_after_the_end_are_refused():
    with pytest.raises(CorruptStreamError, match="should have ended"):
        read(FILE + b"x", known=(b"RESI",))


def test_an_unknown_chunk_that_matters_is_refused_by_name():
    with pytest.raises(CorruptStreamError, match="'RESI' is not known"):
        read(FILE, known=())


def test_more_chunks_than_allowed_are_refused():
    with pytest.raises(CorruptStreamError, match="more than 2 chunks"):
        read(FILE, known=(b"RESI",), max_chunks=2)
    assert read(FILE, known=(b"RESI",), max_chunks=3)


def test_a_later_format_is_named():
    with pytest.raises(CorruptStreamError, match="format 2,"):
        read(FILE[:8] + b"\2" + FILE[9:], known=(b"RESI",))


def test_a_lying_length_takes_no_memory():
    lying = MAGIC + struct.pack("<BBHQI", 1, 0, ARRAY, 0, 2**32 - 1)
    with pytest.raises(CorruptStreamError, match="claims 4294967295 bytes"):
        read(lying + b"x" * 100, known=())
    with pytest.raises(CorruptStreamError, match="ends too early"):
        read(write(ARRAY, b"", [])[:-12] + b"RESI" + struct.pack("<I", 2**32 - 1) + b"x" * 50, known=(b"RESI",))


@pytest.mark.parametrize("name", [b"RES", b"RESID", b"RE\0I", b"R-SI", b"\xe4bcd"])
def test_names_that_are_none_are_refused(name):
    with pytest.raises(ValueError, match="four letters"):
        list(pieces(ARRAY, b"", [Chunk(name, b"")]))
