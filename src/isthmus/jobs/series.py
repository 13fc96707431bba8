"""Anomalies in series: which steps are not like the steps before, and when to ring."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from isthmus.decisions import AlarmRule, threshold_at
from isthmus.estimator import AutoEncoder
from isthmus.jobs.baselines import NeighborDistance, PCAReconstruction
from isthmus.jobs.job import Job
from isthmus.jobs.series_figures import false_alarms_among, figures_of, held_out_of
from isthmus.jobs.series_input import as_series, channel_names, per_series, with_channels
from isthmus.jobs.series_reasons import alarm_record
from isthmus.jobs.window_baselines import OnWindows
from isthmus.jobs.window_costs import WindowCosts, expected_of, judgeable
from isthmus.jobs.windows import Windows, default_window, split_series, window_for
from isthmus.modalities import Sequences
from isthmus.rows import ArrayRows, FrameRows, SequenceRows, as_rows

__all__ = ["SeriesDetector"]

logger = logging.getLogger(__name__)

# Windows trained on, evenly spread: of those that overlap so many for each that does not, and at most
# so many values. Neighbouring windows are nearly one.
OVERLAPPING, LEAST_WINDOWS, MOST_VALUES = 8, 2**11, 2**24
MUTED_WINDOWS = 2


class SeriesDetector(OutlierMixin, Job):
    r"""Find the steps of series that are not like those fitted on, and ring.

    Fitted on series that are normal, or nearly all so. Part of them is held out: it sets the
    threshold and the units of the score, and says how often normal series ring.

    Parameters
    ----------
    estimator : AutoEncoder, optional
        The auto-encoder of windows; by default :meth:`default_estimator`. Its modality is
        None or ``sequences``; with ``sequences(id=...)`` tables have one record a row.
    window : int, optional
        Steps that are judged together; a period or two of what recurs. By default 128, but at
        most a quarter of the longest series; of five series or more of at most 512 steps, such
        as heartbeats, a whole series.
    false_alarm_rate : float, default=0.01
        Share of normal steps that may be below the threshold.
    alarm_steps, alarm_of : int, default=3 and 5
        It rings when ``alarm_steps`` of the last ``alarm_of`` steps are below the threshold.
    mute : int, optional
        Steps after an alarm at which it does not ring. By default those of two windows: a short
        anomaly shows in all windows that cover it, which is about so long, and rings once.
    validation_fraction : float, default=0.2
        Share that the auto-encoder never sees: the end of each series, in one piece; of five
        series or more, whole series.
    random_state : int, RandomState instance or None, default=None
        Of the choice of held-out series, and of the auto-encoder where it has none of its own.

    Attributes
    ----------
    offset_ : float
        Steps whose score is below it count for an alarm.
    window_ : int
        Steps of a window.
    held_out_scores_ : ndarray
        Scores of the held-out steps, in ascending order.
    held_out_ : dict
        What the held-out steps say of false alarms: ``steps``; ``windows``, how many that do
        not overlap fit into them; ``alarms`` that rang among them; ``alarms_per_1000_steps``,
        and ``at_most``, its upper limit at 95 %.
    attainable_rate_ : float
        The lowest false-alarm rate, not below the one asked for, that so many held-out windows
        that do not overlap can vouch for.
    estimator_ : AutoEncoder
        The fitted auto-encoder of windows.
    n_features_in_, feature_names_in_
        The channels.

    Raises
    ------
    ValueError
        If X is no series of numbers, is too short for a window to fit on and one to hold out,
        or a parameter is out of range.

    Notes
    -----
    A window costs its error, or the distance of its code from those of normal windows where
    that is more, each in units of held-out ones
    (:class:`~isthmus.jobs.window_costs.WindowCosts`). The score of a step is minus the mean
    cost of all windows that cover it: about -1 is typical. It
    is final ``window - 1`` steps later. A window with less than half of its values observed is
    not judged; a step that no judged window covers has the score NaN and never rings. A series
    shorter than a window is one window, its rest missing.

    Neighbouring steps share windows, so that no threshold on steps has the guarantee of
    independent rows: ``false_alarm_rate`` is what was observed on the held-out steps, and
    holds for new ones as far as these are like them. How often it *rings* is counted there
    too; ``at_most`` is exact if alarms of normal series come independently of each other
    (Garwood, 1936), which the mute window makes nearly so.

    Examples
    --------
    >>> t = np.arange(3000)
    >>> normal = np.sin(t / 8) + 0.1 * np.random.default_rng(0).normal(size=3000)
    >>> model = AutoEncoder(max_epochs=5, threads=1, random_state=0)
    >>> detector = SeriesDetector(model, window=50, random_state=0).fit(normal[:2000, None])
    >>> new = normal[2000:, None].copy()
    >>> new[500:520] = 0
    >>> alarm = min(detector.alarms(new), key=lambda alarm: alarm["score"])
    >>> alarm["start"] <= 500 <= 519 <= alarm["end"]
    True
    """

    verb: ClassVar[str] = "watch"

    def __init__(
        self,
        estimator: AutoEncoder | None = None,
        *,
        window: int | None = None,
        false_alarm_rate: float = 0.01,
        alarm_steps: int = 3,
        alarm_of: int = 5,
        mute: int | None = None,
        validation_fraction: float = 0.2,
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.window = window
        self.false_alarm_rate = false_alarm_rate
        self.alarm_steps = alarm_steps
        self.alarm_of = alarm_of
        self.mute = mute
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def default_estimator(self, X: Any) -> AutoEncoder:
        """Return the auto-encoder fitted where none is given.

        Spans of a window are hidden while training: a model that must fill them in learns what
        goes on in a window, not to copy it.
        """
        return AutoEncoder(Sequences(), corruption="mask_spans")

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit on the larger part of the series, and set threshold and units on the rest.

        Parameters
        ----------
        X : array-like, data frame, list of arrays or Rows
            One series: an array ``(steps, channels)``, or a table with a step a
            row and at most one column of times. Several: a list of such arrays, an array
            ``(n, steps, channels)``, or a table of records for a modality with ``id``.
        y : None
            Not used.

        Returns
        -------
        Self
        """
        self._check_params()
        rows = self._series(X)
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.window_ = window_for(self.window, rows.lengths)
        self._names = channel_names(rows)
        split = split_series(rows, self.window_, self.validation_fraction, self._seed)
        kept, held_out = (Windows(part, self.window_) for part in split)
        some = np.flatnonzero(judgeable(kept))
        if not len(some) or not judgeable(held_out).any():
            raise ValueError(f"no window of {self.window_} steps has half of its values; give a longer window.")
        wanted = max(LEAST_WINDOWS, OVERLAPPING * len(rows.values) // self.window_)
        most = max(1, min(wanted, MOST_VALUES // (self.window_ * rows.values.shape[1])))
        some = some[np.unique(np.linspace(0, len(some) - 1, min(len(some), most)).astype(np.int64))]
        self.estimator_ = self._prepared(rows).fit(ArrayRows(kept.take(some)))
        self._costs, costs = WindowCosts.measure(self.estimator_, kept, held_out)
        self._set_threshold(-held_out.spread(costs), held_out.rows.offsets)
        return self

    def score_samples(self, X: Any) -> Any:
        """Return how normal each step is: about -1 is typical, lower is less normal.

        ``(steps,)`` for one series given as an array or a table, else a list of such arrays.
        """
        rows = self._checked(X)
        windows = Windows(rows, self.window_)
        return per_series(-windows.spread(self.window_costs(windows)), rows, X)

    def window_costs(self, windows: Windows) -> np.ndarray:
        """Return what each window costs, ``(k,)``, NaN where it has too little to be judged by."""
        check_is_fitted(self, "estimator_")
        return self._costs.costs(self.estimator_, windows)

    def decision_function(self, X: Any) -> Any:
        """Return ``score_samples(X) - offset_``: negative for anomalous steps."""
        scores = self.score_samples(X)
        return [one - self.offset_ for one in scores] if isinstance(scores, list) else scores - self.offset_

    def predict(self, X: Any) -> Any:
        """Return 1 for a normal step, or one that cannot be judged, and -1 for an anomalous one."""
        decided = self.decision_function(X)
        many = isinstance(decided, list)
        found = [np.where(one < 0, -1, 1) for one in (decided if many else [decided])]
        return found if many else found[0]

    def expected(self, X: Any) -> Any:
        """Return what the windows that cover a step make of it, on average; shaped as the series are."""
        rows = self._checked(X)
        expected, _ = expected_of(self.estimator_, Windows(rows, self.window_))
        return per_series(expected, rows, X)

    def alarms(self, X: Any) -> list[dict[str, Any]]:
        """Return the alarms of these series, in the order of series and steps.

        Returns
        -------
        list of dict
            ``series`` (its position, or its name), the steps ``start``, ``rang``, ``end`` and
            ``worst`` (:class:`~isthmus.decisions.Alarm`; where times are known also
            ``start_time`` and so on), ``score`` of the worst step, ``percentile`` (per cent of
            the held-out steps that are more normal), ``threshold``, ``span``, the first and
            last step of the shortest stretch that holds half of the error from start to end,
            and ``reasons``: for each channel its ``feature`` name, the ``share`` of the error,
            and, at the ``step`` where it is largest, ``value`` and ``expected`` in the
            channel's unit and ``error`` in standard deviations.
        """
        rows = self._checked(X)
        windows = Windows(rows, self.window_)
        scores = -windows.spread(self.window_costs(windows))
        expected, error = expected_of(self.estimator_, windows)
        names = range(len(rows)) if rows.lines is None else rows.lines.tolist()
        found = []
        for series, begin, end in zip(names, rows.offsets[:-1], rows.offsets[1:], strict=True):
            for alarm in self.rule.alarms(scores[begin:end], self.offset_):
                at = slice(begin + alarm.start, begin + alarm.end + 1)
                times = None if rows.times is None else rows.times[at]
                found.append(alarm_record(self, series, alarm, rows.values[at], expected[at], error[at], times))
        return found

    @property
    def rule(self) -> AlarmRule:
        """When a series rings."""
        mute = MUTED_WINDOWS * self.window_ if self.mute is None else self.mute
        return AlarmRule(self.alarm_steps, self.alarm_of, mute)

    def baselines(self) -> dict[str, Any]:
        """Return PCA and kNN on the same windows, and an auto-encoder without what is added here."""
        window = getattr(self, "window_", None) or self.window or default_window(np.array([2**10]))
        seed = getattr(self, "_seed", None)
        return {
            "window PCA": OnWindows(PCAReconstruction(0.9), window),
            "window 5-NN": OnWindows(NeighborDistance(), window),
            "plain auto-encoder": OnWindows(AutoEncoder(random_state=seed), window),
        }

    def compare(self, train: Any, test: Any, y: Any = None) -> list[dict[str, Any]]:
        """Return figures for the detector and its baselines on one split.

        Parameters
        ----------
        train, test : series
            Series to fit on, and others.
        y : array-like of bool or list of these, optional
            Which test steps are anomalous; or one label for each of several series.

        Returns
        -------
        list of dict
            ``method``; with labels of steps ``vus_pr``, the mean over the series that hold both
            kinds (buffer: a window), else ``auroc`` and ``average_precision`` of the series'
            least normal steps; and ``flagged``, the share of all steps. All thresholds are set
            on the same held-out steps.
        """
        job, rows = self._fitted(train), self._series(train)
        kept, held_out = split_series(rows, job.window_, self.validation_fraction, job._seed)
        tested = job._checked(test)
        scores = np.concatenate([job.score_samples(tested)] if len(tested) == 1 else job.score_samples(tested))
        table = [{"method": "auto-encoder"} | figures_of(scores, job.offset_, tested, y, job.window_)]
        for name, model in job.baselines().items():
            known = model.fit(kept).score_samples(held_out)
            offset = threshold_at(known[~np.isnan(known)], self.false_alarm_rate).offset
            figures = figures_of(model.score_samples(tested), offset, tested, y, job.window_)
            table.append({"method": name} | figures)
        return table

    def state(self) -> dict[str, Any]:
        """Return window, seed, channels, costs, and the held-out scores."""
        check_is_fitted(self, "estimator_")
        return {
            "window": self.window_,
            "seed": self._seed,
            "channels": self._names,
            "held_out": self._held_out,
            "held_out_offsets": self._held_out_offsets,
        } | self._costs.state()

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Take back what :meth:`state` returned."""
        window, seed, names = (state.get(name) for name in ("window", "seed", "channels"))
        steps, channels = self.estimator_.modality_.shape
        if window != steps or not isinstance(seed, int):
            raise ValueError(f"the detector's window should be {steps} and its seed a number, got {window}, {seed}.")
        if names is not None and (len(names) != channels or not all(isinstance(name, str) for name in names)):
            raise ValueError(f"the detector's channels should be {channels} names or None, got {str(names)[:60]}.")
        held_out, offsets = held_out_of(state)
        self._check_params()
        self.window_, self._seed, self._names = steps, seed, names
        self._costs = WindowCosts.restored(state, steps * channels)
        self._set_threshold(held_out, offsets)
        return self

    @property
    def n_features_in_(self) -> int:
        """The number of channels."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.modality_.shape[1]

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the channels, for data frames."""
        check_is_fitted(self, "estimator_")
        if self._names is None:
            raise AttributeError("the channels have no names.")
        return np.array(self._names, dtype=object)

    def __sklearn_tags__(self):
        # A row of a table is a step, judged with its neighbours: no example, that could stand in another order.
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        return tags

    def _check_params(self) -> None:
        for name in ("false_alarm_rate", "validation_fraction"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise ValueError(f"{name} must be above 0 and below 1, got {value!r}.")
        whole = isinstance(self.window, int | np.integer) and not isinstance(self.window, bool)
        if self.window is not None and (not whole or self.window < 2):
            raise ValueError(f"window must be a whole number of at least 2 steps, or None, got {self.window!r}.")
        AlarmRule(self.alarm_steps, self.alarm_of, self.mute or 0)

    def _series(self, X: Any) -> SequenceRows:
        """Return what the caller gave as series."""
        rows = as_rows(X)
        modality = None if self.estimator is None else self.estimator.modality
        if isinstance(modality, Sequences) and modality.id is not None and isinstance(rows, FrameRows):
            rows = modality.gather(rows)
        return as_series(rows)

    def _checked(self, X: Any) -> SequenceRows:
        """Return series with the channels fitted on."""
        check_is_fitted(self, "estimator_")
        rows = self._series(X)
        wanted, names = self.n_features_in_, channel_names(rows)
        if names is not None and self._names is not None and names != self._names:
            absent = [name for name in self._names if name not in names]
            if absent:
                raise ValueError(
                    f"the series have no channel {', '.join(absent)}; they have {', '.join(names)}. Give the channels "
                    f"fitted on: {', '.join(self._names)}."
                )
            rows = with_channels(rows, [names.index(name) for name in self._names], self._names)
        if rows.values.shape[1] != wanted:
            raise ValueError(
                f"X has {rows.values.shape[1]} features, but {type(self).__name__} is expecting {wanted} features as "
                "input."
            )
        return rows

    def _prepared(self, rows: Any) -> AutoEncoder:
        estimator = super()._prepared(rows)
        if estimator.modality is None:
            estimator.modality = Sequences()
        elif not isinstance(estimator.modality, Sequences) and not str(estimator.modality).startswith("sequences"):
            raise ValueError(f"the auto-encoder of series reads sequences, got the modality {estimator.modality!r}.")
        return estimator

    def _set_threshold(self, scores: np.ndarray, offsets: np.ndarray) -> None:
        self._held_out, self._held_out_offsets = scores, offsets
        self.held_out_scores_ = np.sort(scores[~np.isnan(scores)])
        self.offset_ = threshold_at(self.held_out_scores_, self.false_alarm_rate).offset
        self.held_out_ = false_alarms_among(scores, offsets, self.rule, self.offset_, self.window_)
        self.attainable_rate_ = max(self.false_alarm_rate, 1 / (self.held_out_["windows"] + 1))
        if self.attainable_rate_ > self.false_alarm_rate:
            logger.warning(
                "the %d held-out steps are worth %d windows that do not overlap: they can vouch for a share of %.2g of "
                "steps, not %.2g. Fit on a longer series for more.",
                self.held_out_["steps"],
                self.held_out_["windows"],
                self.attainable_rate_,
                self.false_alarm_rate,
            )
