"""Models of texts that others made and ship, against removal by hand through onnxruntime alone: see `shipped`."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import xaionnx
from tests.reports.shipped import REPOSITORIES, TEXTS
from xaionnx import Model, Target
from xaionnx.typing import Array

tokenizers = pytest.importorskip("tokenizers")
FOLDER = Path(os.environ.get("XAIONNX_SHIPPED") or ".")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all((FOLDER / name).exists() for name in (*TEXTS, *REPOSITORIES)),
        reason="XAIONNX_SHIPPED names no folder of files",
    ),
]
FILM = "This is a very good movie. I watched it twice."
MEAL = "The service was terrible and my food was cold"
PART = (
    "geometry_prismatic, holes_normal, external_threads_yes, surface_finish_normal, tolerance_medium, "
    "batch_size_small, <SOS>"
)
CITY = "张三在北京市工作"


def session(name: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(FOLDER / name, providers=["CPUExecutionProvider"])


def word_tokenizer(folder: str, vocabulary: dict[str, int], split: object, special: tuple[str, ...] = ()) -> None:
    """A tokenizer of whole words, as the code of the model's makers reads them."""
    unknown = "OOV" if "OOV" in vocabulary else special[-1]
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token=unknown))
    made.pre_tokenizer = split
    made.add_special_tokens(list(special))
    made.save(str(FOLDER / folder / "tokenizer.json"))


# --- a sentence embedding, MiniLM of 8 bits ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def minilm() -> Model:
    return Model.load(FOLDER / "minilm" / "model.onnx", "cpu")


@pytest.fixture(scope="module")
def bert() -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer.from_file(str(FOLDER / "minilm" / "tokenizer.json"))
    made.no_padding()
    return made


class Sentences:
    """The mean over tokens of the embeddings, by hand."""

    def __init__(self, bert: tokenizers.Tokenizer) -> None:
        self.bert, self.session = bert, session("minilm/model.onnx")

    def embedded(self, ids: list[int], mask: list[int] | None = None) -> Array:
        shown = np.array([mask or [1] * len(ids)])
        feeds = {"input_ids": np.array([ids]), "attention_mask": shown, "token_type_ids": np.zeros_like(shown)}
        states = self.session.run(["last_hidden_state"], feeds)[0][0].astype(np.float64)
        mean = (states * shown[0][:, None]).sum(axis=0) / shown.sum()
        return np.asarray(mean / np.linalg.norm(mean))

    def cosine(self, ids: list[int], mask: list[int] | None = None) -> float:
        other = self.embedded(self.bert.encode("I enjoyed the film").ids)
        return float(self.embedded(ids, mask) @ other)


@pytest.mark.parametrize("baseline", ["mask", "pad", "unk"])
@pytest.mark.parametrize("features", ["words", "tokens", "sentences"])
def test_an_embedding_without_some_words(
    minilm: Model, bert: tokenizers.Tokenizer, baseline: str, features: str
) -> None:
    by_hand, read = Sentences(bert), bert.encode("Unbelievably " + FILM)
    found = xaionnx.explain(
        minilm,
        "Unbelievably " + FILM,
        "feature_ablation",
        Target.similarity("I enjoyed the film"),
        features=features,
        baseline=baseline,
    )
    np.testing.assert_allclose(found.prediction[0], by_hand.cosine(read.ids), atol=1e-5)
    groups = [word if features == "words" else place for place, word in enumerate(read.word_ids)]
    if features == "sentences":
        dot = read.tokens.index(".")
        groups = [int(place > dot) for place in range(len(read.ids))]
    groups = [None if word is None else group for group, word in zip(groups, read.word_ids, strict=True)]
    players = list(dict.fromkeys(group for group in groups if group is not None))
    assert found.feature_values.shape == (1, len(players))
    number = {"mask": 103, "pad": 0, "unk": 100}[baseline]
    for value, player in zip(found.feature_values[0], players, strict=True):
        ids = [number if group == player else own for group, own in zip(groups, read.ids, strict=True)]
        mask = [int(baseline != "pad" or group != player) for group in groups]
        # Weights of 8 bits, whose sums differ with the batch.
        np.testing.assert_allclose(value, found.prediction[0] - by_hand.cosine(ids, mask), atol=1e-4)


def test_gradients_of_an_embedding_sum_to_its_change(minilm: Model, bert: tokenizers.Tokenizer) -> None:
    found = xaionnx.explain(minilm, FILM, "integrated_gradients", Target.similarity("I enjoyed the film"), steps=200)
    by_hand, read = Sentences(bert), bert.encode(FILM)
    start = by_hand.cosine([101, *[0] * (len(read.ids) - 2), 102])
    np.testing.assert_allclose(found.baseline_prediction, [start], atol=1e-4)
    np.testing.assert_allclose(found.feature_values.sum(), by_hand.cosine(read.ids) - start, atol=0.01)
    assert found.feature_names[int(found.feature_values[0].argmax())] == "movie"


# --- a classifier of feelings -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def feelings() -> Model:
    """Its makers number words by a hash, and fill up with 0."""
    words = {word: int(hashlib.md5(word.encode()).hexdigest(), 16) % 15000 for word in MEAL.lower().split()}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({**words, "[PAD]": 0}, unk_token="[PAD]"))
    made.normalizer = tokenizers.normalizers.Lowercase()
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["[PAD]"])
    made.save(str(FOLDER / "feelings" / "tokenizer.json"))
    return Model.load(FOLDER / "feelings" / "sentiment_model.onnx", "cpu")


def kept(feelings: Model, keeps: tuple[bool, ...]) -> float:
    ids = feelings.tokenizer.id_of(MEAL)
    # The words "was" are two players.
    shown = [own if keep else 0 for own, keep in zip(ids, keeps, strict=True)]
    return float(session("feelings/sentiment_model.onnx").run(None, {"input": np.array([shown])})[0][0, 0])


@pytest.mark.parametrize("method", ["exact_shapley", "kernel_shap", "shapley_sampling", "banzhaf"])
def test_shares_of_words_in_a_feeling(feelings: Model, method: str) -> None:
    count = len(MEAL.split())
    worth = {keeps: kept(feelings, keeps) for keeps in itertools.product([False, True], repeat=count)}
    found = xaionnx.explain(feelings, MEAL, method, baseline="pad")
    for player in range(count):
        gains: list[float] = []
        weights: list[float] = []
        for keeps, with_it in worth.items():
            if keeps[player]:
                without = worth[(*keeps[:player], False, *keeps[player + 1 :])]
                others = sum(keeps) - 1
                gains.append(with_it - without)
                shapley = 1 / (count * np.prod([(count - 1 - k) / (k + 1) for k in range(others)]))
                weights.append(2.0 ** (1 - count) if method == "banzhaf" else float(shapley))
        error = 0 if found.standard_error is None else 4 * np.asarray(found.standard_error)[0, player]
        np.testing.assert_allclose(found.feature_values[0, player], np.dot(gains, weights), atol=1e-5 + error)


def test_a_rule_holds_as_often_as_it_says(feelings: Model) -> None:
    found = xaionnx.explain(feelings, MEAL, "anchors", baseline="pad", target=Target.sum())
    (anchor,), (bounds,) = found.diagnostics["anchor"][0], found.diagnostics["precision_bounds"][0]
    count = len(MEAL.split())
    middle = (kept(feelings, (True,) * count) + kept(feelings, (False,) * count)) / 2
    side = kept(feelings, (True,) * count) > middle
    worth = [
        (kept(feelings, keeps) > middle) == side
        for keeps in itertools.product([False, True], repeat=count)
        if all(keeps[k] for k in anchor)
    ]
    assert bounds[0] <= np.mean(worth) <= bounds[1]


# --- a causal language model of plans, with past keys and values ------------------------------------------------------


@pytest.fixture(scope="module")
def plans() -> Model:
    vocabulary = json.loads((FOLDER / "plans" / "token_mappings.json").read_text())["token2id"]
    split = tokenizers.pre_tokenizers.Split(", ", "removed")
    word_tokenizer("plans", vocabulary, split, ("<SOS>", "<EOC>", "<EOS>", "<PAD>"))
    return Model.load(FOLDER / "plans" / "model.onnx", "cpu")


def step(ids: list[int], token: int) -> float:
    """The log probability of the token after others, by hand."""
    count = len(ids)
    feeds = {
        "input_ids": np.array([ids]),
        "attention_mask": np.ones((1, count), np.int64),
        "position_ids": np.arange(count)[None],
        **{f"past_key_values.{k}.{w}": np.zeros((1, 4, 0, 16), np.float32) for k in range(4) for w in ("key", "value")},
    }
    scores = session("plans/model.onnx").run(["logits"], feeds)[0][0, -1].astype(np.float64)
    return float(scores[token] - scores.max() - np.log(np.exp(scores - scores.max()).sum()))


def test_why_a_plan_begins_as_it_does(plans: Model) -> None:
    ids = plans.tokenizer.id_of(PART)
    found = xaionnx.explain(plans, PART, "feature_ablation")
    assert found.target[0] == "next token 'Milling', log probability"
    # The sign of the start is a special token, which stays.
    assert found.feature_names == tuple(PART.split(", ")[:-1])
    for number, value in enumerate(found.feature_values[0]):
        without = step([*ids[:number], *ids[number + 1 :]], 30)
        np.testing.assert_allclose(found.prediction[0] - value, without, atol=1e-4)


def test_why_a_plan_goes_on_as_it_does(plans: Model) -> None:
    ending = ", Milling, Grinding"
    found = xaionnx.explain(plans, PART + ending, "feature_ablation", Target.continuation(ending))
    ids = plans.tokenizer.id_of(PART)
    by_hand = step(ids, 30) + step([*ids, 30], 42)
    np.testing.assert_allclose(found.prediction[0], by_hand, atol=1e-4)
    fewer = ids[1:]
    np.testing.assert_allclose(
        found.prediction[0] - found.feature_values[0, 0], step(fewer, 30) + step([*fewer, 30], 42), atol=1e-4
    )


@pytest.mark.parametrize("method", ["integrated_gradients", "deep_lift"])
def test_gradients_of_a_plan_sum_to_its_change(plans: Model, method: str) -> None:
    found = xaionnx.explain(plans, PART, method)
    start = step([52] * 6 + [49], 30)
    np.testing.assert_allclose(found.baseline_prediction, [start], atol=1e-4)
    np.testing.assert_allclose(found.feature_values.sum(), found.prediction[0] - start, atol=1e-3)


# --- a tagger of Chinese characters -----------------------------------------------------------------------------------


def test_a_tag_without_other_characters() -> None:
    rows = [line.split("\t", 1) for line in (FOLDER / "lac" / "word.dic").read_text().splitlines() if "\t" in line]
    vocabulary = {word: int(number) for number, word in rows}
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex("."), "isolated")
    word_tokenizer("lac", vocabulary, split)
    model, tagger = Model.load(FOLDER / "lac" / "model.onnx", "cpu"), session("lac/model.onnx")
    ids = [vocabulary.get(character, vocabulary["OOV"]) for character in CITY]

    def scores(given: list[int]) -> Array:
        return np.asarray(tagger.run(None, {"token_ids": np.array([given]), "length": np.array([len(given)])})[0][0])

    # Its makers' own example: a person works in the city of Beijing.
    third = int(scores(ids)[3].argmax())
    found = xaionnx.explain(model, CITY, "feature_ablation", Target.index((3, third)), baseline="unk")
    assert found.feature_names == tuple(CITY)
    unknown = vocabulary["OOV"]
    for place, value in enumerate(found.feature_values[0]):
        without = scores([*ids[:place], unknown, *ids[place + 1 :]])[3, third]
        np.testing.assert_allclose(found.prediction[0] - value, without, atol=1e-4)
    slopes = xaionnx.explain(model, CITY, "integrated_gradients", Target.index((3, third)))
    start = scores([unknown] * len(ids))[3, third]
    np.testing.assert_allclose(slopes.feature_values.sum(), found.prediction[0] - start, atol=1e-3)
