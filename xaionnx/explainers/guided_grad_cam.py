"""Guided Grad-CAM: guided backpropagation within the region of Grad-CAM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, final

from xaionnx import parameters
from xaionnx.attribution import Attribution
from xaionnx.errors import UnsupportedModelError
from xaionnx.explainer import Explainer
from xaionnx.explainers._cams.several import FUSIONS
from xaionnx.explainers.grad_cam import GradCam
from xaionnx.explainers.guided_backprop import GuidedBackprop
from xaionnx.explanation import ValueKind
from xaionnx.layers.embeddings import embeddings, has_tokens, made_floats
from xaionnx.layers.spatial_map import UPSAMPLING
from xaionnx.request import Request
from xaionnx.runtime.model import Model

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


@final
@dataclass(frozen=True, kw_only=True)
class GuidedGradCam(Explainer):
    """Guided backpropagation times upsampled Grad-CAM, element by element::

        value = guided_backprop(x) * upsampled(grad_cam)

    Channels have different values; ``maps["cam"]``, (N, h, w), is Grad-CAM at the size of the layer.

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

    layer: str | Sequence[str] | None = parameters.names(
        "tensor to use, or several whose maps are fused; the last map over the picture or series, else the tokens that "
        "the last attention reads, if not given"
    )
    fuse: str = parameters.choice(
        "mean", FUSIONS, "how maps of several layers, each scaled to its largest, are combined"
    )
    relu: bool = parameters.flag(True, "use only what raises the target in Grad-CAM; False uses the signed map")
    upsampling: str = parameters.choice("bilinear", UPSAMPLING, "how Grad-CAM is upsampled to the input")

    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        remarks = self._grad_cam().validate(dry_run) | GuidedBackprop().validate(dry_run)
        if not _explained(dry_run.model):
            raise _tokens_error(dry_run.model)
        return remarks

    def _grad_cam(self) -> GradCam:
        return GradCam(layer=self.layer, fuse=self.fuse, relu=self.relu, upsampling=self.upsampling)

    def compute(self, request: Request) -> Attribution:
        cam, guided = self._grad_cam().compute(request), GuidedBackprop().compute(request)
        ((main, coarse),) = cam.values.items()
        fine = guided.values.get(_explained(request.model))
        if fine is None or fine.shape != coarse.shape:
            raise _tokens_error(request.model)
        labels = sorted({*cam.facts["approximations"], *guided.facts["approximations"]})
        return replace(cam, values={main: fine * coarse}, facts={**cam.facts, "approximations": labels})


def _explained(model: Model) -> str:
    """The explained input, or its whole numbers where they are cast to floats; empty for tokens."""
    if has_tokens(model) and embeddings(model):
        return ""
    return (*made_floats(model), model.input().name)[0]


def _tokens_error(model: Model) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"Input '{model.input().name}' of {model.name} holds tokens, to which guided backpropagation does not "
        "apply. Use grad_cam."
    )
