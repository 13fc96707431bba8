"""Places come back from the arrays they were made, and no other arrays pass for such."""

from __future__ import annotations

import numpy as np
import pytest

from isthmus.jobs.places import from_arrays, to_arrays


@pytest.mark.parametrize("places", [[3, 1, 2], [], ["a/b.png", "", "ü", "a/b.png"], ["\udcff.png"]])
def test_places_come_back(places):
    arrays = to_arrays(places)
    assert all(array.dtype.kind in "iu" for array in arrays.values())
    assert from_arrays(arrays, len(places)).tolist() == places


def test_numpys_whole_numbers_are_numbers():
    assert from_arrays(to_arrays([np.int32(4), 5]), 2).tolist() == [4, 5]


@pytest.mark.parametrize("places", [[1, "a"], [1.0], [None], [True]])
def test_a_mixture_is_refused(places):
    with pytest.raises(ValueError, match="all be whole numbers or all be text"):
        to_arrays(places)


def test_a_name_longer_than_any_path_is_refused():
    with pytest.raises(ValueError, match="4096 bytes, got one of 4097"):
        to_arrays(["a" * 4097])


TEXT, ENDS = np.frombuffer(b"abc", np.uint8), np.array([1, 3])


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"places": np.arange(3)},
        {"places": np.arange(2.0)},
        {"places": np.arange(4).reshape(2, 2)},
        {"places": [0, 1]},
        {"places": np.arange(2), "place_bytes": TEXT, "place_ends": ENDS},
        {"place_bytes": TEXT},
        {"place_bytes": TEXT, "place_ends": np.array([1, 4])},
        {"place_bytes": TEXT, "place_ends": np.array([4, 3])},
        {"place_bytes": TEXT, "place_ends": np.array([-1, 3])},
        {"place_bytes": TEXT, "place_ends": np.array([1, 2])},
        {"place_bytes": TEXT, "place_ends": np.array([3])},
        {"place_bytes": TEXT.astype(np.int64), "place_ends": ENDS},
        {"place_bytes": np.zeros(5000, np.uint8), "place_ends": np.array([0, 5000])},
        {"place_bytes": np.frombuffer(b"abc", np.int8), "place_ends": ENDS},
    ],
    ids=range(15),
)
def test_other_arrays_are_refused(arrays):
    with pytest.raises(ValueError, match="one for each of 2 rows"):
        from_arrays(arrays, 2)
