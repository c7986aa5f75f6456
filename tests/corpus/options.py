"""Bad options, commands and targets."""

from __future__ import annotations

from collections.abc import Iterator

from tests.corpus.case import REFUSED, Case, explain

_NUMBERS = (
    "",
    " ",
    "nan",
    "inf",
    "-inf",
    "-1",
    "1e999",
    "9" * 400,
    "9" * 5000,
    "0x10",
    "1.5",
    "ten",
    "\u0663",
    "1,2",
    "\x1b[2J",
    "\u202e1",
    "True",
    "None",
)


# These are odd, but mean something.
_ACCEPTED = ("margin:1,1", "region:2", "similarity:array.npy", "similarity:picture.png")


def cases() -> Iterator[Case]:
    for option in ("--window", "--stride", "--seed", "--channel", "--threads", "--batch-size", "--timeout", "--top"):
        for number, value in enumerate(_NUMBERS):
            codes = {0, *REFUSED} if value in ("1.5", "inf", "nan", "\u0663", "1,2", "9" * 400) else {*REFUSED}
            yield Case(f"options/{option[2:]}-{number}", explain(option, value), codes)
    for number, value in enumerate(_targets()):
        codes = {0, *REFUSED} if value in _ACCEPTED else REFUSED
        yield Case(f"options/target-{number}", explain("--target", value), codes)
    for number, words in enumerate(_words()):
        yield Case(f"options/words-{number}", words, REFUSED)


def _targets() -> tuple[str, ...]:
    return (
        "",
        " ",
        "-1",
        "10",
        "99999999999999999999",
        "9" * 5000,
        "1.5",
        "nan",
        "nothing",
        "margin:",
        "margin:1",
        "margin:1,1",
        "margin:1,2,3",
        "element:",
        "element:9,9,9,9",
        "element:-1",
        "neuron:",
        "neuron:nothing:1",
        "neuron:logits:1:2",
        "top:-1",
        "top:99",
        "top:x",
        "label:",
        "label:\x1b[2J",
        "probability:99",
        "probability:x",
        "region:2",
        "region:x",
        "segment:1",
        "box",
        "box:1,2",
        "boxes:0",
        "boxes:x",
        "channel:99",
        "keypoint:1",
        "path",
        "peak:99",
        "similarity:",
        "similarity:nothing.npy",
        "similarity:array.npy",
        "similarity:picture.png",
        "loss:99",
        "loss:x",
        "character:1",
        "::::",
        "sum:1",
        "\u202eabc",
        "a\nb",
    )


def _words() -> tuple[tuple[str, ...], ...]:
    return (
        ("",),
        ("explode",),
        ("rise",),
        ("\x1b[2J",),
        ("explain", "nothing"),
        ("explain", "\x1b[2J"),
        ("explain", "occlusion"),
        ("explain", "occlusion", "model.onnx"),
        ("explain", "occlusion", "model.onnx", ""),
        ("explain", "occlusion", "", "array.npy"),
        ("explain", "occlusion", "model.onnx", "a" * 5000),
        ("explain", "occlusion", "a" * 5000, "array.npy"),
        ("explain", "occlusion", "model.onnx", "\udcff.npy"),
        ("explain", "occlusion", "\udcff.onnx", "array.npy"),
        ("explain", "occlusion", "model.onnx/x", "array.npy"),
        ("inspect",),
        ("inspect", ""),
        ("inspect", "model.onnx", "model.onnx"),
        ("inspect", "model.onnx", "--layers", "none"),
        ("inspect", "model.onnx", "--device", "\x1b[2J"),
        ("inspect", "model.onnx", "--device", "tpu"),
        ("inspect", "model.onnx", "--timeout", "x"),
        ("inspect", "array.npy"),
        ("inspect", "\udcff"),
        ("methods", "more"),
        ("compile", "saliency", "model.onnx"),
        ("compile", "saliency", "model.onnx", "-o", "out.txt"),
        ("compile", "occlusion", "model.onnx", "-o", "out.onnx"),
        ("compile", "saliency", "model.onnx", "-o", "model.onnx"),
        ("compile", "saliency", "model.onnx", "-o", "nothing/out.onnx"),
        ("compile", "saliency", "model.onnx", "-o", "out.onnx", "--shape", "x"),
        ("compile", "saliency", "model.onnx", "-o", "out.onnx", "--shape", "9" * 400),
        ("compile", "saliency", "model.onnx", "-o", "out.onnx", "--target", "99"),
        *(
            ("compile", method, "model.onnx", "-o", "out.onnx", "--shape", sizes)
            for method in ("saliency", "linear_shap", "additive_shap", "tree_shap")
            for sizes in ("-1", "0", "1,8,-8", "1,9,8", "1,8,8,8", "other=1")
        ),
        ("patterns", "model.onnx", "array.npy"),
        ("patterns", "model.onnx", "nothing", "-o", "out.npz"),
        ("patterns", "model.onnx", "array.npy", "-o", "out.txt"),
        ("join", "model.onnx", "-o", "out.onnx"),
        ("join", "model.onnx", "model.onnx", "-o", "out.onnx", "--connect", "x"),
        ("join", "model.onnx", "array.npy", "-o", "out.onnx"),
        explain("--device", ""),
        explain("--device", "cuda:99"),
        explain("--sign", "none"),
        explain("--picture", "nothing"),
        explain("--picture", "\x1b[2J"),
        explain("--axes", ""),
        explain("--axes", "N C H W D"),
        explain("--axes", "nothing=N"),
        explain("--axes", "N,C,\x1b[2J,W"),
        explain("--rows", "none"),
        explain("--output", ""),
        explain("--output", "nothing"),
        explain("--output", "out.npz"),
        explain("--baseline", "nothing"),
        explain("--baseline", "background:nothing.npy"),
        explain("--baseline", "blur:x"),
        explain("--baseline", "blur:-1"),
        explain("--baseline", "9" * 5000),
        explain("--baseline", "nan"),
        explain("--baseline", "constant:\x1b[2J"),
        explain("--layer", "nothing"),
        explain("--layer", "\u202e"),
        explain("--overlap", "max"),
        explain("--nothing"),
        explain("--\x1b[2J"),
        explain("-\u202e"),
        explain("--window"),
        explain("--window", "9", "--stride", "10"),
        explain("--features", "nothing", method="lime"),
        explain("--features", "array.npy", method="lime"),
        explain("--budget", "-1", method="lime"),
        explain("--budget", "1", method="kernel_shap"),
        explain("--layer", "logits", method="grad_cam"),
        explain("--steps", "0", method="integrated_gradients"),
        explain("--steps", "9" * 400, method="integrated_gradients"),
        explain("--composite", "nothing", method="lrp"),
        explain("--patterns", "nothing.npz", method="pattern_net"),
        explain("--patterns", ".", method="pattern_net"),
        explain("--gradient", "nothing.onnx", method="saliency"),
        explain("--gradient", "picture.png", method="saliency"),
        explain("--gradient", "\x1b[2J", method="saliency"),
    )
