"""How close methods are to other libraries, on the answers that ``make_propagation.py`` and its like keep.

python -m tests.goldens.peers     compares anew and writes agreement.json
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from tests.goldens.weights import drawn
from xaionnx import Model

FOLDER = Path(__file__).parent
AGREEMENT = FOLDER / "agreement.json"
Array = npt.NDArray[Any]


@final
@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How close one method is to one answer of a peer on one net.

    Attributes
    ----------
    method : str
        As discovery calls it, and what tells the case from others of the method.
    peer : str
        ``LIBRARY:ANSWER``, the array of the golden.
    net : str
    measure : str
        ``distance``, Euclidean, as a share of the size of the peer's answer, or ``correlation``.
    value : float
    """

    method: str
    peer: str
    net: str
    measure: Literal["distance", "correlation"]
    value: float

    @classmethod
    def of(cls, method: str, peer: str, net: str, ours: Array, theirs: Array, *, scaled: bool = False) -> Agreement:
        """The distance, or where the peer has a scale of its own the correlation, the least over the samples."""
        assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
        if scaled:
            pairs = zip(ours.reshape(len(ours), -1), theirs.reshape(len(theirs), -1), strict=True)
            return cls(
                method=method, peer=peer, net=net, measure="correlation",
                value=float(min(np.corrcoef(a, b)[0, 1] for a, b in pairs)),
            )  # fmt: skip
        wide = theirs.astype(np.float64)
        distance = float(np.linalg.norm(ours - wide) / np.linalg.norm(wide))
        return cls(method=method, peer=peer, net=net, measure="distance", value=distance)


def filled(golden: Any, exporter: str) -> onnx.ModelProto:
    """A graph of :mod:`tests.goldens.make_architectures` with its weights.

    They are drawn from their names; statistics of normalisation come from the file.
    """
    model = onnx.load_model_from_string(golden[f"graph_{exporter}"].tobytes())
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and not tensor.raw_data and not tensor.float_data:
            kept = f"statistics:{tensor.name}"
            content = golden[kept].astype(np.float32) if kept in golden else drawn(tensor.name, tensor.dims)
            tensor.raw_data = numpy_helper.from_array(content).raw_data
    return model


def loaded(net: str, folder: Path) -> Model:
    """The net; ``folder`` takes its graph where that is made first."""
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


def measured(folder: Path) -> list[Agreement]:
    """All comparisons anew; ``folder`` takes the graphs that are made first."""
    from tests.goldens import cam_peers, deep_lift_peers, propagation_peers

    families = (propagation_peers, cam_peers, deep_lift_peers)
    return [row for family in families for net in family.NETS for row in family.compared(net, folder)]


def kept() -> list[Agreement]:
    """The rows of agreement.json."""
    return [Agreement(**row) for row in json.loads(AGREEMENT.read_text())]


def main() -> None:
    """Compare and keep."""
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(Path(folder))
    lines = ",\n ".join(json.dumps(dataclasses.asdict(row)) for row in rows)
    AGREEMENT.write_text(f"[{lines}]\n")


if __name__ == "__main__":
    main()
