"""Streams of rows: the same cells, lines and reasons as the readers of whole files, whatever the pieces."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.modalities import Tables
from isthmus.reading import read
from isthmus.reading.streams import Place, can_stream, stream, stream_from
from isthmus.rows import as_rows

MANY = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FITTED = pl.DataFrame(
    {
        "amount": [1.5, 2.5, None],
        "count": [10, 20, 30],
        "kind": ["ash", "oak", None],
        "flag": [True, False, True],
        "day": pl.Series(["2026-01-01", "2026-01-02", "2026-01-03"]).str.to_date(),
    }
)
SCHEMA = Tables().fit(as_rows(FITTED)).columns
NAMES = FITTED.columns


def gathered(pieces):
    """Return the rows of all pieces as one frame, their lines, and what was set aside."""
    pieces = list(pieces)
    frames = [piece.rows.frame for piece in pieces if len(piece.rows)]
    lines = [line for piece in pieces for line in piece.rows.lines.tolist()]
    aside = sorted(one for piece in pieces for one in piece.aside)
    return (pl.concat(frames, how="vertical_relaxed") if frames else None), lines, aside


def expected_of(path):
    """Return the same of the reader of whole files."""
    rows = read(path, schema=SCHEMA)
    aside = [(int(one.where.split()[1]), one.why) for one in rows.set_aside]
    return rows.frame, rows.lines.tolist(), sorted(aside)


def assert_same(path, block=2**22):
    frame, lines, aside = gathered(stream(path, SCHEMA, block=block))
    whole, whole_lines, whole_aside = expected_of(path)
    assert lines == whole_lines
    assert aside == whole_aside
    assert frame.cast(whole.schema).equals(whole)


cells = {
    "amount": st.sampled_from(["1.5", "-2", "", "NA", " 7.25 ", "1e3", "text", "inf"]) | st.floats(0, 9).map(str),
    "count": st.sampled_from(["3", "-4", "", "2.5", "many"]) | st.integers(0, 99).map(str),
    "kind": st.sampled_from(["ash", "oak", "", "a b", " elm "]),
    "flag": st.sampled_from(["true", "False", "1", "0", "", "yes"]),
    "day": st.sampled_from(["2026-01-05", "", "2026-13-01", "5 May"]),
}
quoted = st.sampled_from(['"ash"', '"o,k"', '"with ""quotes"""', '"two\nlines"', '"two\r\nlines"', '""'])
stray = st.sampled_from(['5" pipe', '"ash"x', 'a"', ' "ash"'])
GOOD_LINE = "1.5,3,ash,true,2026-01-05"


def line_of(draw, header, kinds):
    """Return a record, now and then with too many or too few cells, or a blank line."""
    row = [draw(kinds.get(name, cells[name])) if name in NAMES else "x" for name in header]
    shape = draw(st.sampled_from(["whole"] * 6 + ["short", "long", "blank"]))
    row = {"whole": row, "short": row[:-1], "long": [*row, "x"], "blank": []}[shape]
    return ",".join(row)


@st.composite
def texts(draw, kinds):
    end = draw(st.sampled_from(["\n", "\r\n"]))
    header = ["extra"] * draw(st.integers(0, 1)) + draw(st.permutations(NAMES))
    lines = [line_of(draw, header, kinds) for _ in range(draw(st.integers(0, 12)))]
    good = dict(zip(NAMES, GOOD_LINE.split(","), strict=True)) | {"extra": "x"}
    lines.insert(draw(st.integers(0, len(lines))), ",".join(good[name] for name in header))
    tail = draw(st.sampled_from(["", end, end * 3]))
    mark = draw(st.sampled_from(["", "\ufeff", "\n"]))
    return mark + end.join([",".join(header), *lines]) + tail


@pytest.mark.slow
@MANY
@given(texts({}) | texts({"kind": quoted | cells["kind"]}), st.sampled_from([1, 7, 40, 2**22]))
def test_text_in_pieces_is_the_text_as_a_whole(tmp_path, text, block):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode())
    assert_same(path, block)


@pytest.mark.slow
@MANY
@given(texts({"kind": stray | quoted | cells["kind"]}), st.sampled_from([1, 7, 40, 2**22]))
def test_text_with_stray_quotes_in_pieces_is_the_text_as_a_whole(tmp_path, text, block):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode())
    try:
        read(path, schema=SCHEMA)
    except ValueError as error:
        _, lines, aside = gathered(stream(path, SCHEMA, block=block))
        assert not set(lines) & {line for line, _ in aside}
        if "no row that can be used" in str(error):
            assert not lines
        else:
            # A quote that never closes: the reader of whole files refuses, the stream sets the line aside.
            assert "closes" in str(error)
            assert any("never closes" in why for _, why in aside)
    else:
        assert_same(path, block)


values = {
    "amount": st.none() | st.floats(-9, 9) | st.integers(-9, 9),
    "count": st.none() | st.integers(-99, 99),
    "kind": st.none() | st.sampled_from(["ash", "oak", 'with "quotes"', "line\nend", ""]),
    "flag": st.none() | st.booleans(),
    "day": st.none() | st.sampled_from(["2026-01-05", "2026-02-30"]),
}
damage = st.sampled_from(["{", "[1]", "7", '{"amount": }', "", "  ", "nonsense"])


@MANY
@given(
    st.lists(st.fixed_dictionaries(values).map(json.dumps) | damage, max_size=12),
    st.booleans(),
    st.sampled_from([1, 9, 100, 2**22]),
)
def test_lines_of_json_in_pieces_are_those_of_the_whole(tmp_path, lines, ends, block):
    first = json.dumps(FITTED[0].with_columns(pl.col("day").cast(pl.String)).to_dicts()[0])
    path = tmp_path / "table.jsonl"
    path.write_text("\n".join([first, *lines]) + "\n" * ends)
    assert_same(path, block)


@pytest.mark.parametrize("cells", [10, 40, 10_000])
def test_a_parquet_file_in_pieces_is_the_file_as_a_whole(tmp_path, monkeypatch, cells):
    monkeypatch.setattr("isthmus.reading.streams.PARQUET_CELLS", cells)
    random = np.random.default_rng(0)
    n = 3_000
    frame = pl.DataFrame(
        {
            "extra": np.arange(n),
            "count": random.integers(0, 9, n),
            "amount": np.where(random.random(n) < 0.01, np.inf, random.normal(size=n)),
            "kind": random.choice(["ash", "yew"], n),
            "day": ["2026-01-02"] * (n - 1) + ["never"],
            "flag": random.random(n) < 0.5,
        }
    )
    path = tmp_path / "table.parquet"
    frame.write_parquet(path)
    assert_same(path)
    pieces = list(stream(path, SCHEMA))
    assert len(pieces) > 1
    assert pieces[0].rows.unused == ["extra"]


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "jsonl", "parquet"])
def test_a_stream_goes_on_where_any_piece_ended(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("isthmus.reading.streams.PARQUET_CELLS", 1)
    frame = pl.concat([FITTED] * 700).with_columns(kind=pl.lit('two\nlines, "quoted"'))
    path = tmp_path / f"table.{kind}"
    if kind == "parquet":
        frame.write_parquet(path)
    elif kind == "jsonl":
        frame.write_ndjson(path)
    else:
        text = frame.write_csv().replace("10,", "ten,", 1)
        path.write_bytes(gzip.compress(text.encode(), mtime=0) if kind.endswith("gz") else text.encode())
    pieces = list(stream(path, SCHEMA, block=9_000))
    assert len(pieces) > 2
    for i, piece in enumerate(pieces[:-1]):
        again = list(stream(path, SCHEMA, block=9_000, start=piece.end))
        rest = [(line, why) for one in pieces[i + 1 :] for line, why in one.aside]
        assert gathered(again)[1] == [line for one in pieces[i + 1 :] for line in one.rows.lines.tolist()]
        assert gathered(again)[2] == rest


def csv_pieces(data, *chunks):
    return gathered(stream_from([data, *chunks], SCHEMA))


HEADER = b"amount,count,kind,flag,day\n"
GOOD = GOOD_LINE.encode() + b"\n"


def test_damage_sets_its_own_line_aside_and_no_other():
    damaged = [
        b"1.5,3,\xff\xfe,true,2026-01-05\n",
        b"1.5,3,a\0b,true,2026-01-05\n",
        b"1.5,3\n",
        b"1.5,3,ash,true,2026-01-05,6,7\n",
        b"abc,3,ash,true,2026-01-05\n",
        b"1e999,3,ash,true,2026-01-05\n",
        b'1.5,3,"ash"x,true,2026-01-05\n',
    ]
    frame, lines, aside = csv_pieces(HEADER + b"".join(GOOD + bad for bad in damaged) + GOOD)
    assert lines == list(range(2, 17, 2))
    assert [line for line, _ in aside] == list(range(3, 17, 2))
    reasons = ["byte 0xff", "zero byte", "2 fields", "7 fields", "text 'abc' in the numeric", "infinity", "expected"]
    for (_, why), said in zip(aside, reasons, strict=True):
        assert said in why, (why, said)


def test_a_quote_that_never_closes_costs_its_own_line_alone():
    _, lines, aside = csv_pieces(HEADER + GOOD + b'1.5,3,"ash,true,2026-01-05\n' + GOOD + GOOD[:-1])
    assert (lines, aside) == ([2, 4, 5], [(3, "a quote opens and never closes")])


def test_a_quote_that_does_not_close_for_long_is_a_stray_one(monkeypatch):
    monkeypatch.setattr("isthmus.reading.cutting.MAX_QUOTED", 200)
    rows = [GOOD] * 20
    pieces = list(stream_from([HEADER, b'1.5,3,"ash,true,2026-01-05\n', *rows], SCHEMA))
    # It is told while rows come, not at the end, which a stream has not.
    assert pieces[0].aside == [(2, "a quote opens and never closes")]
    assert gathered(pieces)[1] == list(range(3, 23))


def test_a_line_without_end_is_dropped_as_it_comes(monkeypatch):
    monkeypatch.setattr("isthmus.reading.cutting.MAX_LINE", 1_000)
    chunks = [HEADER, GOOD, *[b"9" * 300] * 10, b"9,9\n" + GOOD]
    _, lines, aside = gathered(stream_from(chunks, SCHEMA))
    assert lines == [2, 4]
    assert [(line, why.split()[0]) for line, why in aside] == [(3, "longer")]


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_the_kind_is_told_from_the_first_character_and_chunks_may_end_anywhere(size):
    objects = b'\n {"amount": 1.5, "count": 3, "kind": "ash", "flag": true, "day": "2026-01-05"}\n'
    for data, line in ((b"\n" + HEADER + GOOD, 3), (b"\xef\xbb\xbf" + HEADER + GOOD[:-1], 2), (objects, 2)):
        chunks = [data[begin : begin + size] for begin in range(0, len(data), size)]
        frame, lines, aside = gathered(stream_from(chunks, SCHEMA))
        assert (lines, aside) == ([line], [])
        assert frame.row(0)[:4] == (1.5, 3, "ash", True)


def test_a_piece_comes_as_soon_as_its_line_is_whole():
    seen = []

    def chunks():
        for chunk in (HEADER, GOOD, GOOD[:5], GOOD[5:], GOOD + GOOD):
            yield chunk
            seen.append("asked for more")

    rows = []
    for piece in stream_from(chunks(), SCHEMA):
        rows.append((len(piece.rows), len(seen)))
    assert rows == [(1, 1), (1, 3), (2, 4)]


def test_a_missing_column_is_named_in_text_at_once_and_in_json_if_it_was_never_missing():
    with pytest.raises(ValueError, match="lacks the columns? .*count"):
        list(stream_from([b"amount,kind\n1,ash\n"], SCHEMA))
    with pytest.raises(ValueError, match="lacks the columns count, flag, day, which .* line 1 has amount, kind"):
        list(stream_from([b'{"amount": 1, "kind": "ash"}\n'], SCHEMA))
    line = b'{"count": 1, "flag": true, "day": "2026-01-01"}\n'
    frame, lines, _ = gathered(stream_from([line, b'{"count": 1}\n'], SCHEMA))
    assert lines == [1, 2]
    assert frame.select("amount", "kind").null_count().row(0) == (2, 2)


def test_ends_of_pieces_rise(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(HEADER + GOOD * 50)
    ends = [piece.end for piece in stream(path, SCHEMA, block=100)]
    assert all(one < next for one, next in pairwise(ends))
    assert ends[-1] == Place(path.stat().st_size, 51)


def test_what_cannot_be_read_in_pieces_is_refused(tmp_path):
    assert can_stream("a.csv.gz")
    assert not can_stream("a.parquet.gz")
    with pytest.raises(ValueError, match="cannot be read in pieces"):
        list(stream(tmp_path / "a.npy", SCHEMA))
    for name, data, said in (
        ("a.csv", b"", "is empty"),
        ("b.csv", "amount\n".encode("utf-16"), "UTF-16"),
        ("c.parquet", b"PAR1nothing", "damaged"),
        ("d.csv.gz", gzip.compress(HEADER + GOOD * 99, mtime=0)[:-9], "damaged"),
        ("e.csv", b"1,2\n3,4\n", "no header"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=said):
            list(stream(tmp_path / name, SCHEMA))
