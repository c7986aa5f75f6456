"""Channels that are tried one by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainers._cams.cam import Seen
from xaionnx.gradients.source import GradientRequest
from xaionnx.layers.path import LayerPath
from xaionnx.parameters import integer
from xaionnx.request import Request
from xaionnx.typing import Array


@dataclass(frozen=True, kw_only=True)
class ByChannel(ABC):
    """Makes a :class:`CamExplainer` find its weights without gradients, by trying each channel.

    A sample costs one run a channel, of the model or of the part behind the layer; they run in batches, and serve all
    targets. With ``channels`` only those are tried that are largest in size on the average over the places, and the
    others have the weight 0.
    """

    needs: ClassVar[str] = "activation"

    channels: int | None = integer(None, "try the strongest channels alone, so many", low=1, optional=True)

    @abstractmethod
    def tried(self, seen: Seen, sample: Array, channel: Array) -> dict[str, Array]:
        """The inputs (M, ...) of :meth:`part` at which M channels are tried, each of one sample."""

    @abstractmethod
    def part(self, seen: Seen) -> LayerPath:
        """What runs."""

    @abstractmethod
    def weighed(self, values: Array, scores: Array) -> Array:
        """The weights of the channels, from the targets where each is tried, (T, N, D), and at the samples, (T, N)."""

    @final
    def look(self, request: Request, seen: Seen) -> Attribution:
        part, planes = self.part(seen), seen.planes
        count = len(planes)
        order = np.argsort(-np.abs(planes).mean(axis=(-2, -1)), axis=1, kind="stable")[:, : self.channels]
        tried = np.sort(order, axis=1)
        each = tried.shape[1]
        asked = GradientRequest(part.model, part.feeds, part.resolved, part.names, part.samples, request.evaluations)
        values = np.empty((part.resolved.count, count, each))

        def rows(start: int, stop: int) -> tuple[Array, Array]:
            sample, place = np.divmod(np.arange(start, stop), each)
            return sample, tried[sample, place]

        for start, stop, found in asked.values(
            count * each, lambda start, stop: rows(start, stop)[0], lambda *piece: self.tried(seen, *rows(*piece))
        ):
            values.reshape(len(values), -1)[:, start:stop] = found.T
        weights = self.weighed(values, part.resolved.prediction)
        kept = np.take_along_axis(planes, tried[:, :, None, None], axis=1)
        small = np.einsum("tnk,nkij->tnij", weights, kept)
        return Attribution({}, maps={"cam": small})
