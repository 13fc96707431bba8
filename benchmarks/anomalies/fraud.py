"""Fraud: average precision, and precision at 100, of the shared samples of credit cards and of PaySim.

Credit cards (29 columns; when a transaction was is no feature). Frauds are 28 % of the sample and
0.17 % of what it was drawn from, so most are left out: as many stay as make 0.5 % of the rows that
are judged. That is three among 618, so a precision at 100 is at most 3 %, and one thinning says little: each
figure is the mean over many.
- normal rows train: a random half of them, the others and the frauds are judged; 200 thinnings
  a seed, of one fit. With `by time` the earlier half of the normal rows trains.
- rows as they come train: of normal rows and 0.5 % of frauds a random half each; several thinnings
  a seed, a fit for each.

PaySim (51,392 transfers, 2.7 % of them frauds, as in the sample; mixed types): split by step, the
hour. The first hours, with half of the rows, train; later ones are judged. With and without the
balances after the transfer: these are known only once the money is gone. Frauds are a larger share
of the later rows than of the first, for normal transfers of the sample are early ones.
- rows as they come train, frauds among them; or normal ones alone.

`must`: above isolation forest and PCA in the same run; `aim`: above neighbours as well. The others
are given a matrix: type one-hot, amounts through asinh where their tails are heavy. Rows that
tie at the 100th share what is left evenly.

Full run: five seeds of credit cards, a minute of processor time; three of PaySim. Parts: --data,
--seeds, --contenders. Needs ISTHMUS_DATA.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import numpy as np

from benchmarks.anomalies import splits
from benchmarks.anomalies.contenders import BASELINES, OPTIONS, OURS, available, build, score, seeds_of
from benchmarks.anomalies.data import Labelled, credit_cards, paysim
from benchmarks.anomalies.judging import average_precision, precision_at
from benchmarks.harness import Claim, Result, main, say, t_interval

TITLE = "fraud: average precision and precision at 100, in per cent"
SHARE = 0.005
TOP = 100
THINNINGS = {"one fit": 200, "a fit each": 4}
# Credit cards are few and quick: more seeds.
SEEDS = {"cards": range(5), "paysim": range(3)}
KINDS = ("average precision", f"precision at {TOP}")
# With three frauds among the judged rows, no ranking has a precision at 100 above 3 %.
MOST = f"most precision at {TOP}"
Figures = list[float]


def run(quick: bool, data: str = "both", seeds: str | None = None, contenders: str | None = None) -> Result:
    """Fraud in two samples."""
    who = available((OURS, *BASELINES), contenders)
    runs: dict[str, dict[str, dict[str, list[float]]]] = {}
    figures: dict[str, Any] = {"runs": runs}
    for name, protocols in (("cards", _cards(quick)), ("paysim", _paysim(quick))):
        if data not in (name, "both"):
            continue
        for protocol, measure in protocols.items():
            found = {one: {kind: [] for kind in (*KINDS, MOST)} for one in who}
            for seed in seeds_of(seeds, range(1) if quick else SEEDS[name]):
                for one in who:
                    figures_of = measure(one, seed)
                    for kind, value in zip((*KINDS, MOST), figures_of, strict=True):
                        found[one][kind].append(value)
                    say(f"{protocol}, seed {seed}, {one}: " + ", ".join(f"{value:.2f}" for value in figures_of))
            runs[protocol] = found
    return Result(TITLE, [claim for protocol in runs for claim in _claims(protocol, runs[protocol])], figures)


def _claims(protocol: str, found: dict[str, dict[str, list[float]]]) -> list[Claim]:
    claims = []
    for kind in KINDS:
        reached = {name: float(np.mean(found[name][kind])) for name in found}
        most = 100.0 if kind == KINDS[0] else float(np.mean(found[next(iter(found))][MOST]))
        for name in found:
            limits = _limits(reached, most) if name == OURS and set(BASELINES) <= set(found) else {}
            what = f"{protocol}, {kind}{'' if most == 100 else f' (at most {most:.2f})'}, {name}"
            claims.append(Claim(what, better="higher", **limits, **t_interval(found[name][kind])))
    return claims


def _limits(reached: dict[str, float], most: float) -> dict[str, float]:
    """Return what is above the baselines; nothing is, where one of them reached all that there is."""
    must = max(reached["isolation forest"], reached["PCA reconstruction"])
    limits = {"must": must, "aim": max(must, reached["5-NN distance"])}
    return {kind: float(np.nextafter(limit, np.inf)) for kind, limit in limits.items() if limit < most - 1e-9}


Measure = Callable[[str, int], Figures]


def _cards(quick: bool) -> dict[str, Measure]:
    """Return what measures a contender on credit cards, by the protocol's name."""
    cards = credit_cards()
    one, each = (20, 1) if quick else THINNINGS.values()
    return {
        "credit cards, normal rows train": lambda name, seed: _normal_train(
            name, seed, cards, splits.half_of(cards.anomalous, np.random.default_rng(seed)), one
        ),
        "credit cards, normal rows train, by time": lambda name, seed: _normal_train(
            name, seed, cards, earlier_half(cards), one
        ),
        "credit cards, rows as they come train": lambda name, seed: _as_they_come(name, seed, cards, each),
    }


def earlier_half(cards: Labelled) -> tuple[np.ndarray, np.ndarray]:
    """Return the earlier half of the normal rows, and all that is later."""
    assert cards.group is not None
    normal = np.flatnonzero(~cards.anomalous)
    first, _ = splits.before(cards.group[normal], 0.5)
    last = cards.group[normal[first]].max()
    return normal[first], np.flatnonzero(cards.group > last)


def _normal_train(
    name: str, seed: int, cards: Labelled, split: tuple[np.ndarray, np.ndarray], thinnings: int
) -> Figures:
    train, test = split
    costs = score(build(name, seed, table=True), cards.rows[train], cards.rows[test]).costs
    y, rng = cards.anomalous[test], np.random.default_rng([seed, 1])
    kept = [splits.thinned(y, SHARE, rng) for _ in range(thinnings)]
    return _mean([(y[rows], costs[rows]) for rows in kept])


def halves(cards: Labelled, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return two random halves of the normal rows, each with as many frauds as make their share of it."""
    normal, frauds = (rng.permutation(np.flatnonzero(cards.anomalous == label)) for label in (False, True))
    # The frauds of the halves are no less others than their normal rows are.
    parts = [
        np.concatenate([some, few])
        for some, few in zip(np.array_split(normal, 2), np.array_split(frauds, 2), strict=True)
    ]
    train, test = (np.sort(part[splits.thinned(cards.anomalous[part], SHARE, rng)]) for part in parts)
    return train, test


def _as_they_come(name: str, seed: int, cards: Labelled, thinnings: int) -> Figures:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(thinnings):
        train, test = halves(cards, rng)
        model = build(name, seed, table=True, contaminated=True)
        found.append((cards.anomalous[test], score(model, cards.rows[train], cards.rows[test]).costs))
    return _mean(found)


def _paysim(quick: bool) -> dict[str, Measure]:
    """Return what measures a contender on PaySim, by the protocol's name."""
    protocols: dict[str, Measure] = {}
    for after in (False,) if quick else (False, True):
        data = paysim(after)
        assert data.group is not None
        first, later = splits.before(data.group, 0.5)
        if quick:
            rng = np.random.default_rng(0)
            first, later = first[splits.sample(len(first), 1_000, rng)], later[splits.sample(len(later), 2_000, rng)]
        for normal in (False, True):
            columns = "balances after too" if after else "no balances after"
            rows = "normal rows train" if normal else "rows as they come train"
            protocols[f"PaySim, {columns}, {rows}"] = _by_step(data, first, later, normal)
    return protocols


def _by_step(data: Labelled, first: np.ndarray, later: np.ndarray, normal: bool) -> Measure:
    train = first[~data.anomalous[first]] if normal else first

    def measure(name: str, seed: int) -> Figures:
        model = build(name, seed, table=True, contaminated=not normal)
        return _mean([(data.anomalous[later], score(model, data.rows[train], data.rows[later]).costs)])

    return measure


def _mean(judged: list[tuple[np.ndarray, np.ndarray]]) -> Figures:
    """Return both figures and the most that the second can be, means over the thinnings."""
    both = [(average_precision(y, costs), precision_at(y, costs, TOP), precision_at(y, y, TOP)) for y, costs in judged]
    return np.mean(both, axis=0).tolist()


if __name__ == "__main__":
    main(run, click.Option(["--data"], type=click.Choice(["both", "cards", "paysim"]), default="both"), *OPTIONS)
