"""The container: what a compressed file looks like, whatever is in it; and reading it within bounds."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from isthmus.coding.errors import CorruptStreamError

__all__ = [
    "ARRAY",
    "IMAGE",
    "KINDS",
    "MAGIC",
    "VECTORS",
    "WRAPPED",
    "Chunk",
    "Contents",
    "Small",
    "is_small",
    "kind_of",
    "pieces",
    "read",
    "read_small",
    "salvage",
    "write",
    "write_small",
]

MAGIC = b"\x89AEC\r\n\x1a\n"
# From minor version 1 on END seals the whole; before it had a checksum of its own alone.
MAJOR, MINOR = 1, 1
IMAGE, ARRAY, VECTORS, WRAPPED = 1, 2, 3, 4
KINDS = {IMAGE: "image", ARRAY: "array", VECTORS: "vectors", WRAPPED: "wrapped image"}
START = struct.Struct("<8sBBHQI")
CRC = struct.Struct("<I")
CHUNK = struct.Struct("<4sI")
END = b"END "
SMALL_MAGIC = b"\x89AEs"
# Magic, major version and kind in half a byte each, first four bytes of the model's digest.
SMALL_START = struct.Struct("<4sBI")
MAX_HEADER = 1 << 16
MAX_CHUNKS = 1 << 20


class Chunk(NamedTuple):
    """A named piece of a file.

    Attributes
    ----------
    name : bytes
        Four ASCII letters, digits or spaces. A lower-case first letter says that a reader
        who does not know the name may skip it.
    payload : bytes or memoryview
        At most 4 GiB.
    """

    name: bytes
    payload: bytes | memoryview


@dataclass(frozen=True)
class Contents:
    """What is in a file.

    Attributes
    ----------
    kind : int
        IMAGE, ARRAY or VECTORS.
    model : int
        The first eight bytes of the model's digest; 0 for none.
    header : bytes
        What the kind says of the whole, such as sizes.
    chunks : list of Chunk
        In the file's order, without END and those that may be skipped.
    """

    kind: int
    model: int
    header: bytes
    chunks: list[Chunk]


class Small(NamedTuple):
    """What is in a small file.

    Attributes
    ----------
    kind : int
        IMAGE, ARRAY or VECTORS.
    model : int
        The first four bytes of the model's digest.
    body : memoryview
        All the rest.
    """

    kind: int
    model: int
    body: memoryview


def pieces(kind: int, header: bytes, chunks: Iterable[Chunk], *, model: int = 0) -> Iterator[bytes]:
    """Yield a file piece by piece, so that neither it nor its chunks need be in memory at once.

    Layout, little endian: magic (8 bytes: ``89 41 45 43 0D 0A 1A 0A``), major and minor
    version (u8 each), kind (u16), model id (u64), length of the header (u32), the header,
    CRC-32 of all this (u32); chunks: name (4 bytes), length (u32), payload, CRC-32 of the
    three (u32); the last chunk is ``END `` and empty, and its CRC-32 goes on from that of all
    checksums before it, so that chunks of several files do not make one.

    Raises
    ------
    ValueError
        If a name is no chunk's name, or header or payload are too long.
    """
    if len(header) > MAX_HEADER:
        raise ValueError(f"a header has at most {MAX_HEADER} bytes, got {len(header)}.")
    start = START.pack(MAGIC, MAJOR, MINOR, kind, model, len(header)) + header
    begun = start + CRC.pack(zlib.crc32(start))
    yield begun
    seal = zlib.crc32(begun[-CRC.size :])
    for name, payload in chunks:
        if not _is_name(name) or len(payload) >= 1 << 32:
            raise ValueError(f"a chunk has a name of four letters and less than 4 GiB, got {name!r}, {len(payload)}.")
        whole = _whole(name, payload)
        yield whole
        seal = zlib.crc32(whole[-CRC.size :], seal)
    yield _whole(END, b"", seal)


def write(kind: int, header: bytes, chunks: Iterable[Chunk], *, model: int = 0) -> bytes:
    """Return a file; see :func:`pieces`.

    Examples
    --------
    >>> data = write(ARRAY, b"head", [Chunk(b"RESI", b"12345"), Chunk(b"note", b"may be skipped")])
    >>> found = read(data, known=(b"RESI",))
    >>> found.header, [bytes(chunk.payload) for chunk in found.chunks]
    (b'head', [b'12345'])
    """
    return b"".join(pieces(kind, header, chunks, model=model))


def read(data: bytes | memoryview, *, known: Iterable[bytes], max_chunks: int = MAX_CHUNKS) -> Contents:
    """Return what is in a file; payloads are views of ``data``, so that nothing is copied.

    Parameters
    ----------
    data : bytes-like
        The whole file.
    known : iterable of bytes
        Names of the chunks that the caller understands.
    max_chunks : int, default=2**20
        The most that are read.

    Raises
    ------
    CorruptStreamError
        If it is not such a file, of a later version, cut short or damaged anywhere, has more
        chunks than allowed, one that is not known and may not be skipped, or bytes after its end.
    """
    view = memoryview(data).cast("B")
    start = _start(view)
    chunks = list(_chunks(view, START.size + len(start.header) + CRC.size, frozenset(known), max_chunks))
    return replace(start, chunks=chunks)


def salvage(data: bytes | memoryview, *, known: Iterable[bytes], max_chunks: int = MAX_CHUNKS) -> Contents:
    """Return what is whole of a file that is damaged or cut short: the header, which must be, and chunks.

    Chunks are looked for by their names, wherever they are, and taken where their checksum
    fits. The search is given up, with what was found, when it has read eight times the file.

    Raises
    ------
    CorruptStreamError
        If the header is damaged.

    Examples
    --------
    >>> data = bytearray(write(ARRAY, b"head", [Chunk(b"RESI", b"12345"), Chunk(b"RESI", b"678")]))
    >>> data[45] ^= 1
    >>> [bytes(chunk.payload) for chunk in salvage(data, known=(b"RESI",)).chunks]
    [b'678']
    """
    view = memoryview(data).cast("B")
    start = _start(view)
    place, left = START.size + len(start.header) + CRC.size, 8 * len(view)
    chunks: list[Chunk] = []
    names = re.compile(b"|".join(map(re.escape, known)))
    while left > 0 and len(chunks) < max_chunks and (found := names.search(view, place)):
        left -= found.start() - place + CHUNK.size
        place = found.start() + 1
        end = found.start() + CHUNK.size + int.from_bytes(view[found.end() : found.end() + 4], "little")
        if len(view) - end < CRC.size:
            continue
        left -= end - found.start()
        if CRC.unpack_from(view, end)[0] == zlib.crc32(view[found.start() : end]):
            chunks.append(Chunk(found[0], view[found.start() + CHUNK.size : end]))
            place = end + CRC.size
    return replace(start, chunks=chunks)


def write_small(kind: int, body: bytes, *, model: int) -> bytes:
    """Return a small file, 13 bytes longer than its body, without header and chunks.

    Layout, little endian: magic (4 bytes: ``89 41 45 73``), kind and 16 times the major version
    (u8), the upper half of the model id (u32), the body, CRC-32 of all this (u32).

    Examples
    --------
    >>> data = write_small(IMAGE, b"body", model=7 << 32)
    >>> len(data), bytes(read_small(data).body), kind_of(data) == IMAGE
    (17, b'body', True)
    """
    whole = SMALL_START.pack(SMALL_MAGIC, MAJOR << 4 | kind, model >> 32) + body
    return whole + CRC.pack(zlib.crc32(whole))


def is_small(data: bytes | memoryview) -> bool:
    """Return whether a file begins as a small one."""
    return bytes(memoryview(data)[:4]) == SMALL_MAGIC


def read_small(data: bytes | memoryview) -> Small:
    """Return what is in a small file, or raise CorruptStreamError: every byte is checked, or none is believed."""
    view = memoryview(data).cast("B")
    end = len(view) - CRC.size
    if end < SMALL_START.size or not is_small(view):
        raise _cut_short(len(view))
    _, kind, model = SMALL_START.unpack_from(view)
    _check_major(kind >> 4)
    if CRC.unpack_from(view, end)[0] != zlib.crc32(view[:end]):
        raise CorruptStreamError("the file is damaged or cut short: its checksum does not fit.")
    _check_kind(kind & 15)
    return Small(kind & 15, model, view[SMALL_START.size : end])


def kind_of(data: bytes | memoryview) -> int:
    """Return the kind of a file, IMAGE for example, or raise CorruptStreamError if its header is damaged."""
    return read_small(data).kind if is_small(data) else _start(memoryview(data).cast("B")).kind


def _start(view: memoryview) -> Contents:
    """Return kind, model and header of a file, or raise CorruptStreamError."""
    if bytes(view[:8]) != MAGIC:
        raise CorruptStreamError("this is no file of isthmus compress: it does not begin as one.")
    if len(view) < START.size:
        raise _cut_short(len(view))
    _, major, _, kind, model, length = START.unpack_from(view)
    _check_major(major)
    if length > MAX_HEADER:
        raise CorruptStreamError(
            f"the header claims {length} bytes, more than the {MAX_HEADER} it may have: it is damaged."
        )
    end = START.size + length
    _check(view, 0, end, "header")
    _check_kind(kind)
    return Contents(kind, model, bytes(view[START.size : end]), [])


def _check_major(major: int) -> None:
    if major != MAJOR:
        raise CorruptStreamError(
            f"the file has format {major}, this version reads {MAJOR}. Install the version that wrote it."
        )


def _check_kind(kind: int) -> None:
    if kind not in KINDS:
        raise CorruptStreamError(f"the file holds something of kind {kind}, which this version does not know.")


def _chunks(view: memoryview, place: int, known: frozenset[bytes], max_chunks: int) -> Iterator[Chunk]:
    sealed = view[len(MAGIC) + 1] >= 1  # the minor version
    seal = zlib.crc32(view[place - CRC.size : place])
    for _ in range(max_chunks + 1):
        if len(view) - place < CHUNK.size:
            raise _cut_short(len(view))
        name, length = CHUNK.unpack_from(view, place)
        if not _is_name(name):
            raise CorruptStreamError(f"what should be a chunk at byte {place} is none: the file is damaged.")
        begin = place + CHUNK.size
        end = begin + length
        of = seal if name == END and sealed else 0
        _check(view, place, end, f"chunk {name.decode()!r} at byte {place}", of)
        place = end + CRC.size
        seal = zlib.crc32(view[end:place], seal)
        if name == END:
            if length or place != len(view):
                raise CorruptStreamError(
                    f"there are {len(view) - place + length} bytes where the file should have ended."
                )
            return
        if name in known:
            yield Chunk(name, view[begin:end])
        elif not name[:1].islower():
            raise CorruptStreamError(f"chunk {name.decode()!r} is not known to this version, and may not be skipped.")
    raise CorruptStreamError(f"the file has more than {max_chunks} chunks, the most that are read.")


def _check(view: memoryview, begin: int, end: int, what: str, seal: int = 0) -> None:
    """Check that bytes are there, and that the CRC-32 after them is theirs, gone on with from ``seal``."""
    if len(view) - end < CRC.size:
        raise _cut_short(len(view))
    if CRC.unpack_from(view, end)[0] != zlib.crc32(view[begin:end], seal):
        raise CorruptStreamError(f"{what} is damaged: its checksum does not fit.")


def _cut_short(length: int) -> CorruptStreamError:
    return CorruptStreamError(f"the file ends too early, after {length} bytes: it is cut short or damaged.")


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(byte == 0x20 or chr(byte).isalnum() and byte < 128 for byte in name)


def _whole(name: bytes, payload: bytes | memoryview, seal: int = 0) -> bytes:
    chunk = CHUNK.pack(name, len(payload)) + payload
    return chunk + CRC.pack(zlib.crc32(chunk, seal))
