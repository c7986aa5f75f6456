"""Strides, dilations and pads of convolutions and poolings, resolved for the probed sizes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder


@dataclass(frozen=True)
class Window:
    """A sliding window along the spatial axes; one entry an axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]
    size: tuple[int, ...]
    out: tuple[int, ...]

    @property
    def rank(self) -> int:
        return len(self.kernel)

    def reach(self, axis: int) -> int:
        """Length of the dilated kernel."""
        return (self.kernel[axis] - 1) * self.dilations[axis] + 1

    def spare(self, axis: int) -> int:
        """Entries of the padded input after the last window; negative if that reaches over the end."""
        padded = self.size[axis] + self.begin[axis] + self.end[axis]
        return padded - (self.out[axis] - 1) * self.strides[axis] - self.reach(axis)

    def dense(self) -> Window:
        """Return the same window with stride one, over an output with zeros between its entries."""
        ones = (1,) * self.rank
        out = tuple((n - 1) * stride + 1 for n, stride in zip(self.out, self.strides, strict=True))
        # Entries after the last window count as negative padding.
        end = tuple(e - self.spare(a) for a, e in enumerate(self.end))
        return replace(self, strides=ones, end=end, out=out)


def window(g: GradientBuilder, node: ir.Node, kernel: tuple[int, ...] | None = None) -> Window:
    """Return the window of a Conv or pooling, with the pads that ``auto_pad`` implies."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    attributes = node.attributes
    kernel = kernel or tuple(int(k) for k in attributes.get_ints("kernel_shape") or ())
    rank = len(kernel)
    size = tuple(g.size(x, axis) for axis in range(2, rank + 2))
    out = tuple(g.size(y, axis) for axis in range(2, rank + 2))
    strides = tuple(attributes.get_ints("strides") or [1] * rank)
    dilations = tuple(attributes.get_ints("dilations") or [1] * rank)
    pads = tuple(attributes.get_ints("pads") or [0] * 2 * rank)
    auto = attributes.get_string("auto_pad", "NOTSET")
    if auto == "VALID":
        pads = (0,) * (2 * rank)
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        totals = [max((out[a] - 1) * strides[a] + (kernel[a] - 1) * dilations[a] + 1 - size[a], 0) for a in range(rank)]
        less, more = [t // 2 for t in totals], [t - t // 2 for t in totals]
        pads = (*less, *more) if auto == "SAME_UPPER" else (*more, *less)
    return Window(kernel, strides, dilations, pads[:rank], pads[rank:], size, out)
