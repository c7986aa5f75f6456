"""Models that read strings: words of the string itself are removed, and the string is written again."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import xaionnx
from xaionnx.errors import DataError
from xaionnx.runtime.model import Model

WORTH = {"free": 2.0, "money": 1.0, "meeting": -3.0}


def counting(path: Path, columns: bool) -> Model:
    """The sum of the worths of the words of a string, split at spaces, as skl2onnx writes a CountVectorizer."""
    shape = ["N", 1] if columns else ["N"]
    nodes = [
        helper.make_node("Reshape", ["text", "flat"], ["one"]),
        helper.make_node(
            "Tokenizer",
            ["one"],
            ["words"],
            domain="com.microsoft",
            mark=0,
            mincharnum=1,
            pad_value="#",
            separators=[" ", "\n"],
        ),
        helper.make_node(
            "TfIdfVectorizer",
            ["words"],
            ["counts"],
            mode="TF",
            min_gram_length=1,
            max_gram_length=1,
            max_skip_count=0,
            ngram_counts=[0],
            ngram_indexes=[0, 1, 2],
            pool_strings=list(WORTH),
        ),
        helper.make_node("MatMul", ["counts", "worth"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "counting",
        [helper.make_tensor_value_info("text", TensorProto.STRING, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
        [
            numpy_helper.from_array(np.array([-1]), "flat"),
            numpy_helper.from_array(np.float32([[worth] for worth in WORTH.values()]), "worth"),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opsets), path)
    return Model.load(path)


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("method", ["feature_ablation", "kernel_shap", "occlusion"])
def test_words_of_a_string_have_their_worth(tmp_path: Path, columns: bool, method: str) -> None:
    model = counting(tmp_path / "m.onnx", columns)
    found = xaionnx.explain(model, "free money at the meeting", method, xaionnx.Target.sum())
    assert found.feature_names == ("free", "money", "at", "the", "meeting")
    assert found.feature_values is not None
    np.testing.assert_allclose(found.feature_values[0], [2, 1, 0, 0, -3], atol=1e-6)
    # The string has the sum of its words.
    assert isinstance(found.values, np.ndarray)
    np.testing.assert_allclose(found.values.sum(), 0, atol=1e-6)
    assert found.display["text"].texts == ("free money at the meeting",)


def test_a_word_can_take_the_place_of_removed_ones(tmp_path: Path) -> None:
    model = counting(tmp_path / "m.onnx", False)
    found = xaionnx.explain(model, "free meeting", "feature_ablation", xaionnx.Target.sum(), baseline="word:money")
    assert found.feature_values is not None
    np.testing.assert_allclose(found.feature_values[0], [1, -4], atol=1e-6)


def test_all_occurrences_of_a_word_are_one_player_on_request(tmp_path: Path) -> None:
    model = counting(tmp_path / "m.onnx", False)
    found = xaionnx.explain(
        model, "free meeting free", "feature_ablation", xaionnx.Target.sum(), features="distinct_words"
    )
    assert found.feature_names == ("free", "meeting")
    assert found.provenance["spans"] == [[[0, 4, 13, 17], [5, 12]]]
    assert found.feature_values is not None
    np.testing.assert_allclose(found.feature_values[0], [4, -3], atol=1e-6)


def test_an_empty_string_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to explain"):
        xaionnx.explain(counting(tmp_path / "m.onnx", False), "  ", "feature_ablation")
