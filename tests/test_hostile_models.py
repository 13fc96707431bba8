"""Two thousand damaged, foreign and malicious model folders: one line each, quickly, nothing executed."""

from __future__ import annotations

import importlib
import io
import json
import os
import pickle
import random
import struct
import sys
import time
import zipfile
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from isthmus import AutoEncoder
from isthmus.bottlenecks import Gaussian, Linear
from isthmus.jobs import AnomalyDetector
from isthmus.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder
from isthmus.saving import load, save
from isthmus.saving.trees import checksum

EACH = 28
SECONDS, MEMORY = 2.0, 500 * 2**20
MODEL, WEIGHTS = "model.json", "weights.safetensors"
QUICK = {"max_epochs": 2, "threads": 1, "random_state": 0, "device": "cpu"}


def numbers():
    return np.random.default_rng(0).normal(size=(40, 3))


def mixed():
    rng = np.random.default_rng(0)
    table = {"a": rng.normal(size=40), "kind": rng.choice(["cat", "dog"], 40), "new": rng.random(40) < 0.5}
    return pl.DataFrame(table | {"gap": [None if i % 5 == 0 else i for i in range(40)]})


def pixels():
    return (np.random.default_rng(0).random((24, 8, 8)) * 255).astype(np.uint8)


def small(**params):
    parts = {"bottleneck": Linear(2), "encoder": MLPEncoder((4,)), "decoder": MLPDecoder((4,))}
    return AutoEncoder(**parts | QUICK | params)


BASES = {
    "numbers": (lambda: AutoEncoder(bottleneck="linear(size=2)", **QUICK), numbers),
    "mixed": (lambda: small(corruption="mask", penalties=("l1",), loss="cell_likelihood(learned=True)"), mixed),
    "images": (lambda: small(encoder=ConvEncoder((3,), width=4), decoder=ConvDecoder((3,), norm="batch")), pixels),
    "gaussian": (lambda: small(bottleneck=Gaussian(2), dtype="float64"), numbers),
    "tied": (
        lambda: small(encoder=MLPEncoder((4,), shortcut=False), decoder=MLPDecoder(tied=True, shortcut=False)),
        numbers,
    ),
    "detector": (lambda: AnomalyDetector(small(), false_alarm_rate=0.1, random_state=0), numbers),
}


@dataclass(frozen=True)
class Saved:
    """The files of a model: bytes, or a function that makes something else at a path."""

    model: Any
    weights: Any
    rows: Any = None

    @property
    def tree(self):
        return json.loads(self.model)

    def with_tree(self, tree, repaired):
        """The same with another tree; its checksum made right if it can be."""
        if repaired and isinstance(tree, dict):
            tree = tree | {"checksum": checksum(tree)}
        return replace(self, model=json.dumps(tree).encode())

    def with_weights(self, weights):
        """The same with other weights, and sums that vouch for them."""
        tree = self.tree
        tree["weights"] = {"bytes": len(weights), "sha256": sha256(weights).hexdigest()}
        return replace(self.with_tree(tree, True), weights=weights)


# Mutations: each takes a generator, a model and all models, and gives a model.


def truncated(rng, base, bases):
    name = rng.choice(["model", "weights"])
    data = getattr(base, name)
    return replace(base, **{name: data[: rng.randrange(len(data))]})


def flipped(rng, base, bases):
    name = rng.choice(["model", "weights"])
    return replace(base, **{name: flip(rng, getattr(base, name), 0)})


def flip(rng, data, begin):
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        data[rng.randrange(begin, len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def flipped_header(rng, base, bases):
    end = 8 + int.from_bytes(base.weights[:8], "little")
    return base.with_weights(flip(rng, base.weights[:end], rng.choice([0, 8])) + base.weights[end:])


LENGTHS = [0, 1, 7, 8, 100, 10**6, 2**31 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1]


def header_lengths(rng, base, bases):
    claim = rng.choice([*LENGTHS, len(base.weights), len(base.weights) - 8, rng.randrange(2**64)])
    return base.with_weights(struct.pack("<Q", claim) + base.weights[8:])


def header_values(rng, base, bases):
    end = 8 + int.from_bytes(base.weights[:8], "little")
    header = json.loads(base.weights[8:end])
    name = rng.choice([name for name in header if name != "__metadata__"])
    key = rng.choice(["dtype", "shape", "data_offsets", "name", "twice"])
    if key == "name":
        header[rng.choice(["", "x" * 1000, "module.\0", "array.0", "../x"])] = header.pop(name)
    elif key == "twice":
        header["module.again"] = header[name]
    elif key == "dtype":
        header[name]["dtype"] = rng.choice(["F64", "F16", "BF16", "I64", "U8", "BOOL", "F4", "object", 3, None])
    else:
        size = [rng.choice([0, 1, 2, 10**9, 2**62, 2**64, -1, 1.5, "3"]) for _ in range(rng.randrange(5))]
        header[name][key] = rng.choice([size, size * 100, None, {}])
    text = json.dumps(header).encode()
    return base.with_weights(struct.pack("<Q", len(text)) + text + base.weights[end:])


ODD = [
    *(None, True, False, 0, -1, 1, 2, 3, 0.5, 10**4, 10**6, 10**9, 2**62, -(2**62), 10**19, 1e-300, 1e300, -1e308),
    *("", "x", "0", "nan", "\0", "é" * 50, "a" * 5_000, "../../etc/passwd", "__import__('os').system('true')"),
    *("gaussian(size=1000000)", "linear", "MLPEncoder", "float64", "pandas", "UInt8", "category", "number"),
    *([], {}, [[]], [1] * 1_000, ["x", "x"], [0, 0], {"part": "Linear", "params": {}}, {"part": "L1", "params": None}),
    *({"part": "os.system", "params": {"command": "true"}}, {"part": "Part", "params": {}}, {"$array": "array.0"}),
    *({"$float": "nan"}, {"$array": []}, {"AutoEncoder": {}}, {"a": {"b": [1, {"c": None}]}}),
]


def places(tree):
    """All (container, key) of a tree, but for its checksum and the sums of the weights."""
    keys = tree.keys() if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        if key not in ("checksum", "weights"):
            yield tree, key
            yield from places(tree[key])


def deep_place(rng, tree):
    """One place; parts and facts, where most can go wrong, twice as likely."""
    where = rng.choice([tree, tree["module"], tree.get("job") or tree["fitted"]])
    return rng.choice(list(places(where)))


def wrong_types(rng, base, bases):
    tree = base.tree
    for _ in range(rng.choice([1, 1, 1, 3])):
        container, key = deep_place(rng, tree)
        container[key] = deepcopy(rng.choice(ODD))
        if not {"module", "fitted"} <= tree.keys() or not isinstance(tree["module"], dict):
            break
    return base.with_tree(tree, rng.random() < 0.5)


def absurd_numbers(rng, base, bases):
    tree = base.tree
    found = [(container, key) for container, key in places(tree) if type(container[key]) in (int, float)]
    for container, key in rng.sample(found, rng.choice([1, 1, 2])):
        container[key] = rng.choice([container[key] * rng.choice([-1, 0, 2, 1e9, 1e200]), *ODD[3:18]])
    return base.with_tree(tree, rng.random() < 0.5)


def keys_changed(rng, base, bases):
    tree = base.tree
    found = [(container, key) for container, key in places(tree) if isinstance(container, dict)]
    container, key = rng.choice(found)
    action = rng.choice(["delete", "rename", "add"])
    value = container[key] if action == "add" else container.pop(key)
    if action != "delete":
        container[rng.choice(["", "x", "self", "size", "__class__", "params", key.upper(), f"{key} "])] = value
    return base.with_tree(tree, rng.random() < 0.5)


def spliced(rng, base, bases):
    tree, other = base.tree, rng.choice(list(bases.values())).tree
    container, key = deep_place(rng, tree)
    kin = [(donor, name) for donor, name in places(other) if name == key]
    donor, name = rng.choice(kin or list(places(other))) if rng.random() < 0.5 else rng.choice(list(places(other)))
    container[key] = deepcopy(donor[name])
    return base.with_tree(tree, rng.random() < 0.5)


def text_changed(rng, base, bases):
    text = base.model
    at, length = rng.randrange(len(text)), rng.choice([1, 1, 5, 50])
    piece = rng.choice([b"", text[at : at + length] * 2, b"NaN", b"1e999", b"9" * 400, b"[" * 10_000, b'{"a":' * 3_000])
    piece = rng.choice([piece, b"\xff\xfe", b"\0", b"'", b"}", b'"', b",", b"null", b'"\\ud800"', b"//", b"-0", b"1_0"])
    mutated = replace(base, model=text[:at] + piece + text[at + length :])
    try:
        tree = json.loads(mutated.model)
        return base.with_tree(tree, True) if rng.random() < 0.5 else mutated
    except (ValueError, RecursionError):
        return mutated


def foreign(rng, base, bases):
    name = rng.choice(["model", "weights"])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Exploit()))
    things = [
        *(
            b"",
            b"{}",
            b"[]",
            b"null",
            b"1",
            b'"model"',
            b"<!DOCTYPE html><html></html>",
            b"\x89PNG\r\n\x1a\n" + bytes(50),
        ),
        *(pickle.dumps(Exploit()), buffer.getvalue(), rng.randbytes(rng.choice([1, 8, 100, 10_000])), bytes(5_000)),
        *(rng.choice(list(bases.values())).weights, rng.choice(list(bases.values())).model, b'{"format": 1}'),
        *(b'{"format": 1, "a": [' + b"[]," * 400_000 + b"[]]}", b'{"format": 1, "a": "' + b"a" * 17_000_000 + b'"}'),
        *(Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/etc/hostname"), lambda path: path.symlink_to(path)),
        lambda path: path.symlink_to("/dev/zero"),
    ]
    thing = rng.choice(things)
    if isinstance(thing, bytes) and name == "weights" and rng.random() < 0.5:
        return base.with_weights(thing)
    return replace(base, **{name: thing})


class Exploit:
    """What a pickle would execute."""

    def __reduce__(self):
        return os.system, ("echo hacked",)


def absurd_shapes(rng, base, bases):
    tree = base.tree
    module, facts, big = tree["module"], tree["module"]["facts"], rng.choice([300, 10**4, 10**6, 10**9, 2**40])
    part = rng.choice([module["encoder"], module["decoder"], module["bottleneck"]])
    nest = {"part": "Tables", "params": {}}
    for _ in range(rng.choice([15, 100])):
        nest = {"part": "Tables", "params": {"types": nest}}
    bombs = [
        lambda: part["params"].update(hidden=[big] * rng.choice([1, 2, 100, 5_000]), channels=[big] * 3, size=big),
        lambda: [
            part["params"].update({name: [big] * 50}) for name in ("hidden", "channels") if name in part["params"]
        ],
        lambda: [part["params"].update({name: big}) for name in ("size", "width") if name in part["params"]],
        lambda: facts.update(rank=big, shape=[big, big, 1]),
        lambda: facts.update(shape=[rng.choice([8, big]), 8, rng.choice([1, 3, big])]),
        lambda: facts.update(columns=short(facts) * min(big, 6_000)),
        lambda: [column.update(values=[str(i) for i in range(min(big, 10**5))]) for column in columns(facts)[-2:]],
        lambda: [column.update(name=str(i)) for i, column in enumerate(columns(facts))],
        lambda: facts.update(columns=[column | {"name": f"{i}"} for column in short(facts)[:1] for i in range(20_000)]),
        lambda: module.update(penalties=[{"part": "L1", "params": {}}] * min(big, 100_000)),
        lambda: module.update(penalties=[{"part": "Contractive", "params": {"n_probes": big}}]),
        lambda: tree["params"].update(modality=nest, penalties=[[]] * min(big, 10**5)),
        lambda: module.update(modality=nest),
        lambda: tree["fitted"].update(history=[{}] * min(big, 200_000), n_features_in=big),
        lambda: tree["fitted"].update(feature_names_in=["x"] * min(big, 10**5)),
        lambda: module.update(encoder={"part": "ConvEncoder", "params": {"channels": [big, 4], "flatten": False}}),
        lambda: module.update(
            loss={"part": "GaussianLikelihood", "params": {"sigma": rng.choice([1e-200, 1e200, -1])}}
        ),
    ]
    for bomb in rng.sample(bombs, rng.choice([1, 1, 2])):
        bomb()
    return base.with_tree(tree, True)


def columns(facts):
    return facts.get("columns", [])


def short(facts):
    """Copies of the columns that may be repeated: none has many values."""
    return [
        {key: value[:3] if key == "values" else value for key, value in column.items()} for column in columns(facts)
    ]


MUTATIONS = [
    truncated,
    flipped,
    flipped_header,
    header_lengths,
    header_values,
    wrong_types,
    absurd_numbers,
    keys_changed,
    spliced,
    text_changed,
    foreign,
    absurd_shapes,
]


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Every base model as bytes, after one use of each, so that all that is imported late is there."""
    importlib.import_module("torch._dynamo")  # torch's own, by some of its size computations
    made = {}
    for name, (make, rows_of) in BASES.items():
        path, rows = tmp_path_factory.mktemp(name) / "model", rows_of()
        save(make().fit(rows), path, about={"data": "made up", "rows": len(rows), "baselines": [{"a": 1}]})
        made[name] = Saved((path / MODEL).read_bytes(), (path / WEIGHTS).read_bytes(), rows)
        behave(load(path, device="cpu"), rows)
    # A mutation may say that the rows were of pandas.
    tree = made["mixed"].tree
    tree["module"]["facts"]["container"] = "pandas"
    path = tmp_path_factory.mktemp("pandas") / "model"
    write(made["mixed"].with_tree(tree, True), path)
    behave(load(path, device="cpu"), made["mixed"].rows)
    return made


EXECUTING = {"exec", "import", "os.system", "subprocess.Popen", "pickle.find_class", "ctypes.dlopen", "open"}
audited: list[list[tuple[str, Any]]] = []


def audit(event, args):
    # The annotations of our own parts are text, which typing evaluates.
    if audited and event in EXECUTING and sys._getframe(1).f_globals.get("__name__") != "typing":
        audited[-1].append((event, args[0]))


sys.addaudithook(audit)


@contextmanager
def executed(folder):
    """Give a list of all that is executed, imported, or opened outside of a folder."""
    audited.append([])
    seen = []
    try:
        yield seen
    finally:
        inside = f"{folder}{os.sep}"
        seen += [(event, what) for event, what in audited.pop() if event != "open" or not str(what).startswith(inside)]


def write(saved, folder):
    folder.mkdir()
    for name, content in ((MODEL, saved.model), (WEIGHTS, saved.weights)):
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            content(folder / name)


def peak():
    """The most memory held since :func:`reset_peak`, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def reset_peak():
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def behave(model, rows):
    """A model that loads gives finite codes and scores, or says what is wrong with the rows."""
    model = getattr(model, "estimator_", model)
    try:
        codes, scores, again = model.transform(rows), model.score_samples(rows), model.reconstruct(rows)
    except ValueError as error:
        assert str(error)
        return
    assert np.isfinite(codes).all() and np.isfinite(scores).all() and len(again) == len(rows)


def attempt(folder, rows):
    """Load; return the one line that refuses it, or None for a model that behaves."""
    before, began = reset_peak(), time.process_time()
    said = model = None
    with executed(folder) as seen:
        try:
            model = load(folder, device="cpu")
        except (ValueError, FileNotFoundError) as error:
            said = str(error)
    assert time.process_time() - began < SECONDS
    assert peak() - before < MEMORY
    assert seen == []
    if said is None:
        behave(model, rows)
    else:
        assert said and "\n" not in said and len(said) < 1_000 and str(folder) in said
    return said


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize("begin", range(0, EACH, 4))
@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
@pytest.mark.parametrize("name", BASES)
def test_a_mutated_model_is_refused_in_one_line_or_behaves(name, mutate, begin, bases, tmp_path):
    for number in range(begin, begin + 4):
        rng = random.Random(f"{name} {mutate.__name__} {number}")
        folder = tmp_path / str(number)
        write(mutate(rng, bases[name], bases), folder)
        try:
            attempt(folder, bases[name].rows)
        except Exception as error:
            error.add_note(f"number {number} of {mutate.__name__}({name})")
            raise


def test_there_are_two_thousand():
    assert EACH * len(BASES) * len(MUTATIONS) >= 2_000


def test_an_unchanged_model_is_taken_and_the_watch_sees_what_is_executed(bases, tmp_path):
    for name, saved in bases.items():
        write(saved, tmp_path / name)
        assert attempt(tmp_path / name, saved.rows) is None
    with executed(tmp_path) as seen:
        exec("1")
        pickle.loads(pickle.dumps(Path("x")))
        Path("/dev/null").read_bytes()
    assert {event for event, _ in seen} == {"exec", "pickle.find_class", "open"}


def test_a_right_checksum_lets_a_mutation_reach_the_checks_behind_it(bases, tmp_path):
    tree = bases["numbers"].tree
    tree["module"]["bottleneck"]["params"]["size"] = 3
    for repaired, why in ((False, "its checksum does not match"), (True, "should be (3,")):
        write(bases["numbers"].with_tree(tree, repaired), tmp_path / str(repaired))
        assert why in attempt(tmp_path / str(repaired), numbers())
