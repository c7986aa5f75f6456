"""Guided Grad-CAM: the fine lines of guided backpropagation, where Grad-CAM sees the class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, final

from xaionnx import parameters
from xaionnx.attribution import Attribution
from xaionnx.errors import UnsupportedModelError
from xaionnx.explainer import Explainer
from xaionnx.explainers.grad_cam import GradCam
from xaionnx.explainers.guided_backprop import GuidedBackprop
from xaionnx.explanation import ValueKind
from xaionnx.layers.spatial_map import UPSAMPLING
from xaionnx.request import Request
from xaionnx.runtime.model import Model

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

    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        told = self._where().validate(dry_run) | GuidedBackprop().validate(dry_run)
        if dry_run.model.input().dtype.kind != "f":
            raise _without_lines(dry_run.model)
        return told

    def _where(self) -> GradCam:
        return GradCam(layer=self.layer, relu=self.relu, upsampling=self.upsampling)

    def compute(self, request: Request) -> Attribution:
        where, lines = self._where().compute(request), GuidedBackprop().compute(request)
        ((main, coarse),) = where.values.items()
        fine = lines.values.get(main)
        if fine is None or fine.shape != coarse.shape:
            raise _without_lines(request.model)
        labels = sorted({*where.facts["approximations"], *lines.facts["approximations"]})
        return replace(where, values={main: fine * coarse}, facts={**where.facts, "approximations": labels})


def _without_lines(model: Model) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"Input '{model.input().name}' of {model.name} holds tokens, to which no lines can be drawn. Use grad_cam."
    )
