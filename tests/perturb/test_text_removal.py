"""Words of a text as players: what is removed, what follows, and the values, on models of known answer."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import xaionnx
from xaionnx.data.texts import TextOptions
from xaionnx.errors import DataError, InputMismatchError
from xaionnx.runtime.model import Model
from xaionnx.typing import Array

pytest.importorskip("tokenizers")
MODELS = Path(__file__).resolve().parents[2] / "models"
TEXT = "Win money, friend! Unsubscribing later."


def weights() -> Array:
    """A number for each token of the tokenizer."""
    return np.random.default_rng(0).normal(size=(4000, 1)).astype(np.float32)


def bag(folder: Path, masked: bool = True, name: str = "bag") -> Model:
    """The sum of the numbers of all tokens whose mask is 1, beside the tokenizer of the spam model."""
    nodes = [helper.make_node("Gather", ["w", "input_ids"], ["e"])]
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])]
    if masked:
        inputs.append(helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", "sequence"]))
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["m"], to=1),
            helper.make_node("Unsqueeze", ["m", "last"], ["m3"]),
            helper.make_node("Mul", ["e", "m3"], ["kept"]),
        ]
    nodes.append(helper.make_node("ReduceSum", ["kept" if masked else "e", "one"], ["y"], keepdims=0))
    constants = {"w": weights(), "last": np.array([2]), "one": np.array([1])}
    graph = helper.make_graph(
        nodes,
        "bag",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(value, key) for key, value in constants.items() if masked or key != "last"],
    )
    path = folder / f"{name}.onnx"
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    (folder / "tokenizer.json").write_bytes((MODELS / "spam.tokenizer.json").read_bytes())
    return Model.load(path)


def by_word(model: Model, replaced: float) -> dict[str, float]:
    """What each word adds, where removing replaces each of its tokens by one worth ``replaced``."""
    [text] = model.read(TEXT).texts
    worth = weights()[text.ids, 0]
    spans = text.spans_of(text.words)
    return {
        text.text[start:stop]: float((worth[text.words == word] - replaced).sum())
        for word, (start, stop) in enumerate(spans)
    }


@pytest.mark.parametrize(
    "method", ["feature_ablation", "kernel_shap", "shapley_sampling", "occlusion", "lime", "exact_shapley"]
)
@pytest.mark.parametrize("baseline", [None, "mask", "pad", "unk", "delete"])
def test_values_of_words_are_those_of_their_tokens(tmp_path: Path, method: str, baseline: str | None) -> None:
    model = bag(tmp_path)
    worth = {None: weights()[4, 0], "mask": weights()[4, 0], "unk": weights()[1, 0]}.get(baseline, 0.0)
    extra = {"alpha": 1e-9} if method == "lime" else {}
    found = xaionnx.explain(model, TEXT, method, target=xaionnx.Target.sum(), baseline=baseline, **extra)
    expected = by_word(model, float(worth))
    assert found.feature_names == tuple(expected)
    assert found.feature_values is not None
    np.testing.assert_allclose(found.feature_values[0], list(expected.values()), atol=1e-4)
    assert isinstance(found.values, np.ndarray)
    # Special tokens are never players.
    assert found.values[0, 0] == found.values[0, -1] == 0
    assert found.provenance["parameters"]["baseline"]["kind"] in ("SpecialToken", "Deletion")


def test_models_without_a_mask_get_shorter_texts(tmp_path: Path) -> None:
    model = bag(tmp_path, masked=False)
    found = xaionnx.explain(model, TEXT, "feature_ablation", target=xaionnx.Target.sum(), baseline="delete")
    assert found.feature_values is not None
    np.testing.assert_allclose(found.feature_values[0], list(by_word(model, 0.0).values()), atol=1e-4)


def test_texts_of_several_lengths_are_padded_behind_the_mask(tmp_path: Path) -> None:
    model = bag(tmp_path)
    both = xaionnx.explain(model, [TEXT, "Hello"], "feature_ablation", target=xaionnx.Target.sum())
    alone = xaionnx.explain(model, "Hello", "feature_ablation", target=xaionnx.Target.sum())
    assert both.feature_values is not None
    assert alone.feature_values is not None
    np.testing.assert_allclose(both.feature_values[1, :1], alone.feature_values[0], atol=1e-5)
    assert np.isnan(both.feature_values[1, 1:]).all()
    assert both.sample(1).feature_names == ("Hello",)
    with pytest.raises(InputMismatchError, match="no attention mask"):
        xaionnx.explain(bag(tmp_path, masked=False), [TEXT, "Hello"], "feature_ablation")


@pytest.mark.parametrize(("features", "count"), [("words", 8), ("tokens", 10), ("sentences", 2), ("distinct_words", 8)])
def test_players_are_words_tokens_or_sentences(tmp_path: Path, features: str, count: int) -> None:
    model = bag(tmp_path)
    found = xaionnx.explain(model, TEXT, "feature_ablation", target=xaionnx.Target.sum(), features=features)
    assert len(found.feature_names) >= count if features == "tokens" else len(found.feature_names) == count
    assert found.values.sum() != 0 or features


def test_gradients_at_the_embedding_are_summed_over_words(tmp_path: Path) -> None:
    model = bag(tmp_path)
    found = xaionnx.explain(model, TEXT, "input_x_gradient", target=xaionnx.Target.sum())
    expected = by_word(model, 0.0)
    assert found.feature_names == tuple(expected)
    assert found.feature_values is not None
    np.testing.assert_allclose(found.feature_values[0], list(expected.values()), atol=1e-4)


def test_tokens_given_as_numbers_have_the_words_of_the_text(tmp_path: Path) -> None:
    model = bag(tmp_path)
    arrays = model.read(TEXT).arrays
    by_text = xaionnx.explain(model, TEXT, "feature_ablation", target=xaionnx.Target.sum())
    by_numbers = xaionnx.explain(model, arrays, "feature_ablation", target=xaionnx.Target.sum())
    np.testing.assert_array_equal(by_text.values, by_numbers.values)


def test_paths_are_files_and_strings_are_texts(tmp_path: Path) -> None:
    model = bag(tmp_path)
    file = tmp_path / "mail.txt"
    file.write_text(f"{TEXT}\n\nHello\n")
    assert model.read(file).texts[0].text == f"{TEXT}\n\nHello"
    lines = model.read(file, text=TextOptions(lines=True))
    assert [text.text for text in lines.texts] == [TEXT, "Hello"]
    assert [Path(name).name for name in lines.names] == ["mail.txt[0]", "mail.txt[1]"]
    assert model.read(str(file)).texts[0].text == str(file)
    file.write_bytes("caf\xe9".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        model.read(file)


def test_a_record_of_text_is_read_back(tmp_path: Path) -> None:
    found = xaionnx.explain(bag(tmp_path), [TEXT, "Hello"], "feature_ablation", target=xaionnx.Target.sum())
    again = xaionnx.Explanation.load(found.save(tmp_path / "r.npz"))
    assert again.display == found.display
    assert again.display["input_ids"].texts == (TEXT, "Hello")
    assert again.sample(1).display["input_ids"].texts == ("Hello",)
    assert again.provenance["spans"][1] == [[0, 5]]
