"""What ``drift`` does: say which features are not as they were, and end with status 3 if any is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isthmus.cli.inputs import open_model, read_for, unused_said
from isthmus.cli.outputs import check_not_input
from isthmus.cli.running import wrong_call
from isthmus.cli.talk import count, figures, say, table
from isthmus.jobs.counting import CategoryCounts, Counts, NumberCounts
from isthmus.jobs.drift import Drift, DriftTest
from isthmus.modalities import Tables
from isthmus.reading.streams import can_stream, stream
from isthmus.report import Report

__all__ = ["DRIFTED", "drift"]

DRIFTED = 3
MOST_PICTURES = 24


def drift(
    model: Path,
    data: Path,
    against: Path | None,
    level: float,
    least: float,
    ignore: tuple[str, ...],
    dates: bool,
    report: Path | None,
    resize: bool,
    as_json: bool,
) -> int:
    """Say which features of DATA are not as they were; return the exit status."""
    if report is not None:
        check_not_input(report, data, model, *([] if against is None else [against]))
    fitted, estimator = open_model(model)
    reference = None if against is None else read_for(estimator, against, resize).rows
    with wrong_call():
        test = DriftTest(fitted, level=level, least=least, ignore=ignore, dates=dates)
    if reference is not None:
        test = DriftTest(fitted, against=reference, level=level, least=least, ignore=ignore, dates=dates)
    aside = _add_all(test, estimator, data, resize)
    found = test.result()
    than = str(against or "the rows fitted on")
    if report is not None:
        _page(found, data, than).write(report)
        say(f"the report is in {report}")
    _say(found, than)
    if as_json:
        figures({"data": str(data), "rows": found.rows, "set_aside": aside, "against": than} | _plain(found), True)
    else:
        table([_row(test) for test in found.tests])
    return DRIFTED if found.found else 0


def _add_all(test: DriftTest, estimator: Any, data: Path, resize: bool) -> int:
    """Add the rows of DATA, a table's piece by piece; return how many were set aside."""
    if not (isinstance(estimator.modality_, Tables) and can_stream(data)):
        rows = read_for(estimator, data, resize).rows
        test.add(rows)
        return len(rows.set_aside)
    aside = 0
    for i, piece in enumerate(stream(data, estimator.modality_.columns)):
        if i == 0:
            unused_said(estimator.modality_, piece.rows.unused)
        if piece.aside and not aside:
            say(f"rows set aside, the first: line {piece.aside[0][0]}: {piece.aside[0][1]}")
        aside += len(piece.aside)
        if len(piece.rows):
            test.add(piece.rows)
    return aside


def _say(found: Drift, than: str) -> None:
    for one in found.skipped:
        say(f"not tested: {_called(one['feature'])} ({one['why']})")
    drifted = ", ".join(map(_called, found.drifted)) or "none"
    say(
        f"{count(found.rows, 'row')} against {than}, {count(len(found.tests), 'test')}: drifted: {drifted} "
        f"(adjusted p below {found.level:g}, psi at least {found.least:g})"
    )


def _plain(found: Drift) -> dict[str, Any]:
    """Return what was found, for ``--json``."""
    return {
        "drifted": [_called(feature) for feature in found.drifted],
        "level": found.level,
        "least": found.least,
        "tests": [test | {"feature": _called(test["feature"])} for test in found.tests],
        "skipped": [one | {"feature": _called(one["feature"])} for one in found.skipped],
    }


def _row(test: dict[str, Any]) -> dict[str, Any]:
    """Return a test as a line of the table."""
    return {
        "feature": _called(test["feature"]),
        "of": test["of"],
        "p, adjusted": test["adjusted_p_value"],
        "psi": test["psi"],
        "change": test["change"],
        "drifted": test["drifted"],
        "what": test["said"],
    }


def _called(feature: str | None) -> str:
    return "(score)" if feature is None else feature


def _page(found: Drift, data: Path, than: str) -> Report:
    """Return the report: the table, then a picture of each feature whose values drifted."""
    names = [_called(feature) for feature in found.drifted]
    verdict = f"Drifted: {', '.join(names)}." if names else "Nothing drifted."
    page = Report(f"Drift of {data.name}", f"{count(found.rows, 'row')} against {than}. {verdict}")
    page.text(
        f"Drift is said where the p-value, corrected for {len(found.tests)} tests by Holm's rule, is below "
        f"{found.level:g} and the population stability index is at least {found.least:g}. The chance that anything is "
        f"said to have drifted where nothing has is at most {100 * found.level:g} %, if rows are independent."
    )
    page.table([_row(test) for test in found.tests], caption="The drifted ones first.")
    if found.skipped:
        page.table([{"feature": _called(one["feature"]), "not tested": one["why"]} for one in found.skipped])
    moved = [test for test in found.tests if test["drifted"] and test["of"] != "missing"]
    for test in moved[:MOST_PICTURES]:
        feature, name = test["feature"], _called(test["feature"])
        page.heading(name).text(f"As fitted and now: {test['said']}.")
        page.figure(_picture(found.counts[feature]), f"{name} as fitted and now: {test['said']}")
    if len(moved) > MOST_PICTURES:
        page.text(f"{len(moved) - MOST_PICTURES} more drifted; they are in the table.")
    return page


def _picture(counts: Counts) -> Any:
    from isthmus import pictures  # matplotlib, which takes its time

    if isinstance(counts, CategoryCounts):
        return pictures.shift_of_categories(counts.names, *counts.histograms())
    assert isinstance(counts, NumberCounts)
    return pictures.shift_of_numbers(counts.points, counts.fitted, counts.now, counts.reach)
