"""Targets of causal language models: the next token and a continuation, by hand and on a model of known answer."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

import xaionnx
from xaionnx import Target
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.runtime.model import Model
from xaionnx.typing import Array

tokenizers = pytest.importorskip("tokenizers")
MODELS = Path(__file__).resolve().parents[2] / "models"
PROMPT = "Anna lives in Paris. Bert lives in Rome. Bert speaks"


@pytest.fixture(scope="module", params=["tiny_gpt", "tiny_gpt_with_past"])
def gpt(request: pytest.FixtureRequest) -> Model:
    return Model.load(MODELS / f"{request.param}.onnx")


def log_probabilities(model: Model, text: str) -> Array:
    """Of each next token, (T, V), by hand."""
    logits = model.run(model.read(text).arrays, ["logits"])["logits"][0].astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))


def test_the_default_is_the_most_probable_next_token(gpt: Model) -> None:
    found = xaionnx.explain(gpt, PROMPT, "feature_ablation", features="sentences")
    assert found.target[0] == "next token ' Italian', log probability"
    np.testing.assert_allclose(found.prediction[0], log_probabilities(gpt, PROMPT)[-1].max(), atol=1e-5)
    # Who lives where decides, and the other person does not.
    assert found.feature_values is not None
    other, own, asked = found.feature_values[0]
    assert abs(other) < 0.1 < own
    assert asked > 1


def test_a_given_next_token_and_a_continuation_are_log_probabilities(gpt: Model) -> None:
    expected = log_probabilities(gpt, f"{PROMPT} French.")
    ids = gpt.read(f"{PROMPT} French.").arrays["input_ids"][0]
    french = xaionnx.explain(gpt, PROMPT, "feature_ablation", Target.next_token(" French"))
    whole = xaionnx.explain(gpt, f"{PROMPT} French.", "feature_ablation", Target.continuation(" French."))
    by_hand = [expected[place - 1, ids[place]] for place in (len(ids) - 2, len(ids) - 1)]
    np.testing.assert_allclose(french.prediction[0], by_hand[0], atol=1e-5)
    np.testing.assert_allclose(whole.prediction[0], sum(by_hand), atol=1e-5)
    # The continuation is not a player.
    assert whole.feature_names == french.feature_names


@pytest.mark.parametrize("baseline", ["delete", "pad", "start"])
def test_prompts_of_several_lengths_have_the_values_of_each_alone(gpt: Model, baseline: str) -> None:
    prompts = ["Anna lives in Paris. Anna speaks", PROMPT]
    both = xaionnx.explain(gpt, prompts, "feature_ablation", baseline=baseline)
    for prompt, values in zip(prompts, both.feature_values, strict=True):
        alone = xaionnx.explain(gpt, prompt, "feature_ablation", baseline=baseline).feature_values[0]
        np.testing.assert_allclose(values[: len(alone)], alone, atol=1e-5)
        assert np.isnan(values[len(alone) :]).all()


def causal(folder: Path, *, positions: bool) -> Model:
    """Sums of squares of words and places over all tokens so far; without an input of positions it counts them."""
    rng = np.random.default_rng(0)
    words = ["<pad>", *"abcde"]
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="e"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.add_special_tokens(["<pad>"])
    made.save(str(folder / "tokenizer.json"))
    places = "place = Gather (places, position_ids)" if positions else "place = Slice (places, zero, length)"
    ids = "int64[N, T]"
    also = f", {ids} position_ids" if positions else ""
    proto = parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        causal ({ids} input_ids, {ids} attention_mask{also}) => (float[N, T, 6] logits) {{
          word = Gather (table, input_ids)
          shape = Shape (input_ids)
          length = Gather (shape, one)
          {places}
          both = Add (word, place)
          mask = Cast <to = 1> (attention_mask)
          column = Unsqueeze (mask, two)
          shown = Mul (both, column)
          squared = Mul (shown, both)
          axis = Constant <value_int = 1> ()
          so_far = CumSum (squared, axis)
          logits = MatMul (so_far, head)
        }}""")
    weights = {
        "table": rng.normal(size=(6, 4)).astype(np.float32),
        "places": rng.normal(size=(16, 4)).astype(np.float32),
        "head": rng.normal(size=(4, 6)).astype(np.float32) / 10,
        **{name: np.array([number]) for number, name in enumerate(("zero", "one", "two"))},
    }
    proto.graph.initializer.extend([numpy_helper.from_array(array, name) for name, array in weights.items()])
    onnx.save(proto, folder / "causal.onnx")
    return Model.load(folder / "causal.onnx")


@pytest.mark.parametrize("positions", [True, False])
def test_deletion_counts_positions_as_the_shorter_text_does(tmp_path: Path, positions: bool) -> None:
    model = causal(tmp_path, positions=positions)
    found = xaionnx.explain(model, ["a b c d e e", "a b c d"], "feature_ablation", Target.next_token("b"))
    for kept in ("b c d", "a c d", "a b d", "a b c"):
        removed = "abcd".index(({*"abcd"} - {*kept}).pop())
        without = log_probabilities(model, kept)[-1, 2]
        np.testing.assert_allclose(found.prediction[1] - found.feature_values[1, removed], without, atol=1e-5)


def test_deleted_words_leave_the_text_as_if_it_had_never_had_them(gpt: Model) -> None:
    found = xaionnx.explain(gpt, PROMPT, "feature_ablation", Target.next_token(" Italian"), features="sentences")
    assert found.feature_values is not None
    for number, rest in ((0, " Bert lives in Rome. Bert speaks"), (2, "Anna lives in Paris. Bert lives in Rome.")):
        italian = gpt.tokenizer.id_of(" Italian")[0] if gpt.tokenizer is not None else 0
        without = log_probabilities(gpt, rest)[-1, italian]
        np.testing.assert_allclose(found.prediction[0] - found.feature_values[0, number], without, atol=1e-4)


@pytest.mark.parametrize("method", ["integrated_gradients", "input_x_gradient", "saliency", "kernel_shap", "occlusion"])
def test_methods_give_a_value_to_each_word_of_the_prompt(gpt: Model, method: str) -> None:
    found = xaionnx.explain(gpt, PROMPT, method)
    assert found.feature_names == (
        "Anna",
        "lives",
        "in",
        "Paris",
        ".",
        "Bert",
        "lives",
        "in",
        "Rome",
        ".",
        "Bert",
        "speaks",
    )
    assert np.isfinite(found.feature_values).all()
    assert np.abs(found.feature_values).max() > 0


def test_a_text_without_the_continuation_is_refused(gpt: Model) -> None:
    with pytest.raises(ParameterError, match="must end with the continuation ' Greek'"):
        xaionnx.explain(gpt, PROMPT, "feature_ablation", Target.continuation(" Greek"))


def test_deletion_is_refused_for_a_score_within_the_text(gpt: Model) -> None:
    with pytest.raises(xaionnx.errors.InputMismatchError, match="moves tokens"):
        xaionnx.explain(gpt, PROMPT, "feature_ablation", Target.index((3, 5)), baseline="delete")


def test_a_classifier_has_no_next_token() -> None:
    with pytest.raises(UnsupportedModelError, match="score for each token"):
        xaionnx.explain(str(MODELS / "spam.onnx"), "hello", "feature_ablation", Target.next_token())


def test_targets_are_read_from_the_command_line(gpt: Model) -> None:
    assert Target.read("next: French", gpt) == Target.next_token(" French")
    assert Target.read("next", gpt) == Target.next_token()
    assert Target.read("continuation: in Rome", gpt) == Target.continuation(" in Rome")


def test_a_token_that_is_not_known_is_refused(tmp_path: Path) -> None:
    model = causal(tmp_path, positions=True)
    with pytest.raises(ParameterError, match=r"has no token that 'x' begins with, and reads it as 'e'. Check the spel"):
        xaionnx.explain(model, "a b", "saliency", Target.next_token("x"))
    assert xaionnx.explain(model, "a b", "saliency", Target.next_token("e")).target == [
        "next token ' e', log probability"
    ]


def test_attention_is_followed_from_the_tokens_that_predict(gpt: Model) -> None:
    length = gpt.read(PROMPT).arrays["input_ids"].shape[1]
    found = xaionnx.explain(gpt, PROMPT, "attention_rollout")
    assert found.target[0].startswith("next token ' Italian'")
    assert found.provenance["attention"]["read"] == [length - 1]
    np.testing.assert_allclose(found.values.sum(), 1, atol=1e-5)
    whole = xaionnx.explain(gpt, f"{PROMPT} Italian.", "attention_rollout", Target.continuation(" Italian."))
    assert whole.provenance["attention"]["read"] == [length - 1, length]
    # Nothing is seen of what comes later.
    inner = xaionnx.explain(gpt, PROMPT, "attention_rollout", Target.index((3, 5)))
    assert (inner.values[0, :4] > 0).all()
    assert not inner.values[0, 4:].any()
    relevance = xaionnx.explain(gpt, PROMPT, "attention_relevance", Target.index((3, 5)))
    assert not relevance.values[0, 4:].any()
    both = xaionnx.explain(gpt, PROMPT, "attention_rollout", [Target.index((3, 5)), Target.next_token()])
    np.testing.assert_allclose(both.values, np.stack([inner.values, found.values]), atol=1e-6)


def test_models_with_and_without_past_have_the_same_values() -> None:
    for method in ("attention_rollout", "feature_ablation", "integrated_gradients"):
        one, other = (
            xaionnx.explain(MODELS / f"{name}.onnx", PROMPT, method) for name in ("tiny_gpt", "tiny_gpt_with_past")
        )
        np.testing.assert_allclose(one.feature_values, other.feature_values, atol=2e-3)


@pytest.mark.parametrize("which", ["mask", "pad", "unk"])
def test_a_path_may_begin_at_a_special_token(which: str) -> None:
    model = Model.load(MODELS / "spam.onnx")
    text = "Claim your free money now"
    found = xaionnx.explain(model, text, "integrated_gradients", target=1, baseline=which, steps=256)
    arrays = model.read(text).arrays
    ids, [read] = arrays["input_ids"], model.read(text).texts
    number = read.tokenizer.special_id({"unk": "unknown"}.get(which, which)) if read.tokenizer is not None else None
    replaced = np.where(read.special, ids, number)
    start = model.run({**arrays, "input_ids": replaced.astype(ids.dtype)})["logits"][0, 1]
    assert found.baseline_prediction is not None
    np.testing.assert_allclose(found.baseline_prediction[0], start, atol=1e-4)
    # Special tokens are the same at the start, so that words have all of the change.
    assert found.feature_values is not None
    np.testing.assert_allclose(found.feature_values.sum(), found.prediction[0] - start, rtol=0.05)
    assert found.provenance["parameters"]["baseline"]["which"] == {"unk": "unknown"}.get(which, which)
