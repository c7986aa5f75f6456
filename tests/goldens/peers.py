"""The agreement of methods with other libraries, on the goldens of ``make_propagation.py`` and similar scripts.

python -m tests.goldens.peers     compares anew and writes agreement.json
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, final

import numpy as np
import onnx
from onnx import numpy_helper

from tests.goldens.weights import drawn
from xaionnx import Model
from xaionnx.typing import Array

FOLDER = Path(__file__).parent
AGREEMENT = FOLDER / "agreement.json"


@final
@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The agreement of a method with a result of a peer on a net.

    Attributes
    ----------
    method : str
        As discovery calls it, and what tells the case from others of the method.
    peer : str
        ``LIBRARY:ANSWER``, the array of the golden.
    net : str
    measure : str
        ``distance``, the Euclidean one as a share of the size of the peer's answer; ``correlation``, of the least
        alike sample, where the two do not calculate the same.
    value : float
    gaps : tuple of float, optional
        By how much our answer and the peer's do not add up to the change that they explain, as a share of that, for
        the worst sample.
    """

    method: str
    peer: str
    net: str
    measure: str
    value: float
    gaps: tuple[float, float] | None = None

    @classmethod
    def of(cls, method: str, peer: str, net: str, ours: Array, theirs: Array, measure: str = "distance") -> Agreement:
        """Compare samples along the first axis; with ``distance up to sign`` each may have either sign."""
        assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
        a, b = (array.astype(np.float64).reshape(len(array), -1) for array in (ours, theirs))
        if measure == "correlation":
            value = min(np.corrcoef(pair)[0, 1] for pair in zip(a, b, strict=True))
        else:
            if measure == "distance up to sign":
                a = a * np.sign((a * b).sum(axis=1, keepdims=True))
            value = np.linalg.norm(a - b) / np.linalg.norm(b)
        return cls(method=method, peer=peer, net=net, measure=measure, value=float(value))

    @property
    def shown(self) -> str:
        """The value with its measure, for a table."""
        return f"{self.value:.2f} correlated" if self.measure == "correlation" else f"{self.value:.0e} apart"


def filled(golden: Any, exporter: str) -> onnx.ModelProto:
    """A graph of :mod:`tests.goldens.make_architectures` with its weights.

    Weights are drawn from their names; statistics of normalisation come from the file.
    """
    model = onnx.load_model_from_string(golden[f"graph_{exporter}"].tobytes())
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and not tensor.raw_data and not tensor.float_data:
            kept = f"statistics:{tensor.name}"
            content = golden[kept].astype(np.float32) if kept in golden else drawn(tensor.name, tensor.dims)
            tensor.raw_data = numpy_helper.from_array(content).raw_data
    return model


def loaded(net: str, folder: Path) -> Model:
    """Load the net; a graph that has to be made first is saved in ``folder``."""
    path = FOLDER / "propagation" / f"{net}.onnx"
    if net in ("vgg", "resnet18"):
        if net == "vgg":
            model = onnx.load(path)
            for tensor in model.graph.initializer:
                tensor.CopyFrom(numpy_helper.from_array(drawn(tensor.name, tensor.dims), tensor.name))
        else:
            with np.load(FOLDER / "architectures" / f"{net}.npz") as golden:
                model = filled(golden, "trace")
        path = folder / f"{net}.onnx"
        onnx.save(model, path)
    return Model.load(path, device="cpu", threads=1)


def kept() -> list[Agreement]:
    """The rows of agreement.json."""
    return [Agreement(**row) for row in json.loads(AGREEMENT.read_text())]


def markdown() -> str:
    """The kept rows as a table; rows of a method and a peer share a line if their remark is the same."""
    notes = {key: note for family in families() for key, note in family.NOTES.items()}
    lines: dict[tuple[str, str, str], list[Agreement]] = {}
    rows = kept()
    methods = list(dict.fromkeys(row.method for row in rows))
    for row in sorted(rows, key=lambda row: methods.index(row.method)):
        note = notes.get((row.peer, row.net), notes.get(row.peer, ""))
        lines.setdefault((row.method, row.peer, note), []).append(row)
    return "\n".join(
        (
            "| method | peer | net | agreement | note |",
            "| --- | --- | --- | --- | --- |",
            *(
                f"| `{method}` | {peer.replace(':', ' ')} | {', '.join(row.net for row in rows)} | "
                f"{', '.join(row.shown for row in rows)} | {'; '.join(filter(None, (note, _gaps(rows))))} |"
                for (method, peer, note), rows in lines.items()
            ),
        )
    )


def _gaps(rows: list[Agreement]) -> str:
    pairs = [row.gaps for row in rows if row.gaps is not None]
    if not pairs:
        return ""
    ours, theirs = (
        ", ".join(f"{gap:.0e}" if gap < 0.005 else f"{gap:.0%}" for gap in side) for side in zip(*pairs, strict=True)
    )
    return f"gap {ours} here, {theirs} there"


def families() -> tuple[ModuleType, ...]:
    """The modules that compare results on their ``NETS``."""
    from tests.goldens import cam_peers, deep_lift_peers, propagation_peers

    return propagation_peers, deep_lift_peers, cam_peers


def main() -> None:
    """Compare and keep."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for one in families() for net in one.NETS for row in one.compared(net, Path(folder))]
    AGREEMENT.write_text("[\n" + ",\n".join(f" {json.dumps(dataclasses.asdict(row))}" for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
