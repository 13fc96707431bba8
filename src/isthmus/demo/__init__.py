"""The tour: the jobs on real data that come with scikit-learn, and a report of what came out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from isthmus import pictures
from isthmus.demo.cells import detected
from isthmus.demo.codes import found, in_symbols, walked
from isthmus.demo.digits import denoised, generated, mapped, reconstructed
from isthmus.demo.tour import Tour
from isthmus.report import Report

__all__ = ["Demo", "run"]

STAGES = (reconstructed, in_symbols, denoised, mapped, found, generated, walked, detected)


@dataclass(frozen=True)
class Demo:
    """What a tour leaves.

    Attributes
    ----------
    report : Path
        The page.
    picture : Path
        Digits before and after, and their map.
    figures : dict of str to str
        The most telling numbers, and what each is.
    """

    report: Path
    picture: Path
    figures: dict[str, str]


def run(out: str | Path, say: Callable[[str], None] = lambda line: None, quick: bool = False) -> Demo:
    """Fit, compare, draw, and write ``report.html`` and ``digits.png``.

    Parameters
    ----------
    out : str or Path
        Folder for both.
    say : callable, optional
        Called with a line about each stage.
    quick : bool, default=False
        Fit for three epochs only: to see whether all stages run, not what comes out.
    """
    out, began = Path(out), time.monotonic()
    tour = Tour(say, {"max_epochs": 3} if quick else {})
    page = Report(
        "What the codes learned",
        "Auto-encoders on the digit images and the breast-cancer table that come with scikit-learn, each beside what "
        "one would use instead, on the same rows.",
    )
    for stage in STAGES:
        stage(tour, page)
    page.footer(f"Written by isthmus demo in {time.monotonic() - began:.0f} s. Every number was measured in this run.")
    portrait = pictures.images_and_map(**tour.portrait, title="a map of the digits")
    picture = pictures.save(portrait, out / "digits.png")
    return Demo(page.write(out / "report.html"), picture, tour.figures)
