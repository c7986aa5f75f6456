"""Suggest targets, as they are typed, for a model without a top class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xaionnx.runtime.model import Model
from xaionnx.runtime.token_inputs import reads_text

Size = int | str | None


def suggest_targets(model: Model, tensor: str, shape: Sequence[Size]) -> str:
    """Targets that an output offers, as the last sentence of a message.

    Parameters
    ----------
    model : Model
    tensor : str
        The output.
    shape : sequence of int, str or None
        Its sizes without the batch axis.
    """
    targets = [f"--target {form} ({meaning})" for form, meaning in _targets(model, shape)]
    others = [
        info.name
        for info in model.outputs
        if info.name != tensor and info.dtype.kind == "f" and len(info.shape) == 2 and info.shape[1] != 1
    ]
    targets += [f"--output {name} (an output with one axis)" for name in others]
    return f"Choose what to explain: {', '.join(targets[:-1])} or {targets[-1]}."


def _targets(model: Model, shape: Sequence[Size]) -> Iterator[tuple[str, str]]:
    picture = model.input_spec.kind == "picture"
    if picture and len(shape) == 3:
        yield "region", "the sum of the values above 0.5, as for a mask"
        if model.input_spec.channel_axis == 1:
            yield "channel:0", f"the mean of one of its {shape[0]} maps" if shape[0] != 1 else "its mean"
    elif picture and len(shape) == 2:
        yield _box(model, shape)
    elif len(shape) == 2:
        if reads_text(model):
            yield "similarity:OTHER.txt", "the cosine to another text, of embeddings"
        yield f"element:0,{_last(shape[1])}", "the last number at its first position"
        yield "path", "the text of a CTC output"
    if picture and len(shape) == 3:
        yield f"element:{','.join('0' if size == 1 else str(_middle(size)) for size in shape)}", "one number"
    elif len(shape) != 2:
        yield f"element:{','.join('0' for _ in shape)}", "one number"
    yield "sum", "the sum of all numbers"


def _box(model: Model, shape: Sequence[Size]) -> tuple[str, str]:
    """One number of one box; the longer axis, or the one of unknown size, counts the boxes."""
    first, second = (size if isinstance(size, int) else None for size in shape)
    by_number = second is None or (first is not None and first < second)
    numbers = first if by_number else second
    classes = model.labels or ()
    # A box has four coordinates, in some detectors an objectness score, then one score for each class.
    place = numbers - len(classes) if numbers is not None and classes and numbers - len(classes) in (4, 5) else 4
    place = min(place, numbers - 1) if numbers is not None else place
    named = f"the score of {classes[0]} in box 0" if numbers == place + len(classes) else f"number {place} of box 0"
    return f"element:{place},0" if by_number else f"element:0,{place}", f"if it is a detector: {named}"


def _last(size: Size) -> int:
    return size - 1 if isinstance(size, int) else 0


def _middle(size: Size) -> int:
    return size // 2 if isinstance(size, int) else 0
