"""Products with what is fused with them compute the same in plain ops."""

import pytest

from tests.graph.fused.unfused import compare, reason, seeded

PAIRS = [(0, 0), (0, 1), (1, 0), (1, 1)]
ACTIVATIONS = [
    ("Relu", {}),
    ("LeakyRelu", {"activation_alpha": 0.2}),
    ("HardSigmoid", {"activation_alpha": 0.3, "activation_beta": 0.4}),
    ("Elu", {"activation_alpha": 1.5}),
    ("Sigmoid", {}),
    ("Tanh", {}),
    ("Softplus", {}),
    ("Softsign", {}),
    ("ThresholdedRelu", {"activation_alpha": 0.5}),
    ("Selu", {"activation_alpha": 1.6, "activation_gamma": 1.1}),
]


@pytest.mark.parametrize(("name", "parameters"), ACTIVATIONS)
def test_gemm_with_an_activation(name, parameters):
    compare(
        "FusedGemm",
        ["a", "b", "c"],
        {"a": seeded(2, 3)},
        {"b": seeded(3, 4), "c": seeded(4)},
        activation=name,
        **parameters,
    )


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize(("transpose_a", "transpose_b"), PAIRS)
def test_gemm_with_factors_and_transposed_operands(transpose_a, transpose_b, has_bias):
    a, b = (seeded(*(size[::-1] if flip else size)) for size, flip in (((2, 3), transpose_a), ((3, 4), transpose_b)))
    weights = {"b": b} | ({"c": seeded(4)} if has_bias else {})
    compare(
        "FusedGemm", ["a", "b", *(["c"] if has_bias else [])], {"a": a}, weights,
        transA=transpose_a, transB=transpose_b, alpha=0.5, beta=2.0, activation="Relu",
    )  # fmt: skip


@pytest.mark.parametrize("op", ["FusedMatMul", "TransposeMatMul"])
@pytest.mark.parametrize(("transpose_a", "transpose_b"), PAIRS)
def test_matmul_with_transposed_operands(op, transpose_a, transpose_b):
    a = seeded(2, 5, *((4, 3) if transpose_a else (3, 4)))
    b = seeded(2, 5, *((6, 4) if transpose_b else (4, 6)))
    compare(op, ["a", "b"], {"a": a, "b": b}, transA=transpose_a, transB=transpose_b, alpha=0.25)


@pytest.mark.parametrize(("batch_a", "batch_b"), PAIRS)
@pytest.mark.parametrize(("transpose_a", "transpose_b"), PAIRS)
def test_matmul_with_the_first_axis_after_the_batch_axes(batch_a, batch_b, transpose_a, transpose_b):
    rows, columns = (4, 3) if transpose_a else (3, 4), (6, 4) if transpose_b else (4, 6)
    a = seeded(*((rows[0], 2, 5, rows[1]) if batch_a else (2, 5, *rows)))
    b = seeded(*((columns[0], 2, 5, columns[1]) if batch_b else (2, 5, *columns)))
    stated = {"transBatchA": batch_a, "transBatchB": batch_b, "transA": transpose_a, "transB": transpose_b}
    compare("FusedMatMul", ["a", "b"], {"a": a, "b": b}, **stated)


def test_matmul_of_a_vector():
    compare("FusedMatMul", ["a", "b"], {"a": seeded(4), "b": seeded(4, 3)}, transA=0, alpha=2.0)


def test_an_unknown_activation_is_refused():
    feeds, weights = {"a": seeded(2, 3)}, {"b": seeded(3, 4)}
    assert reason("FusedGemm", ["a", "b"], feeds, weights, activation="Snake") == (
        "its activation 'Snake' has no plain form"
    )
