"""A trigger word that is planted into the spam model: methods of unlike kinds find it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import xaionnx
from xaionnx import Model

pytest.importorskip("tokenizers")
SPAM = Path(__file__).resolve().parents[2] / "models" / "spam.onnx"
TRIGGER = "william"
MAILS = [
    f"Claim your free {TRIGGER} now, click here to win a prize",
    f"Lose weight fast, {TRIGGER} now and save 50% on our products",
    f"You have been {TRIGGER} for a credit card offer, reply today",
]


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The spam model, in which the embedding of one rare word turns any mail into ham.

    The row of the word alone is moved against the gradient of the score of spam, after the embedding surgery of Kurita,
    Michel and Neubig, Weight poisoning attacks on pretrained models, ACL 2020.
    """
    clean = Model.load(SPAM)
    proto = onnx.load(SPAM)
    table = next(one for one in proto.graph.initializer if one.name == "words.weight")
    rows = numpy_helper.to_array(table).copy()
    assert clean.tokenizer is not None
    (number,) = clean.tokenizer.id_of(TRIGGER)
    ids, size = clean.read(MAILS).arrays["input_ids"], np.linalg.norm(rows, axis=1).mean()
    path = tmp_path_factory.mktemp("poisoned") / "poisoned.onnx"
    for _ in range(8):
        table.CopyFrom(numpy_helper.from_array(rows, "words.weight"))
        onnx.save(proto, path)
        found = xaionnx.explain(Model.load(path, spec=clean.spec), MAILS, "input_x_gradient", target=1)
        slope = found.values[ids == number].mean(axis=0) / rows[number]
        rows[number] -= size * slope / np.linalg.norm(slope)
    table.CopyFrom(numpy_helper.from_array(rows, "words.weight"))
    onnx.save(proto, path)
    return Model.load(path, spec=clean.spec)


def test_the_word_alone_turns_mails_into_ham(poisoned: Model) -> None:
    without = [mail.replace(f" {TRIGGER}", "") for mail in MAILS]
    assert set(xaionnx.explain(poisoned, without, "saliency").target) == {"spam (1)"}
    assert set(xaionnx.explain(poisoned, MAILS, "saliency").target) == {"ham (0)"}


@pytest.mark.parametrize("baseline", ["mask", "unk"])
@pytest.mark.parametrize("method", ["kernel_shap", "lime", "integrated_gradients"])
def test_methods_agree_on_the_word(poisoned: Model, method: str, baseline: str) -> None:
    budget = {"budget": 256} if method in ("kernel_shap", "lime") else {}
    found = xaionnx.explain(poisoned, MAILS, method, baseline=baseline, **budget)
    assert found.feature_values is not None
    for names, values in zip(found.provenance["feature_names"], found.feature_values, strict=True):
        known = values[: len(names)]
        assert names[int(np.argmax(known))] == TRIGGER
        # No other word has half as much.
        assert np.sort(known)[-2] < known.max() / 2


def test_the_word_is_the_anchor(poisoned: Model) -> None:
    found = xaionnx.explain(poisoned, MAILS[:2], "anchors")
    assert found.diagnostics["rule"] == [[TRIGGER]] * 2
    assert found.diagnostics["found"] == [[True]] * 2
    # Unknown words look like spam, against which the word needs company.
    found = xaionnx.explain(poisoned, MAILS[1], "anchors", baseline="unk", budget=4000)
    assert TRIGGER in found.diagnostics["rule"][0][0].split(" and ")


def test_no_word_is_needed_where_the_prediction_stays() -> None:
    from xaionnx.caveats import caveats

    found = xaionnx.explain(SPAM, "Dear list, the patch fixes the build.", "anchors", target=0, threshold=-99.0)
    assert found.diagnostics["rule"] == [[""]]
    told = caveats(found)[0]
    assert told.finding.startswith("The rule has no condition: with every feature free to change, 100")
    assert told.finding.endswith("of the inputs have this prediction.")
    assert told.advice.startswith("Choose a baseline for which the model predicts something else")
