"""An image of 100 megapixels takes less than a gigabyte, on its way in and out, by processes of their own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from isthmus import AutoEncoder, saving
from isthmus.jobs import Compressor
from isthmus.reading.large import write_png

SIDE, GIGABYTE = 10_000, 10**9
# What the system counts for a child (wait4) would be its parent's memory, if that had more.
CALL = """
import re, sys
from pathlib import Path
from isthmus.cli import main
try:
    main(sys.argv[1:])
finally:
    print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1], file=sys.stderr)
"""


def waves(top, height, width):
    """Return rows of an image made by rule: waves across and down, and squares."""
    y, x = np.arange(top, top + height)[:, None], np.arange(width)[None]
    across = np.stack([60 * np.sin(x / (31 + 7 * i)) for i in range(3)], -1).astype(np.int16)
    down = np.stack([128 + 40 * np.cos(y / (47 - 5 * i)) for i in range(3)], -1).astype(np.int16)
    squares = 25 * ((x // 93 + y // 71) % 2).astype(np.int16)
    return (across + down + squares[..., None]).astype(np.uint8)


def peak(*words):
    """Run ``isthmus`` and return the most memory that it had, in bytes, and what it said."""
    call = [sys.executable, "-c", CALL, *map(str, words), "--json"]
    done = subprocess.run(call, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return 1024 * int(done.stderr), json.loads(done.stdout)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_100_megapixels_take_less_than_a_gigabyte(tmp_path):
    few = AutoEncoder(
        encoder="lapped_encoder(channels=12)",
        bottleneck="entropy_bottleneck(trade_offs=(0.002, 0.05))",
        decoder="lapped_decoder(filter=(), told=True)",
        loss="squared_error",
        **dict(batch_size=4, max_epochs=1, threads=1, random_state=0),
    )
    images = np.stack([waves(50 * i, 64, 64 + 9 * i)[:, -64:] for i in range(16)])
    saving.save(Compressor(few).fit(images), tmp_path / "codec")
    image = np.concatenate([waves(top, 500, SIDE) for top in range(0, SIDE, 500)])
    write_png(tmp_path / "a.png", image, None, {})
    used, said = peak("compress", tmp_path / "codec", tmp_path / "a.png", "-q", "80", "-o", tmp_path / "a.aec")
    assert (said["width"], said["height"], said["tiles"]) == (SIDE, SIDE, 400)
    assert used < GIGABYTE
    used, _ = peak("decompress", tmp_path / "codec", tmp_path / "a.aec", "-o", tmp_path / "b.png")
    assert used < GIGABYTE
