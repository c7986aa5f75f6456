"""Attention of transformers as both exporters of PyTorch write them."""

import numpy as np
import pytest
from onnx import TensorProto, load_model_from_string, numpy_helper, save

from tests.goldens.weights import drawn
from tests.oracles import attention as oracle
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers.attention_relevance import AttentionRelevance
from xaionnx.explainers.attention_rollout import AttentionRollout

EXPORTERS = ("trace", "dynamo")


def loaded(name, exporter, folder):
    golden = np.load(f"tests/goldens/architectures/{name}.npz")
    model = load_model_from_string(golden[f"graph_{exporter}"].tobytes())
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and not tensor.raw_data and not tensor.float_data:
            tensor.raw_data = numpy_helper.from_array(drawn(tensor.name, tensor.dims)).raw_data
    path = folder / f"{name}_{exporter}.onnx"
    save(model, path)
    return Model.load(path, device="cpu"), np.concatenate([golden["x"], golden["x"][..., ::-1]])


@pytest.mark.parametrize(("name", "layers", "grid"), [("vit", 2, (4, 4)), ("bert", 2, (24,))])
def test_rollout_is_the_product_of_what_the_graph_holds(name, layers, grid, tmp_path):
    found = {}
    for exporter in EXPORTERS:
        model, x = loaded(name, exporter, tmp_path)
        result = AttentionRollout().attribute(model, x, 0)
        names = result.provenance["attention"]["layers"]
        assert (len(names), result.provenance["attention"]["read"]) == (layers, [0])
        held = model.with_outputs(names).run({model.input().name: x}, names)
        for n in range(2):
            row = oracle.rollout([held[one][n].astype(np.float64) for one in names])[0]
            expected = row[len(row) - np.prod(grid) :].reshape(grid)
            assert_close(result.maps["tokens"][n], expected, Tolerance.OPERATIONS)
        found[exporter] = result.maps["tokens"]
    assert_close(found["trace"], found["dynamo"], Tolerance.LAYERS)


@pytest.mark.parametrize("name", ["vit", "bert"])
def test_relevance_is_the_same_by_both_exporters(name, tmp_path):
    trace, dynamo = (
        AttentionRelevance().attribute(*loaded(name, exporter, tmp_path), [1, 5]).maps["tokens"]
        for exporter in EXPORTERS
    )
    assert trace.max() > 0
    assert_close(trace, dynamo, Tolerance.DEEP, trace.max())


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("kind", [AttentionRollout, AttentionRelevance])
def test_attention_in_windows_is_refused(exporter, kind, tmp_path):
    model, x = loaded("swin", exporter, tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"is taken within windows or groups, not between all tokens"):
        kind().attribute(model, x, 0)
