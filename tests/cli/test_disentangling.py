"""``isthmus swap`` and ``isthmus disentangle``, and the picture of the latter."""

import json

import click
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from PIL import Image

from isthmus import AutoEncoder, pictures, saving
from isthmus.bottlenecks import Gaussian, Linear, Split
from isthmus.cli import main, settings
from isthmus.jobs import FactorSwapper
from isthmus.jobs.factors import swap_factor
from isthmus.metrics import disentanglement
from isthmus.networks import ConvDecoder, ConvEncoder

RANDOM = np.random.default_rng(0)
TABLE = pl.DataFrame(RANDOM.normal(size=(60, 4)).round(3), schema=list("abcd"))
KNOWN = pl.DataFrame({"kind": ["x", "y", "z"] * 20, "size": RANDOM.integers(0, 5, 60)})
IMAGES = RANDOM.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)


def ran(*words):
    result = CliRunner().invoke(main, [str(word) for word in words], prog_name="isthmus")
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a table and its factors, images, and models of both."""
    folder = tmp_path_factory.mktemp("factors")
    TABLE.write_csv(folder / "data.csv")
    KNOWN.write_csv(folder / "known.csv")
    np.save(folder / "images.npy", IMAGES)
    split = Split({"content": Gaussian(2), "style": Gaussian(1)})
    saving.save(AutoEncoder(bottleneck=split, max_epochs=1, threads=1).fit(TABLE), folder / "table")
    pooled = Split({"content": Linear(2), "style": Linear(2)}, pooled=("style",), normalized=("content",))
    parts = {"bottleneck": pooled, "encoder": ConvEncoder((4,), flatten=False), "decoder": ConvDecoder((4,))}
    job = FactorSwapper(AutoEncoder(**parts, max_epochs=1, threads=1), factor="content").fit(IMAGES)
    saving.save(job, folder / "pictures")
    return folder


def test_swap_writes_the_rows_of_a_with_a_factor_of_b(place):
    status, out, err = ran(
        *("swap", place / "table", place / "data.csv", place / "data.csv", "--factor", "content"),
        *("-o", place / "swapped.csv", "--json"),
    )
    assert status == 0, err
    said = json.loads(out)
    assert (said["rows"], said["factor"], said["factors"]) == (60, "content", ["content", "style"])
    written = pl.read_csv(place / "swapped.csv")
    assert written.columns == ["line", *"abcd"]
    wanted = swap_factor(saving.load(place / "table"), TABLE, TABLE, "content")
    assert np.allclose(written.drop("line").to_numpy(), wanted.to_numpy(), atol=1e-6)


def test_swap_of_images_exchanges_the_jobs_factor_and_draws_them(place):
    np.save(place / "one.npy", IMAGES[3:4])
    status, _, err = ran(
        *("swap", place / "pictures", place / "images.npy", place / "one.npy"),
        *("-o", place / "swapped.npy", "--picture", place / "swapped.png"),
    )
    assert status == 0, err
    assert "20 rows" in err and "with the content of" in err
    wanted = saving.load(place / "pictures").swap(IMAGES, IMAGES[3:4], "content")
    assert np.array_equal(np.load(place / "swapped.npy"), wanted)
    with Image.open(place / "swapped.png") as picture:
        assert picture.size[0] > picture.size[1]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["table", "data.csv", "data.csv", "--factor", "voice"], 2, "'voice' is none of the code's: content, style"),
        (["table", "data.csv", "short.csv"], 1, "B must have as many rows as A, 60, or one for all of them; got 7"),
        (["table", "data.csv", "data.csv", "--picture", "a.png"], 2, "--picture shows images; these rows are none"),
    ],
)
def test_swaps_that_cannot_be_are_refused_in_one_line(place, words, status, said):
    TABLE[:7].write_csv(place / "short.csv")
    here = [place / word if (place / word).exists() or word.endswith(".png") else word for word in words]
    found, out, err = ran("swap", *here, "-o", place / "no.csv")
    assert (found, out) == (status, "")
    assert said in err
    assert not (place / "no.csv").exists()


def test_disentangle_prints_every_score_and_who_tells_of_each_factor(place):
    words = ("disentangle", place / "table", place / "data.csv", "--factors", place / "known.csv")
    status, out, err = ran(*words, "-o", place / "matrix.png")
    assert status == 0, err
    assert all(name in out for name in ("mig", "factor_vae", "completeness", "kind", "size"))
    assert "…" not in out
    assert (place / "matrix.png").stat().st_size > 1_000
    status, out, err = ran(*words, "--json")
    assert status == 0, err
    said = json.loads(out)
    model = saving.load(place / "table")
    wanted = disentanglement(model.transform(TABLE), KNOWN, least_variance=0.05, random_state=0)
    assert said["scores"] == pytest.approx(wanted.scores)
    assert said["factors"] == ["kind", "size"]
    assert np.allclose(said["importances"], wanted.importances)


def test_factors_that_are_not_one_row_for_each_are_refused(place):
    KNOWN[:50].write_csv(place / "few.csv")
    status, out, err = ran("disentangle", place / "table", place / "data.csv", "--factors", place / "few.csv")
    assert (status, out) == (1, "")
    assert "few.csv has 50 rows of factors and" in err
    assert "60 rows that can be used; expected one row of factors for each" in err


def test_lines_of_the_data_that_are_set_aside_are_left_out_of_the_factors_too(place):
    lines = (place / "data.csv").read_text().splitlines()
    lines[5] += ",one,too,many"
    (place / "broken.csv").write_text("\n".join(lines) + "\n")
    words = ("disentangle", place / "table", place / "broken.csv", "--factors", place / "known.csv", "--json")
    status, out, err = ran(*words)
    assert status == 0, err
    model = saving.load(place / "table")
    kept = np.delete(np.arange(60), 4)
    wanted = disentanglement(model.transform(TABLE[kept]), KNOWN[kept], least_variance=0.05, random_state=0)
    assert json.loads(out)["scores"] == pytest.approx(wanted.scores)


def test_the_matrices_are_drawn_with_the_dimensions_that_say_most():
    matrix = RANDOM.uniform(0, 0.3, size=(60, 2))
    matrix[[3, 59]] = 0.996
    figure = pictures.factor_matrices({"information": matrix, "importance": matrix}, ["shape", "x"], title="sprites")
    left, right, *_ = figure.axes
    names = [label.get_text() for label in left.get_yticklabels()]
    assert len(names) == 40 and {"z3", "z59"} <= set(names)
    assert "1.00" in {text.get_text() for text in right.texts}
    with pytest.raises(ValueError, match=r"of one shape \(dimensions, 2\)"):
        pictures.factor_matrices({"information": matrix, "importance": matrix[:5]}, ["shape", "x"])


def test_set_reaches_into_factors_and_names_those_there_are():
    text = "bottleneck=split(factors={'content': linear(8), 'style': gaussian(4)})"
    model = AutoEncoder()
    paths = ("bottleneck__factors__content__size=3", "bottleneck__factors__style=linear(2)")
    settings.apply(model, settings.read((text, *paths)))
    assert repr(model.bottleneck) == "Split(factors={'content': Linear(size=3), 'style': Linear(size=2)})"
    with pytest.raises(click.UsageError, match=r"bottleneck__factors has: bottleneck__factors__content, .*__style"):
        settings.apply(AutoEncoder(), settings.read((text, "bottleneck__factors__voice__size=3")))
