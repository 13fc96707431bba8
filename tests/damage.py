"""What tests of damaged files share."""

import struct
import zlib

from isthmus.coding.container import CHUNK, START, is_small


def resigned(data: bytes) -> bytes:
    """Make all checksums fit again, so that damage reaches what is behind them."""
    data = bytearray(data)
    if is_small(data) or len(data) < START.size:
        data[-4:] = struct.pack("<I", zlib.crc32(data[:-4]))
        return bytes(data)
    end = START.size + struct.unpack_from("<I", data, START.size - 4)[0]
    begin = seal = 0
    while end + 4 <= len(data):
        of = seal if begin and data[begin : begin + 4] == b"END " and data[9] else 0
        struct.pack_into("<I", data, end, zlib.crc32(data[begin:end], of))
        seal = zlib.crc32(data[end : end + 4], seal)
        begin = end + 4
        if begin + CHUNK.size > len(data):
            break
        end = begin + CHUNK.size + CHUNK.unpack_from(data, begin)[1]
    return bytes(data)
