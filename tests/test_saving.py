"""A model comes back as it was saved, or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from sklearn.base import BaseEstimator, clone

from isthmus import AutoEncoder, Code, Part
from isthmus.bottlenecks import Gaussian, Linear
from isthmus.corruptions import Mask
from isthmus.jobs import AnomalyDetector, Denoiser, Generator, Mapper
from isthmus.losses import BernoulliLikelihood, CellLikelihood
from isthmus.modalities import Images, Tables
from isthmus.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder
from isthmus.penalties import L1, Contractive
from isthmus.saving import FORMAT, check_place, folder, inspect, load, save
from isthmus.saving.budget import Budget
from isthmus.saving.trees import checksum, pack, unpack

DATA = Path(__file__).parent / "data"
QUICK = {"max_epochs": 2, "threads": 1, "random_state": 0}


def numbers(n=40, columns=5):
    return np.random.default_rng(0).normal(size=(n, columns))


def mixed(n=60):
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "größe": rng.normal(170, 10, n),
            "kind": rng.choice(["cat", "dog", "Ł|*`"], n),
            "is_new": rng.integers(0, 2, n).astype(bool),
            "gap": [None if i % 7 == 0 else float(i) for i in range(n)],
            "count": rng.integers(0, 50, n).astype(np.int16),
        }
    )


def pixels(n=30, dtype=np.uint8, shape=(8, 10)):
    return (np.random.default_rng(0).random((n, *shape)) * 255).astype(dtype)


def small(**params):
    parts = {"bottleneck": Linear(2), "encoder": MLPEncoder((8,)), "decoder": MLPDecoder((8,))}
    return AutoEncoder(**parts | QUICK | params)


CONVOLUTION = {"encoder": ConvEncoder((4,), width=6, norm="batch"), "decoder": ConvDecoder((4,), residual=True)}
MODELS = {
    "numbers": (AutoEncoder(**QUICK), numbers()),
    "float64": (small(dtype="float64"), numbers()),
    "heavy tails": (small(modality=Tables(heavy_tails="squash")), np.exp(3 * numbers())),
    "gaps": (small(), np.where(numbers() > 1, np.nan, numbers())),
    "mixed": (small(corruption="mask(share=0.3)", penalties=("l1", L1(0.5))), mixed()),
    "pandas": (small(loss=CellLikelihood(learned=True)), pd.DataFrame(mixed().to_dict(as_series=False))),
    "typed": (small(modality=Tables(types={"x1": "category", "x2": "ignore"})), numbers().round()),
    "gaussian": (AutoEncoder(Tables(), Gaussian(3, beta=0.5), corruption=Mask(), **QUICK), numbers()),
    "tied": (
        AutoEncoder(
            bottleneck=Linear(2, activation="sigmoid"),
            encoder=MLPEncoder((6,), shortcut=False),
            decoder=MLPDecoder(tied=True, shortcut=False),
            penalties=(Contractive(),),
            **QUICK,
        ),
        numbers(),
    ),
    "images": (AutoEncoder("images", encoder=MLPEncoder((8,)), decoder=MLPDecoder((8,)), **QUICK), pixels()),
    "colour": (
        AutoEncoder(Images(likelihood="bernoulli"), loss=BernoulliLikelihood(), **QUICK | CONVOLUTION),
        pixels(shape=(7, 9, 3)),
    ),
    "float64 images": (AutoEncoder(dtype="float64", **QUICK | CONVOLUTION), pixels(dtype=np.float64)),
}


@pytest.fixture(scope="module")
def fitted():
    """A function that fits each model once."""
    done = {}

    def fit(name):
        if name not in done:
            model, rows = MODELS[name]
            done[name] = (clone(model).fit(rows), rows)
        return done[name]

    return fit


def assert_same_rows(one, two):
    assert type(one) is type(two)
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, two, strict=True)
    elif isinstance(one, pl.DataFrame):
        assert_frame_equal(one, two)
    else:
        pd.testing.assert_frame_equal(one, two)


@pytest.mark.parametrize("name", MODELS)
def test_reload_gives_the_same_outputs(name, fitted, tmp_path):
    model, rows = fitted(name)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model", device="cpu")
    codes = model.transform(rows)
    np.testing.assert_array_equal(again.transform(rows), codes, strict=True)
    np.testing.assert_array_equal(again.score_samples(rows), model.score_samples(rows), strict=True)
    assert_same_rows(again.reconstruct(rows), model.reconstruct(rows))
    assert_same_rows(again.inverse_transform(codes), model.inverse_transform(codes))


@pytest.mark.parametrize("name", MODELS)
def test_reload_gives_the_same_attributes(name, fitted, tmp_path):
    model, _ = fitted(name)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.history_ == model.history_
    assert again.options_ == model.options_
    assert again.code_shape_ == model.code_shape_
    assert again.n_features_in_ == model.n_features_in_
    assert again.modality_ is again.module_.modality
    assert repr(again.module_) == repr(model.module_)
    assert not any(part.training for part in again.module_.modules())
    assert hasattr(again, "feature_names_in_") == hasattr(model, "feature_names_in_")
    if hasattr(model, "feature_names_in_"):
        np.testing.assert_array_equal(again.feature_names_in_, model.feature_names_in_, strict=True)
    assert repr(again.get_params()) == repr(model.get_params())
    assert list(again.get_feature_names_out()) == list(model.get_feature_names_out())


def test_a_reloaded_model_saves_to_the_same_bytes(fitted, tmp_path):
    model, _ = fitted("mixed")
    save(model, tmp_path / "one")
    save(load(tmp_path / "one"), tmp_path / "two")
    for name in (folder.MODEL, folder.WEIGHTS, folder.CARD):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_reloaded_model_samples_and_refits_like_the_first(fitted, tmp_path):
    model, rows = fitted("gaussian")
    save(model, tmp_path / "model")
    again = load(tmp_path / "model", device="cpu")
    assert_same_rows(again.sample(5, random_state=1), model.sample(5, random_state=1))
    np.testing.assert_array_equal(clone(again).fit(rows).transform(rows), model.transform(rows))


def test_a_reloaded_model_learns_on(tmp_path):
    rows = numbers()
    model = small().partial_fit(rows)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model").partial_fit(rows)
    assert len(again.history_) == 2
    assert not np.array_equal(again.transform(rows), model.transform(rows))


def test_what_belongs_to_one_run_is_not_saved(tmp_path):
    model = small(
        checkpoint=tmp_path / "c.safetensors",
        checkpoint_seconds=5,
        resume=True,
        callback=print_nothing,
        device="cpu",
        random_state=np.random.RandomState(3),
    )
    save(model.fit(numbers()), tmp_path / "model")
    params = load(tmp_path / "model").get_params(deep=False)
    assert params["checkpoint"] is None and params["callback"] is None and params["resume"] is False
    assert params["random_state"] is None
    assert params["device"] == "auto"
    assert "checkpoint" not in (tmp_path / "model" / "model.json").read_text()


def print_nothing(event):
    pass


def test_load_leaves_the_callers_generators_and_settings_alone(fitted, tmp_path):
    save(fitted("numbers")[0], tmp_path / "model")
    before = torch.get_rng_state()
    load(tmp_path / "model")
    assert torch.equal(before, torch.get_rng_state())
    assert torch.is_grad_enabled()
    assert torch.zeros(1).dtype == torch.float32


def test_load_puts_the_model_where_it_is_asked_to(fitted, tmp_path):
    save(fitted("numbers")[0], tmp_path / "model")
    model = load(tmp_path / "model", device="cpu")
    assert model.device == "cpu"
    assert all(parameter.device.type == "cpu" for parameter in model.module_.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("name", ["numbers", "mixed", "tied", "colour"])
def test_a_model_goes_to_a_gpu_and_back(name, fitted, tmp_path):
    model, rows = MODELS[name][0], MODELS[name][1]
    model = clone(model).set_params(device="cpu").fit(rows)
    save(model, tmp_path / "cpu")
    on_gpu = load(tmp_path / "cpu", device="cuda")
    assert all(parameter.is_cuda for parameter in on_gpu.module_.parameters())
    np.testing.assert_allclose(on_gpu.transform(rows), model.transform(rows), rtol=1e-3, atol=1e-3)
    save(on_gpu, tmp_path / "gpu")
    back = load(tmp_path / "gpu", device="cpu")
    np.testing.assert_array_equal(back.transform(rows), model.transform(rows))


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "cuda:x", "cpu; rm", ""])
def test_a_device_that_is_not_there_is_refused(device, fitted, tmp_path):
    save(fitted("numbers")[0], tmp_path / "model")
    with pytest.raises(ValueError, match="device"):
        load(tmp_path / "model", device=device)


class Halves(Part):
    """A stranger's bottleneck: every second feature, times a number."""

    def __init__(self, scale: float = 1.0, inner: Part | None = None):
        super().__init__()
        self.scale = scale
        self.inner = inner

    def setup(self, width, rank=None):
        self.weight = torch.nn.Parameter(torch.ones(width // 2))

    def forward(self, features):
        return Code(self.scale * features[:, : len(self.weight)] * self.weight, features.new_zeros(len(features)))


def test_a_strangers_part_is_loaded_by_the_class_that_is_given(tmp_path):
    model = small(bottleneck=Halves(0.5, inner=L1())).fit(numbers())
    save(model, tmp_path / "model")
    again = load(tmp_path / "model", parts=[Halves])
    np.testing.assert_array_equal(again.transform(numbers()), model.transform(numbers()))
    assert isinstance(again.module_.bottleneck.inner, L1)
    with pytest.raises(ValueError, match=r"no part is called 'Halves'.*load\(path, parts=\[YourPart\]\)"):
        load(tmp_path / "model")
    with pytest.raises(ValueError, match="cannot be loaded: TypeError: parts takes classes"):
        load(tmp_path / "model", parts=[Halves()])


class Ranker(BaseEstimator):
    """A stranger's job: how a row's score ranks among those fitted on."""

    verb = "rank"
    needs = ()

    def __init__(self, estimator=None, power: float = 1.0):
        self.estimator = estimator
        self.power = power

    def fit(self, X, y=None):
        self.estimator_ = clone(self.estimator).fit(X)
        self.scores_ = np.sort(self.estimator_.score_samples(X))
        return self

    def predict(self, X):
        return np.searchsorted(self.scores_, self.estimator_.score_samples(X)) ** self.power

    def state(self):
        return {"scores": self.scores_, "nested": {"limits": (1, np.float32(0.5), float("inf")), "name": "é"}}

    def restore(self, state):
        assert state["nested"] == {"limits": [1, 0.5, float("inf")], "name": "é"}
        self.scores_ = state["scores"]
        return self


def test_a_strangers_job_is_loaded_by_the_class_that_is_given(tmp_path):
    job = Ranker(small(), power=2.0).fit(numbers())
    save(job, tmp_path / "model")
    again = load(tmp_path / "model", parts=[Ranker])
    np.testing.assert_array_equal(again.predict(numbers()), job.predict(numbers()), strict=True)
    assert isinstance(again, Ranker) and repr(again) == repr(job)
    assert again.estimator_.history_ == job.estimator_.history_
    with pytest.raises(ValueError, match="no job is called 'Ranker'"):
        load(tmp_path / "model", parts=[Halves])


@pytest.mark.parametrize(
    ("job", "verb"),
    [
        (AnomalyDetector(small(), false_alarm_rate=0.1, random_state=0), "decision_function"),
        (Mapper(small(bottleneck=Linear(3)), random_state=0), "transform"),
        (Denoiser(small(corruption="gaussian_noise"), random_state=0), "denoise"),
        (Generator(small(bottleneck=Gaussian(2)), random_state=0), "sample"),
        (AnomalyDetector(random_state=np.random.RandomState(0)).set_params(estimator=small()), "predict"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_job_comes_back_with_its_state(job, verb, tmp_path):
    rows = numbers()
    job.fit(rows)
    save(job, tmp_path / "model")
    again = load(tmp_path / "model", device="cpu")
    assert type(again) is type(job)
    given = (5, 1) if verb == "sample" else (rows,)
    np.testing.assert_array_equal(getattr(again, verb)(*given), getattr(job, verb)(*given), strict=True)


@pytest.mark.parametrize("state", [{"f": len}, {"a": np.array(["x"])}, {"$array": 1}, {3: 1}, {"c": 1j}, {"n": 2**63}])
def test_a_state_that_cannot_be_saved_is_refused_and_nothing_is_written(state, tmp_path):
    job = Ranker(small()).fit(numbers())
    job.state = lambda: state
    with pytest.raises(TypeError, match="the state of Ranker.* cannot be saved"):
        save(job, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.arange(3, dtype=">i4"),
        np.array(7, np.uint8),
        np.zeros((0, 2)),
        np.array([True]),
        np.array([np.nan, np.inf]),
        np.float16([1.5]),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_in_a_state_keep_shape_type_and_values(array):
    arrays = {}
    tree = json.loads(json.dumps(pack({"a": [array, array]}, arrays, "state")))
    one, two = unpack(tree, arrays)["a"]
    np.testing.assert_array_equal(one, array)
    assert one.dtype == array.dtype.newbyteorder("=") and one.shape == array.shape
    one[...] = 0  # a copy of its own, that may be written to
    np.testing.assert_array_equal(two, array)


def test_values_that_json_lacks_survive():
    values = {"nan": float("nan"), "inf": [float("inf"), -float("inf")], "path": Path("a"), "n": np.int64(3)}
    tree = unpack(json.loads(json.dumps(pack(values, {}, "about"), allow_nan=False)), {})
    assert np.isnan(tree["nan"]) and tree["inf"] == [float("inf"), -float("inf")]
    assert tree["path"] == "a" and tree["n"] == 3
    deep = []
    deep.append(deep)
    with pytest.raises(TypeError, match="deeper than 20"):
        pack(deep, {}, "about")


def test_only_fitted_finite_models_are_saved(fitted, tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        save(AutoEncoder(), tmp_path / "model")
    with pytest.raises(ValueError, match="not fitted"):
        save(AnomalyDetector(), tmp_path / "model")
    with pytest.raises(TypeError, match="a model is an AutoEncoder or a job, got list"):
        save([], tmp_path / "model")
    model = small().fit(numbers())
    with torch.no_grad():
        next(model.module_.parameters()).view(-1)[0] = torch.nan
    with pytest.raises(ValueError, match="not all finite"):
        save(model, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_replaced_by_the_next_and_files_beside_it_stay(fitted, tmp_path):
    save(fitted("mixed")[0], tmp_path / "model")
    (tmp_path / "model" / "notes.txt").write_text("mine")
    save(fitted("numbers")[0], tmp_path / "model")
    assert load(tmp_path / "model").n_features_in_ == 5
    assert (tmp_path / "model" / "notes.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_damaged_model_may_be_replaced(fitted, tmp_path):
    save(fitted("numbers")[0], tmp_path / "model")
    text = (tmp_path / "model" / "model.json").read_bytes()
    (tmp_path / "model" / "model.json").write_bytes(text[:200])
    (tmp_path / "model" / "weights.safetensors").unlink()
    save(fitted("numbers")[0], tmp_path / "model")
    load(tmp_path / "model")


def test_an_interrupted_save_leaves_the_old_model(fitted, tmp_path, monkeypatch):
    save(fitted("numbers")[0], tmp_path / "model")
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}

    def interrupt(*args):
        raise KeyboardInterrupt

    for name in ("write_tensors", "write_json", "card"):
        monkeypatch.setattr(folder, name, interrupt)
        with pytest.raises(KeyboardInterrupt):
            save(fitted("mixed")[0], tmp_path / "model")
        assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before
        assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_place_that_holds_something_else_is_refused(fitted, tmp_path):
    model, _ = fitted("numbers")
    (tmp_path / "file").write_text("text")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"png")
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "model.json").write_text('{"name": "not ours"}')
    for name, why in (("file", "is a file"), ("photos", "other things than a model"), ("node", "other things")):
        for refuse in (check_place, lambda path: save(model, path)):
            with pytest.raises(ValueError, match=why):
                refuse(tmp_path / name)
    assert (tmp_path / "photos" / "cat.png").exists()


def test_a_new_or_an_empty_folder_is_a_place(fitted, tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "deep" / "new"):
        check_place(path)
        save(fitted("numbers")[0], path)
        assert {file.name for file in path.iterdir()} == {"model.json", "weights.safetensors", "README.md"}


def test_a_link_to_a_folder_is_that_folder(fitted, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    save(fitted("numbers")[0], tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    load(tmp_path / "real")


ABOUT = {
    "data": "c|sv *file*.csv",
    "rows": 60,
    "set_aside": {"ragged": 2, "empty": 1},
    "share": 0.123456789,
    "unknown": float("nan"),
    "baselines": [{"method": "PCA", "error": 1.25}, {"method": "this model", "error": 0.5, "note": "<b>"}],
}


def test_the_card_says_what_a_stranger_needs(fitted, tmp_path):
    model, _ = fitted("mixed")
    save(model, tmp_path / "model", about=ABOUT)
    card = (tmp_path / "model" / "README.md").read_text()
    assert 'from isthmus.saving import load\n\nmodel = load("path/to/this/folder")' in card
    assert "- Data: c\\|sv \\*file\\*.csv\n- Rows: 60\n- Set aside: ragged 2, empty 1\n- Share: 0.123457" in card
    assert "| method | error | note |\n| --- | --- | --- |\n| PCA | 1.25 |  |\n| this model | 0.5 | \\<b\\> |" in card
    assert "| kind | category | 0 | 3 categories |" in card
    assert f"| gap | number | {len(range(0, 60, 7))} | 1 to 59 |" in card
    best = min((row for row in model.history_ if "validation_cost" in row), key=lambda row: row["validation_cost"])
    assert f"Validation cost (nats per row): {best['validation_cost']:.6g}" in card
    assert "Mask" in card and "with `L1(weight=0.01)`" in card
    assert "## Limits" in card and torch.__version__.split("+")[0] in card
    assert str(tmp_path) not in card


def test_the_card_of_many_columns_and_of_images_is_short(fitted, tmp_path):
    save(small().fit(numbers(20, 150)), tmp_path / "wide")
    card = (tmp_path / "wide" / "README.md").read_text()
    assert "| x99 |" in card and "| x100 |" not in card and "and 50 more" in card
    save(fitted("colour")[0], tmp_path / "images")
    assert "- Shape: 7, 9, 3\n- Dtype: uint8" in (tmp_path / "images" / "README.md").read_text()


def test_inspect_gives_what_was_said_without_building(fitted, tmp_path, monkeypatch):
    model, _ = fitted("mixed")
    save(model, tmp_path / "model", about=ABOUT)
    monkeypatch.setattr(folder, "rebuild", lambda *args: pytest.fail("it was built"))
    tree = inspect(tmp_path / "model")
    assert tree["format"] == FORMAT and tree["kind"] == "AutoEncoder" and tree["job"] is None
    assert tree["about"]["baselines"] == ABOUT["baselines"]
    assert tree["about"]["unknown"] == {"$float": "nan"}
    assert tree["versions"]["torch"] == torch.__version__
    assert tree["module"]["modality"] == {"part": "Tables", "params": {"types": None, "heavy_tails": "auto"}}
    assert tree["weights"]["bytes"] == (tmp_path / "model" / "weights.safetensors").stat().st_size


def test_an_about_that_cannot_be_saved_is_refused_by_its_name(fitted, tmp_path):
    with pytest.raises(TypeError, match=r"about\['rows'\] is a set"):
        save(fitted("numbers")[0], tmp_path / "model", about={"rows": {1, 2}})


def rewrite(path, change):
    """Change the tree of a model, and make its checksum right again."""
    tree = json.loads((path / "model.json").read_text())
    change(tree)
    tree["checksum"] = checksum(tree)
    (path / "model.json").write_text(json.dumps(tree))


def refused(path, **options):
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        load(path, **options)
    said = str(caught.value)
    assert "\n" not in said and str(path) in said and len(said) < 1_000
    return said


def test_what_is_no_model_is_refused(fitted, tmp_path):
    assert "is no model" in refused(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert "there is no" in refused(tmp_path / "empty")
    (tmp_path / "file").write_text("{}")
    assert "is no model" in refused(tmp_path / "file")
    for name in ("model.json", "weights.safetensors"):
        path = tmp_path / name.partition(".")[0]
        save(fitted("numbers")[0], path)
        (path / name).unlink()
        assert f"there is no {path / name}" in refused(path)


def test_a_model_without_its_card_is_a_model(fitted, tmp_path):
    save(fitted("numbers")[0], tmp_path / "model")
    (tmp_path / "model" / "README.md").unlink()
    load(tmp_path / "model")


def test_a_change_by_hand_is_noticed(fitted, tmp_path):
    path = tmp_path / "model"
    save(fitted("numbers")[0], path)
    text = (path / "model.json").read_text()
    (path / "model.json").write_text(text.replace('"x0"', '"x9"'))
    assert "its checksum does not match" in refused(path)
    (path / "model.json").write_text(text)
    data = bytearray((path / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "weights.safetensors").write_bytes(data)
    assert "damaged, or belongs to another model" in refused(path)


def test_spaces_and_order_are_no_change(fitted, tmp_path):
    path = tmp_path / "model"
    save(fitted("numbers")[0], path)
    tree = json.loads((path / "model.json").read_text())
    (path / "model.json").write_text(json.dumps(dict(sorted(tree.items())), indent=7))
    load(path)


def test_the_weights_of_another_model_are_refused(fitted, tmp_path):
    save(fitted("numbers")[0], tmp_path / "one")
    save(fitted("mixed")[0], tmp_path / "two")
    shutil.copy(tmp_path / "two" / "weights.safetensors", tmp_path / "one")
    assert "belongs to another model" in refused(tmp_path / "one")


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_links_pipes_and_folders_are_not_read(name, fitted, tmp_path):
    path = tmp_path / "model"
    save(fitted("numbers")[0], path)
    (path / name).rename(tmp_path / "real")
    (path / name).symlink_to(tmp_path / "real")
    assert "no plain file" in refused(path)
    (path / name).unlink()
    (path / name).mkdir()
    assert "no plain file" in refused(path)
    (path / name).rmdir()
    os.mkfifo(path / name)
    assert "no plain file" in refused(path)


def test_a_newer_format_asks_for_a_newer_isthmus(fitted, tmp_path):
    save(fitted("numbers")[0], tmp_path / "model")
    rewrite(tmp_path / "model", lambda tree: tree.update(format=FORMAT + 1))
    assert f"a newer Isthmus (format {FORMAT + 1}; this one reads up to {FORMAT})" in refused(tmp_path / "model")


@pytest.mark.parametrize("number", [0, -1, True, "1", 1.0, None, []])
def test_a_format_that_never_was_is_refused(number, fitted, tmp_path):
    save(fitted("numbers")[0], tmp_path / "model")
    rewrite(tmp_path / "model", lambda tree: tree.update(format=number))
    assert "format should be 1" in refused(tmp_path / "model")


def test_an_older_format_is_upgraded_step_by_step(fitted, tmp_path, monkeypatch):
    def from_minus_one(tree):
        return tree | {"format": 0, "kind": tree["kind"].upper()}

    def from_zero(tree):
        return tree | {"format": 1, "kind": {"AUTOENCODER": "AutoEncoder"}[tree["kind"]]}

    monkeypatch.setattr(folder, "UPGRADES", {-1: from_minus_one, 0: from_zero})
    model, rows = fitted("numbers")
    save(model, tmp_path / "model")
    rewrite(tmp_path / "model", lambda tree: tree.update(format=-1, kind="autoencoder"))
    np.testing.assert_array_equal(load(tmp_path / "model").transform(rows), model.transform(rows))


@pytest.mark.parametrize("path", sorted(DATA.glob("model-format-*[0-9]")), ids=lambda path: path.name)
def test_models_of_every_format_load_forever(path):
    model = load(path, device="cpu")
    known = json.loads((DATA / f"{path.name}.json").read_text())
    rows = pl.DataFrame(known["rows"])
    np.testing.assert_allclose(model.transform(rows), known["codes"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.score_samples(rows), known["scores"], rtol=1e-4)
    assert model.reconstruct(rows).columns == rows.columns


def test_there_is_a_stored_model_of_every_format():
    assert {path.name for path in DATA.glob("model-format-*") if path.is_dir()} == {
        f"model-format-{number}" for number in range(1, FORMAT + 1)
    }


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda tree: tree["module"]["encoder"]["params"].update(hidden=[9]), "should be .* and are"),
        (lambda tree: tree["module"]["encoder"]["params"].update(hidden=["8"]), "hidden of MLPEncoder must be"),
        (lambda tree: tree["module"]["encoder"].update(part="Linear"), "no part is called 'Linear'. The networks"),
        (lambda tree: tree["module"]["encoder"].update(part="os.system"), "no part is called 'os.system'"),
        (lambda tree: tree["module"].update(encoder=tree["module"]["decoder"]), "TypeError: .*unexpected keyword"),
        (lambda tree: tree["module"].update(dtype="float64"), "should be .*float64.* and are .*float32"),
        (lambda tree: tree["module"].update(dtype="int8"), "dtype must be float32 or float64"),
        (lambda tree: tree["module"].pop("loss"), "it has no entry 'loss'"),
        (lambda tree: tree["module"].update(penalties={}), "'penalties' is of the wrong type"),
        (lambda tree: tree["module"].update(corruption={"part": "L1", "params": {}}), "corruptions"),
        (lambda tree: tree["module"]["facts"].pop("rank"), "rank"),
        (lambda tree: tree["module"]["facts"]["columns"][0].update(scale=0), "scale of column 'x0' should be above 0"),
        (lambda tree: tree["module"]["facts"]["columns"][0].update(center="1"), "center of column 'x0'"),
        (lambda tree: tree["module"]["facts"]["columns"][0].update(name="x1"), "one name"),
        (lambda tree: tree["module"]["facts"].update(columns=[]), "a dict for each column"),
        (lambda tree: tree["params"].update(no_such=1), "AutoEncoder has no parameter 'no_such'"),
        (lambda tree: tree["params"].update(dtype="float16"), "dtype must be"),
        (lambda tree: tree["fitted"].update(n_features_in=True), "'n_features_in' is of the wrong type"),
        (lambda tree: tree["fitted"].update(feature_names_in=["a"]), "not one name for each feature"),
        (lambda tree: tree["fitted"].update(history=[1]), "history is not a list of objects"),
        (lambda tree: tree["fitted"].update(options={}), "options|Options"),
        (lambda tree: tree.update(kind="AnomalyDetector"), "but has no job's state"),
        (lambda tree: tree.update(job={"params": {}, "state": {}}), "no job is called 'AutoEncoder'"),
        (lambda tree: tree.update(kind="AnomalyDetector", job={"params": {}, "state": {}}), "held_out_scores"),
        (lambda tree: tree["fitted"].update(history=[{"cost": {"$array": "x"}}]), "no array called 'x'"),
    ],
)
def test_a_tree_that_no_fit_could_leave_is_refused_with_the_reason(change, why, tmp_path):
    save(small().fit(numbers()), tmp_path / "model")
    rewrite(tmp_path / "model", change)
    assert re.search(why, refused(tmp_path / "model"))


def test_a_model_that_takes_too_much_memory_is_refused_before_it_is_built(tmp_path):
    save(AutoEncoder(Tables(), bottleneck=Linear(2), **QUICK).fit(numbers()), tmp_path / "model")

    def widen(tree):
        tree["module"]["encoder"]["params"]["hidden"] = [200_000, 200_000]

    rewrite(tmp_path / "model", widen)
    assert "it would take 160000000000 more bytes of memory" in refused(tmp_path / "model")


def test_the_caller_sets_the_memory(fitted, tmp_path):
    save(fitted("images")[0], tmp_path / "model")
    assert "more bytes of memory" in refused(tmp_path / "model", memory=-40_000)
    load(tmp_path / "model", memory=100_000)


def test_the_budget_counts_what_is_alive_and_nothing_twice():
    with Budget(8_000) as budget:
        for _ in range(10):
            kept = torch.zeros(1_000)
            views = (kept.view(10, 100), kept[5:], torch.nn.Parameter(kept), kept.add_(1))
            del kept, views
        kept = torch.zeros(500)
        with pytest.raises(ValueError, match="it would take 8000 more bytes"):
            torch.zeros(2_000)
        with pytest.raises(ValueError, match="it would take 1000000 more bytes"):
            kept[:, None] * kept
        assert float((kept + 1).sum()) == 500.0
        assert budget.limit == 8_000


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.empty(10**12),
        lambda: torch.randn(10**6, 10**6),
        lambda: torch.arange(10**12),
        lambda: torch.full((2**20, 2**20), 0.5),
        lambda: torch.nn.Linear(10**6, 10**6),
        lambda: torch.zeros(2, 3).repeat(10**6, 10**6),
        lambda: torch.zeros(1).expand(10**12).clone(),
        lambda: torch.nn.functional.pad(torch.zeros(1, 1, 2, 2), (10**6, 0, 10**6, 0)),
        lambda: torch.nn.functional.one_hot(torch.zeros(10, dtype=torch.long), 10**10),
        lambda: torch.cat([torch.zeros(1).expand(10**8)] * 100),
        lambda: torch.zeros(10**4, 1) @ torch.zeros(1, 10**5),
        lambda: torch.nn.functional.interpolate(torch.zeros(1, 1, 4, 4), scale_factor=1e5),
    ],
)
def test_the_budget_refuses_before_memory_is_given(make):
    with Budget(10**6), pytest.raises(ValueError, match="more bytes of memory"):
        make()
