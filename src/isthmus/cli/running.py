"""How a call ends: an exit status, and for a failure one line that says what to do.

Exit status 0: done. 1: the data or the model are at fault. 2: the call is. 3: drift was
found. 130: Ctrl-C. 141: whoever read our output has gone.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import click

__all__ = ["TRACEBACK", "Root", "wrong_call"]

TRACEBACK = "isthmus.traceback"
# What data, files and models raise; anything else is a fault of ours.
EXPECTED = (ValueError, TypeError, OSError, MemoryError, RuntimeError)
# Rows set aside are told by the verb; a fit that goes wrong is raised or warned of.
TOLD = ("isthmus.reading", "isthmus.training")
HUSHED = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning, ResourceWarning)


class Root(click.Group):
    """The group of all verbs, which turns every exception into one line and an exit status."""

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **more: Any,
    ) -> None:
        """Run, and exit with a status."""
        with _one_line_warnings(), _one_line_log():
            status = self._status(args, prog_name or "isthmus", complete_var, more)
        sys.exit(status)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; what it raises becomes a click exception with one line."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError as error:
            raise _ReaderGone from error  # click would end with status 1
        except KeyboardInterrupt as error:
            raise _Ended(str(error) or "interrupted.", 130) from error
        except Exception as error:
            if ctx.meta.get(TRACEBACK):
                traceback.print_exc()
            raise _Ended(_said(error), 2 if isinstance(error, FileNotFoundError) else 1) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order in which they are used."""
        return list(self.commands)

    def _status(self, args: Any, prog_name: str, complete_var: Any, more: dict[str, Any]) -> int:
        try:
            words = list(sys.argv[1:] if args is None else args)
            result = super().main(words, prog_name, complete_var, standalone_mode=False, obj=words, **more)
            sys.stdout.flush()
            return result if isinstance(result, int) else 0
        except click.ClickException as error:
            _complain(error.format_message(), getattr(error, "ctx", None))
            return error.exit_code
        except _Ended as error:
            _complain(error.message)
            return error.status
        except (click.Abort, KeyboardInterrupt):
            _say("isthmus: interrupted.")
            return 130
        except (BrokenPipeError, _ReaderGone):
            # Python flushes at exit: without a place to flush to, it would complain then.
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141


@contextmanager
def wrong_call() -> Iterator[None]:
    """Within it, a value that does not fit is the caller's: exit status 2."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise click.UsageError(str(error), click.get_current_context(silent=True)) from error


class _Ended(Exception):
    """What to say last, and the exit status."""

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.message, self.status = message, status


class _ReaderGone(Exception):
    """Nobody reads our output any more."""


def _said(error: Exception) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'input or output'}: {error.strerror.lower()}."
    if isinstance(error, MemoryError):
        return f"out of memory{': ' + text if text else ''}. Use fewer rows, or smaller ones."
    if isinstance(error, EXPECTED) and text:
        return text
    return f"a fault of isthmus, {type(error).__name__}: {text}. Please report it, with what --traceback prints."


def _complain(message: str, ctx: click.Context | None = None) -> None:
    see = f" See {ctx.command_path} --help." if ctx is not None else ""
    _say(f"isthmus: {' '.join(message.split())}{see}")


def _say(line: str) -> None:
    # Not click.echo, which reaches past a progress bar to the terminal under it.
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Print warnings as notes, each once."""
    said = set()

    def note(message: Warning | str, *place: Any, **more: Any) -> None:
        line = " ".join(str(message).split())
        if line not in said:
            said.add(line)
            _say(f"isthmus: note: {line}")

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        for category in HUSHED:
            warnings.simplefilter("ignore", category)
        warnings.showwarning = note
        yield


@contextmanager
def _one_line_log() -> Iterator[None]:
    """Print what our modules log as warnings as notes."""
    logger, handler = logging.getLogger("isthmus"), _Notes()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Notes(logging.Handler):
    """Prints a record as one line; not of modules whose trouble is told otherwise."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(TOLD):
            _say(f"isthmus: note: {' '.join(record.getMessage().split())}")
