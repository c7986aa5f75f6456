"""Read ``--target``: the targets of :mod:`xaionnx.targets.target` in the form of the command line."""

from __future__ import annotations

from collections.abc import Sequence

from click import UsageError

from xaionnx.errors import InputMismatchError
from xaionnx.runtime.model import Model
from xaionnx.targets.kinds.top import Top
from xaionnx.targets.target import TARGETS, Target
from xaionnx_cli._options import Options


def target_help() -> str:
    """The help of ``--target``."""
    return f"What to explain (default: the top class of each input): a class number or label, {TARGETS.words()}."


def repeated_target_help() -> str:
    """The help of ``--target`` where it may be repeated."""
    return f"{target_help()} Repeat it for several targets."


def read_targets(texts: Sequence[str], output: str | None, model: Model) -> Target | list[Target] | None:
    """Parse the values of ``--target``; they are evaluated on the tensor named ``output``.

    Raises
    ------
    ParameterError, UnknownNameError
        A value does not name a target, or contains an invalid number.
    """
    if not texts:
        inside = output is not None and output not in [o.name for o in model.outputs]
        # An internal tensor has no known classes; its strongest channel responds most to the input.
        return Target.channel(output) if output is not None and inside else _top_class(output)
    read = [Target.read(text, model, output) for text in texts]
    return read[0] if len(read) == 1 else read


def target_of(options: Options, model: Model) -> Target | list[Target] | None:
    """Return what the options of ``explain`` say is explained: ``--target``, ``--continuation`` or ``--next-token``.

    Raises
    ------
    UsageError
        Several of them are given.
    ParameterError, UnknownNameError
        A value does not name a target, or contains an invalid number.
    """
    given = {"--target": options.target, "--continuation": options.continuation, "--next-token": options.next_token}
    named = [name for name, value in given.items() if value not in (None, ())]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} both say what to explain. Give one of them.")
    if options.continuation:
        return Target.continuation(options.continuation, output=options.output)
    if options.next_token:
        return Target.next_token(options.next_token, output=options.output)
    return read_targets(options.target, options.output, model)


def default_target(model: Model) -> Target | None:
    """The target that is explained by default; None if it depends on the size of the input, which is free."""
    from xaionnx.autodiff.gradient import first_rows

    spec = model.input_spec
    size = None if spec.size is None else (*spec.size, *([spec.channels] if spec.channel_axis == 3 else []))
    try:
        feeds = first_rows(model, shapes=None if size is None else {model.input().name: size})
    except InputMismatchError:
        return None
    return Top().bind(model, feeds)


def _top_class(output: str | None) -> Target | None:
    return None if output is None else Top(output=output)


def looks_like_file(name: str) -> bool:
    """Whether a name given for a tensor is more likely a file to write."""
    return name.lower().endswith((".png", ".jpg", ".jpeg", ".npz", ".onnx"))
