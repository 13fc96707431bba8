"""The grammar: verbs, arguments and options. Nothing here imports torch or numpy."""

from __future__ import annotations

from typing import Any

import click

from isthmus import __version__
from isthmus.cli.arguments import (
    ALERTS,
    CODES,
    DATA,
    DATA_OR_STDIN,
    HITS,
    MODEL,
    PICTURES,
    POINTS,
    Out,
    as_json,
    fitting_options,
    model_and_data,
    out_file,
    packing,
    scoring,
    traceback,
)
from isthmus.cli.around import bench, completion, demo
from isthmus.cli.deciding import check_along, check_deciding, check_following, deciding
from isthmus.cli.running import Root

__all__ = ["main"]


@click.group(
    cls=Root,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="isthmus")
@traceback
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
@click.option("-o", "--out", required=True, metavar="MODEL", type=Out(), help="Folder to write the model to.")
@click.option(
    "--for",
    "job",
    metavar="JOB",
    help="What the code is to be good for: detect, watch, denoise, map, sample, search, compress, wrap or vectors.",
)
@click.option(
    "--labels",
    metavar="COLUMN|FILE",
    help="What is known of the rows, for jobs and parts that learn from labels; an empty cell where nothing is.",
)
@fitting_options
@click.option("--resume", is_flag=True, help="Go on where the same call was interrupted.")
@as_json
@traceback
def fit(**asked: Any) -> None:
    """Fit an auto-encoder to DATA and write it as a MODEL folder.

    An interrupted fit (Ctrl-C, power cut) goes on with --resume and ends with the same weights.
    """
    from isthmus.cli import fitting

    fitting.fit(**asked)


@main.command()
@model_and_data
@out_file(CODES, "Codes, one row for each row of DATA; - writes CSV to standard output.")
@scoring
def encode(**asked: Any) -> None:
    """Write the codes of DATA."""
    from isthmus.cli import verbs

    verbs.encode(**asked)


@main.command()
@model_and_data
@out_file((), "What the decoder makes of the codes: for tables a .csv or .parquet, for images a folder or .npy.")
@click.option("--picture", type=Out(PICTURES), metavar="FILE", help="Originals beside reconstructions.")
@scoring
def reconstruct(**asked: Any) -> None:
    """Send DATA through the code and back."""
    from isthmus.cli import verbs

    verbs.reconstruct(**asked)


@main.command()
@model_and_data
@out_file((), "The rows without noise: for tables a .csv or .parquet, for images a folder or .npy.")
@click.option("--picture", type=Out(PICTURES), metavar="FILE", help="Noisy beside denoised rows.")
@scoring
def denoise(**asked: Any) -> None:
    """Write the clean rows behind the noisy rows of DATA."""
    from isthmus.cli import verbs

    verbs.denoise(**asked)


@main.command("map")
@model_and_data
@out_file((*PICTURES, *POINTS, "-"), "A picture, or the points themselves as .csv or .parquet.")
@click.option("--labels", metavar="COLUMN|FILE", help="What to colour the points by.")
@scoring
def map_rows(**asked: Any) -> None:
    """Place DATA on a map of two or three dimensions, where alike rows lie together."""
    from isthmus.cli import verbs

    verbs.map_rows(**asked)


@main.command()
@click.argument("model", type=MODEL)
@click.argument("data", type=DATA_OR_STDIN)
@out_file(ALERTS, "One line for each alert, worst first; for DATA - by default -.", required=False)
@click.option("--all", "every", is_flag=True, help="Write every row, in the order of DATA, not the alerts alone.")
@deciding
@click.option("--reasons", type=click.IntRange(1), default=3, show_default=True, metavar="N", help="Reasons per row.")
@click.option("--labels", metavar="COLUMN|FILE", help="Which rows are known anomalies, to say how many are found.")
@click.option("--report", type=Out((".html",)), metavar="FILE", help="A page with pictures, for people.")
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
@scoring
def detect(**asked: Any) -> None:
    """Find the rows of DATA that are not like the rows fitted on, and say why.

    DATA - reads lines of JSON, or CSV with a header, from standard input and answers as they come.
    """
    if asked["baselines"] is not None and asked["report"] is None:
        raise click.UsageError("--baselines is for the report; give --report FILE.html too.")
    check_deciding(asked)
    batch, resume = asked.pop("batch"), asked.pop("resume")
    if str(asked["data"]) == "-" or batch is not None or resume:
        check_along(asked, resume)
        from isthmus.cli import streaming

        return streaming.detect_along(**asked, batch=batch, resume=resume)
    if asked["out"] is None:
        raise click.UsageError("Missing option '-o' / '--out'.")
    from isthmus.cli import detecting

    detecting.detect(**asked)


@main.command()
@model_and_data
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
@click.option("--report", type=Out((".html",)), metavar="FILE", help="A page with pictures, for people.")
@scoring
def drift(**asked: Any) -> int:
    """Say whether DATA is still like what MODEL was fitted on, and which columns are not.

    Exit status 3: something drifted.
    """
    from isthmus.cli import drifting

    return drifting.drift(**asked)


@main.command()
@click.argument("model", type=MODEL)
@click.argument("data", type=DATA_OR_STDIN)
@out_file(
    (".jsonl", ".csv", "-"),
    "One line for each alarm, in the order of series and steps; for DATA - by default -.",
    required=False,
)
@click.option("--all", "every", is_flag=True, help="Write a line for each step, not the alarms.")
@click.option(
    "--false-alarms",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="RATE",
    help="Share of normal steps below the threshold; by default what the model was fitted for.",
)
@click.option("--picture", type=Out(PICTURES), metavar="FILE", help="The series that rings most, with its alarms.")
@as_json
@traceback
def watch(**asked: Any) -> None:
    """Ring where the series of DATA are not like those fitted on, and say which span it was.

    A table is one series, a step a line: numbers, and at most one column of times. DATA - reads
    lines of JSON, or CSV with a header, from standard input: an alarm has a line when it rings,
    and one when it is over.
    """
    if str(asked["data"]) == "-":
        check_following(asked)
        from isthmus.cli import following

        return following.follow(**asked)
    if asked["out"] is None:
        raise click.UsageError("Missing option '-o' / '--out'.")
    from isthmus.cli import watching

    watching.watch(**asked)


@main.command()
@model_and_data
@out_file((*POINTS, "-"), "One line for each row: the label, and of classes the probability of each.")
@click.option("--labels", metavar="COLUMN|FILE", help="What is known of the rows, to say how well they are predicted.")
@scoring
def predict(**asked: Any) -> None:
    """Predict the labels of DATA with a MODEL fitted --for pretrain or --for regress."""
    from isthmus.cli import predicting

    predicting.predict(**asked)


@main.command()
@click.argument("model", type=MODEL)
@click.argument("query", type=DATA)
@out_file(HITS, "One line for each row found, or a picture of the first.")
@click.option(
    "-k", "n_neighbors", type=click.IntRange(1), metavar="N", help="Rows to find for each; by default the model's, 10."
)
@click.option(
    "--data", type=DATA, metavar="DATA", help="What the model was fitted on, to draw; of vectors the compressed file."
)
@scoring
def search(**asked: Any) -> None:
    """Find the rows the MODEL was fitted on that are most like those of QUERY."""
    from isthmus.cli import searching

    searching.search(**asked)


@main.command()
@click.argument("model", type=MODEL)
@click.option("-n", "n_samples", type=click.IntRange(1), default=64, show_default=True, metavar="N")
@out_file((), "A picture (.png, .svg; .gif with --between), or rows: .csv, .parquet, .npy, or a folder of images.")
@click.option(
    "--between",
    type=DATA,
    metavar="DATA",
    help="Instead of new rows, those on the way from each row of DATA to the next.",
)
@click.option("--steps", type=click.IntRange(2), default=9, show_default=True, metavar="N", help="Rows on each way.")
@click.option("--resize", is_flag=True, help="Resize images of --between to the size of the model's.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, metavar="N")
@as_json
@traceback
def sample(**asked: Any) -> None:
    """Draw new rows from the MODEL, or walk between given ones."""
    from isthmus.cli import sampling

    sampling.sample(**asked)


@main.command()
@click.argument("model", type=MODEL)
@click.argument("first", metavar="A", type=DATA)
@click.argument("second", metavar="B", type=DATA)
@click.option("--factor", metavar="NAME", help="Which factor of B; by default the one the model was fitted for.")
@out_file((), "The rows: for tables a .csv or .parquet, for images a folder or .npy.")
@click.option("--picture", type=Out(PICTURES), metavar="FILE", help="A, B and what came of them, side by side.")
@scoring
def swap(**asked: Any) -> None:
    """Write the rows of A, each with one named factor of the row of B (or of its only row)."""
    from isthmus.cli import disentangling

    disentangling.swap(**asked)


@main.command()
@model_and_data
@click.option(
    "--factors", required=True, metavar="FILE", type=DATA, help="A column for each factor, a row for each row."
)
@click.option("-o", "--out", type=Out(PICTURES), metavar="PICTURE", help="What each dimension tells of each factor.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, metavar="N")
@scoring
def disentangle(**asked: Any) -> None:
    """Say how far the code of DATA keeps known factors apart: MIG, DCI, SAP, FactorVAE score."""
    from isthmus.cli import disentangling

    disentangling.disentangle(**asked)


@main.command()
@click.argument("inputs", nargs=-1, required=True, type=DATA, metavar="[MODEL] DATA...")
@click.option("--for", "job", required=True, metavar="JOB", help="detect, denoise, map, sample, compress and others.")
@click.option("-o", "--out", type=Out(), metavar="FOLDER", help="For compress: pictures of rates and of crops.")
@click.option("--labels", metavar="COLUMN|FILE", help="What is known of the rows; never fitted on.")
@fitting_options
@as_json
@traceback
def compare(**asked: Any) -> None:
    """Fit on 70 % of DATA and set the job beside its baselines on the other 30 %.

    Of a MODEL fitted --for compress, DATA are images that it has not seen, or folders of them.
    """
    from isthmus.cli import comparing

    comparing.compare(**asked)


@main.command()
@click.argument("model", type=MODEL)
@out_file((".onnx",), "The file, which any ONNX runtime reads.")
@as_json
@traceback
def export(**asked: Any) -> None:
    """Write a MODEL fitted --for detect as an ONNX file: raw columns in, cost, alert and p-value out."""
    from isthmus.cli import exporting

    exporting.export(**asked)


@main.command()
@packing("The compressed file, or of several files, and of images, the folder for them.")
def compress(**asked: Any) -> None:
    """Compress images (MODEL --for compress), vectors (--for vectors), or arrays within an --error."""
    from isthmus.cli import codecs

    codecs.compress(**asked)


@main.command()
@packing("The .npy or .png file, or of several files the folder for them.", unpacks=True)
def decompress(**asked: Any) -> None:
    """Write what compressed files hold."""
    from isthmus.cli import codecs

    codecs.decompress(**asked)


@main.command()
@click.argument("model", type=MODEL, metavar="MODEL|FILE")
@as_json
@traceback
def info(**asked: Any) -> None:
    """Say what MODEL is (data, parts, sizes, figures of the fit), or what a compressed FILE holds."""
    if asked["model"].is_file():
        from isthmus.cli import codecs

        return codecs.info(**asked)
    from isthmus.cli import fitting

    fitting.info(**asked)


for verb in (demo, bench, completion):
    main.add_command(verb)
