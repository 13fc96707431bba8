"""The grammar: verbs, arguments and options. Nothing here imports torch or numpy."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from isthmus import __version__
from isthmus.cli.running import TRACEBACK, Root

__all__ = ["main"]

CODES = (".csv", ".parquet", ".npy", ".npz", "-")
PICTURES = (".png", ".svg")
POINTS = (".csv", ".parquet")
ALERTS = (".jsonl", ".csv", ".parquet", "-")
HITS = (".jsonl", ".csv", ".png", ".svg", "-")

DATA = click.Path(exists=True, path_type=Path)
MODEL = click.Path(exists=True, path_type=Path)


class _Out(click.Path):
    """A file to write, of one of some kinds."""

    def __init__(self, kinds: tuple[str, ...] = ()):
        super().__init__(path_type=Path, allow_dash=True)
        self.kinds = kinds

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
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


class _Size(click.ParamType):
    """Height and width, as ``64x48``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        height, _, width = str(value).lower().partition("x")
        if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
            self.fail(f"{value!r} should be height and width in pixels, such as 64x48.", param, ctx)
        return int(height), int(width)


def _either(kinds: tuple[str, ...]) -> str:
    said = [kind if kind != "-" else "be - for standard output" for kind in kinds]
    return " or ".join([*([", ".join(said[:-1])] if said[1:] else []), said[-1]])


def _remember(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[TRACEBACK] = value or ctx.meta.get(TRACEBACK, False)


def _traceback(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--traceback",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        envvar="ISTHMUS_TRACEBACK",
        callback=_remember,
        help="After a failure, show where in the code it came from.",
    )(command)


def _json(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")(command)


def _out(kinds: tuple[str, ...] = (), help: str = "", metavar: str = "OUT") -> Callable[..., Any]:
    return click.option("-o", "--out", required=True, metavar=metavar, type=_Out(kinds), help=help)


def _model_and_data(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.argument("model", type=MODEL)(click.argument("data", type=DATA)(command))


def _scoring(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every verb that reads rows for a model."""
    resize = click.option("--resize", is_flag=True, help="Resize images to the size of the model's.")
    return resize(_json(_traceback(command)))


def _deciding(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which rows are alerts; :func:`_check_deciding` refuses those that contradict."""
    share = click.FloatRange(0, 1, min_open=True, max_open=True)
    for option in reversed(
        (
            click.option(
                "--false-alarms",
                type=share,
                metavar="RATE",
                help="Share of normal rows that may be called an alert; by default what the model was fitted for.",
            ),
            click.option("--budget", type=click.IntRange(1), metavar="K", help="Instead: the K least normal rows."),
            click.option(
                "--fdr", type=share, metavar="Q", help="Instead: as many as leave at most this share of false alerts."
            ),
            click.option(
                "--confidence",
                type=share,
                metavar="C",
                help="Keep the rate of false alarms with this confidence, such as 0.95, not only on average.",
            ),
            click.option("--day", metavar="COLUMN|FILE", help="With --budget: K of each day, by these dates."),
            click.option(
                "--rows-per-day",
                type=click.FloatRange(0, min_open=True),
                metavar="N",
                help="With --budget: a threshold by which K of N normal rows a day are alerts.",
            ),
        )
    ):
        command = option(command)
    return command


def _check_deciding(asked: dict[str, Any]) -> None:
    """Refuse options of two ways to decide."""
    ways = {"--false-alarms": "false_alarms", "--budget": "budget", "--fdr": "fdr"}
    given = [option for option, name in ways.items() if asked[name] is not None]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} are different ways to decide; give one.")
    of_budget = [option for option in ("--day", "--rows-per-day") if asked[option[2:].replace("-", "_")] is not None]
    if of_budget and asked["budget"] is None:
        raise click.UsageError(f"{of_budget[0]} says what a budget is of; give --budget K too.")
    if len(of_budget) > 1:
        raise click.UsageError("--day and --rows-per-day are different budgets; give one.")
    if asked["rows_per_day"] is not None and asked["budget"] >= asked["rows_per_day"]:
        raise click.UsageError(
            f"--budget {asked['budget']} is no fewer than --rows-per-day {asked['rows_per_day']:g}: "
            "every row would be an alert."
        )
    is_rate = asked["fdr"] is None and (asked["budget"] is None or asked["rows_per_day"] is not None)
    if asked["confidence"] is not None and not is_rate:
        raise click.UsageError("--confidence is of a rate of false alarms; give it with --false-alarms.")


def _check_along(asked: dict[str, Any], resume: bool) -> None:
    """Refuse what needs all rows at once where they come piece by piece; drop the options that do."""
    for name in ("labels", "report", "baselines", "day"):
        if asked.pop(name) is not None:
            raise click.UsageError(f"--{name} needs all rows at once; these come piece by piece.")
    if asked.pop("resize"):
        raise click.UsageError("--resize is for images; only tables come piece by piece.")
    is_stream = str(asked["data"]) == "-"
    asked["out"] = Path("-") if asked["out"] is None and is_stream else asked["out"]
    if asked["out"] is None:
        raise click.UsageError("Missing option '-o' / '--out'.")
    if asked["out"].suffix.lower() not in (".jsonl", ""):
        raise click.UsageError(f"piece by piece, lines of JSON are written (.jsonl or -), got {asked['out']}.")
    if resume and (is_stream or str(asked["out"]) == "-"):
        raise click.UsageError("--resume goes on with a file of alerts about a file of rows; give both names.")


def _fitting(command: Callable[..., Any]) -> Callable[..., Any]:
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
                "--size", type=_Size(), metavar="HxW", help="Resize images to this height and width, such as 64x64."
            ),
            click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, metavar="N"),
        )
    ):
        command = option(command)
    return command


@click.group(
    cls=Root,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="isthmus")
@_traceback
@click.pass_context
def main(ctx: click.Context) -> None:
    """Auto-encoders for people with their own data.

    DATA is a .csv or .parquet table, a folder of images, or a .npy, .npz or idx array. MODEL is
    the folder that fit writes. Results go to standard output, everything else to standard error.

    \b
    isthmus fit flowers.csv -o flowers --for detect
    isthmus detect flowers new.csv -o alerts.jsonl
    """  # noqa: D301 - click wants the character itself
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@main.command()
@click.argument("data", type=DATA)
@click.option("-o", "--out", required=True, metavar="MODEL", type=_Out(), help="Folder to write the model to.")
@click.option(
    "--for",
    "job",
    metavar="JOB",
    help="What the code is to be good for: detect, watch, denoise, map, sample or search.",
)
@click.option(
    "--labels",
    metavar="COLUMN|FILE",
    help="What is known of the rows, for jobs and parts that learn from labels; an empty cell where nothing is.",
)
@_fitting
@click.option("--resume", is_flag=True, help="Go on where the same call was interrupted.")
@_json
@_traceback
def fit(**asked: Any) -> None:
    """Fit an auto-encoder to DATA and write it as a MODEL folder.

    An interrupted fit (Ctrl-C, power cut) goes on with --resume and ends with the same weights.
    """
    from isthmus.cli import fitting

    fitting.fit(**asked)


@main.command()
@_model_and_data
@_out(CODES, "Codes, one row for each row of DATA; - writes CSV to standard output.")
@_scoring
def encode(**asked: Any) -> None:
    """Write the codes of DATA."""
    from isthmus.cli import verbs

    verbs.encode(**asked)


@main.command()
@_model_and_data
@_out((), "What the decoder makes of the codes: for tables a .csv or .parquet, for images a folder or .npy.")
@click.option("--picture", type=_Out(PICTURES), metavar="FILE", help="Originals beside reconstructions.")
@_scoring
def reconstruct(**asked: Any) -> None:
    """Send DATA through the code and back."""
    from isthmus.cli import verbs

    verbs.reconstruct(**asked)


@main.command()
@_model_and_data
@_out((), "The rows without noise: for tables a .csv or .parquet, for images a folder or .npy.")
@click.option("--picture", type=_Out(PICTURES), metavar="FILE", help="Noisy beside denoised rows.")
@_scoring
def denoise(**asked: Any) -> None:
    """Write the clean rows behind the noisy rows of DATA."""
    from isthmus.cli import verbs

    verbs.denoise(**asked)


@main.command("map")
@_model_and_data
@_out((*PICTURES, *POINTS, "-"), "A picture, or the points themselves as .csv or .parquet.")
@click.option("--labels", metavar="COLUMN|FILE", help="What to colour the points by.")
@_scoring
def map_rows(**asked: Any) -> None:
    """Place DATA on a map of two or three dimensions, where alike rows lie together."""
    from isthmus.cli import verbs

    verbs.map_rows(**asked)


@main.command()
@click.argument("model", type=MODEL)
@click.argument("data", type=click.Path(exists=True, path_type=Path, allow_dash=True))
@click.option(
    "-o",
    "--out",
    metavar="OUT",
    type=_Out(ALERTS),
    help="One line for each alert, worst first; for DATA - by default -.",
)
@click.option("--all", "every", is_flag=True, help="Write every row, in the order of DATA, not the alerts alone.")
@_deciding
@click.option("--reasons", type=click.IntRange(1), default=3, show_default=True, metavar="N", help="Reasons per row.")
@click.option("--labels", metavar="COLUMN|FILE", help="Which rows are known anomalies, to say how many are found.")
@click.option("--report", type=_Out((".html",)), metavar="FILE", help="A page with pictures, for people.")
@click.option(
    "--baselines",
    type=DATA,
    metavar="TRAINING_DATA",
    help="For the report: what the model was fitted on, to fit PCA, neighbours and an isolation forest to it too.",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    metavar="N",
    help="Piece by piece, at most N rows at once, in bounded memory: alerts come in the order of DATA, and lines that "
    "cannot be used among them with their error.",
)
@click.option("--resume", is_flag=True, help="Piece by piece, going on where the same call was interrupted.")
@_scoring
def detect(**asked: Any) -> None:
    """Find the rows of DATA that are not like the rows fitted on, and say why.

    DATA - reads lines of JSON, or CSV with a header, from standard input and answers as they come.
    """
    if asked["baselines"] is not None and asked["report"] is None:
        raise click.UsageError("--baselines is for the report; give --report FILE.html too.")
    _check_deciding(asked)
    batch, resume = asked.pop("batch"), asked.pop("resume")
    if str(asked["data"]) == "-" or batch is not None or resume:
        _check_along(asked, resume)
        from isthmus.cli import streaming

        return streaming.detect_along(**asked, batch=batch, resume=resume)
    if asked["out"] is None:
        raise click.UsageError("Missing option '-o' / '--out'.")
    from isthmus.cli import detecting

    detecting.detect(**asked)


@main.command()
@_model_and_data
@click.option(
    "--against", type=DATA, metavar="REFERENCE", help="Rows to compare with, instead of those the model was fitted on."
)
@click.option(
    "--level",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    metavar="P",
    help="Chance, at most, to find anything where nothing has changed.",
)
@click.option(
    "--least",
    type=click.FloatRange(0),
    default=0.1,
    show_default=True,
    metavar="PSI",
    help="Least population stability index of a change that counts.",
)
@click.option("--ignore", multiple=True, metavar="COLUMN", help="Do not test this one; may be given again.")
@click.option("--dates", is_flag=True, help="Test dates too, which move on by nature.")
@click.option("--report", type=_Out((".html",)), metavar="FILE", help="A page with pictures, for people.")
@_scoring
def drift(**asked: Any) -> int:
    """Say whether DATA is still like what MODEL was fitted on, and which columns are not.

    Exit status 3: something drifted.
    """
    from isthmus.cli import drifting

    return drifting.drift(**asked)


@main.command()
@_model_and_data
@_out((".jsonl", ".csv", "-"), "One line for each alarm, in the order of series and steps.")
@click.option("--all", "every", is_flag=True, help="Write a line for each step, not the alarms.")
@click.option(
    "--false-alarms",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="RATE",
    help="Share of normal steps below the threshold; by default what the model was fitted for.",
)
@click.option("--picture", type=_Out(PICTURES), metavar="FILE", help="The series that rings most, with its alarms.")
@_json
@_traceback
def watch(**asked: Any) -> None:
    """Ring where the series of DATA are not like those fitted on, and say which span it was.

    A table is one series, a step a line: numbers, and at most one column of times.
    """
    from isthmus.cli import watching

    watching.watch(**asked)


@main.command()
@_model_and_data
@_out((*POINTS, "-"), "One line for each row: the label, and of classes the probability of each.")
@click.option("--labels", metavar="COLUMN|FILE", help="What is known of the rows, to say how well they are predicted.")
@_scoring
def predict(**asked: Any) -> None:
    """Predict the labels of DATA with a MODEL fitted --for pretrain or --for regress."""
    from isthmus.cli import predicting

    predicting.predict(**asked)


@main.command()
@click.argument("model", type=MODEL)
@click.argument("query", type=DATA)
@_out(HITS, "One line for each row found, or a picture of the first.")
@click.option(
    "-k", "n_neighbors", type=click.IntRange(1), metavar="N", help="Rows to find for each; by default the model's, 10."
)
@click.option("--data", type=DATA, metavar="DATA", help="For a picture: what the model was fitted on, to draw from.")
@_scoring
def search(**asked: Any) -> None:
    """Find the rows the MODEL was fitted on that are most like those of QUERY."""
    from isthmus.cli import searching

    searching.search(**asked)


@main.command()
@click.argument("model", type=MODEL)
@click.option("-n", "n_samples", type=click.IntRange(1), default=64, show_default=True, metavar="N")
@_out((), "A picture (.png, .svg; .gif with --between), or rows: .csv, .parquet, .npy, or a folder of images.")
@click.option(
    "--between",
    type=DATA,
    metavar="DATA",
    help="Instead of new rows, those on the way from each row of DATA to the next.",
)
@click.option("--steps", type=click.IntRange(2), default=9, show_default=True, metavar="N", help="Rows on each way.")
@click.option("--resize", is_flag=True, help="Resize images of --between to the size of the model's.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, metavar="N")
@_json
@_traceback
def sample(**asked: Any) -> None:
    """Draw new rows from the MODEL, or walk between given ones."""
    from isthmus.cli import sampling

    sampling.sample(**asked)


@main.command()
@click.argument("model", type=MODEL)
@click.argument("first", metavar="A", type=DATA)
@click.argument("second", metavar="B", type=DATA)
@click.option("--factor", metavar="NAME", help="Which factor of B; by default the one the model was fitted for.")
@_out((), "The rows: for tables a .csv or .parquet, for images a folder or .npy.")
@click.option("--picture", type=_Out(PICTURES), metavar="FILE", help="A, B and what came of them, side by side.")
@_scoring
def swap(**asked: Any) -> None:
    """Write the rows of A, each with one named factor of the row of B (or of its only row)."""
    from isthmus.cli import disentangling

    disentangling.swap(**asked)


@main.command()
@_model_and_data
@click.option(
    "--factors", required=True, metavar="FILE", type=DATA, help="A column for each factor, a row for each row."
)
@click.option("-o", "--out", type=_Out(PICTURES), metavar="PICTURE", help="What each dimension tells of each factor.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, metavar="N")
@_scoring
def disentangle(**asked: Any) -> None:
    """Say how far the code of DATA keeps known factors apart: MIG, DCI, SAP, FactorVAE score."""
    from isthmus.cli import disentangling

    disentangling.disentangle(**asked)


@main.command()
@click.argument("data", type=DATA)
@click.option("--for", "job", required=True, metavar="JOB", help="detect, denoise, map or sample.")
@click.option("--labels", metavar="COLUMN|FILE", help="What is known of the rows; never fitted on.")
@_fitting
@_json
@_traceback
def compare(**asked: Any) -> None:
    """Fit on 70 % of DATA and set the job beside its baselines on the other 30 %."""
    from isthmus.cli import fitting

    fitting.compare(**asked)


@main.command()
@click.argument("model", type=MODEL)
@_json
@_traceback
def info(**asked: Any) -> None:
    """Say what MODEL is: data, parts, sizes, figures of the fit."""
    from isthmus.cli import fitting

    fitting.info(**asked)


@main.command()
@click.option(
    "-o",
    "--out",
    type=_Out(),
    metavar="FOLDER",
    default="isthmus-demo",
    show_default=True,
    help="Folder for the report.",
)
@_traceback
def demo(out: Path) -> None:
    """Fit auto-encoders to real data that come with scikit-learn, and write a report."""
    from isthmus import demo as demonstration
    from isthmus.cli.talk import say

    done = demonstration.run(out, say)
    for name, value in done.figures.items():
        click.echo(f"{name}: {value}")
    click.echo(f"The report is in {done.report}; open it in a browser.")


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@_traceback
def completion(shell: str) -> None:
    """Print a script that completes verbs and options.

    \b
    bash, in ~/.bashrc:  eval "$(isthmus completion bash)"
    zsh, in ~/.zshrc:    eval "$(isthmus completion zsh)"
    fish:                isthmus completion fish > ~/.config/fish/completions/isthmus.fish
    """  # noqa: D301 - click wants the character itself
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(main, {}, "isthmus", "_ISTHMUS_COMPLETE").source())
