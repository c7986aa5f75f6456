"""Base of class activation maps that test one channel at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainers._cams.cam import LayerView
from xaionnx.gradients.source import GradientRequest
from xaionnx.layers.path import LayerPath
from xaionnx.parameters import integer
from xaionnx.request import Request
from xaionnx.typing import Array


@dataclass(frozen=True, kw_only=True)
class ByChannel(ABC):
    """Gives a :class:`CamExplainer` channel weights without gradients, by testing each channel.

    A sample costs one run per channel, of the model or of the part after the layer; the runs are batched and serve all
    targets. With ``channels``, only the channels with the largest mean size over the positions are tested, and the
    others have weight 0.
    """

    needs: ClassVar[str] = "activation"

    channels: int | None = integer(None, "test only this many channels, the strongest", low=1, optional=True)

    @abstractmethod
    def channel_inputs(self, view: LayerView, sample: Array, channel: Array) -> dict[str, Array]:
        """The inputs (M, ...) of :meth:`part` that test M channels, each of one sample."""

    @abstractmethod
    def part(self, view: LayerView) -> LayerPath:
        """The part of the model that runs for each channel."""

    @abstractmethod
    def channel_weights(self, values: Array, scores: Array) -> Array:
        """The channel weights, from the targets with each channel tested, (T, N, D), and at the samples, (T, N)."""

    @final
    def layer_maps(self, request: Request, view: LayerView) -> Attribution:
        path, planes = self.part(view), view.planes
        count = len(planes)
        order = np.argsort(-np.abs(planes).mean(axis=(-2, -1)), axis=1, kind="stable")[:, : self.channels]
        tested = np.sort(order, axis=1)
        tested_count = tested.shape[1]
        requested = GradientRequest(
            path.model, path.feeds, path.resolved, path.names, path.samples, request.evaluations
        )
        values = np.empty((path.resolved.count, count, tested_count))

        def rows(start: int, stop: int) -> tuple[Array, Array]:
            sample, position = np.divmod(np.arange(start, stop), tested_count)
            return sample, tested[sample, position]

        for start, stop, targets in requested.values(
            count * tested_count,
            lambda start, stop: rows(start, stop)[0],
            lambda *piece: self.channel_inputs(view, *rows(*piece)),
        ):
            values.reshape(len(values), -1)[:, start:stop] = targets.T
        weights = self.channel_weights(values, path.resolved.prediction)
        tested_planes = np.take_along_axis(planes, tested[:, :, None, None], axis=1)
        cam = np.einsum("tnk,nkij->tnij", weights, tested_planes)
        return Attribution({}, maps={"cam": cam})
