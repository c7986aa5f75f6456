"""Every rule against central differences in float64, over ONNX's own cases of its op."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from tests.autodiff.differences import arrays, cases, either, error, frozen, moved, reference, widened
from tests.tolerances import Tolerance, assert_close
from xaionnx.autodiff.rule import flat_ops
from xaionnx.autodiff.table import STANDARD
from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.expand import COMPOSED

# Rounding and the step contribute about 1e-9; the rest is curvature. The reference evaluator takes seconds for larger
# cases, which test nothing more.
LARGEST = 10_000
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)

# Tested against central differences or closed forms elsewhere, because ONNX has no suitable case.
ELSEWHERE = {
    # ONNX has no cases of these.
    **dict.fromkeys(("RandomNormalLike", "RandomUniformLike"), "test_grids"),
    "GlobalLpPool": "test_windows",
    # ONNX's cases use integers.
    "Trilu": "test_sequences",
    "EyeLike": "test_grids",
    # The cases contain infinities, or the op rounds.
    "Cast": "test_types",
    "CastLike": "test_types",
    # The reference's body has float32 constants.
    "MeanVarianceNormalization": "test_normalisation",
    # The reference interpolates in float32.
    "DeformConv": "test_sampling",
    # Straight-through gradients: the difference of a rounded number says nothing.
    **dict.fromkeys(
        ("ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QuantizeLinear"),
        "test_quantization",
    ),
}
# Float inputs that stay fixed, by op: sizes and ratios, or inputs that a rule does not differentiate.
CONSTANTS = {
    "DequantizeLinear": {2},
    "Dropout": {1},
    "GRU": {1, 2, 3, 4},
    "LSTM": {1, 2, 3, 4, 7},
    "RNN": {1, 2, 3, 4},
    "Resize": {1, 2},
    # Its regions count as constant; a label reports this.
    "RoiAlign": {1},
    "STFT": {2},
}
# onnxruntime does not run these in float64, or computes in float32.
BY_REFERENCE = {"GRU", "LSTM", "RNN", "Shrink"}

# Cases that a rule refuses, with the messages.
REFUSED = {
    "test_batchnorm_epsilon_training_mode": "training mode",
    "test_batchnorm_example_training_mode": "training mode",
    "test_dequantizelinear_blocked": "the scales of its blocks depend",
    "test_maxunpool_export_with_output_shape": "its output's shape is given",
    "test_roialign_mode_max": "it takes maxima",
    "test_training_dropout": "at random",
    "test_training_dropout_default": "at random",
    "test_training_dropout_default_mask": "at random",
    "test_training_dropout_mask": "at random",
    "test_training_dropout_zero_ratio": "at random",
    "test_training_dropout_zero_ratio_mask": "at random",
}
# Reasons why a case is not compared. An op without any compared case has to be in ELSEWHERE.
SKIPPED = {
    "no floats": lambda case, feeds, free: not free or not outputs(case),
    "larger than shows more": lambda case, feeds, free: any(np.size(a) > LARGEST for a in feeds.values()),
    "infinity and NaN have no slope": lambda case, feeds, free: not all(np.isfinite(feeds[n]).all() for n in free),
}


def floats(values):
    return [v.name for v in values if v.type.tensor_type.elem_type in FLOATS]


def outputs(case):
    return floats(case.model.graph.output)


def free_inputs(case, feeds):
    node = case.model.graph.node[0]
    constant = {name for i, name in enumerate(node.input) if i in CONSTANTS.get(node.op_type, ())}
    return [n for n in floats(case.model.graph.input) if n in node.input and n not in constant and feeds[n].size]


@pytest.mark.parametrize("op", sorted((set(STANDARD) | COMPOSED) - set(ELSEWHERE)))
@pytest.mark.sampled(percent=15)
def test_rules_agree_with_central_differences(op):
    compared = 0
    for case in cases(op):
        feeds = arrays(case)
        free = free_inputs(case, feeds)
        if any(unfit(case, feeds, free) for unfit in SKIPPED.values()):
            continue
        wide = {n: np.asarray(a, np.float64) if n in floats(case.model.graph.input) else a for n, a in feeds.items()}
        model = frozen(widened(case.model), wide, free)
        at = {name: moved(feeds[name]) for name in free}
        evaluate = reference if op in BY_REFERENCE else either
        if case.name in REFUSED:
            with pytest.raises(UnsupportedModelError, match=REFUSED[case.name]):
                error(model, [at], free, outputs(case)[0], evaluate)
            continue
        for out in outputs(case) if op in ("LSTM", "GRU", "RNN") else outputs(case)[:1]:
            found = error(model, [at], free, out, evaluate)
            assert_close(found, 0, Tolerance.DIFFERENCES)
        compared += 1
    assert compared, f"{op} has a rule and no case"


@pytest.mark.parametrize("op", ELSEWHERE)
def test_what_is_held_elsewhere_is_there(op):
    text = (Path(__file__).parent / f"{ELSEWHERE[op]}.py").read_text(encoding="utf-8")
    assert f'"{op}"' in text
    assert op in STANDARD or op in COMPOSED


def test_each_reason_and_each_refusal_meets_a_case():
    """A line of the tables that no case needs has to be deleted."""
    met, names = set(), set()
    for op in sorted(set(STANDARD) | COMPOSED):
        for case in cases(op):
            feeds = arrays(case)
            free = free_inputs(case, feeds)
            names.add(case.name)
            met |= {reason for reason, unfit in SKIPPED.items() if unfit(case, feeds, free)}
    assert met == set(SKIPPED)
    assert names >= set(REFUSED)
    assert set(CONSTANTS) <= set(STANDARD)
    assert flat_ops <= set(STANDARD)
