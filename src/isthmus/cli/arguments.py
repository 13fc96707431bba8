"""What verbs of the command line share: kinds of files, and options that come in groups. Nothing heavy is imported."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from isthmus.cli.running import TRACEBACK

__all__ = [
    "ALERTS",
    "CODES",
    "DATA",
    "DATA_OR_STDIN",
    "HITS",
    "MODEL",
    "PICTURES",
    "POINTS",
    "Out",
    "as_json",
    "fitting_options",
    "model_and_data",
    "out_file",
    "packing",
    "scoring",
    "traceback",
]

CODES = (".csv", ".parquet", ".npy", ".npz", "-")
PICTURES = (".png", ".svg")
POINTS = (".csv", ".parquet")
ALERTS = (".jsonl", ".csv", ".parquet", "-")
HITS = (".jsonl", ".csv", ".png", ".svg", "-")

DATA = click.Path(exists=True, path_type=Path)
DATA_OR_STDIN = click.Path(exists=True, path_type=Path, allow_dash=True)
MODEL = click.Path(exists=True, path_type=Path)


class Out(click.Path):
    """A file to write, of one of some kinds."""

    def __init__(self, kinds: tuple[str, ...] = ()):
        super().__init__(path_type=Path, allow_dash=True)
        self.kinds = kinds

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or fail with what was expected."""
        path = Path(value)
        kind = "-" if str(path) == "-" else path.suffix.lower()
        if self.kinds and kind not in self.kinds:
            self.fail(f"{str(path)!r} should end in {_either(self.kinds)}.", param, ctx)
        if kind != "-":
            self._check_place(path, param, ctx)
        return path

    def _check_place(self, path: Path, param: click.Parameter | None, ctx: click.Context | None) -> None:
        """Refuse now what could not be written after the work is done."""
        if self.kinds and path.is_dir():
            self.fail(f"{str(path)!r} is a folder.", param, ctx)
        parent = next(folder for folder in (*path.parents, Path()) if folder.exists())
        if not parent.is_dir():
            self.fail(f"{str(parent)!r} is a file; a folder was expected there.", param, ctx)
        if not os.access(parent, os.W_OK):
            self.fail(f"nothing can be written in {str(parent)!r}: permission denied.", param, ctx)


class Size(click.ParamType):
    """Height and width, as ``64x48``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        height, _, width = str(value).lower().partition("x")
        if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
            self.fail(f"{value!r} should be height and width in pixels, such as 64x48.", param, ctx)
        return int(height), int(width)


class Bytes(click.ParamType):
    """A number of bytes, as ``40k`` or ``1.5M``: a thousand, a million."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = str(value).lower().removesuffix("b")
        unit = {"k": 1_000, "m": 1_000_000}.get(text[-1:], 1)
        try:
            return max(1, round(float(text.rstrip("km")) * unit))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} should be a number of bytes, such as 40k or 1.5M.", param, ctx)


def _either(kinds: tuple[str, ...]) -> str:
    said = [kind if kind != "-" else "be - for standard output" for kind in kinds]
    return " or ".join([*([", ".join(said[:-1])] if said[1:] else []), said[-1]])


def _remember(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[TRACEBACK] = value or ctx.meta.get(TRACEBACK, False)


def traceback(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--traceback``."""
    return click.option(
        "--traceback",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        envvar="ISTHMUS_TRACEBACK",
        callback=_remember,
        help="After a failure, show where in the code it came from.",
    )(command)


def as_json(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")(command)


def out_file(
    kinds: tuple[str, ...] = (), help: str = "", metavar: str = "OUT", required: bool = True
) -> Callable[..., Any]:
    """Add ``-o``, a file of one of these kinds."""
    return click.option("-o", "--out", required=required, metavar=metavar, type=Out(kinds), help=help)


def model_and_data(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add MODEL and DATA."""
    return click.argument("model", type=MODEL)(click.argument("data", type=DATA)(command))


def packing(help: str, unpacks: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the inputs and options of the verb that packs files, or unpacks them; ``help`` is that of ``-o``."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed((UNPACKING if unpacks else PACKING) + COUNTED):
            command = option(command)
        inputs = click.argument("inputs", nargs=-1, required=True, type=DATA, metavar="[MODEL] FILE...")
        return inputs(out_file((), help)(as_json(traceback(command))))

    return add


def scoring(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every verb that reads rows for a model."""
    resize = click.option("--resize", is_flag=True, help="Resize images to the size of the model's.")
    return resize(as_json(traceback(command)))


def fitting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that describe what is fitted."""
    for option in reversed(
        (
            click.option(
                "--modality",
                metavar="NAME",
                help="What rows are: tables, images or sequences, with arguments as in "
                "\"sequences(id='patient', time='date')\". By default seen from DATA.",
            ),
            click.option(
                "--recipe",
                metavar="NAME",
                help='Begin at a paper\'s auto-encoder, such as vq_vae or "beta_vae(beta=4.0)"; '
                "a wrong name lists them all. --set changes what it chose.",
            ),
            click.option(
                "--set",
                "settings",
                multiple=True,
                metavar="PATH=VALUE",
                help="Set a parameter, by its set_params path in Python: bottleneck__size=8, "
                "encoder='mlp_encoder(hidden=(64, 32))', max_epochs=50. With --for, the path begins "
                "at the job: its auto-encoder's parameters are estimator__max_epochs and so on.",
            ),
            click.option(
                "--size", type=Size(), metavar="HxW", help="Resize images to this height and width, such as 64x64."
            ),
            click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, metavar="N"),
        )
    ):
        command = option(command)
    return command


PACKING = (
    click.option("--error", metavar="BOUND", help="Of a value: abs:1e-3, rel:1e-4 of the range, psnr:60 or lossless."),
    click.option(
        "-q", "--quality", type=click.FloatRange(0, 100), metavar="Q", help="Of images, 0 to 100; 60 by default."
    ),
    click.option(
        "--target-size", type=Bytes(), metavar="BYTES", help="Of images: the best of at most so many, as 40k."
    ),
    click.option(
        "--target-psnr", type=float, metavar="DB", help="Of images: the smallest file that reaches so many dB."
    ),
    click.option(
        "--effort",
        type=click.IntRange(0, 3),
        metavar="N",
        help="Of images: 0 fastest, 3 smallest; 1 by default.",
    ),
    click.option("--strip", is_flag=True, help="Of images: leave out colour profile, EXIF and XMP."),
)
UNPACKING = (
    click.option("--model", type=MODEL, metavar="MODEL", help="What it was compressed with, if not the first input."),
    click.option("--conceal", is_flag=True, help="Of images: where tiles are damaged, write the rest."),
    click.option(
        "--preview",
        "groups",
        type=click.IntRange(1),
        is_flag=False,
        # What is at the beginning of every file of several tiles.
        flag_value=4,
        metavar="[N]",
        help="Of images: the first N groups of channels alone, by default 4; the file may be cut short.",
    ),
)
COUNTED = (
    click.option(
        "--max-pixels", type=click.IntRange(1), default=1 << 28, metavar="N", help="Of images; more are refused."
    ),
    click.option("-j", "--jobs", type=click.IntRange(1, 256), default=1, metavar="N", help="Images at once."),
)
