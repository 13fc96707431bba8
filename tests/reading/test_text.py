import csv
import gzip
import io
import logging

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.reading import read

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def packed(data):
    """Return data as gzip without the time of day: parameters of tests must not differ between workers."""
    return gzip.compress(data, mtime=0)


def table(folder, text, name="table.csv", **options):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, **options)


def why(rows):
    return {aside.where: aside.why for aside in rows.set_aside}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_and_said(tmp_path, caplog, separator):
    with caplog.at_level(logging.INFO):
        rows = table(tmp_path, f"a{separator}b\n1{separator}x\n")
    assert rows.frame.rows() == [(1, "x")]
    assert repr(separator) in caplog.text


def test_a_separator_within_names_does_not_mislead(tmp_path):
    rows = table(tmp_path, "weight (kg|lb),size\n1,2\n3,4\n")
    assert rows.frame.columns == ["weight (kg|lb)", "size"]


def test_tab_separates_a_tsv_whatever_its_header_holds(tmp_path):
    rows = table(tmp_path, "a,b\tc\n1\t2\n", "table.tsv")
    assert rows.frame.columns == ["a,b", "c"]


@pytest.mark.parametrize("mark", [" ", "^", ":", "~"])
def test_another_separator_is_named(tmp_path, mark):
    with pytest.raises(ValueError, match=f"separated by {mark!r}".replace("^", r"\^")):
        table(tmp_path, f"a{mark}b\n1{mark}2\n3{mark}4\n")


def test_one_column_is_a_table(tmp_path):
    rows = table(tmp_path, "height\n1.5\n2\n\n3\n")
    assert rows.frame.rows() == [(1.5,), (2.0,), (3.0,)]
    assert rows.lines.tolist() == [2, 3, 5]


def test_ragged_lines_are_set_aside_with_line_and_reason(tmp_path):
    rows = table(tmp_path, "a,b\n1,2\n3\n4,5,6\n\n7,8")
    assert rows.frame.rows() == [(1, 2), (7, 8)]
    assert rows.lines.tolist() == [2, 6]
    assert why(rows) == {"line 3": "1 field where the header has 2", "line 4": "3 fields where the header has 2"}


def test_ragged_lines_are_found_around_quotes_too(tmp_path):
    rows = table(tmp_path, 'a,b\n"x,1",2\n"y\nz",3\n"say ""so""",4\n5\n"6",7,8\n')
    assert rows.frame.rows() == [("x,1", 2), ("y\nz", 3), ('say "so"', 4)]
    assert rows.lines.tolist() == [2, 3, 5]
    assert why(rows) == {"line 6": "1 field where the header has 2", "line 7": "3 fields where the header has 2"}


def test_stray_quotes_are_text_where_that_is_clear_and_set_aside_where_not(tmp_path):
    rows = table(tmp_path, 'a,b\nx"y,2\n"k" z,3\n"l", 4\n')
    assert rows.frame.rows() == [('x"y', 2), ("l", 4)]
    assert rows.lines.tolist() == [2, 4]
    assert list(why(rows)) == ["line 3"]


def test_an_irregular_file_longer_than_a_chunk_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("isthmus.reading.text.CHUNK", 100)
    n = 250
    rows = table(tmp_path, "a,b\n" + "".join(f'x"y,{i}\n' for i in range(n)))
    assert rows.frame["b"].to_list() == list(range(n))
    assert rows.lines.tolist() == list(range(2, n + 2))


def test_an_open_quote_is_an_error_that_names_its_line(tmp_path):
    with pytest.raises(ValueError, match="line 3 and never closes"):
        table(tmp_path, 'a,b\n1,2\n"x,2\n3,4\n')


def test_line_ends_of_any_system_are_read(tmp_path):
    for end in ("\n", "\r\n", "\r"):
        assert table(tmp_path, f"a,b{end}1,2{end}3,4{end}").frame.rows() == [(1, 2), (3, 4)]


def test_spaces_around_cells_and_names_do_not_count(tmp_path):
    rows = table(tmp_path, "x , y\n 1, a\n2 , b \n")
    assert rows.frame.to_dict(as_series=False) == {"x": [1, 2], "y": ["a", "b"]}


def test_a_column_without_a_name_gets_one(tmp_path):
    assert table(tmp_path, ",b\n1,2\n").frame.columns == ["column_1", "b"]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert table(tmp_path, "\ufeffa,b\n1,2\n").frame.columns == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"a,b\n", "has a header and no rows"),
        (b"a,b", "has a header and no rows"),
        (b'"a","b"\n', "has a header and no rows"),
        (b"a,b,a\n1,2,3\n", "must differ, got a more than once"),
        (b"1,2\n3,4\n", "has no header"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16, expected UTF-8"),
        (b"a,b\n1,2\n1,\xe9\n", "not UTF-8: line 3 holds the byte 0xe9"),
        (b'a,b\nx"y,2\n1,\xe9\n', "not UTF-8: line 3"),
        (b"a,b\n\0,1\n", "no text"),
        (b"a,b\n1\n2\n", "no row that can be used; 2 were set aside, the first: line 2: 1 field"),
        (b"a,b\ninf,1\n", "no row that can be used"),
    ],
)
def test_what_is_no_table_is_said_in_one_line(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        table(tmp_path, content)
    assert "\n" not in str(caught.value)


def test_a_packed_table_is_read(tmp_path):
    assert table(tmp_path, packed(b"a,b\n1,2\n"), "table.csv.gz").frame.rows() == [(1, 2)]


@pytest.mark.parametrize(
    "content",
    [b"", b"a,b\n1,2\n", packed(b"a,b\n1,2\n" * 50)[:-9]],
    ids=["empty", "not packed", "cut off"],
)
def test_a_damaged_packed_table_is_an_error(tmp_path, content):
    with pytest.raises(ValueError, match="damaged|is empty"):
        table(tmp_path, content, "table.csv.gz")


def test_a_packed_table_larger_than_memory_is_refused_before_it_fills_it(tmp_path, monkeypatch):
    monkeypatch.setattr("isthmus.reading.limits.memory", lambda: 2**20)
    with pytest.raises(ValueError, match="more than half of this machine's memory"):
        table(tmp_path, packed(b"a,b\n" + b"1,2\n" * 2**19), "table.csv.gz")


def test_as_many_rows_as_lines_and_cells_as_numbers_in_a_larger_file(tmp_path):
    values = np.random.default_rng(0).normal(size=(10_000, 20)).round(3)
    pl.DataFrame(values).write_csv(tmp_path / "table.csv")
    rows = read(tmp_path / "table.csv")
    np.testing.assert_array_equal(rows.frame.to_numpy(), values)
    assert rows.lines[-1] == 10_001


cell = st.text(st.sampled_from('ab1 ,"\n\r;é'), max_size=4)


@QUICK
@given(st.lists(st.tuples(cell, cell), min_size=1, max_size=6))
def test_what_the_standard_library_writes_is_read_as_it_was(tmp_path, records):
    # Cells keep a mark, so that none is missing, a number, or changed by stripping.
    records = [tuple(f"<{value}>" for value in record) for record in records]
    written = io.StringIO(newline="")
    csv.writer(written).writerows([("first", "second"), *records])
    rows = table(tmp_path, written.getvalue())
    assert rows.frame.rows() == records
    assert not rows.set_aside


@QUICK
@given(st.text(st.sampled_from('a1,"\n\r; é.-'), max_size=60))
def test_random_text_is_refused_or_every_record_is_counted(tmp_path, text):
    text = "p,q\n" + text
    try:
        rows = table(tmp_path, text)
    except ValueError as error:
        assert "\n" not in str(error)
        return
    assert len(rows) == len(rows.lines) == len(rows.frame)
    places = [*(f"line {line}" for line in rows.lines), *(aside.where for aside in rows.set_aside)]
    assert len(set(places)) == len(places)
    if '"' not in text and "\r" not in text:
        assert len(places) == sum(bool(line) for line in text.split("\n")[1:])
    elif "\r" not in text:
        reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
        assert len(places) <= sum(bool(record) for record in reader) + text.count("\n")


@QUICK
@given(
    st.binary(max_size=200), st.sampled_from(["a.csv", "a.tsv", "a.csv.gz", "a.jsonl", "a.parquet", "a.npy", "a.npz"])
)
def test_random_bytes_are_refused_or_counted(tmp_path, data, name):
    try:
        rows = table(tmp_path, data, name)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert len(rows) > 0
