"""How the axes of a tensor read: which are places of the input, and which hold channels or tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from xaionnx.explainers._layers.series import series
from xaionnx.explainers._layers.told import told
from xaionnx.graph.cut import descendants, ordered, shapes
from xaionnx.model import Model
from xaionnx.perturb.sample import Sample

if TYPE_CHECKING:
    import onnx

# These move numbers between places, so that what stands behind is no longer a map over the picture.
_SHUFFLING = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Einsum", "Gather", "Attention"})

# More tokens in front of patches than models have: 1 for the class and 4 or 8 registers.
_LEADING = 16


@final
@dataclass(frozen=True)
class Axes:
    """How the axes of a layer read, behind the batch.

    Attributes
    ----------
    letters : str
        ``CHW`` or ``HWC`` of a map over a picture; ``CT`` or ``TC`` of one over a series, with a ``1`` for an axis of
        one number; ``TD`` of tokens, ``F`` of units, ``-`` where nothing is known.
    grid : tuple (h, w) or None
        Of tokens that cut a picture into patches.
    before : int
        Tokens in front of the patches: the class token, one of distillation, registers.

    Examples
    --------
    >>> Axes.of((320, 7, 7), (224, 224))
    Axes(letters='CHW', grid=None, before=0)
    >>> Axes.of((197, 768), (224, 224))
    Axes(letters='TD', grid=(14, 14), before=1)
    >>> Axes.of((201, 768), (224, 224), grids=[(14, 14)])
    Axes(letters='TD', grid=(14, 14), before=5)
    >>> Axes.of((12, 64), tokens=12).letters
    'TD'
    """

    letters: str
    grid: tuple[int, int] | None = None
    before: int = 0

    @classmethod
    def at(cls, model: Model, name: str, shape: Sequence[int], sample: Sample) -> Axes:
        """Read the axes of the tensor ``name``, of ``shape`` behind the batch, for the input of a sample."""
        over = series(model, sample)
        if over is not None:
            letters = over.letters.get(name, "")
            time, longest = letters.find("T"), sample.array.shape[1 - over.channel]
            if letters and len(letters) == len(shape) and 1 < shape[time] <= longest:
                return cls(letters)
        # Three axes are a map only if the ops before have left its places alone.
        placed = len(shape) != 3 or name in maps(model, (sample.main,))
        tokens = sample.array.shape[0] if sample.array.ndim == 1 and sample.array.dtype.kind in "iu" else None
        apart = grids(model, sample) if len(shape) == 2 else ()
        return cls.of(shape, extent_of(sample) if placed else None, tokens, apart)

    @classmethod
    def of(
        cls,
        shape: Sequence[int],
        extent: tuple[int, int] | None = None,
        tokens: int | None = None,
        grids: Sequence[tuple[int, int]] = (),
    ) -> Axes:
        """Read the axes of a layer of ``shape``, for pictures of ``extent`` (H, W) or rows of so many ``tokens``.

        ``grids`` are those of maps that become rows of tokens; without them a picture has square patches, and one token
        in front of them at the most.
        """
        shape = tuple(shape)
        if len(shape) == 3 and extent is not None:
            fields = {"CHW": shape[1:], "HWC": shape[:2]}
            fitting = [letters for letters, field in fields.items() if _alike(field, extent)]
            if fitting:
                # A few places fit many a picture: the aspect tells, and channels come first where it does not.
                return cls(min(fitting, key=lambda letters: _stretch(fields[letters], extent)))
        if len(shape) == 2 and extent is not None:
            spare = {grid: shape[0] - grid[0] * grid[1] for grid in grids}
            fewest = min((grid for grid in spare if 0 <= spare[grid] <= _LEADING), key=spare.__getitem__, default=None)
            if fewest is not None:
                return cls("TD", fewest, spare[fewest])
            for before in (0, 1):
                grid = _patches(shape[0] - before, extent)
                if grid is not None:
                    return cls("TD", grid, before)
        if len(shape) == 2 and tokens is not None and shape[0] == tokens:
            return cls("TD")
        return cls("F" if len(shape) == 1 else "-" * len(shape))


def _alike(field: tuple[int, ...], extent: tuple[int, int]) -> bool:
    """Whether a map covers a picture, each side one too long or short for what convolutions do at the border."""
    # A picture of one row, or column, has maps of one.
    wide = [(field[axis], extent[axis]) for axis in (0, 1) if field[axis] != 1 or extent[axis] != 1]
    if not wide or min(small for small, _ in wide) < 2:
        return False
    share = [large / small for small, large in wide]
    slack = [large / max(small - 1.5, 0.5) - large / small for small, large in wide]
    return min(share) >= 1 and max(share) - min(share) <= max(slack)


def _stretch(field: tuple[int, ...], extent: tuple[int, int]) -> float:
    """How much further a map is drawn out in one direction than in the other, to cover a picture."""
    return abs(math.log(extent[0] * field[1] / (extent[1] * field[0])))


def _patches(count: int, extent: tuple[int, int]) -> tuple[int, int] | None:
    """Rows and columns of so many patches over a picture; None where they do not come out even."""
    if count < 4:
        return None
    rows = max(1, round(math.sqrt(count * extent[0] / extent[1])))
    columns, rest = divmod(count, rows)
    return (rows, columns) if rest == 0 and abs(extent[0] / rows - extent[1] / columns) < 0.5 else None


def places_of(model: Model, sample: Sample) -> tuple[int, tuple[int, ...]] | None:
    """Axes of the channels and of the places of the explained input: height and width, or time; None without places."""
    over = series(model, sample)
    return sample.picture_axes if over is None else (over.channel, (1 - over.channel,))


def extent_of(sample: Sample) -> tuple[int, int] | None:
    """Height and width of the picture that is explained; None where it is none."""
    axes = sample.picture_axes
    return None if axes is None else (sample.array.shape[axes[1][0]], sample.array.shape[axes[1][1]])


def maps(model: Model, start: Sequence[str]) -> set[str]:
    """Tensors that keep the places of a picture, as far as the ops between it and them tell; ``start`` too."""
    return told(model, ("maps", *start), lambda graph: _maps(graph, start))


def _maps(graph: onnx.ModelProto, start: Sequence[str]) -> set[str]:
    found, moving = set(start), descendants(graph, start) | set(start)
    for node in ordered(graph.graph):
        # A product of two activations mixes places; one with a weight works on the channels of each.
        mixing = node.op_type == "MatMul" and len(moving.intersection(node.input)) > 1
        if node.op_type not in _SHUFFLING and not mixing and not found.isdisjoint(node.input):
            found.update(name for name in node.output if name)
    return found


def grids(model: Model, sample: Sample) -> tuple[tuple[int, int], ...]:
    """Rows and columns of the maps over the picture that an op takes apart, such as a transformer's patches."""
    extent, sizes = extent_of(sample), {name: (1, *x.shape) for name, x in sample.own.items()}
    if extent is None:
        return ()
    key = ("grids", sample.main, tuple(sizes.items()), extent)
    return told(model, key, lambda graph: _grids(graph, maps(model, (sample.main,)), shapes(graph, sizes), extent))


def _grids(
    graph: onnx.ModelProto, spatial: set[str], known: Mapping[str, Sequence[int | None]], extent: tuple[int, int]
) -> tuple[tuple[int, int], ...]:
    found = dict[tuple[int, int], None]()
    for node in graph.graph.node:
        for name in spatial.intersection(node.input) if node.op_type in _SHUFFLING else ():
            shape = [size or 0 for size in known.get(name, ())[1:]]
            letters = Axes.of(shape, extent).letters if 0 not in shape else ""
            if "H" in letters:
                row = letters.index("H")
                found[shape[row], shape[row + 1]] = None
    return tuple(found)
