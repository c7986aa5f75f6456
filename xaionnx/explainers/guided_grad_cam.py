"""Guided Grad-CAM: the fine lines of guided backpropagation, where Grad-CAM sees the class."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np

from xaionnx import parameters
from xaionnx.errors import UnsupportedModelError
from xaionnx.explainer import Explainer, told_parameters
from xaionnx.explainers.grad_cam import GradCam
from xaionnx.explainers.guided_backprop import GuidedBackprop
from xaionnx.explanation import Explanation, ValueKind
from xaionnx.layers.spatial_map import UPSAMPLING
from xaionnx.runtime.model import Model
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


@final
@dataclass(frozen=True, kw_only=True)
class GuidedGradCam(Explainer):
    """Guided backpropagation to the input, times Grad-CAM enlarged to it, element by element::

        value = guided_backprop(x) * enlarged(grad_cam)

    Each element of each channel has a value of its own; ``maps["cam"]``, (N, h, w), is Grad-CAM at the layer's size.

    Notes
    -----
    When to use: Fine structure within the region that Grad-CAM finds.

    When not to use: As evidence about single pixels: the detail is that of guided backpropagation, which depends little
    on the class. The values do not sum to anything.

    References
    ----------
    Selvaraju et al., Grad-CAM: visual explanations from deep networks via gradient-based localization, ICCV 2017,
    arXiv:1610.02391, section 3.2.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> method = GuidedGradCam(layer="relu1", upsampling="nearest")
    >>> xaionnx.explain(planted.load(planted.net_b()), x, method, 0).values[0, 0]
    array([[ 0. ,  0. ,  4. ,  4. ],
           [ 0. ,  0. , 12. ,  8. ],
           [28. , 84. , 97.5, 65. ],
           [28. , 56. , 65. , 32.5]], dtype=float32)
    """

    value_kind: ClassVar[ValueKind] = "signal"
    needs: ClassVar[str] = "gradient"
    reference: ClassVar[str] = "Selvaraju et al. 2017, arXiv:1610.02391"

    layer: str | None = parameters.name(
        "tensor to look at; the last map over the picture or series, else the tokens that the last attention reads, if "
        "not given"
    )
    relu: bool = parameters.flag(True, "take only what speaks for the target from Grad-CAM; False takes all of it")
    upsampling: str = parameters.choice("bilinear", UPSAMPLING, "how Grad-CAM is enlarged to the input")

    def validate(self, dry_run: DryRun) -> dict[str, str | None]:
        told = super().validate(dry_run) | self._where().validate(dry_run) | GuidedBackprop().validate(dry_run)
        if dry_run.model.input().dtype.kind != "f":
            raise _without_lines(dry_run.model)
        return told

    def _where(self) -> GradCam:
        return GradCam(layer=self.layer, relu=self.relu, upsampling=self.upsampling)

    def attribute(self, model: Model, x: Array | Mapping[str, Array], target: Any = None) -> Explanation:
        began = time.perf_counter()
        where = self._where().attribute(model, x, target)
        lines = GuidedBackprop().attribute(model, x, target)
        main = model.input().name
        fine = lines.values[main] if isinstance(lines.values, dict) else lines.values
        assert isinstance(where.values, np.ndarray)  # a map has one input
        if fine.shape != where.values.shape:
            raise _without_lines(model)
        spent = {
            key: [a + b for a, b in zip(where.diagnostics[key], lines.diagnostics[key], strict=True)]
            for key in ("evaluations", "gradients")
        }
        told = {key: value for key, value in where.provenance.items() if key != "parameters"}
        told["value_kind"] = self.value_kind
        told["parameters"] = told_parameters(self, {"layer": where.provenance["parameters"]["layer"]})
        told["approximations"] = sorted({*told["approximations"], *lines.provenance["approximations"]})
        return dataclasses.replace(
            where,
            method=self.name(),
            values=fine * where.values,
            diagnostics={**where.diagnostics, **spent, "seconds": round(time.perf_counter() - began, 6)},
            provenance=told,
        )


def _without_lines(model: Model) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"Input '{model.input().name}' of {model.name} holds tokens, to which no lines can be drawn. Use grad_cam."
    )
