"""The builder emits graphs that pass the checker and compute what the expression says."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from tests.tiny import parsed
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.graph.builder import Builder


@pytest.fixture
def g():
    return Builder(opset=18)


def run(g, **feeds):
    proto = ir.to_proto(g.model)
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(proto, strict_mode=True))
    opened = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return opened.run(None, feeds)


def dtypes(value):
    return [operand.dtype for operand in value.producer().inputs]


def test_known_types_of_attributes_are_not_inferred(g, monkeypatch):
    def infer(*given):
        raise AssertionError(given)

    monkeypatch.setattr(ir.convenience, "convert_attribute", infer)
    x = g.input("x", ir.DataType.FLOAT, ["N", 3])
    turned = g.op("Transpose", x, perm=np.array([1, 0]).tolist())
    blank = g.op("ConstantOfShape", g.op("Shape", turned), value=np.array([2], np.float32))
    whole = g.op("Cast", blank, to=ir.DataType.INT64)
    kinds = [next(iter(value.producer().attributes.values())).type for value in (turned, blank, whole)]
    assert kinds == [ir.AttributeType.INTS, ir.AttributeType.TENSOR, ir.AttributeType.INT]


class TestConstants:
    def test_zero_of_where_has_the_type_of_its_branch(self, g):
        condition = g.input("c", ir.DataType.BOOL, ["N"])
        x = g.input("x", ir.DataType.FLOAT16, ["N"])
        y = g.op("Where", condition, x, 0)
        assert dtypes(y) == [ir.DataType.BOOL, ir.DataType.FLOAT16, ir.DataType.FLOAT16]
        assert y.dtype == ir.DataType.FLOAT16
        g.output(y, "y")
        (answer,) = run(g, c=np.array([True, False]), x=np.array([3, 4], np.float16))
        np.testing.assert_array_equal(answer, np.array([3, 0], np.float16))

    def test_constant_before_the_value_that_types_it(self, g):
        x = g.input("x", ir.DataType.DOUBLE, ["N"])
        assert dtypes(g.op("Sub", 1, x)) == [ir.DataType.DOUBLE] * 2

    def test_concrete_types_of_the_schema(self, g):
        x = g.input("x", ir.DataType.FLOAT, ["N", 4])
        assert dtypes(g.op("Reshape", x, [-1, 2, 2]))[1] == ir.DataType.INT64
        assert dtypes(g.op("ReduceSum", x, [1], keepdims=0))[1] == ir.DataType.INT64

    def test_variadic_operands_share_their_type(self, g):
        x = g.input("x", ir.DataType.INT32, [1])
        assert dtypes(g.op("Concat", [0], x, [7], axis=0)) == [ir.DataType.INT32] * 3

    def test_type_variable_without_a_value(self, g):
        x = g.input("x", ir.DataType.FLOAT, ["N", 4])
        part = g.op("Slice", x, [0], [2], [1])  # starts, ends and axes share a variable, which x does not have
        assert dtypes(part)[1:] == [ir.DataType.INT64] * 3

    def test_python_float_is_single_and_numpy_keeps_its_own(self, g):
        assert g.op("Sqrt", 2.0).dtype == ir.DataType.FLOAT
        assert g.op("Sqrt", np.float64(2)).dtype == ir.DataType.DOUBLE
        assert g.op("Neg", np.ones(2, np.float16)).dtype == ir.DataType.FLOAT16

    def test_numpy_scalar_is_promoted_and_array_is_not(self, g):
        x = g.input("x", ir.DataType.FLOAT16, ["N"])
        assert dtypes(g.op("Mul", x, np.float64(0.5)))[1] == ir.DataType.FLOAT16
        assert dtypes(g.op("Mul", x, np.ones(1, np.float32)))[1] == ir.DataType.FLOAT

    def test_left_out_operand(self, g):
        x = g.input("x", ir.DataType.FLOAT, ["N"])
        g.output(g.op("Clip", x, None, 1), "y")
        np.testing.assert_array_equal(run(g, x=np.array([-5, 5], np.float32))[0], [-5, 1])

    def test_equal_constants_are_stored_once(self, g):
        x = g.input("x", ir.DataType.FLOAT, ["N"])
        for _ in range(3):
            x = g.op("Add", x, 1)
        g.op("Add", x, -0.0)
        g.op("Add", x, 0.0)  # another number than -0.0: 1 / it has another sign
        assert len(g.graph.initializers) == 3

    @pytest.mark.parametrize(
        ("dtype", "value", "sentence"),
        [
            (ir.DataType.INT64, 0.5, "The constant 0.5 of Add must be of type INT64, which cannot hold it."),
            (ir.DataType.INT64, float("nan"), "The constant nan of Add must be of type INT64, which cannot hold it."),
            (ir.DataType.UINT8, 300, "The constant 300 of Add must be of type UINT8, which cannot hold it."),
            (ir.DataType.FLOAT16, 1e6, "The constant 1000000.0 of Add must be of type FLOAT16, which cannot hold it."),
        ],
    )
    def test_number_that_does_not_fit(self, g, dtype, value, sentence):
        x = g.input("x", dtype, ["N"])
        with pytest.raises(ParameterError) as caught:
            g.op("Add", x, value)
        assert str(caught.value) == sentence

    def test_array_changed_afterwards(self, g):
        array = np.ones(2, np.float32)
        value = g.constant(array)
        array[:] = 5
        np.testing.assert_array_equal(value.const_value.numpy(), [1, 1])

    def test_given_type(self, g):
        value = g.constant([1, 2], ir.DataType.BFLOAT16)
        assert (value.dtype, value.shape) == (ir.DataType.BFLOAT16, ir.Shape([2]))


class TestOutputTypes:
    def test_from_variables_schema_and_attributes(self, g):
        x = g.input("x", ir.DataType.FLOAT16, ["N", 4])
        assert g.op("Relu", x).dtype == ir.DataType.FLOAT16
        assert g.op("Shape", x).dtype == ir.DataType.INT64
        assert g.op("Greater", x, 0).dtype == ir.DataType.BOOL
        assert g.op("Cast", x, to=ir.DataType.INT8).dtype == ir.DataType.INT8
        assert g.op("Constant", value=np.zeros(2, np.int16)).dtype == ir.DataType.INT16
        values, indices = g.op("TopK", x, [2], outputs=2)
        assert (values.dtype, indices.dtype) == (ir.DataType.FLOAT16, ir.DataType.INT64)
        assert isinstance(g.op("Split", x, outputs=1, axis=1), tuple)

    def test_numpy_numbers_as_attributes(self, g):
        x = g.input("x", ir.DataType.FLOAT, ["N", 4])
        g.output(g.op("Transpose", x, perm=[np.int64(1), np.int64(0)]), "y")
        assert run(g, x=np.zeros((3, 4), np.float32))[0].shape == (4, 3)


class TestNames:
    def test_never_those_of_the_model(self):
        model = ir.from_proto(
            parsed("""
            g (float[N] x) => (float[N] y) { xai_Relu_0 = Relu(x)  y = Exp(xai_Relu_0) }""")
        )
        g = Builder(model)
        value = g.op("Relu", model.graph.outputs[0])
        assert value.name == "xai_Relu_1"
        g.output(value, "z")
        onnx.checker.check_model(onnx.shape_inference.infer_shapes(ir.to_proto(model)))
        assert [output.name for output in model.graph.outputs] == ["y", "z"]

    def test_output_of_the_model_under_another_name_is_a_copy(self, g):
        x = g.input("x", ir.DataType.FLOAT, ["N"])
        g.output(x, "y")
        assert [node.op_type for node in g.graph] == ["Identity"]
        np.testing.assert_array_equal(run(g, x=np.ones(2, np.float32))[0], [1, 1])

    def test_taken_name(self, g):
        x = g.input("x", ir.DataType.FLOAT, ["N"])
        with pytest.raises(ParameterError) as caught:
            g.output(g.op("Relu", x), "x")
        assert str(caught.value) == (
            "The 'name' parameter of Builder.output must be a name that the graph does not use. Got 'x' instead."
        )


class TestWrongCalls:
    def test_op(self, g):
        with pytest.raises(UnsupportedModelError) as caught:
            g.op("Gelu", 1.0)
        assert str(caught.value) == "Opset 18 of 'ai.onnx' has no op 'Gelu'. Convert the model to a newer opset first."

    def test_domain(self, g):
        with pytest.raises(UnsupportedModelError, match=r"^The graph does not import the domain 'ai\.onnx\.ml'\."):
            g.op("Scaler", 1.0, domain="ai.onnx.ml")

    def test_attribute(self, g):
        with pytest.raises(ParameterError, match=r"^Relu of opset 18 has no attribute 'slope'\.$"):
            g.op("Relu", 1.0, slope=1)

    def test_operands(self, g):
        with pytest.raises(ParameterError, match=r"^Add takes 2 to 2 operands\. Got 1 instead\.$"):
            g.op("Add", 1.0)


def test_equal_constants_are_held_once(g):
    value = g.input("x", ir.DataType.FLOAT, ["N"])
    for number in range(5_000):
        value = g.op("Add", value, float(number % 7))
    assert len(g.graph.initializers) == 7
    assert g.graph.num_nodes() == 5_000
