"""Parts by name: text, trees and schemas, and what is refused."""

from __future__ import annotations

import inspect
import json
import sys
from contextlib import contextmanager

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isthmus.jobs
from isthmus import AutoEncoder, Part, names, schemas
from isthmus.bottlenecks import Gaussian, Linear
from isthmus.corruptions import GaussianNoise
from isthmus.modalities import Tables
from isthmus.networks import ConvDecoder, MLPDecoder, MLPEncoder

PARTS = [cls for table in names.slots().values() for cls in table.values()]
# For every type of parameter a value that is not its default.
OTHERS = [
    Gaussian(size=8, beta=0.5),
    Linear(activation="tanh"),
    MLPEncoder(hidden=(64, 32), residual=True),
    MLPEncoder(hidden=[8], norm="layer"),
    ConvDecoder(channels=(4,)),
    Tables(types={"a": "category", "part": "number"}),
    GaussianNoise(np.float32(0.5)),
]


class Doubling(Part):
    """A stranger's part, with a part among its params.

    Parameters
    ----------
    inner : Part
        What is doubled.
    times : int, default=2
        How often.
    """

    def __init__(self, inner: Part, times: int = 2):
        super().__init__()
        self.inner = inner
        self.times = times


class Counter:
    """A stranger's job."""

    def __init__(self, limit: int = 3):
        self.limit = limit


def as_text(part):
    params = part.get_params(deep=False)
    return f"{type(part).__name__}({', '.join(f'{name}={value!r}' for name, value in params.items())})"


def same(one, two):
    return type(one) is type(two) and names.describe(one) == names.describe(two)


def test_the_registry_is_all_of_every_slot():
    assert set(names.slots()) == set(names.SLOTS)
    assert names.slots()["bottlenecks"]["Gaussian"] is Gaussian
    assert all(issubclass(cls, Part) for cls in PARTS)


@pytest.mark.parametrize("name", ["Gaussian", "gaussian", "GAUSSIAN", "gaus_sian"])
def test_case_and_underscores_do_not_count(name):
    assert names.find(name) is Gaussian


def test_a_name_is_looked_for_in_its_slot_only():
    with pytest.raises(ValueError, match="no part is called 'gaussian'. The penalties here: .*KLSparsity"):
        names.find("gaussian", "penalties")
    with pytest.raises(ValueError, match="no slot is called 'os'"):
        names.find("system", "os")


def test_a_strangers_part_goes_before_ours():
    class Gaussian(Part):
        pass

    assert names.find("gaussian", "bottlenecks", [Gaussian]) is Gaussian
    with pytest.raises(ValueError, match=r"load\(path, parts=\[YourPart\]\)"):
        names.find("doubling")
    with pytest.raises(TypeError, match=r"takes classes, got .*write parts=\[Linear\]"):
        names.find("linear", None, [Linear()])


def test_jobs_are_found_by_name():
    assert names.find_job("Counter", [Doubling, Counter]) is Counter
    for name in isthmus.jobs.__all__:
        found = getattr(isthmus.jobs, name)
        if hasattr(found, "restore") and not inspect.isabstract(found):
            assert names.find_job(name.lower()) is found
    with pytest.raises(ValueError, match="no job is called 'Doubling'"):
        names.find_job("Doubling", [Doubling])


@pytest.mark.parametrize("part", [cls() for cls in PARTS] + OTHERS, ids=repr)
def test_a_part_survives_json(part):
    tree = json.loads(json.dumps(names.describe(part)))
    assert same(names.restore(tree), part)


@pytest.mark.parametrize("part", [cls() for cls in PARTS] + OTHERS[:5], ids=repr)
def test_a_part_survives_text(part):
    assert same(names.parse(as_text(part)), part)


def test_parts_within_parts_survive_json_and_text():
    part = Doubling(Doubling(Linear(3)), times=4)
    known = [Doubling]
    assert same(names.restore(names.describe(part), None, known), part)
    assert same(names.parse("doubling(doubling(linear(size=3)), times=4)", None, known), part)
    assert same(names.parse("doubling(linear)", None, known), Doubling(Linear()))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "cannot read"),
        ("gaussian(", "cannot read"),
        ("gaussian(size=8", "cannot read"),
        ("gaussian; linear", "cannot read"),
        ("1 + 1", "cannot read"),
        ("'gaussian'", "cannot read"),
        ("gaussian.linear", "cannot read"),
        ("[gaussian]", "cannot read"),
        ("gaussian(size=1 + x)", "cannot read an argument"),
        ("gaussian(size=(lambda: 3)())", "cannot read"),
        ("gaussian(size=[i for i in (1,)])", "cannot read an argument"),
        ("gaussian(size=f'{1}')", "cannot read an argument"),
        ("gaussian(*(1, 2))", "takes at most"),
        ("gaussian(**{'size': 1})", "give each argument"),
        ("gaussian(1, size=1)", "give each argument"),
        ("gaussian(1, 2, 3, 4, 5, 6)", "takes at most 5 arguments: size, beta, free_bits, warm_up, prior"),
        ("gaussian(width=1)", "Gaussian has no parameter 'width'; it has: size, beta, free_bits"),
        ("bernoulli_likelihood(a=1)", "it has: none"),
        ("doubling()", "no part is called 'doubling'"),
        ("gaussian(size=open('x'))", "no part is called 'open'"),
        ("a" * 20_000, "at most 10000 characters"),
        ("(" * 9_000, "cannot read"),
        ("-" * 9_000 + "1", "cannot read"),
    ],
)
def test_text_that_is_no_part_is_refused_with_the_reason(text, why):
    with pytest.raises(ValueError, match=why) as caught:
        names.parse(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700


def test_a_parameter_without_a_default_must_be_given():
    with pytest.raises(ValueError, match="Doubling needs inner"):
        names.parse("doubling", None, [Doubling])


SYNTAX = st.lists(
    st.sampled_from(
        ["gaussian", "linear", "mlp_encoder", "size", "hidden", "(", ")", "=", ",", "*", "**", "[", "]", "{", "}", ":"]
        + ["1", "-", "1e999", "'", '"', "\\", "\0", "\n", "None", "True", "...", "lambda", "b'a'", "1j", " ", "é", "."]
    ),
    max_size=12,
).map("".join)


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=40) | SYNTAX)
def test_of_any_text_parse_makes_a_part_or_a_value_error(text):
    try:
        part = names.parse(text)
    except ValueError as error:
        assert str(error)
    else:
        assert isinstance(part, Part)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["Gaussian", "L1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["part", "params", "size", "beta"]) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(JSON | st.builds(lambda name, params: {"part": name, "params": params}, st.sampled_from(["Gaussian"]), JSON))
def test_of_any_tree_restore_makes_a_part_or_a_value_error(tree):
    try:
        part = names.restore(tree)
    except ValueError as error:
        assert str(error)
    else:
        assert isinstance(part, Part)


EXECUTING = {"exec", "import", "os.system", "subprocess.Popen", "pickle.find_class", "ctypes.dlopen", "open"}
audited: list[list[str]] = []


def audit(event, args):
    if audited and event in EXECUTING:
        audited[-1].append(f"{event} {args}")


sys.addaudithook(audit)


@contextmanager
def executed():
    """Give a list of all that is executed, imported or opened within it."""
    audited.append([])
    try:
        yield audited[-1]
    finally:
        audited.pop()


def test_the_watch_for_executed_code_sees_it():
    with executed() as seen:
        eval("1")
    assert len(seen) == 1 and seen[0].startswith("exec")


@pytest.mark.parametrize(
    "text",
    ["__import__('os').system('true')", "gaussian(size=__import__('os'))", "exec('1')", "gaussian(size=eval('1'))"],
)
def test_nothing_is_evaluated(text):
    with executed() as seen:
        assert names.parse("gaussian(size=8)").size == 8
        with pytest.raises(ValueError, match="cannot read|no part is called"):
            names.parse(text)
    assert seen == []


@pytest.mark.parametrize("name", ["os.system", "isthmus.part.Part", "Part", "nn.Linear", "../x", "__import__"])
def test_a_tree_names_nothing_outside_the_registry(name):
    with executed() as seen, pytest.raises(ValueError, match=f"no part is called '{name}'"):
        names.restore({"part": name, "params": {}})
    assert seen == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, len, 1j, np.zeros(2)])
def test_a_param_that_json_cannot_hold_is_refused_by_its_name(value):
    with pytest.raises(TypeError, match=r"Linear\.size is .*cannot be saved"):
        names.describe(Linear(size=value))


def test_trees_are_bounded():
    deep = names.describe(Linear())
    for _ in range(30):
        deep = {"part": "Doubling", "params": {"inner": deep}}
    with pytest.raises(ValueError, match="deeper than 20"):
        names.restore(deep, None, [Doubling])
    nested = 1
    for _ in range(30):
        nested = [nested]
    with pytest.raises(ValueError, match="deeper than 20"):
        names.from_json(nested)
    with pytest.raises(ValueError, match="10001 items"):
        names.from_json(list(range(10_001)))
    with pytest.raises(ValueError, match="10001 items"):
        names.from_json({str(i): i for i in range(10_001)})


@pytest.mark.parametrize("tree", [None, [], "Linear", {}, {"part": "Linear"}, {"part": 1, "params": {}}])
def test_a_tree_of_another_form_is_refused(tree):
    with pytest.raises(ValueError, match="expected a part as"):
        names.restore(tree)


def test_sequences_come_back_as_tuples():
    assert names.from_json(names.to_json({"a": [1, (2, 3)], "b": None})) == {"a": (1, (2, 3)), "b": None}


@pytest.mark.parametrize("part", [cls() for cls in PARTS] + OTHERS, ids=repr)
def test_the_schema_admits_the_params_of_real_parts(part):
    found = schemas.schema(type(part))
    jsonschema.Draft202012Validator.check_schema(found)
    jsonschema.validate(names.describe(part)["params"], found)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"no_such_parameter": 1}, found)


def test_the_schema_of_the_estimator_admits_parts_and_their_names():
    found = schemas.schema(AutoEncoder)
    jsonschema.Draft202012Validator.check_schema(found)
    for model in (
        AutoEncoder(),
        AutoEncoder(Tables(), Gaussian(3), penalties=(Linear(), "l1"), max_epochs=3, random_state=0),
        AutoEncoder("tables", "linear", encoder="mlp_encoder", checkpoint="fit.safetensors", learning_rate=0.1),
    ):
        jsonschema.validate({name: names.to_json(value) for name, value in model.get_params(False).items()}, found)
    for wrong in ({"max_epochs": "ten"}, {"penalties": "l1"}, {"resume": 1}, {"clip": None}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, found)


def test_the_schema_says_type_default_and_meaning():
    found = schemas.schema(MLPDecoder)
    assert found["description"].startswith("Dense layers from the whole code")
    assert found["properties"]["tied"]["default"] is False
    assert found["properties"]["hidden"]["anyOf"] == [
        {"type": "array", "items": {"type": "integer"}},
        {"type": "null"},
    ]
    assert schemas.schema(Doubling)["required"] == ["inner"]


@pytest.mark.parametrize("cls", [*PARTS, AutoEncoder])
def test_the_schema_describes_each_parameter_and_nothing_else(cls):
    found = schemas.schema(cls)
    assert set(found["properties"]) == set(inspect.signature(cls).parameters)
    for name, entry in found["properties"].items():
        assert entry.get("description"), f"{cls.__name__}.{name} has no description"
        assert "Facts" not in entry["description"] and "Raises" not in entry["description"]


def test_a_section_that_follows_is_no_parameter():
    texts = schemas._parameter_texts(inspect.getdoc(Gaussian))
    assert set(texts) == {"size", "beta", "free_bits", "warm_up", "prior"}
    assert texts["beta"].startswith("Weight of the KL divergence")
