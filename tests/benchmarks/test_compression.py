"""The sheets, files and claims of the rows of images: what is measured is what a fresh process reads."""

import numpy as np
import pytest
from benchmarks.compression.images import Points, against, coded, fitted, pixels, theirs
from benchmarks.compression.kinds import Sheets, sheet
from PIL import Image

from isthmus import AutoEncoder
from isthmus.metrics import psnr
from isthmus.rows import ArrayRows


def waves(n: int, side: int = 32) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return np.stack([128 + 90 * np.sin(x / (4 + i % 5) + i) * np.cos(y / (5 + i % 3)) for i in range(n)]).astype(
        np.uint8
    )


def made(**options) -> AutoEncoder:
    return AutoEncoder(
        encoder="lapped_encoder(channels=8)",
        bottleneck="entropy_bottleneck(trade_offs=(0.002, 0.2))",
        decoder="lapped_decoder(filter=(), told=True)",
        loss="squared_error",
        batch_size=16,
        weight_decay=0.0,
        random_state=0,
        **options,
    )


def test_a_sheet_has_its_images_line_after_line():
    images = np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 3), np.uint8)
    found = sheet(images, (2, 3))
    assert found.shape == (4, 9)
    assert found[::2, ::3].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert sheet(images[..., None] * np.ones(3, np.uint8), (3, 2)).shape == (6, 6, 3)


def test_sheets_are_functions_of_their_place_alone():
    rows = Sheets(waves(50, 4), 20, (2, 2))
    assert len(rows) == 20 and rows.take(slice(None)).shape == (20, 8, 8)
    assert np.array_equal(rows.take([7, 3]), rows.take(slice(None))[[7, 3]])
    assert not np.array_equal(rows.take([0]), rows.take([1]))


def test_half_of_the_bits_is_fifty_per_cent_less_and_claims_have_their_limits():
    rates, ones = np.array([[0.1], [0.2], [0.4]]), np.ones((1, 2))
    peer = Points(rates * ones, np.array([[27.0], [29], [31]]) * ones, np.array([[8.0], [10], [12]]) * ones)
    ours = Points(peer.bpp / 2, peer.psnr, peer.similarity)
    claims = against(ours, {"JPEG": peer}, {"JPEG": (-45.0, -55.0)})
    assert [round(claim.measured, 6) for claim in claims] == [-50, -50, -50]
    assert [claim.verdict for claim in claims] == ["must", "", ""]


@pytest.mark.slow
def test_files_are_written_read_by_a_fresh_process_and_measured(tmp_path):
    rows = waves(40)
    codec, told = fitted(made, lambda n: ArrayRows(rows[:n]), 0.001, 1, tmp_path / "model")
    assert told["fitted in this run"] and told["epochs"] == 1
    again, said = fitted(made, lambda n: ArrayRows(rows[:n]), 0.001, 1, tmp_path / "model")
    assert not said["fitted in this run"] and said["minutes"] == told["minutes"]
    assert again.model_ == codec.model_
    Image.fromarray(rows[3]).save(tmp_path / "a.png")
    found = coded(codec, tmp_path / "model", [tmp_path / "a.png"], [10.0, 90.0], tmp_path / "files")
    for i, quality in enumerate((10.0, 90.0)):
        data = codec.compress(rows[3], quality)
        assert (tmp_path / "files" / f"{i:02}-00.aec").read_bytes() == data
        assert found.bpp[i, 0] == 8 * len(data) / rows[3].size
        assert found.psnr[i, 0] == psnr(rows[3], pixels(tmp_path / "files" / f"{i:02}-00.png"))
    assert found.similarity[1, 0] > found.similarity[0, 0]
    peers = theirs([tmp_path / "a.png"], 4)
    assert {"JPEG", "WebP"} <= set(peers)
    assert all((np.diff(points.bpp[:, 0]) >= 0).all() for points in peers.values())
