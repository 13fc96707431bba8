"""Reports: one HTML page that needs nothing but itself."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Self

import numpy as np
from matplotlib.figure import Figure

from isthmus.files import atomic

__all__ = ["Report", "said"]

DPI = 144
CSS = """
:root { color-scheme: light dark; --ink: #1d1d1f; --paper: #ffffff; --faint: #5f6368; --line: #d5d7da;
  --band: #f5f6f7; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #17181a; --faint: #a0a4a8; --line: #3a3d40; --band: #202225; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2.5rem 1.25rem 4rem; color: var(--ink); background: var(--paper);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 0.4rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 0.5rem; padding-top: 0.7rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.8rem 0 0.3rem; }
p { margin: 0.5rem 0 0.8rem; max-width: 46rem; }
.lead { color: var(--faint); font-size: 1.05rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 0.7rem 0 1.1rem; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--faint); padding-bottom: 0.35rem; }
th, td { padding: 0.32rem 0.85rem 0.32rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { border-bottom: 2px solid var(--line); font-weight: 600; }
.number { text-align: right; white-space: nowrap; padding-left: 0.85rem; padding-right: 0.85rem; }
tr.ours td { background: var(--band); font-weight: 600; }
figure { margin: 0.9rem 0 1.3rem; }
figure img { max-width: 100%; height: auto; display: block; background: #ffffff; padding: 0.4rem; border-radius: 4px;
  border: 1px solid var(--line); }
figcaption { color: var(--faint); font-size: 0.9rem; margin-top: 0.35rem; max-width: 46rem; }
footer { margin-top: 3rem; padding-top: 0.7rem; border-top: 1px solid var(--line); color: var(--faint);
  font-size: 0.85rem; }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } figure, table, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; } }
"""


class Report:
    """Headings, text, tables and pictures, in the order they are added.

    Parameters
    ----------
    title : str
        Of the page, and its first heading.
    lead : str
        A sentence or two beneath it.

    Notes
    -----
    All text is escaped. Pictures are inlined; the page asks for nothing from outside, and a
    content security policy in it holds a browser to that.

    Examples
    --------
    >>> page = Report("Fits").heading("Digits").table([{"method": "PCA", "error": 13.87}])
    >>> "<h2>Digits</h2>" in page.html()
    True
    """

    def __init__(self, title: str, lead: str = ""):
        self.title = title
        self._blocks: list[str] = [f"<h1>{escape(title)}</h1>"]
        if lead:
            self._blocks.append(f'<p class="lead">{escape(lead)}</p>')

    def heading(self, text: str, level: int = 2) -> Self:
        """Add a heading of level 2 or 3."""
        if level not in (2, 3):
            raise ValueError(f"a heading has level 2 or 3, got {level}; the title is the only one of level 1.")
        self._blocks.append(f"<h{level}>{escape(text)}</h{level}>")
        return self

    def text(self, text: str) -> Self:
        """Add a paragraph."""
        self._blocks.append(f"<p>{escape(text)}</p>")
        return self

    def table(
        self,
        rows: Sequence[Mapping[str, Any]],
        columns: Sequence[str] | Mapping[str, str] | None = None,
        caption: str = "",
        ours: str = "",
    ) -> Self:
        """Add a table.

        Parameters
        ----------
        rows : sequence of mapping
            A value that a row lacks is left blank.
        columns : sequence of str, or mapping of str to str, optional
            Which values, in order, and what they are headed by; by default all, by their names.
        caption : str
            Above the table.
        ours : str
            The row that begins with this is set off.
        """
        if columns is None:
            columns = list(dict.fromkeys(name for row in rows for name in row))
        heads = dict(columns) if isinstance(columns, Mapping) else {name: name.replace("_", " ") for name in columns}
        given = {name: [row[name] for row in rows if row.get(name) is not None] for name in heads}
        numeric = {name: bool(values) and all(map(_is_number, values)) for name, values in given.items()}
        lines = ["".join(_cell("th", head, numeric[name]) for name, head in heads.items())]
        lines = [f"<thead><tr>{lines[0]}</tr></thead><tbody>"]
        for row in rows:
            cells = "".join(_cell("td", said(row.get(name)), numeric[name]) for name in heads)
            mark = ' class="ours"' if ours and said(row.get(next(iter(heads)))) == ours else ""
            lines.append(f"<tr{mark}>{cells}</tr>")
        head = f"<caption>{escape(caption)}</caption>" if caption else ""
        self._blocks.append(f'<div class="wide"><table>{head}{"".join(lines)}</tbody></table></div>')
        return self

    def figure(self, figure: Figure, alt: str, caption: str = "") -> Self:
        """Add a picture; ``alt`` says what is on it to those who cannot see it."""
        if not alt.strip():
            raise ValueError("a picture needs an alt text: say in a sentence what is on it.")
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=DPI, metadata={"Software": None})
        width, height = (round(96 * side) for side in figure.get_size_inches())
        source = f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
        words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        self._blocks.append(
            f'<figure><img src="{source}" width="{width}" height="{height}" alt="{escape(alt)}">{words}</figure>'
        )
        return self

    def footer(self, text: str) -> Self:
        """Add small print."""
        self._blocks.append(f"<footer>{escape(text)}</footer>")
        return self

    def html(self) -> str:
        """Return the page."""
        body = "\n".join(self._blocks)
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
            f'<title>{escape(self.title)}</title>\n<link rel="icon" href="data:,">\n'
            f"<style>{CSS}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
        )

    def write(self, path: str | Path) -> Path:
        """Write the page, whole or not at all."""
        path = Path(path)
        with atomic(path) as part:
            part.write_text(self.html(), encoding="utf-8")
        return path


def said(value: Any) -> str:
    """Return a value as a reader wants it: numbers with three or four digits that count.

    Examples
    --------
    >>> [said(value) for value in (0.98765, 1234567.8, 3, True, None)]
    ['0.988', '1,234,568', '3', 'yes', '']
    """
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if not _is_number(value):
        return str(value)
    number = float(value)
    if not math.isfinite(number):
        return "–" if math.isnan(number) else str(number)
    if number == int(number) and (isinstance(value, int) or abs(number) < 1e15):
        return f"{int(number):,}"
    if abs(number) >= 1000:
        return f"{number:,.0f}"
    if abs(number) >= 100:
        return f"{number:.1f}"
    if abs(number) >= 10:
        return f"{number:.2f}"
    return f"{number:.3f}" if abs(number) >= 0.01 else f"{number:.2g}"


def _is_number(value: Any) -> bool:
    return (
        hasattr(value, "__float__") and not isinstance(value, bool | np.bool_ | str) and getattr(value, "ndim", 0) == 0
    )


def _cell(tag: str, text: str, numeric: bool) -> str:
    mark = ' class="number"' if numeric else ""
    scope = ' scope="col"' if tag == "th" else ""
    return f"<{tag}{scope}{mark}>{escape(text)}</{tag}>"
