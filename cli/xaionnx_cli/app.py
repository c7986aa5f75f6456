"""The command ``xaionnx``: find the file of each command, and report each failure as one line and an exit code."""

from __future__ import annotations

import _thread
import contextlib
import importlib
import pkgutil
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from xaionnx_cli._command_group import CommandGroup
from xaionnx_cli._interrupts import Interrupts, handled
from xaionnx_cli._messages import in_command, sentence
from xaionnx_cli._streams import OutputLost, ReaderLeft, checked_streams

if TYPE_CHECKING:
    from xaionnx.errors import XaionnxError
    from xaionnx.typing import Document

UNFINISHED, _NO_RESOURCES, _INTERRUPTED, _BROKEN_PIPE = 2, 6, 130, 141
# Shells add this to the number of the signal that ends a command.
_SIGNALS = 128


class Application(CommandGroup):
    """A group whose commands are the modules of this package, imported on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        package = importlib.import_module("xaionnx_cli")
        names = [module.name for module in pkgutil.iter_modules(package.__path__)]
        return sorted(name for name in names if not name.startswith("_") and name != "app")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        names = self.list_commands(ctx)
        if cmd_name not in names:
            _raise_unknown_command(cmd_name, names)
        command: click.Command = importlib.import_module(f"xaionnx_cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:  # Any: what a command returns is its own matter
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            # click would drop the arguments, which describe the results that were kept.
            raise _Interrupted(*stop.args) from stop
        except _library_errors() as refusal:
            # The options that the message may name are those of the command, which the context knows.
            raise _Refused(in_command(str(refusal)), refusal.exit_code) from refusal

    # Of click's overloads of main one returns; this never does.
    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]  # see above; Any: passed on to click
        """Run with ``args`` (default: those of the process) and exit."""
        extra["standalone_mode"] = False
        with _safe_streams(), handled() as interrupts, _repeat_lost_interrupts(interrupts):
            code, line = self._run(args, prog_name, extra)
            interrupts.ignore()
            if line:
                # Start a new line after the ^C that the terminal shows.
                start = "\n" if code == _INTERRUPTED and sys.stderr.isatty() else ""
                click.echo(f"{start}xaionnx: {sentence(line)}", err=True)
            sys.exit(code)

    def _run(self, args: Sequence[str] | None, prog_name: str | None, extra: Document) -> tuple[int, str]:
        """Run the command; return the exit code and a message."""
        try:
            code: object = super().main(args, prog_name, **extra)
            # A closed pipe is noticed here, not while the interpreter shuts down.
            sys.stdout.flush()
            # click returns the code of its own early exits.
            return (code if isinstance(code, int) else 0), ""
        except (_Interrupted, KeyboardInterrupt, click.Abort) as stop:
            number = getattr(stop if isinstance(stop, KeyboardInterrupt) else stop.__cause__, "number", signal.SIGINT)
            word = "interrupted" if number == signal.SIGINT else "terminated"
            return _SIGNALS + number, "; ".join([word, *map(str, stop.args)]) + "."
        except click.ClickException as mistake:
            return mistake.exit_code, _sentence(mistake)
        except ReaderLeft:
            return _BROKEN_PIPE, ""
        except OutputLost as loss:
            return _NO_RESOURCES, f"Cannot write to standard output: {loss}. Redirect it to a place with free space."
        except MemoryError as shortage:
            return (
                _NO_RESOURCES,
                f"There is not enough memory: {shortage or 'an array does not fit'}. Use a smaller input.",
            )
        except OSError as failure:
            return _NO_RESOURCES, f"A file cannot be read or written: {failure}. Check the disk, then run again."
        except _Refused as refusal:
            return refusal.exit_code, str(refusal)


class _Interrupted(Exception):
    """Ctrl-C or SIGTERM, which is the cause; the arguments describe the results that were kept."""


class _Refused(Exception):
    """An error of the library, which is the cause, in the terms of the command line."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def _library_errors() -> tuple[type[XaionnxError], ...]:
    # Evaluated after an error: a command that did not import xaionnx cannot have raised its errors.
    loaded = sys.modules.get("xaionnx.errors")
    return () if loaded is None else (loaded.XaionnxError,)


def _sentence(mistake: click.ClickException) -> str:
    message = mistake.format_message().strip().rstrip(".")
    # Some of click's messages end with a question.
    message += "" if message.endswith("?") else "."
    context = getattr(mistake, "ctx", None)
    return f"{message} See '{context.command_path} --help'." if context else message


def _raise_unknown_command(given: str, known: list[str]) -> NoReturn:
    from xaionnx import discovery
    from xaionnx.errors import UnknownNameError, UsageError

    if given in discovery.methods():
        raise UsageError(f"'{given}' is a method, not a command. Run 'xaionnx explain {given} MODEL INPUT'.")
    raise UnknownNameError.among("command", given, known)


@contextlib.contextmanager
def _safe_streams() -> Iterator[None]:
    """Check what is written, and print each warning on one line, once, though each part of the inputs may give it."""
    printed = set[str]()

    def show(message: Warning | str, *_: object) -> None:
        if str(message) not in printed:
            printed.add(str(message))
            click.echo(f"xaionnx: warning: {sentence(str(message))}", err=True)

    with checked_streams(), warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]  # *_ is where it was given
        yield


# Delay after which the lost interrupt is repeated.
_AGAIN_S = 0.02


@contextlib.contextmanager
def _repeat_lost_interrupts(interrupts: Interrupts | None = None) -> Iterator[None]:
    """Repeat a Ctrl-C that arrived in a weakref callback or a destructor, where Python drops exceptions."""
    before = sys.unraisablehook

    def hook(dropped: sys.UnraisableHookArgs, /) -> None:
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            if interrupts is not None:
                interrupts.repeat()
            # From another thread and later: raised here, it would be dropped as well.
            again = threading.Timer(
                _AGAIN_S, _thread.interrupt_main, [getattr(dropped.exc_value, "number", signal.SIGINT)]
            )
            again.daemon = True
            again.start()
        else:
            before(dropped)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _print_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from xaionnx import __version__

        click.echo(f"xaionnx {__version__}")
        ctx.exit()


@click.group(
    cls=Application,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
@click.option(
    "--version", is_flag=True, callback=_print_version, expose_value=False, is_eager=True, help="Print the version."
)
@click.pass_context
def main(context: click.Context) -> int:
    """Explain the predictions of an exported ONNX model.

    \b
    xaionnx explain rise MODEL.onnx PICTURE.png -o OUT.png
    xaionnx compile saliency MODEL.onnx -o OUT.onnx
    xaionnx inspect MODEL.onnx
    xaionnx methods

    \b
    Exit codes: 0 success, 2 usage error, 3 model refused, 4 some or all inputs
    failed, 6 out of resources (device, memory, time, disk), 130 interrupted,
    143 terminated.
    """
    return help_instead(context)


def help_instead(context: click.Context) -> int:
    """Show the help of a group that was called without a command, and return exit code 2."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        return UNFINISHED
    return 0
