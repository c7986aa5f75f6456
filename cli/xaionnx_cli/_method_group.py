"""A command whose subcommands are methods."""

from __future__ import annotations

from typing import ClassVar

import click


class MethodGroup(click.Group):
    """Knows its methods when they are asked for, since to find them imports the library."""

    usage: ClassVar[str]
    """How the command is written, with ``{}`` in place of the model."""

    def known(self) -> list[str]:
        """Names of the methods."""
        raise NotImplementedError

    def command_of(self, name: str) -> click.Command:
        """The command of one method."""
        raise NotImplementedError

    def list_commands(self, ctx: click.Context) -> list[str]:
        return self.known()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        from xaionnx.errors import UsageError

        if cmd_name.lower().endswith(".onnx"):
            raise UsageError(f"The method comes before the model: {self.usage.format(cmd_name)}.")
        return self.command_of(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return args[0], self.get_command(ctx, args[0]), args[1:]
