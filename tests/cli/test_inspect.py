"""``xaionnx inspect`` reports the contents of a file, checked against onnx itself."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from xaionnx_cli._inspection import _method_lines, _name_width, _without_refused_methods
from xaionnx_cli._layers import select_layers
from xaionnx_cli._sizes import ShortSizes

from models import planted
from tests import tiny
from xaionnx import Model, discovery, parameters
from xaionnx.explainers._attention import AttentionExplainer
from xaionnx.explainers._gradients.propagation import Propagation

MODELS = Path(__file__).resolve().parents[2] / "models"


def unbroken(text):
    """The text with each list of methods on one line."""
    return text.replace("\n" + " " * 10, " ")


def needs_gradient(method):
    return discovery.method(method).needs == "gradient"


def follows_attention(method):
    return issubclass(discovery.method(method), AttentionExplainer)


# Methods without special requirements, such as attention or a head of pooling and a linear layer.
USUAL = [method for method in discovery.methods() if not follows_attention(method) and method != "cam"]
# Methods that map spatial positions of a layer cannot explain rows.
OF_PICTURES = {m for m in USUAL if "upsampling" in parameters.declared(discovery.method(m))} - {"full_grad"} | {
    "blur_ig",
    "extremal_masks",
    "masker",
    "meaningful_perturbation",
    "xrai",
}
# These take gradients at a layer, which may come after the trees.
AT_A_LAYER = {"conductance", "internal_influence"}
# These use their own propagation rules, which finite differences cannot replace.
RULED = {m for m in USUAL if issubclass(discovery.method(m), Propagation)} | {
    *("full_grad", "guided_grad_cam", "integrated_hessians")
}


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("name", ["digits_cnn", "german_credit_forest", "selfie_segmentation"])
def test_facts_of_real_models(run, name):
    path = MODELS / f"{name}.onnx"
    result = run("inspect", path, "--json", "--limit", "60")
    assert (result.exit_code, result.stderr) == (0, "")
    told, proto = json.loads(result.stdout), onnx.load(path)
    assert told["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told["bytes"] == path.stat().st_size
    assert told["ir_version"] == proto.ir_version
    assert told["opset"] == {
        entry.domain.replace("ai.onnx", "") if entry.domain == "ai.onnx" else entry.domain: entry.version
        for entry in proto.opset_import
    }
    assert sum(told["ops"].values()) == len(proto.graph.node)
    assert [layer["name"] for layer in told["layers"]] == [o for node in proto.graph.node for o in node.output if o]
    assert told["inputs"][0]["name"] == proto.graph.input[0].name
    assert told["providers"]["used"] == "CPUExecutionProvider"
    assert told["spec"]["guessed"] is False
    # A forest has no gradients, and finite differences of it need a step; a segmentation has no classes to compare.
    lacking = {
        "digits_cnn": {"senn", "tree_shap"},
        "german_credit_forest": {"exact_shapley", "senn"}
        | OF_PICTURES
        | {n for n in USUAL if needs_gradient(n)} - AT_A_LAYER,
        "selfie_segmentation": {"causal_cam", "contrast_cam", "finer_cam", "masker", "senn", "tree_shap"},
    }
    # What is not tried is checked by the graph.
    possible = [n for n in USUAL if n not in lacking[name]]
    assert [m["method"] for m in told["methods"] if m["outcome"] != "refused"] == possible
    sources = {m["method"]: m.get("gradient") for m in told["methods"] if m["outcome"] != "refused"}
    assert sources == {n: "graph" if needs_gradient(n) else None for n in possible}
    assert {(m["outcome"], m["possible"]) for m in told["methods"]} <= {
        ("works", True), ("refused", False), ("not tried", None)
    }  # fmt: skip
    assert [m["method"] for m in told["methods"]] == discovery.methods()


def test_text_lists_some_layers_or_all(run, digits):
    some, every = (run("inspect", digits, "--limit", "0", "--layers", which).stdout for which in ("some", "all"))
    count = sum(len(node.output) for node in onnx.load(digits).graph.node)
    assert f"of {count}; --layers all shows the others\n" in some
    assert f"layers  {count} of {count}\n" in every
    assert "input   pixels (N, 1, 8, 8) float32\n        axes: sample, channel, space, space (spec" in some
    assert "output  logits (N, 10) float32\n        axes: sample (name 'N'); class (last of two axes)\n" in some
    assert "batch   free: any number of samples at once\n" in some
    assert "  /1/Relu_output_0     Relu (N, 16, 8, 8)  8 x 8 over pixels 8 x 8, 16 channels; depth 17 %\n" in every


def test_constants_and_sizes_are_no_layers(run, tmp_path):
    made = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[N, 4] x) => (float[N, 4] y) <float[4] b = {1, 2, 3, 4}> {
            two = Constant<value_float = 2.0>()  c = Mul(b, two)  s = Shape(x)  h = Add(x, c)  y = Reshape(h, s) }"""
    )
    onnx.save(made, tmp_path / "m.onnx")
    facts = json.loads(run("inspect", tmp_path / "m.onnx", "--json", "--limit", "0").stdout)
    assert [layer["name"] for layer in facts["layers"]] == ["h", "y"]


# Of sums and trees that the graph shows, and of networks whose spec names concepts.
OF_KNOWN_FORM = {"additive_shap", "linear_shap", "senn", "tree_shap"}
REFUSED = sorted(OF_KNOWN_FORM | {"cam"})


def test_attention_is_listed_with_its_heads_and_tokens(run):
    path = MODELS / "mnist_vit.onnx"
    told = json.loads(run("inspect", path, "--json", "--limit", "0").stdout)
    names = [f"/blocks/blocks.{n}/Softmax_output_0" for n in range(4)]
    assert told["attention"] == [{"name": n, "shape": [1, 4, 50, 50], "heads": 4, "tokens": 50} for n in names]
    assert [verdict["method"] for verdict in told["methods"] if verdict["outcome"] == "refused"] == REFUSED
    text = run("inspect", path, "--limit", "0").stdout
    assert "attention 4 of 4 layers, shapes for one sample\n" in text
    assert f"  {names[0]}  (1, 4, 50, 50)  4 heads, 50 tokens\n" in text


def test_a_model_without_attention_says_so(run, digits):
    told = json.loads(run("inspect", digits, "--json", "--limit", "0").stdout)
    assert told["attention"] == []
    (verdict,) = (v for v in told["methods"] if v["method"] == "attention_rollout")
    assert verdict["possible"] is False
    assert verdict["reason"].startswith("digits_cnn.onnx has no attention ")


def test_a_long_name_leaves_the_others_their_column():
    found = [{"name": name, "op": "Relu", "shape": None} for name in ("a", "b" * 60, "c" * 300)]
    assert _name_width(found) == 60
    assert _name_width(found[2:]) == 0


def test_the_chosen_layers_are_the_last_of_each_size():
    sizes = [(32, 32), (32, 32), (1, 1), (16, 16), (32, 32)]
    found = [{"name": str(i), "op": "Conv", "shape": ["N", 8, *size]} for i, size in enumerate(sizes)]
    assert [layer["name"] for layer in select_layers(found, ("N", 3, 64, 64))] == ["3", "4"]
    flat = [{"name": str(i), "op": "Gemm", "shape": ["N", 8]} for i in range(20)]
    assert [layer["name"] for layer in select_layers(flat, ("N", 3, 64, 64))] == [str(i) for i in range(8, 20)]


def test_the_chosen_layers_of_series():
    shapes = [
        ["N", 8, 24],
        ["u", 8, 24],
        [24, 2, "N", 6],
        ["T", 2, "N", 6],
        ["N", 8, 12],
        [2, "N", 6],
        ["N", 8],
        ["N", 4, 1],
    ]
    found = [{"name": str(i), "op": "Conv", "shape": shape} for i, shape in enumerate(shapes)]
    assert [layer["name"] for layer in select_layers(found, ("N", 3, 24))] == ["1", "4"]
    # The last axis of tokens is not time.
    assert select_layers(found, ("N", 24)) == found
    # With a fixed batch size, the first axis is fixed too.
    fixed = [
        {"name": str(i), "op": "Conv", "shape": shape}
        for i, shape in enumerate([[1, 8, 24], [24, 1, 6], [24, 2, 1, 6]])
    ]
    assert [layer["name"] for layer in select_layers(fixed, (1, 3, 24))] == ["0"]


def _save(path: Path, nodes: list, inputs: list, outputs: list, opset: int = 17, **more) -> Path:
    graph = helper.make_graph(nodes, "g", inputs, outputs, **more)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def test_a_model_without_scores_says_why(run, tmp_path):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", TensorProto.INT64, [1, 4])
    path = _save(tmp_path / "m.onnx", [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT64)], [x], [y])
    text = unbroken(run("inspect", path).stdout)
    assert "works     no method\n" in text
    methods = ", ".join(discovery.methods())
    assert f"refused   {methods}: No output contains scores: y (1, 4) int64\n" in text
    told = json.loads(run("inspect", path, "--json").stdout)["methods"]
    assert {v["reason"].partition(". ")[2] for v in told} == {"Name an internal tensor to explain with output=..."}
    assert "batch   fixed at 1: made free if the outputs stay the same, otherwise one sample at a time\n" in text
    assert "(guessed from the shapes, as there is no .toml file beside the model)\n" in text


def _without_rule(path: Path, *shape: int) -> Path:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]) for name in "xy")
    nodes = [helper.make_node("OptionalGetElement", ["x"], ["h"], name="h_0"), helper.make_node("Neg", ["h"], ["y"])]
    return _save(path, nodes, [x], [y], opset=18)


OTHERS = "Explain an earlier tensor, or use a method without gradients: occlusion, rise, lime, kernel_shap."
NO_RULE = "No rule for ONNX op 'OptionalGetElement' (node 'h_0'), on the path from 'x' to 'y'."


def test_a_small_model_without_a_rule_is_explained_by_finite_differences(run, tmp_path):
    path = _without_rule(tmp_path / "m.onnx", 4)
    told = json.loads(run("inspect", path, "--json", "--limit", "60").stdout)["methods"]
    assert any(needs_gradient(m["method"]) for m in told)
    for verdict in told:
        able = verdict["outcome"] != "refused"
        assert able is (verdict["method"] in USUAL and verdict["method"] not in RULED | OF_PICTURES | OF_KNOWN_FORM)
        if needs_gradient(verdict["method"]) and able and verdict["method"] not in AT_A_LAYER:
            assert verdict["gradient"] == "finite_differences"
            assert verdict["remark"].startswith(f"8 evaluations a gradient. {NO_RULE}")
        if verdict["method"] in RULED - OF_PICTURES:
            assert verdict["reason"].startswith(NO_RULE)
    lines = run("inspect", path, "--limit", "60").stdout.splitlines()
    sloped = ", ".join(v["method"] for v in told if v.get("gradient") == "finite_differences")
    assert f"          by finite differences: {sloped}: 8 evaluations a gradient" in lines


def test_a_large_model_without_a_rule_names_the_op_and_the_choices(run, tmp_path):
    told = json.loads(run("inspect", _without_rule(tmp_path / "m.onnx", 3, 64, 64), "--json").stdout)["methods"]
    found = {verdict["method"]: verdict for verdict in told}
    for method in ("saliency", "integrated_gradients", "smooth_grad", "xrai"):
        assert found[method]["possible"] is False
        assert found[method]["reason"].startswith(NO_RULE)
        assert found[method]["reason"].endswith(
            "Or choose gradient='finite_differences:random:500' (1,000 evaluations a gradient), "
            "'finite_differences:superpixels' (about 100) or 'finite_differences' (24,576), or give a gradient "
            "model, a .onnx file."
        )
    # Rules have no alternative source, and a map is made at the layer after the op.
    assert found["lrp"]["reason"] == f"{NO_RULE} {OTHERS}"
    assert found["grad_cam"]["gradient"] == "graph"


def test_an_input_of_integers_has_no_gradient(run, tmp_path):
    x = helper.make_tensor_value_info("x", TensorProto.INT64, ["N", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])
    # Whole numbers that the model casts at once are explained at the floats.
    nodes = [helper.make_node("Mul", ["x", "x"], ["s"]), helper.make_node("Cast", ["s"], ["y"], to=TensorProto.FLOAT)]
    path = _save(tmp_path / "m.onnx", nodes, [x], [y])
    lines = unbroken(run("inspect", path).stdout).splitlines()
    (refused,) = (line for line in lines if line.endswith(": Input 'x' is (N, 4) int64, which has no gradient"))
    assert refused.startswith("refused   ")
    assert {"saliency", "lrp", "integrated_gradients"} <= set(refused[10:].partition(":")[0].split(", "))


def test_names_cannot_rewrite_the_terminal(run, tmp_path):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])
    nodes = [helper.make_node("Relu", ["x"], ["red\x1b[31m"]), helper.make_node("Neg", ["red\x1b[31m"], ["y"])]
    result = run("inspect", _save(tmp_path / "m.onnx", nodes, [x], [y]), "--limit", "0")
    assert "\x1b" not in result.stdout + result.stderr


def test_external_data_are_listed(run, tmp_path):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])
    weight = numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    told = json.loads(run("inspect", tmp_path / "m.onnx", "--json", "--limit", "0").stdout)
    assert told["external_data"] == [{"path": str((tmp_path / "m.data").resolve()), "bytes": 16}]


@pytest.mark.parametrize("name", ["german_credit_forest", "mnist_vit", "mnist_vae_decoder"])
def test_no_refusal_sends_to_a_method_that_is_refused_too(run, name):
    told = json.loads(run("inspect", MODELS / f"{name}.onnx", "--json", "--limit", "0").stdout)["methods"]
    refused = {verdict["method"] for verdict in told if verdict["outcome"] == "refused"}
    assert refused
    for verdict in told:
        if verdict["outcome"] == "not tried":
            continue
        words = set((verdict["reason"] or "").replace(",", " ").replace(".", " ").split())
        assert not refused & words, verdict["reason"]


def test_advice_keeps_the_methods_that_are_left():
    reason = "Op 'X' has no rule. Explain an earlier tensor, or use another: occlusion, rise, lime. Or choose 'a: b'."
    assert _without_refused_methods(reason, {"saliency"}) == reason
    assert _without_refused_methods(reason, {"rise", "occlusion"}) == (
        "Op 'X' has no rule. Explain an earlier tensor, or use another: lime. Or choose 'a: b'."
    )
    assert _without_refused_methods(reason, {"rise", "occlusion", "lime"}) == "Op 'X' has no rule. Or choose 'a: b'."
    reason = "It has no head. It holds no places; use grad_cam or hi_res_cam, which ask for none."
    assert _without_refused_methods(reason, {"cam"}) == reason
    assert _without_refused_methods(reason, {"grad_cam"}) == "It has no head. It holds no places."
    assert _without_refused_methods("Nothing helps, not even cam.", {"cam"}) == "Nothing helps, not even cam."


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            planted.detector(),
            "detector: the best box; layout ssd, boxes 'boxes' (x0 y0 x1 y1), scores 'scores' of 2 classes",
        ),
        (planted.linear([[1.0, 2.0], [3.0, 4.0]]), "the top class of 'y'"),
        (planted.bag_of_patches(), "depends on the size of the input, which is free"),
        (
            tiny.parsed("g (float[N, 3, 8, 8] x) => (float[N, 3, 8, 8] y) { y = Tanh(x) }"),
            "none by default: Output 'y' of",
        ),
        (
            tiny.parsed("g (float[N, 3, 8, 8] x) => (float[N, 3, 8, 8] y) { y = Softmax<axis=1>(x) }"),
            "segmentation: the class with the largest region, over its pixels",
        ),
    ],
)
def test_what_is_explained_by_default_is_told(run, model, said):
    path = planted.load(model).path
    assert f"\ntarget  {said}" in run("inspect", path, "--limit", "0").stdout
    assert json.loads(run("inspect", path, "--json", "--limit", "0").stdout)["target"].startswith(said)


def test_time_for_trials_is_limited(run, digits):
    told = json.loads(run("inspect", digits, "--json", "--limit", "0").stdout)["methods"]
    assert {verdict["outcome"] for verdict in told} == {"refused", "not tried"}
    assert {v["reason"] for v in told if v["outcome"] == "not tried"} == {"the limit is 0 s"}
    shown = run("inspect", digits, "--limit", "0").stdout
    assert "not tried " in shown
    untried = sum(verdict["outcome"] == "not tried" for verdict in told)
    # It said that no method works.
    assert f"\nworks     not known: {untried} methods were not tried\n" in shown


def test_long_names_of_sizes_are_numbered(run, tmp_path):
    text = """g (float["StatefulPartitionedCall/model/input/batch", 4, unk__12] x)
      => (float["StatefulPartitionedCall/model/input/batch", 4, unk__12] y) { h = Relu(x)  y = Neg(h) }"""
    shown = run("inspect", planted.load(tiny.parsed(text)).path, "--limit", "0").stdout
    assert "input   x (d1, 4, d2) float32\n" in shown
    assert "\nsizes   d1 StatefulPartitionedCall/model/input/batch, d2 unk__12\n" in shown
    reasons = " ".join(shown.split())
    assert "xrai: XRAI divides pictures and volumes into regions, but input 'x' is (d1, 4, d2) float32" in reasons
    assert re.search(r"d_rise[\w, ]*, rise: the method needs a picture", reasons)


def test_a_model_that_fails_on_noise_is_not_tried(run):
    text = """g (float[V, 3] x) => (float[M, 3] y) <int64[3] views = {-1, 100, 3}> {
      v = Reshape(x, views)  y = ReduceMean<axes = [1], keepdims = 0>(v) }"""
    shown = run("inspect", planted.load(tiny.parsed(text)).path)
    assert shown.exit_code == 0
    assert re.search(r"works     not known: \d+ methods were not tried\n", shown.stdout)
    assert ": the model does not run on one row of noise: " in unbroken(shown.stdout)


@pytest.mark.parametrize(
    "text",
    [
        "g (float x) => (float y) { y = Relu(x) }",
        "g (float[N, 3] x) => (float y) { y = ReduceSum<keepdims = 0>(x) }",
        "g (float[N, 3] x) => (float[N, 3] x, float[N, 3] z) { z = Relu(x) }",
    ],
)
def test_inputs_and_outputs_of_any_rank_are_inspected(run, text):
    shown = run("inspect", planted.load(tiny.parsed(text)).path, "--limit", "60")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "feature_ablation" in unbroken(shown.stdout).partition("works     ")[2].partition("\n")[0]


def test_an_input_without_elements_is_inspected(run):
    shown = run("inspect", planted.load(tiny.parsed("g (float[N, 0] x) => (float[N, 1] y) { y = ReduceSum(x) }")).path)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert re.search(r"works     not known: \d+ methods were not tried\n", shown.stdout)
    assert "there is nothing to explain in input 'x', (1, 0)" in unbroken(shown.stdout)


def test_what_a_parameter_takes_is_not_taken_for_the_method_of_the_same_name(digits):
    """It was said that the option "must be a the method"."""
    reasons = {"masker": "--masker must be a Masker, or its file.", "rise": "Rise needs a picture."}
    verdicts = [{"method": name, "outcome": "refused", "reason": why} for name, why in reasons.items()]
    lines = [*_method_lines(Model.load(digits, device="cpu"), verdicts, ShortSizes())]
    assert lines[1:] == [
        "refused   masker: --masker must be a Masker, or its file",
        "refused   rise: the method needs a picture",
    ]
