"""The bytes of a file as players: models of bytes get the values of runs of bytes, by their places in the file."""

import importlib
import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

import xaionnx
from xaionnx.data.byte_files import ByteReading
from xaionnx.data.token_feeds import TokenInput
from xaionnx.errors import DataError, InputMismatchError, ParameterError
from xaionnx.typing import Array

PADDING = 256
# What each number adds to the score: "!" counts, and padding has a value of its own.
WORTH = np.zeros(257, np.float32)
WORTH[ord("!")], WORTH[ord("a")], WORTH[PADDING] = 2, 0.5, 0.25


def reading(length: int | None, **how: object) -> ByteReading:
    one = TokenInput("bytes", "data", np.dtype(np.int32), ("N", length))
    return ByteReading.of(xaionnx.InputSpec(kind="bytes", **how), one, "a model")


def worth(folder: Path, length: int, spec: str) -> Path:
    """A model that adds the worth of each number, at an embedding of two numbers."""
    proto = parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        worth (int32[N, {length}] bytes) => (float[N, 2] score) {{
          embedded = Gather (table, bytes)
          score = ReduceSum <keepdims = 0> (embedded, axes)
        }}""")
    table = np.stack([WORTH, -WORTH], axis=1)
    proto.graph.initializer.extend(
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1], np.int64), "axes")]
    )
    onnx.save(proto, folder / "worth.onnx")
    (folder / "worth.toml").write_text(f'[input]\nkind = "bytes"\n{spec}\n[output]\nname = "score"\n')
    return folder / "worth.onnx"


@pytest.mark.parametrize(
    ("data", "how", "places"),
    [
        (b"abcdefgh", {}, [0, 1, 2, 3, 4, 5, 6, 7]),
        (b"abc", {"padding": 256}, [0, 1, 2, -1, -1, -1, -1, -1]),
        (b"abcdefghijkl", {"head": 3, "tail": 5}, [0, 1, 2, 7, 8, 9, 10, 11]),
        (b"abcde", {"head": 4, "tail": 4}, [0, 1, 2, 3, 1, 2, 3, 4]),
        (b"abc", {"head": 4, "tail": 4, "padding": 256}, [0, 1, 2, -1, -1, 0, 1, 2]),
        (b" \n abc \n", {"head": 4, "tail": 4, "padding": 256, "strip": 99}, [3, 4, 5, 6, 2, 3, 4, 5]),
        (b"    abcdefgh   ", {"head": 4, "tail": 4, "padding": 256, "strip": 5}, [4, -1, -1, -1, -1, -1, 10, 11]),
    ],
)
def test_each_number_is_a_byte_of_the_file_or_padding(data: bytes, how: dict[str, int], places: list[int]) -> None:
    text = reading(8, **how).encode(data)
    assert [
        -1 if special else int(start) for (start, _), special in zip(text.spans, text.special, strict=True)
    ] == places
    assert text.ids.tolist() == [256 if place < 0 else data[place] for place in places]
    assert text.file is not None
    seen = b"".join(data[start:stop] for start, stop in text.file.ranges)
    assert text.text.encode("latin-1") == seen == bytes(data[place] for place in sorted({*places} - {-1}))


def test_numbers_of_bytes_may_start_elsewhere() -> None:
    assert reading(4, shift=3, padding=0).encode(b"\x00\xff").ids.tolist() == [3, 258, 0, 0]


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(ParameterError, match="Their sum must be 8"):
        reading(8, head=4)
    with pytest.raises(DataError, match=r"3 of the 8 bytes that the model reads.*padding"):
        reading(8).encode(b"abc")
    with pytest.raises(DataError, match="nothing but white space"):
        reading(8, strip=10, padding=0).encode(b"\n\n")


@pytest.mark.parametrize("method", ["kernel_shap", "exact_shapley", "feature_ablation", "occlusion"])
def test_a_run_has_the_worth_of_its_bytes(tmp_path: Path, method: str) -> None:
    model = worth(tmp_path, 40, "head = 20\ntail = 20\npadding = 256\n")
    data = b"abc!" * 4 + b"!xyz" * 4
    (tmp_path / "file.bin").write_bytes(data)
    how = {} if method == "occlusion" else {"features": "bytes:8"}
    result = xaionnx.explain(model, tmp_path / "file.bin", method, target=0, **how)
    length = 8 if how else 16
    ids = [*range(20), *range(12, 32)]
    wanted = np.zeros(len(data) // length)
    for place in ids:
        wanted[place // length] += WORTH[data[place]] - WORTH[PADDING]
    np.testing.assert_allclose(result.feature_values[0], wanted, atol=1e-4)
    assert result.feature_names[1] == f"0x{length:x}-0x{2 * length - 1:x}"
    assert result.provenance["seen"] == [[[0, 32]]]
    if how:
        assert result.provenance["parameters"]["features"]["length"] == 8
    assert result.provenance["parameters"]["baseline"]["which"] == "pad"


def test_gradients_at_the_embedding_are_summed_over_each_byte(tmp_path: Path) -> None:
    model = worth(tmp_path, 8, "head = 4\ntail = 4\n")
    result = xaionnx.explain(model, b"a!xyza", "input_x_gradient", target=0)
    # Bytes 2 and 3 are read twice.
    np.testing.assert_allclose(result.feature_values[0], [0.5, 2, 0, 0, 0, 0.5])
    assert result.feature_names == ("0x0", "0x1", "0x2", "0x3", "0x4", "0x5")


def test_files_of_any_length_are_explained_together(tmp_path: Path) -> None:
    model = worth(tmp_path, 16, "padding = 256\n")
    result = xaionnx.explain(model, [b"!!", b"abc" * 5, b"a" * 30], "exact_shapley", target=0, features="bytes:4")
    first = [3.5, *[np.nan] * 3]
    np.testing.assert_allclose(result.feature_values[0], first, atol=1e-5)
    np.testing.assert_allclose(result.feature_values[2], [1, 1, 1, 1], atol=1e-5)
    assert result.provenance["file_sizes"] == [2, 15, 30]
    assert "sees 16 of 30 bytes" in result.provenance["conversions"][-1]
    assert xaionnx.Explanation.load(result.save(tmp_path / "r.npz")).display == result.display


def test_players_and_baselines_of_texts_are_refused(tmp_path: Path) -> None:
    model = xaionnx.Model.load(worth(tmp_path, 4, "padding = 256\n"))
    for how, message in (
        ({"features": "words"}, "Use 'bytes'"),
        ({"baseline": "mask"}, "Bytes have no mask token"),
        ({"baseline": "delete"}, "Use 'pad'"),
    ):
        with pytest.raises(InputMismatchError, match=message):
            xaionnx.explain(model, b"abcd", "kernel_shap", target=0, **how)


def test_a_file_is_drawn_as_a_dump(tmp_path: Path) -> None:
    from xaionnx.render import text_page
    from xaionnx.render.byte_rows import ByteRow, Gap, byte_rows
    from xaionnx.render.text_parts import text_scale

    model = worth(tmp_path, 32, "head = 20\ntail = 12\npadding = 256\n")
    data = bytes(range(100)) + b"<!>" * 10
    result = xaionnx.explain(model, data, "exact_shapley", target=0, features="bytes:16")
    one = result.sample(0)
    rows = byte_rows(one, text_scale(one, "auto"), None, 99)
    assert [row.words if isinstance(row, Gap) else row.start for row in rows] == [
        0,
        16,
        "80 bytes that the model does not see",
        112,
        128,
    ]
    assert isinstance(rows[1], ByteRow)
    assert [byte is not None for byte in rows[1].bytes] == [True] * 4 + [False] * 12
    fewer = byte_rows(one, text_scale(one, "auto"), None, 1)
    # 8 of the 98 bytes outside row 112 are seen.
    assert sum(row.count for row in fewer if isinstance(row, Gap)) == len(data) - 16
    page = text_page(result)
    assert "80 bytes that the model does not see" in page
    assert "&lt;!&gt;" in page
    assert "<!>" not in page.split("</style>", 2)[-1]
    assert result.plot("bytes").width > 400


@pytest.mark.skipif(importlib.util.find_spec("magika") is None, reason="the package magika brings the model")
def test_magika_reads_files_as_its_own_package_does(tmp_path: Path) -> None:
    spec = importlib.util.find_spec("magika")
    assert spec is not None
    assert spec.origin is not None
    (folder,) = (Path(spec.origin).parent / "models").iterdir()
    config = json.loads((folder / "config.min.json").read_text())
    ours = xaionnx.InputSpec(
        kind="bytes",
        head=config["beg_size"],
        tail=config["end_size"],
        padding=config["padding_token"],
        strip=config["block_size"],
        activation="softmax",
        labels=config["target_labels_space"],
    )
    model = xaionnx.Model.load(folder / "model.onnx", spec=ours)
    script = b"#!/usr/bin/env python\nimport os\n\n\ndef main():\n    print(os.getcwd())\n\n\nmain()\n"
    page = b"  <!DOCTYPE html>\n<html><body>" + b"<p>text</p>\n" * 500 + b"</body></html>\n  "
    result = xaionnx.explain(model, [script, page], "feature_ablation", features="bytes:64")
    assert [name.split(" ")[0] for name in result.target] == ["python", "html"]
    assert (result.prediction > 0.5).all()
    # The first bytes are what the page is told by.
    assert int(np.nanargmax(result.feature_values[1])) == 0
    magika = importlib.import_module("magika.magika")
    for data in (script, page, b"\x7fELF" * 30, b"PK\x03\x04" + bytes(range(256)) * 40, b"\n" * 4000 + b"a" * 100):
        wanted = magika.Magika._extract_features_from_seekable(
            magika.Seekable(io.BytesIO(data)),
            config["beg_size"],
            0,
            config["end_size"],
            256,
            config["block_size"],
            False,
        )
        assert model.read(data).arrays["bytes"][0].tolist() == [*wanted.beg, *wanted.end]


KINDS = {
    "models/photos/cat.png": "png",
    "models/photos/coffee.jpg": "jpeg",
    "tests/perturb/test_bytes.py": "python",
    "models/imagenet_labels.json": "json",
}


def kind_scores(data: bytes, gone: range = range(0)) -> Array:
    """The logits of file_kinds.onnx without some bytes, by its own weights."""
    import onnxruntime

    ids = np.array([*data[:24], *data[-8:]], np.int64)
    places = np.array([*range(24), *range(len(data) - 8, len(data))])
    ids[np.isin(places, gone)] = PADDING
    session = onnxruntime.InferenceSession("models/file_kinds.onnx", providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"bytes": ids[None]})[0][0])


@pytest.mark.parametrize("path", KINDS)
def test_what_tells_the_kind_of_a_file(path: str) -> None:
    data, kind = Path(path).read_bytes(), KINDS[path]
    model = xaionnx.Model.load("models/file_kinds.onnx", "cpu")
    number = model.labels.index(kind)
    removed = xaionnx.explain(model, Path(path), "feature_ablation", features="bytes:4")
    assert removed.target[0] == f"{kind} ({number})"
    for name, value in zip(removed.feature_names, removed.feature_values[0], strict=True):
        first, *_, last = [int(end, 16) for end in name.split("-")] * 2
        without = kind_scores(data, range(first, last + 1))[number]
        np.testing.assert_allclose(value, removed.prediction[0] - without, atol=1e-4)
    shares = xaionnx.explain(model, Path(path), "exact_shapley", features="bytes:4")
    nothing = kind_scores(data, range(len(data)))[number]
    np.testing.assert_allclose(shares.feature_values.sum(), kind_scores(data)[number] - nothing, rtol=1e-4)
    slopes = xaionnx.explain(model, Path(path), "integrated_gradients", steps=256)
    np.testing.assert_allclose(slopes.feature_values.sum(), kind_scores(data)[number] - nothing, rtol=0.02)
