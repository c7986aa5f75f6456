"""The command ``xaionnx``: finds the file of each command, and turns every failure into one line and an exit code."""

from __future__ import annotations

import _thread
import contextlib
import importlib
import os
import pkgutil
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from xaionnx.errors import XaionnxError
    from xaionnx.typing import Document

UNFINISHED, _INTERRUPTED, _BROKEN_PIPE = 2, 130, 141


class Application(click.Group):
    """A group whose commands are the files of this package, imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        package = importlib.import_module("xaionnx_cli")
        names = [module.name for module in pkgutil.iter_modules(package.__path__)]
        return sorted(name for name in names if not name.startswith("_") and name != "app")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"xaionnx_cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.list_commands(ctx):
            _refuse_command(args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:  # click's own type
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # click would leave with code 1, which says nothing.
            raise _ReaderLeft from error
        except KeyboardInterrupt as stop:
            # click would drop what the command says about it.
            raise _Interrupted(*stop.args) from None

    # Of click's overloads of main one returns; this never does.
    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]  # see above
        """Run with ``args`` (those of the process if None) and leave with an exit code."""
        extra["standalone_mode"] = False
        with _plain_streams(), _heeded_interrupts():
            code, line = self._run(args, prog_name, extra)
            if line:
                # The terminal shows ^C where it was pressed.
                start = "\n" if code == _INTERRUPTED and sys.stderr.isatty() else ""
                click.echo(f"{start}xaionnx: {line}", err=True)
            sys.exit(code)

    def _run(self, args: Sequence[str] | None, prog_name: str | None, extra: Document) -> tuple[int, str]:
        """The exit code, and what to say about it."""
        try:
            code: object = super().main(args, prog_name, **extra)
            # A reader that has left is noticed here, and not while the interpreter shuts down.
            sys.stdout.flush()
            # click returns the code of its own early exits.
            return (code if isinstance(code, int) else 0), ""
        except (_Interrupted, KeyboardInterrupt, click.Abort) as stop:
            return _INTERRUPTED, "; ".join(["interrupted", *map(str, stop.args)]) + "."
        except click.ClickException as mistake:
            return mistake.exit_code, _sentence(mistake)
        except (BrokenPipeError, _ReaderLeft):
            # What is left in the buffer would fail again when the interpreter flushes it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return _BROKEN_PIPE, ""
        except _refusals() as refusal:
            # Imported late, as it is of no use where nothing is refused.
            from xaionnx_cli._words import for_shell

            return refusal.exit_code, for_shell(str(refusal))


class _Interrupted(Exception):
    """Ctrl-C, with what is left of the work in words."""


class _ReaderLeft(Exception):
    """Whoever read stdout is gone."""


def _refusals() -> tuple[type[XaionnxError], ...]:
    # Evaluated when something was raised: a command that never loaded xaionnx cannot have raised its errors.
    loaded = sys.modules.get("xaionnx.errors")
    return () if loaded is None else (loaded.XaionnxError,)


def _sentence(mistake: click.ClickException) -> str:
    message = mistake.format_message().strip().rstrip(".")
    # click joins a question to some of its messages.
    message += "" if message.endswith("?") else "."
    context = getattr(mistake, "ctx", None)
    return f"{message} See '{context.command_path} --help'." if context else message


def _refuse_command(given: str, known: list[str]) -> NoReturn:
    from xaionnx import discovery
    from xaionnx.errors import UnknownNameError, UsageError

    if given in discovery.methods():
        raise UsageError(f"'{given}' is a method. Use it as 'xaionnx explain {given} MODEL INPUT'.")
    raise UnknownNameError.among("command", given, known)


@contextlib.contextmanager
def _plain_streams() -> Iterator[None]:
    """Names in any script reach terminals that cannot show them, and warnings are one line each."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: click.echo(f"xaionnx: warning: {message}", err=True)
        yield


# Behind whatever swallowed the first one.
_AGAIN_S = 0.02


@contextlib.contextmanager
def _heeded_interrupts() -> Iterator[None]:
    """Ctrl-C that falls into a weakref callback or a destructor, where Python drops what is raised, comes again."""
    before = sys.unraisablehook

    def hook(dropped: sys.UnraisableHookArgs, /) -> None:
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            # From another thread: at once, it would be raised in here, and dropped as well.
            again = threading.Timer(_AGAIN_S, _thread.interrupt_main)
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
    """Explain what an exported ONNX model bases its answers on.

    \b
    xaionnx explain rise MODEL.onnx PICTURE.png -o OUT.png
    xaionnx compile saliency MODEL.onnx -o OUT.onnx
    xaionnx inspect MODEL.onnx
    xaionnx methods

    \b
    Exit codes: 0 done, 2 wrong usage, 3 model refused, 4 data refused (of several
    inputs: some), 6 resources (device, memory, time, disk), 130 interrupted.
    """
    return help_instead(context)


def help_instead(context: click.Context) -> int:
    """Show the help where a group was called without a command: usage code 2, unless a command follows."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        return UNFINISHED
    return 0
