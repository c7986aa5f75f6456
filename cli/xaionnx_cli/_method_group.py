"""A command whose subcommands are methods."""

from __future__ import annotations

from typing import ClassVar

import click

from xaionnx_cli._command_group import CommandGroup


class MethodGroup(CommandGroup):
    """A group that lists its methods on demand, since discovery imports the library."""

    usage: ClassVar[str]
    """The form of the command, with ``{}`` in place of the model."""

    def method_names(self) -> list[str]:
        """The names of the methods."""
        raise NotImplementedError

    def method_command(self, name: str) -> click.Command:
        """The command of one method."""
        raise NotImplementedError

    def list_commands(self, ctx: click.Context) -> list[str]:
        return self.method_names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        from xaionnx.errors import UsageError

        if cmd_name.lower().endswith(".onnx"):
            raise UsageError(f"The method comes before the model: {self.usage.format(cmd_name)}.")
        return self.method_command(cmd_name)
