"""Texts on the command line: files, lines, pages in HTML, and what is refused."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

import xaionnx
from xaionnx.data.texts import TextOptions
from xaionnx.errors import DataError, ParameterError

pytest.importorskip("tokenizers")
MODELS = Path(__file__).resolve().parents[2] / "models"
SPAM = str(MODELS / "spam.onnx")
GPT = MODELS / "tiny_gpt.onnx"
PROMPT = "Anna lives in Paris. Bert lives in Rome. Bert speaks"
Run = Callable[..., Result]


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    path = tmp_path / "mail.txt"
    path.write_text("Click here to claim your free money!\nDear list, the patch fixes the build.\n")
    return path


def test_a_mail_becomes_a_page(run: Run, mail: Path) -> None:
    page = mail.with_name("mail.html")
    result = run("explain", "feature_ablation", SPAM, mail, "-o", page)
    assert result.exit_code == 0, result.output
    assert "Click" in result.stdout
    written = page.read_text()
    assert written.startswith("<!DOCTYPE html>")
    assert "money" in written
    assert "baseline mask token" in written
    # Its own page is replaced, and no other file.
    assert run("explain", "feature_ablation", SPAM, mail, "-o", page).exit_code == 0
    page.write_text("<p>of the user</p>")
    refused = run("explain", "feature_ablation", SPAM, mail, "-o", page)
    assert refused.exit_code != 0
    assert "is not a page written by xaionnx" in refused.output


def test_each_line_is_a_text_on_request(run: Run, mail: Path) -> None:
    result = run(
        "explain", "feature_ablation", SPAM, mail, "--lines", "--features", "words", "-o", mail.with_name("out.png")
    )
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in mail.parent.glob("*.png")) == ["out-mail-0.png", "out-mail-1.png"]


def test_an_empty_text_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "blank.txt").write_text("  \n ")
    result = run("explain", "feature_ablation", SPAM, tmp_path / "blank.txt")
    assert result.exit_code != 0
    assert "nothing to explain" in result.output


def test_what_is_cut_off_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("free money now " * 200)
    result = run("explain", "saliency", SPAM, tmp_path / "long.txt")
    assert result.exit_code == 0, result.output
    assert "the model sees 160 of 602 tokens" in result.stderr


def test_a_continuation_is_appended_to_the_prompt(run: Run, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text(f"{PROMPT}\n")
    result = run("explain", "feature_ablation", GPT, prompt, "--continuation", " Italian.", "-o", tmp_path / "r.npz")
    assert result.exit_code == 0, result.output
    assert "continuation ' Italian.', log probability" in result.stdout
    found = xaionnx.Explanation.load(tmp_path / "r.npz")
    whole = xaionnx.explain(GPT, f"{PROMPT} Italian.", "feature_ablation", xaionnx.Target.continuation(" Italian."))
    np.testing.assert_allclose(found.feature_values, whole.feature_values, atol=1e-6)
    assert run("explain", "saliency", GPT, prompt, "--next-token", " French").stdout.count("' French'") == 1
    refused = run("explain", "saliency", GPT, prompt, "--continuation", " Italian.", "-t", "next")
    assert "--target and --continuation both say what to explain" in refused.output
    past = run("explain", "saliency", str(GPT).replace("gpt", "gpt_with_past"), prompt, "--next-token", " French")
    assert re.search(r"past_key_values.0.key and \d+ more \(a state each\)", past.stdout)
    refused = run("explain", "saliency", GPT, "Anna lives in")
    assert "There is no file 'Anna lives in'. Check the path; a text itself is read from a file too." in refused.output
    prompt.write_text(PROMPT * 9)
    refused = run("explain", "saliency", GPT, prompt, "--continuation", " Italian.")
    assert refused.exit_code != 0
    assert "the continuation would be cut off" in refused.output


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_texts_are_a_column_of_a_table(run: Run, tmp_path: Path, suffix: str) -> None:
    pandas = pytest.importorskip("pandas")
    texts = ["Claim your free money", 'The "patch",\nfixed', "", "Dear list " * 20_000]
    frame = pandas.DataFrame({"id": range(4), "mail": texts})
    path = tmp_path / f"mails.{suffix}"
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    unnamed = run("explain", "input_x_gradient", SPAM, path)
    assert unnamed.exit_code != 0
    assert "which of its columns is the text: 'id', 'mail'. Name it in --text-column, give" in unnamed.output
    with pytest.raises(DataError, match=r"the text: 'id', 'mail'\. Name it in TextOptions\.column, give"):
        xaionnx.explain(SPAM, path, "input_x_gradient")
    result = run("explain", "input_x_gradient", SPAM, path, "--text-column", "mail", "-o", tmp_path / "r.npz")
    assert result.exit_code == 4, result.output
    assert "row 2" in result.stderr
    assert "has no text in 'mail'" in result.stderr
    assert "the model sees 160 of" in result.stderr
    found = xaionnx.Explanation.load(tmp_path / "r.npz")
    assert next(iter(found.display.values())).texts == tuple(texts[n] for n in (0, 1, 3))
    alone = xaionnx.explain(SPAM, frame["mail"][[0, 1, 3]], "input_x_gradient")
    np.testing.assert_allclose(found.feature_values, alone.feature_values, atol=1e-5)
    assert run("explain", "saliency", SPAM, path, "--text-column", "mail", "--rows", "1").exit_code == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mails.jsonl", "lines=True).to_csv('mails.csv', index=False)"),
        ("mails.txt", "is no table, so that no column of it holds the text. Leave --text-column out"),
    ],
)
def test_an_option_of_tables_is_not_ignored_for_other_files(run: Run, tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_text('{"text": "free prize"}\n{"text": "lunch"}\n')
    result = run("explain", "saliency", SPAM, tmp_path / name, "--text-column", "text")
    assert result.exit_code == 4
    assert said in result.stderr


@pytest.mark.parametrize("option", [("--lines",), ("--text-column", "purpose")])
@pytest.mark.parametrize("command", ["explain", "evaluate"])
def test_options_of_texts_are_refused_for_a_model_that_reads_none(
    run: Run, option: tuple[str, ...], command: str
) -> None:
    files = (MODELS / "german_credit_mlp.onnx", MODELS / "data" / "german_credit_sample.csv", *option)
    words = ("explain", "saliency", *files)
    if command == "evaluate":
        words = ("evaluate", *files, "--methods", "saliency", "--metrics", "sparseness")
    result = run(*words)
    assert result.exit_code == 2
    assert "german_credit_mlp.onnx reads no text, and --lines and --text-column say" in result.stderr
    with pytest.raises(ParameterError, match=r"reads no text, and TextOptions\.lines and TextOptions\.column say"):
        xaionnx.Model.load(files[0]).read(files[1], text=TextOptions(lines=True))


def test_texts_of_several_lengths_are_one_record(run: Run, tmp_path: Path) -> None:
    texts = ["Claim your free money", "Dear list, the patch fixes the build", "Free!"]
    (tmp_path / "mails").mkdir()
    for number, text in enumerate(texts):
        (tmp_path / "mails" / f"{number}.txt").write_text(text)
    result = run("explain", "feature_ablation", SPAM, tmp_path / "mails", "-o", tmp_path / "r.npz")
    assert result.exit_code == 0, result.output
    found = xaionnx.Explanation.load(tmp_path / "r.npz")
    together = xaionnx.explain(SPAM, texts, "feature_ablation")
    np.testing.assert_allclose(found.feature_values, together.feature_values, atol=1e-5)
    np.testing.assert_allclose(found.values, together.values, atol=1e-5)
    np.testing.assert_array_equal(found.features, together.features)
    assert next(iter(found.display.values())).texts == tuple(texts)
    assert found.sample(1).feature_names == together.sample(1).feature_names


def test_the_rule_of_an_anchor_is_printed(run: Run, mail: Path) -> None:
    result = run("explain", "anchors", SPAM, mail, "--lines", "--budget", "2000")
    assert "  rule: " in result.stdout
    assert "; precision 1" in result.stdout


def test_a_file_of_any_kind_is_a_dump_in_colours(run: Run, tmp_path: Path) -> None:
    from xaionnx_cli._text import coloured

    from tests.perturb.test_bytes import worth

    model = worth(tmp_path, 32, "head = 16\ntail = 16\npadding = 256")
    # Also one whose name says that it holds an array.
    file = tmp_path / "file.npy"
    file.write_bytes(b"a!" * 8 + b"-" * 64 + b"!" * 16)
    result = run("explain", "exact_shapley", model, file, "--features", "bytes:16", "-o", tmp_path / "file.html")
    assert result.exit_code == 0, result.output
    assert "the model sees 32 of 96 bytes" in result.stderr
    assert "0x50-0x5f    +28" in result.stdout
    page = (tmp_path / "file.html").read_text()
    assert page.index("a!a!a!a!") < page.index("64 bytes that the model does not see") < page.index("00000050")
    lines = coloured(xaionnx.explain(model, file, "exact_shapley", target=0))
    assert [line.split()[0] for line in lines] == ["00000000", "64", "00000050"]


def test_inspect_says_that_a_tokenizer_beside_the_model_reads_text(run: Run, tmp_path: Path) -> None:
    for source, name in (("spam.onnx", "m.onnx"), ("spam.tokenizer.json", "tokenizer.json")):
        (tmp_path / name).write_bytes((MODELS / source).read_bytes())
    alone, known = (run("inspect", path, "--limit", "0").stdout for path in (tmp_path / "m.onnx", SPAM))
    assert "\nspec    kind text, activation none, tokenizer tokenizer.json (guessed" in alone
    assert "\nspec    kind text, activation logits, tokenizer spam.tokenizer.json (from" in known
