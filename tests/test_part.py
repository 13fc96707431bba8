"""Params, facts, weights: what the base class does for every part."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from isthmus import names
from isthmus.part import Part


class Sized(Part):
    def __init__(
        self,
        size: int = 3,
        scale: float = 0.5,
        widths: tuple[int, ...] | None = (4, 5),
        pair: tuple[int, str] = (1, "a"),
        name: str = "plain",
        flag: bool = False,
        inner: Part | None = None,
        anything=None,
    ):
        super().__init__()
        self.size = size
        self.scale = scale
        self.widths = widths
        self.pair = pair
        self.name = name
        self.flag = flag
        self.inner = inner
        self.anything = anything

    def setup(self, width):
        self.linear = nn.Linear(width, self.size)


def test_build_makes_weights_and_remembers_the_facts():
    part = Sized().build(width=7)
    assert part.facts == {"width": 7}
    assert part.linear.weight.shape == (3, 7)


def test_a_clone_has_the_params_and_neither_facts_nor_weights():
    part = clone(Sized(size=2, inner=Sized(size=9)).build(width=7))
    assert (part.size, part.inner.size, part.facts) == (2, 9, None)
    assert not list(part.parameters())


def test_nested_params_are_reached_by_their_path():
    part = Sized(inner=Sized()).set_params(inner__size=8, size=4)
    assert (part.size, part.inner.size) == (4, 8)
    assert part.get_params()["inner__size"] == 8


def test_only_what_differs_from_the_default_is_said():
    assert repr(Sized()) == "Sized()"
    assert repr(Sized(size=4, widths=(1,))) == "Sized(size=4, widths=(1,))"
    assert repr(Sized(inner=Sized(flag=True))) == "Sized(inner=Sized(flag=True))"


def test_one_and_true_and_one_point_zero_are_told_apart():
    assert repr(Sized(scale=0.5, flag=0)) == "Sized(flag=0)"
    assert repr(Sized(pair=(True, "a"))) == "Sized(pair=(True, 'a'))"


def test_numpy_values_are_said_as_python_values_and_read_back():
    part = Sized(size=np.int64(4), scale=np.float64(0.25), widths=(np.int32(2), 3))
    assert repr(part) == "Sized(scale=0.25, size=4, widths=(2, 3))"
    assert repr(names.parse(repr(part), parts=[Sized])) == repr(part)


def test_an_array_as_param_has_a_text_too():
    assert "anything=array([1, 2])" in repr(Sized(anything=np.array([1, 2])))


@pytest.mark.parametrize(
    "params",
    [
        {"size": np.int64(4)},
        {"scale": 2},
        {"scale": np.float32(0.5)},
        {"widths": [1, 2]},
        {"widths": ()},
        {"widths": None},
        {"pair": (2, "b")},
        {"flag": np.bool_(True)},
        {"inner": Sized()},
        {"anything": object()},
    ],
)
def test_values_of_the_declared_type_build(params):
    assert Sized(**params).build(width=2).facts == {"width": 2}


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ({"size": 2.0}, "int"),
        ({"size": True}, "int"),
        ({"size": "3"}, "int"),
        ({"scale": float("nan")}, "float"),
        ({"scale": float("inf")}, "float"),
        ({"scale": "0.5"}, "float"),
        ({"widths": (1, "2")}, r"tuple\[int, ...\] \| None"),
        ({"widths": 3}, r"tuple\[int, ...\] \| None"),
        ({"pair": (1, 2)}, r"tuple\[int, str\]"),
        ({"pair": (1, "a", 2)}, r"tuple\[int, str\]"),
        ({"name": 3}, "str"),
        ({"name": None}, "str"),
        ({"flag": "maybe"}, "bool"),
        ({"inner": "gaussian"}, "Part"),
    ],
)
def test_a_param_of_another_type_is_refused_by_name(params, wanted):
    (name,) = params
    with pytest.raises(TypeError, match=f"{name} of Sized must be .*{wanted}.*, got"):
        Sized(**params).build(width=2)


def test_a_part_without_params_has_none():
    class Bare(Part):
        pass

    assert Bare().get_params() == {}
    assert repr(clone(Bare())) == "Bare()"


def test_a_part_does_nothing_at_the_start_unless_it_says_so():
    part = Sized().build(width=2)
    before = part.linear.weight.clone()
    part.start(torch.ones(3, 2))
    assert torch.equal(part.linear.weight, before)
