"""The false-alarm guarantee: is the observed rate within the stated interval as often as stated?

One detector is fitted for each set, on 5,000 of its normal rows, and scores up to 60,000 others. These are
split again, 300 times: 5,000 held out, from which the threshold and its 95 % interval come, the rest
judged. How the network was trained does not matter to the guarantee (the others are exchangeable
whatever it does), so that it is short. Counted is in how many splits the observed rate is within the
interval for a batch of that size (`Threshold.interval(rows=...)`); 95 % of 300 splits are 285, and
between 92 and 98 % is chance.

- Sets of ADBench with many normal rows: donors, http, skin, ALOI. Each different row once: then no two
  scores are equal, but for a few, and the interval is exact.
- The same rows with all their copies (donors: 21 of each on average). Equal scores are no alerts
  together, so that the rate is at most what is stated: the observed one may lie below the interval, and
  must not lie above it more often than stated.
- Whole detectors, 100 of them: each fitted on 500 rows drawn anew, of which it holds out 100 itself, asked for 5 %
  of false alarms and given 5,000 other rows. Here whatever a fit learns from its held-out rows would
  show. Their networks are short-lived (3 epochs).
- Made: uniform scores, of which the true rate of a threshold is known without any rows to judge; and
  in how many splits it is kept if asked for with a confidence of 95 %.
- False discoveries: batches of 2,000 rows, 5 % of them anomalies of the set, at most 0.1 of the alerts false by
  Benjamini and Hochberg's rule and window by window (`OnlineFDR`); the mean share of false alerts.

Full run: 4 minutes on one core. Needs ISTHMUS_DATA for all but the made scores.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import binom

from benchmarks.anomalies.data import adbench
from benchmarks.harness import Claim, Missing, Result, main, say, t_interval
from isthmus import AutoEncoder
from isthmus.decisions import OnlineFDR, benjamini_hochberg, p_values, threshold_at
from isthmus.jobs import AnomalyDetector

TITLE = "false-alarm guarantee: 300 splits of held-out and judged rows"
SETS = ("donors", "http", "skin", "ALOI")
RATES = (0.01, 0.001)
LEVEL, CONFIDENCE, FDR = 0.95, 0.95, 0.1
TRAIN, HELD_OUT, SPLITS, BATCH, ODD = 5_000, 5_000, 300, 2_000, 0.05
MOST, WHOLE = 60_000, 100


def run(quick: bool) -> Result:
    """Split, set thresholds, count."""
    splits = 60 if quick else SPLITS
    claims, figures = [], {}
    for rate in RATES:
        claims += _made(rate, splits)
    for name in SETS[-1:] if quick else SETS:
        try:
            claims += _whole(name, 10 if quick else WHOLE)
            distinct, copies, odd = _scores(name, quick)
        except Missing as missing:
            figures[name] = f"left out: {missing}"
            continue
        figures[name] = {"different rows": len(distinct), "rows": len(copies)}
        for rate in RATES:
            pools = {f"{name}, different rows": distinct, f"{name}, with copies": copies}
            for what, scores in list(pools.items())[: 1 + (len(copies) > len(distinct))]:
                found, figures[name][f"{what}, {rate:g}"] = _observed(what, scores, rate, splits)
                # With copies, less than the interval is no fault.
                claims += found[1:] if scores is copies else found
        claims += _discoveries(name, distinct, odd, splits)
        say(f"{name}: {figures[name]}")
    return Result(TITLE, claims, figures)


def _scores(name: str, quick: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scores of normal rows that the detector never saw, once each and with their copies; and of anomalies."""
    data, random = adbench(name), np.random.default_rng(0)
    every, which = np.unique(data.rows[~data.anomalous], axis=0, return_inverse=True)
    chosen = random.permutation(len(every))[:MOST]
    rows, place = every[chosen], np.full(len(every), -1)
    place[chosen] = np.arange(len(chosen))
    copies = place[which]
    copies = random.permutation(copies[copies >= TRAIN])[:MOST]
    train = np.arange(len(rows)) < TRAIN
    model = AutoEncoder(max_epochs=2 if quick else 10, threads=1, random_state=0)
    detector = AnomalyDetector(model, random_state=0).fit(rows[train])
    scores = detector.score_samples(rows)
    odd = detector.score_samples(data.rows[random.permutation(np.flatnonzero(data.anomalous))[:TRAIN]])
    return scores[~train], scores[copies], odd


def _made(rate: float, splits: int) -> list[Claim]:
    """Count for uniform scores, whose true rate is the threshold itself."""
    random = np.random.default_rng(1)
    draws = [random.uniform(size=HELD_OUT) for _ in range(splits)]
    thresholds = [threshold_at(scores, rate) for scores in draws]
    ends = [threshold.interval(LEVEL) for threshold in thresholds]
    inside = [low <= threshold.offset <= high for (low, high), threshold in zip(ends, thresholds, strict=True)]
    careful = [threshold_at(scores, rate, CONFIDENCE).offset <= rate for scores in draws]
    return [
        _often(f"made scores, {100 * rate:g} %: true rate within the {100 * LEVEL:g} % interval", inside, LEVEL),
        _often(f"made scores, {100 * rate:g} %: rate kept, asked with confidence {CONFIDENCE:g}", careful, CONFIDENCE),
        _mean(f"made scores, {100 * rate:g} %: mean true rate", [one.offset for one in thresholds], rate),
    ]


def _whole(name: str, fits: int) -> list[Claim]:
    """Count for detectors that are fitted, hold out and judge anew each time."""
    data, random = adbench(name), np.random.default_rng(4)
    rows = np.unique(data.rows[~data.anomalous], axis=0)
    rates, inside, above = [], [], []
    for seed in range(fits):
        drawn = rows[random.choice(len(rows), 5_500, replace=False)]
        detector = AnomalyDetector(false_alarm_rate=0.05, random_state=seed)
        model = detector.default_estimator(drawn).set_params(max_epochs=3, threads=1, random_state=seed)
        detector.set_params(estimator=model).fit(drawn[:500])
        seen = float((detector.predict(drawn[500:]) < 0).mean())
        low, high = detector.threshold_.interval(LEVEL, 5_000)
        rates.append(seen)
        inside.append(low <= seen <= high)
        above.append(seen > high)
    return [
        _often(f"{name}, {fits} detectors, 5 %: observed rate within the {100 * LEVEL:g} % interval", inside, LEVEL),
        _rarely(f"{name}, {fits} detectors, 5 %: observed rate above the interval", above, (1 - LEVEL) / 2),
        _mean(f"{name}, {fits} detectors, 5 %: mean observed rate", rates, 0.05),
    ]


def _observed(name: str, normal: np.ndarray, rate: float, splits: int) -> tuple[list[Claim], dict[str, Any]]:
    """Count for the scores of a set."""
    random, judged = np.random.default_rng(2), len(normal) - HELD_OUT
    rates, inside, above = [], [], []
    for _ in range(splits):
        # Which rows are held out; the order of the others does not matter.
        held_out = np.zeros(len(normal), bool)
        held_out[random.choice(len(normal), HELD_OUT, replace=False)] = True
        threshold = threshold_at(normal[held_out], rate)
        seen = int(((normal < threshold.offset) & ~held_out).sum()) / judged
        low, high = threshold.interval(LEVEL, judged)
        rates.append(seen)
        inside.append(low <= seen <= high)
        above.append(seen > high)
    what = f"{name}, {100 * rate:g} %"
    claims = [
        _often(f"{what}: observed rate within the {100 * LEVEL:g} % interval", inside, LEVEL),
        _rarely(f"{what}: observed rate above the interval", above, (1 - LEVEL) / 2),
        _mean(f"{what}: mean observed rate", rates, rate),
    ]
    told = {"stated": [low, high], "least, median, greatest": [min(rates), float(np.median(rates)), max(rates)]}
    return claims, told | {"judged": judged, "equal scores": 1 - len(np.unique(normal)) / len(normal)}


def _discoveries(name: str, normal: np.ndarray, odd: np.ndarray, splits: int) -> list[Claim]:
    """Return the mean share of false alerts in batches and in windows."""
    random = np.random.default_rng(3)
    shares: dict[str, list[float]] = {"batch": [], "window": []}
    n_odd = min(len(odd), round(BATCH * ODD))
    for _ in range(splits):
        scores = random.permutation(normal)
        batch = np.append(scores[HELD_OUT : HELD_OUT + BATCH - n_odd], random.choice(odd, n_odd, replace=False))
        order = random.permutation(len(batch))
        p, is_odd = p_values(scores[:HELD_OUT], batch[order]), order >= len(batch) - n_odd
        shares["batch"].append(_false_share(benjamini_hochberg(p, FDR), is_odd))
        rule = OnlineFDR.for_held_out(FDR, HELD_OUT)
        piece = slice(0, rule.window)
        shares["window"].append(_false_share(rule.decide(p[piece]), is_odd[piece]))
    return [
        _mean(f"{name}: mean share of false alerts in a {what}, {FDR:g} asked for", found, FDR)
        for what, found in shares.items()
    ]


def _false_share(alert: np.ndarray, is_odd: np.ndarray) -> float:
    return float((alert & ~is_odd).sum() / max(1, alert.sum()))


def _often(what: str, hits: list[bool], level: float) -> Claim:
    """Return the claim that something happens at least as often as stated, but for chance."""
    low, high = (float(end) / len(hits) for end in binom.interval(0.99, len(hits), level))
    spread = "where 99 % of such counts lie if the statement is true"
    return Claim(what, float(np.mean(hits)), "higher", must=low, low=low, high=high, spread=spread)


def _rarely(what: str, hits: list[bool], level: float) -> Claim:
    """Return the claim that something happens at most as often as stated, but for chance."""
    high = float(binom.ppf(0.995, len(hits), level)) / len(hits)
    return Claim(what, float(np.mean(hits)), "lower", must=high)


def _mean(what: str, values: list[float], stated: float) -> Claim:
    """Return the claim that a mean is at most what was stated, but for chance."""
    interval = t_interval(values) | {"spread": f"95 % interval, {len(values)} splits"}
    return Claim(what, must=stated + 1.3 * (interval["high"] - interval["measured"]), **interval)


if __name__ == "__main__":
    main(run)
