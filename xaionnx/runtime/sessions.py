"""The open sessions of a model, and what they share with those of the models derived from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, final

from xaionnx import loading
from xaionnx.graph.serialize import to_bytes
from xaionnx.runtime.session import Session, SessionSettings
from xaionnx.short_repr import short_repr

if TYPE_CHECKING:
    import onnx

# Larger external weights, in bytes, are kept in memory only once per process.
_LARGE = 1 << 30


@final
@dataclass
class Sessions:
    """The open sessions of one graph by kind, and whether they read external weights in place.

    Reordered copies of weights make matrix products up to three times faster. If the weights are large and another
    graph is derived from the first, sessions do without such copies and share the pages of the file.
    """

    opened: dict[str, Session] = field(default_factory=dict)
    origin: Sessions | None = None
    in_place: bool = False

    __repr__ = short_repr

    def derived(self) -> Sessions:
        """Return the sessions of a derived graph with the same weights."""
        return Sessions(origin=self.origin or self)

    def share(self, weights: Iterable[Path]) -> bool:
        """Read ``weights`` in place from now on if they are large, and return whether they are read in place."""
        first = self.origin or self
        if not first.in_place and sum(path.stat().st_size for path in weights) > _LARGE:
            first.in_place = True
            first.opened.clear()
        return first.in_place

    def get(
        self,
        kind: str,
        make_graph: Callable[[], onnx.ModelProto],
        file: loading.ModelFile,
        settings: SessionSettings,
        timeout_s: float | None,
    ) -> Session:
        """Return the session of a kind; if it is not open, open it over the graph that ``make_graph`` returns.

        Raises
        ------
        ModelFileError
            The file has changed since it was read, or onnxruntime cannot open it.
        DeviceError, TimeLimitError
            As for :class:`xaionnx.runtime.session.Session`.
        """
        if kind not in self.opened:
            self.opened[kind] = self._open(make_graph(), file, settings, timeout_s)
        return self.opened[kind]

    def _open(
        self, graph: onnx.ModelProto, file: loading.ModelFile, settings: SessionSettings, timeout_s: float | None
    ) -> Session:
        is_file = graph is file.proto
        # What is opened must be what the hash in each record stands for.
        file.check_unchanged(weights_alone=not is_file)
        source = str(file.path) if is_file else to_bytes(graph, file)
        try:
            return Session(
                source,
                settings,
                folder=str(file.path.parent),
                name=file.path.name,
                in_place=(self.origin or self).in_place,
                nodes=len(graph.graph.node),
                timeout_s=timeout_s,
            )
        except Exception as error:
            if not loading.is_runtime_failure(error):
                raise
            raise loading.diagnose(file, error) from error
