"""Files that onnxruntime optimised for this CPU, with channels in blocks, become plain graphs."""

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.graph.fused.unfused import run, seeded, written
from tests.tiny import model, node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.blocked_layout import plain_weights
from xaionnx.graph.cut import count_ops
from xaionnx.graph.fused_op import NCHWC
from xaionnx.graph.unfuse import unfuse
from xaionnx.runtime.session import channel_block

BLOCK = channel_block()


def optimised(proto, path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(path)


def net(nodes, weights, opset=17):
    return model(nodes, [tensor("x", ["N", 3, 12, 10])], [tensor("y", None)], weights, opset=opset)


def conv(source, weights, made, **stated):
    return node("Conv", [source, weights], [made], name=made, **stated)


def wide(channels, seed):
    return seeded(channels, channels, 3, 3, seed=seed) / 9


# Numbers of channels: whole blocks, and others that are filled up with zeros.
@pytest.mark.parametrize("channels", [BLOCK, 2 * BLOCK, BLOCK + BLOCK // 2, 20, 40])
@pytest.mark.parametrize("opset", [13, 17, 20])
def test_a_net_of_all_kinds_of_layers(channels, opset, tmp_path):
    nodes = [
        conv("x", "first", "a", pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["a1"]),
        conv("a1", "depthwise", "b", pads=[1, 1, 1, 1], group=channels),
        node("Sigmoid", ["b"], ["b1"]),
        conv("b1", "second", "c", pads=[1, 1, 1, 1], strides=[2, 1]),
        conv("a1", "beside", "d", strides=[2, 1]),
        node("Add", ["c", "d"], ["e"]),
        node("Relu", ["e"], ["e1"]),
        node("MaxPool", ["e1"], ["f"], kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1]),
        node("AveragePool", ["e1"], ["g"], kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1]),
        node("Mul", ["f", "g"], ["h"]),
        node("GlobalAveragePool", ["h"], ["y"]),
    ]
    weights = {
        "first": seeded(channels, 3, 3, 3),
        "depthwise": seeded(channels, 1, 3, 3),
        "second": wide(channels, 1),
        "beside": seeded(channels, channels, 1, 1),
    }
    source = net(nodes, weights, opset)
    blocked = optimised(source, tmp_path / "blocked.onnx")
    assert any(name.startswith("com.microsoft.nchwc") for name in count_ops(blocked))
    plain = written(blocked)
    assert not [name for name in count_ops(plain) if "." in name]
    held = {tensor.name: tensor.dims for tensor in plain.graph.initializer}
    held |= {each.output[0]: each.attribute[0].t.dims for each in plain.graph.node if each.op_type == "Constant"}
    shapes = [tuple(held[each.input[1]]) for each in plain.graph.node if each.op_type == "Conv"]
    assert sorted(shapes) == sorted(array.shape for array in weights.values())
    x = {"x": seeded(2, 3, 12, 10)}
    assert_close(run(plain, x, optimise=False)[0], run(source, x)[0], Tolerance.SIGNED_LAYERS)


def test_inputs_of_unknown_size_need_no_equal_shapes(tmp_path):
    """Where sizes are free, onnxruntime regroups the blocks for a sum."""
    weights = {"v": seeded(BLOCK, 3, 1, 1), "w": seeded(BLOCK, 3, 1, 1, seed=1)}
    nodes = [
        conv("x", "v", "a"),
        conv("z", "w", "b"),
        node("Add", ["a", "b"], ["c"]),
        node("GlobalMaxPool", ["c"], ["y"]),
    ]
    source = model(
        nodes, [tensor("x", ["N", 3, "H", "W"]), tensor("z", ["N", 3, "I", "J"])], [tensor("y", None)], weights
    )
    blocked = optimised(source, tmp_path / "blocked.onnx")
    feeds = {"x": seeded(2, 3, 5, 4), "z": seeded(2, 3, 1, 1)}
    assert_close(run(written(blocked), feeds, optimise=False)[0], run(source, feeds)[0], Tolerance.SIGNED_LAYERS)


def test_groups_concatenation_and_upsampling(tmp_path):
    weights = {
        "first": seeded(2 * BLOCK, 3, 1, 1),
        "grouped": seeded(2 * BLOCK, BLOCK, 3, 3) / 9,
        "last": seeded(BLOCK, 4 * BLOCK, 1, 1) / 4,
        "scales": np.float32([1, 1, 2, 2]),
    }
    nodes = [
        conv("x", "first", "a"),
        conv("a", "grouped", "b", pads=[1, 1, 1, 1], group=2),
        node("Concat", ["a", "b"], ["c"], axis=1),
        conv("c", "last", "d"),
        node("Resize", ["d", "", "scales"], ["e"], mode="nearest", coordinate_transformation_mode="asymmetric",
             nearest_mode="floor"),
        node("Transpose", ["e"], ["y"], perm=[0, 2, 3, 1]),
    ]  # fmt: skip
    source = net(nodes, weights)
    blocked = optimised(source, tmp_path / "blocked.onnx")
    x = {"x": seeded(2, 3, 12, 10)}
    plain = written(blocked)
    assert not [name for name in count_ops(plain) if "." in name]
    assert_close(run(plain, x, optimise=False)[0], run(source, x)[0], Tolerance.SIGNED_LAYERS)


def test_tensors_keep_their_names_and_have_their_real_channels(tmp_path):
    weights = {"first": seeded(20, 3, 1, 1), "second": seeded(BLOCK, 20, 1, 1)}
    nodes = [conv("x", "first", "a"), node("Relu", ["a"], ["b"]), conv("b", "second", "y")]
    blocked = optimised(net(nodes, weights), tmp_path / "blocked.onnx")
    names = {name for each in blocked.graph.node for name in each.output}
    plain = written(blocked)
    assert not plain.graph.initializer, "weights in blocks are not kept"
    assert names <= {name for each in plain.graph.node for name in each.output}
    (inner,) = (each.output[0] for each in blocked.graph.node if each.input[0] == "x")
    plain.graph.output.append(onnx.ValueInfoProto(name=inner))
    x = seeded(2, 3, 12, 10)
    wanted = np.maximum(np.einsum("oi,nihw->nohw", weights["first"][..., 0, 0], x), 0)
    assert_close(run(plain, {"x": x}, optimise=False)[1], wanted, Tolerance.SIGNED_SUMS)


@pytest.mark.parametrize("block", [8, 16])
@pytest.mark.parametrize(
    ("shape", "group"), [((32, 3, 2, 3), 1), ((32, 32, 2, 3), 1), ((32, 1, 2, 3), 32), ((32, 16, 1, 2), 2)]
)
def test_weights_are_put_into_their_usual_order(block, shape, group):
    usual = np.arange(np.prod(shape)).reshape(shape)
    blocked = []
    for outer in range(0, shape[0], block):
        if shape[1] < block:
            blocked += [usual[outer : outer + block, i, h, w] for i in range(shape[1]) for h in range(shape[2])
                        for w in range(shape[3])]  # fmt: skip
            continue
        blocked += [
            usual[outer : outer + block, inner + i, h, w]
            for inner in range(0, shape[1], block)
            for h in range(shape[2])
            for w in range(shape[3])
            for i in range(block)
        ]
    np.testing.assert_array_equal(plain_weights(np.concatenate(blocked).reshape(shape), group, block), usual)


def test_files_for_other_processors_are_refused():
    nodes = [
        node("Conv", ["x", "w"], ["a"], domain=NCHWC, kernel_shape=[1, 1]),
        node("ReorderOutput", ["a"], ["y"], domain=NCHWC, channels=8),
    ]
    weights = {"w": seeded(8, 3, 1, 1)}
    proto = model(nodes, [tensor("x", ["N", 3, 4, 4])], [tensor("y", None)], weights, domains={NCHWC: 1})
    with pytest.raises(UnsupportedModelError, match=r"blocks of 8 channels, and with the 16 of this one"):
        unfuse(proto, onnx.numpy_helper.to_array, lambda: 16)
    assert "Conv" in count_ops(unfuse(proto, onnx.numpy_helper.to_array, lambda: 8))
