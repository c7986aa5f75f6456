"""Reading ``--target``: the targets of xaionnx.targets.target in words that fit on a command line."""

from __future__ import annotations

from collections.abc import Sequence

from xaionnx.runtime.model import Model
from xaionnx.targets.kinds.top import Top
from xaionnx.targets.target import TARGETS, Target


def forms() -> str:
    """What ``--target`` takes, in words."""
    return f"What is explained, the top class of each input if not given: a class number or label, {TARGETS.words()}."


def several() -> str:
    """The same for an option that may be repeated."""
    return f"{forms()} Repeat it for several targets; they cost no more than one."


def targets(texts: Sequence[str], output: str | None, model: Model) -> Target | list[Target] | None:
    """The targets behind the words of the command line, read from ``output`` (a tensor's name).

    Raises
    ------
    ParameterError, UnknownNameError
        A word does not name a target, or a number is none.
    """
    if not texts:
        inside = output is not None and output not in [o.name for o in model.outputs]
        # The classes of an internal tensor are unknown; its strongest channel is what answers to the input most.
        return Target.channel(output) if output is not None and inside else _default(output)
    read = [Target.read(text, model, output) for text in texts]
    return read[0] if len(read) == 1 else read


def _default(output: str | None) -> Target | None:
    return None if output is None else Top(output=output)


def looks_like_file(name: str) -> bool:
    """Whether a tensor's name is more likely the file to write."""
    return name.lower().endswith((".png", ".jpg", ".jpeg", ".npz", ".onnx"))
