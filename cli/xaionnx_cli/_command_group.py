"""A group of commands that notes which of them runs."""

from __future__ import annotations

import click

from xaionnx_cli._messages import note_command


class CommandGroup(click.Group):
    """A group that notes which of its commands runs: messages name the options of that one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            note_command(ctx, command)
        return name, command, rest
