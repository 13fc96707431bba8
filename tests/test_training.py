"""The loop: repeatable, resumable, honest about failure."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from isthmus import AutoEncoder
from isthmus.batch import Batch
from isthmus.data import Resident
from isthmus.guards import seeded, threads_set
from isthmus.networks import MLPDecoder, MLPEncoder
from isthmus.optimizing import FlatAdamW
from isthmus.options import Options, split
from isthmus.rows import as_rows
from isthmus.training import evaluate, train


def rows(n=200, columns=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)) @ rng.normal(size=(3, columns)) + 0.1 * rng.normal(size=(n, columns))


def model(**params):
    """Everything that is random in a fit is in this one: dropout, corruption, a drawn code."""
    defaults = dict(
        bottleneck="gaussian(size=2)",
        encoder=MLPEncoder((16, 8), dropout=0.1),
        decoder=MLPDecoder((8, 16), norm="batch"),
        corruption="gaussian_noise(scale=0.3)",
        max_epochs=6,
        batch_size=32,
        threads=1,
        random_state=3,
    )
    return AutoEncoder(**defaults | params)


def weights(fitted):
    return {name: value.clone() for name, value in fitted.module_.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_two_fits_with_one_seed_are_equal_bit_for_bit():
    assert same(weights(model().fit(rows())), weights(model().fit(rows())))


def test_another_seed_gives_another_fit():
    assert not same(weights(model().fit(rows())), weights(model(random_state=4).fit(rows())))


def test_a_fit_leaves_the_callers_random_numbers_and_threads_alone():
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - the caller's, which must not move
    expected = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    threads = torch.get_num_threads()
    model(threads=threads + 1).fit(rows())
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])  # noqa: NPY002
    assert torch.get_num_threads() == threads


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the library catches it."""


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(10))
def test_a_fit_killed_anywhere_and_resumed_equals_the_uninterrupted_one(moment, tmp_path, monkeypatch):
    monkeypatch.setattr("isthmus.training.BLOCK_BYTES", 32 * 6 * 4)  # a block is one step
    expected = weights(model().fit(rows()))
    left = int(np.random.default_rng(moment).integers(1, 6 * 6 + 1))
    original = FlatAdamW.step

    def step(self, learning_rate):
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        original(self, learning_rate)

    file = tmp_path / "fit.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(FlatAdamW, "step", step)
        with pytest.raises(Killed):
            model(checkpoint=file, checkpoint_seconds=0).fit(rows())
    resumed = model(checkpoint=file, checkpoint_seconds=0, resume=True).fit(rows())
    assert same(weights(resumed), expected)


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import isthmus.training
from test_training import model, rows, weights
from safetensors.torch import save_file
isthmus.training.BLOCK_BYTES = 32 * 6 * 4
def callback(event):
    print(event["epoch"], flush=True)
options = dict(max_epochs=60, patience=60, checkpoint=sys.argv[1], checkpoint_seconds=0, resume=True)
fitted = model(callback=callback, **options).fit(rows())
save_file(weights(fitted), sys.argv[2])
"""


@pytest.mark.slow
def test_a_process_killed_by_sigkill_ten_times_ends_with_the_same_weights(tmp_path):
    script = tmp_path / "fit.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    rng = np.random.default_rng(0)

    def run(name, kill_after=None):
        command = [sys.executable, str(script), str(tmp_path / f"{name}.state"), str(tmp_path / f"{name}.out")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if kill_after is not None:
            process.stdout.readline()  # the first epoch is done
            time.sleep(kill_after)
            process.send_signal(signal.SIGKILL)
        process.communicate()
        return process.returncode

    assert run("whole") == 0
    killed = 0
    for pause in rng.uniform(0, 0.15, 10):
        if run("cut", pause) == -signal.SIGKILL:
            killed += 1
        else:
            break
    assert killed > 0
    assert run("cut") == 0
    assert same(load_file(tmp_path / "whole.out"), load_file(tmp_path / "cut.out"))


def test_a_resumed_fit_goes_on_at_the_row_where_it_stopped(tmp_path, monkeypatch):
    """Were the offset lost, rows of the epoch would be seen twice."""
    monkeypatch.setattr("isthmus.training.BLOCK_BYTES", 1)
    seen = []
    original = Resident.take
    held_out = set(split(200, _options(0.1))[1].tolist())

    def take(self, index):
        if len(index) in (32, 180 % 32) and not held_out & set(index.tolist()):
            seen.append(index.clone())
        return original(self, index)

    monkeypatch.setattr(Resident, "take", take)
    file = tmp_path / "fit.safetensors"
    original_step = FlatAdamW.step
    count = 0

    def step(self, rate):
        nonlocal count
        count += 1
        if count == 4:
            raise Killed
        original_step(self, rate)

    with monkeypatch.context() as patch:
        patch.setattr(FlatAdamW, "step", step)
        with pytest.raises(Killed):
            model(max_epochs=1, checkpoint=file, checkpoint_seconds=0).fit(rows())
    done = torch.cat(seen[-4:-1])
    seen.clear()
    model(max_epochs=1, checkpoint=file, resume=True).fit(rows())
    rest = torch.cat(seen)
    assert sorted(torch.cat([done, rest]).tolist()) == sorted(split(200, _options(0.1))[0].tolist())


def _options(fraction, seed=None):
    seed = int(check_random_state(3).randint(2**31 - 1)) if seed is None else seed
    return Options(32, 1, 1e-3, 0.0, 5.0, 0.9, 1, fraction, 5, False, "float32", "cpu", 1, seed)


def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(tmp_path):
    file, before = tmp_path / "fit.safetensors", signal.getsignal(signal.SIGINT)

    def interrupt(event):
        if event["epoch"] == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="repeat the call with resume"):
        model(checkpoint=file, callback=interrupt).fit(rows())
    assert same(weights(model(checkpoint=file, resume=True).fit(rows())), weights(model().fit(rows())))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_fit_in_another_thread_does_not_touch_signals():
    fitted = []
    thread = threading.Thread(target=lambda: fitted.append(model().fit(rows())))
    thread.start()
    thread.join()
    assert fitted


def test_a_checkpoint_of_another_fit_is_refused(tmp_path):
    file = tmp_path / "fit.safetensors"
    model(checkpoint=file, checkpoint_seconds=0).fit(rows())
    with pytest.raises(ValueError, match="belongs to another fit"):
        model(checkpoint=file, resume=True, batch_size=64).fit(rows())


def test_a_cost_that_is_not_finite_stops_the_fit_with_step_rate_and_cause(monkeypatch):
    monkeypatch.setattr("isthmus.training.BLOCK_BYTES", 1)
    original = FlatAdamW.step

    def step(self, rate):
        original(self, rate)
        if self._steps == 15:  # in the third epoch of six steps
            self.put([torch.full_like(value, torch.nan) for value in self.weights()])

    monkeypatch.setattr(FlatAdamW, "step", step)
    with pytest.warns(ConvergenceWarning, match=r"nan at step 16, learning rate .* likely cause: .* Try learning_rate"):
        fitted = model().fit(rows())
    assert np.isfinite(fitted.score_samples(rows())).all()
    assert [row["epoch"] for row in fitted.history_] == [0, 1, 2]


def test_a_cost_that_is_never_finite_is_an_error(monkeypatch):
    original = FlatAdamW.step

    def step(self, rate):
        original(self, rate)
        self.put([torch.full_like(value, torch.nan) for value in self.weights()])

    monkeypatch.setattr(FlatAdamW, "step", step)
    with pytest.warns(ConvergenceWarning, match="step 2"):  # the start was evaluated, and is kept
        fitted = model().fit(rows())
    assert [row["epoch"] for row in fitted.history_] == [0]
    assert np.isfinite(fitted.score_samples(rows())).all()


def test_the_best_weights_are_kept_not_the_last():
    fitted = model(max_epochs=40, learning_rate=0.05, patience=40).fit(rows(60))
    costs = [row["validation_cost"] for row in fitted.history_ if "validation_cost" in row]
    data = Resident(fitted.modality_.to_batch(as_rows(rows(60))))
    cost, _ = evaluate(fitted.module_, data, split(60, fitted.options_)[1], fitted.options_)
    assert cost <= min(costs) + 1e-6
    assert costs[-1] > min(costs)


def test_a_fit_is_never_worse_on_held_out_rows_than_its_start():
    """Noise has no structure beyond its components: training can only overfit."""
    X = np.random.default_rng(0).normal(size=(100, 20))
    fitted = AutoEncoder(bottleneck="linear(size=3)", random_state=0, threads=1, learning_rate=0.1, ema=0.0).fit(X)
    started = AutoEncoder(
        bottleneck="linear(size=3)", random_state=0, threads=1, max_epochs=1, learning_rate=1e-12, ema=0.0
    ).fit(X)
    held_out = split(100, fitted.options_)[1].numpy()
    assert fitted.score(X[held_out]) >= started.score(X[held_out]) - 1e-4


def test_early_stopping_ends_a_fit_that_no_longer_improves():
    fitted = model(max_epochs=300, patience=3, learning_rate=0.02).fit(rows(100))
    assert len(fitted.history_) < 300


def test_every_row_is_seen_once_an_epoch_the_incomplete_batch_too():
    counts = torch.zeros(70)

    class Counting(Resident):
        def take(self, index):
            if len(index) > 1:
                counts.index_add_(0, index, torch.ones(len(index)))
            return super().take(index)

    fitted = AutoEncoder(max_epochs=1, validation_fraction=0.0, threads=1, random_state=0).fit(rows(70))
    data = Counting(Batch(torch.from_numpy(rows(70)).float()))
    train(fitted.module_, data, Options(32, 1, 1e-3, 0.0, 5.0, 0.9, 1, 0.0, 5, False, "float32", "cpu", 1, 0))
    assert counts.tolist() == [1.0] * 70


def test_the_learning_rate_rises_then_falls_as_a_cosine():
    rates = []
    original = FlatAdamW.step

    def step(self, rate):
        rates.append(rate)
        original(self, rate)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FlatAdamW, "step", step)
        fitted = model(max_epochs=10, learning_rate=1.0, patience=99, ema=0.0).fit(rows())
    rise, total = fitted.options_.warm_up, len(rates)
    assert rates[:rise] == pytest.approx([(i + 1) / rise for i in range(rise)])
    cosine = [0.5 * (1 + np.cos(np.pi * (i - rise) / (total - rise))) for i in range(rise, total)]
    assert rates[rise:] == pytest.approx(cosine)


def test_the_history_holds_costs_and_errors_of_both_parts():
    history = model().fit(rows()).history_
    assert [row["epoch"] for row in history] == [0, 1, 2, 3, 4, 5, 6]
    assert {"step", "learning_rate", "cost", "error", "validation_cost", "validation_error", "seconds"} <= set(
        history[-1]
    )
    assert "cost" not in history[0]
    assert all(np.isfinite(value) for row in history for value in row.values())


@pytest.mark.parametrize("n", [1, 2, 5, 19, 20, 33])
def test_any_number_of_rows_is_a_legal_data_set(n):
    fitted = AutoEncoder(max_epochs=2, threads=1, random_state=0).fit(rows(n))
    assert np.isfinite(fitted.score_samples(rows(n))).all()


def test_a_single_row_left_over_joins_the_batch_before():
    """Batch normalisation has no variance of one row."""
    fitted = AutoEncoder(
        encoder=MLPEncoder((4,), norm="batch"), batch_size=8, validation_fraction=0.0, max_epochs=1, random_state=0
    )
    assert np.isfinite(fitted.fit(rows(17)).score_samples(rows(17))).all()


def test_seeded_gives_the_same_numbers_and_hides_its_traces():
    before = torch.get_rng_state()
    with seeded(5):
        first = torch.rand(2)
    with seeded(5):
        assert torch.equal(torch.rand(2), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_threads_are_restored_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), threads_set(before + 1):
        raise RuntimeError
    assert torch.get_num_threads() == before


def test_what_is_validated_and_kept_is_the_average_of_the_weights():
    """The steps themselves do not depend on the average: with and without it, they are the same."""
    assert not same(weights(model(ema=0.9).fit(rows())), weights(model(ema=0.0).fit(rows())))
