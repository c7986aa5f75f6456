"""Models that read text: their tokenizer, and the inputs that are fed from its tokens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from xaionnx.data.array_rows import ArraySlice
from xaionnx.data.byte_files import ByteReading
from xaionnx.data.text import Text
from xaionnx.data.texts import TextOptions, TextReading, string_text
from xaionnx.data.token_feeds import TokenInput
from xaionnx.data.tokens import TextTokenizer, tokenizer_file
from xaionnx.errors import DataError, InputMismatchError, ParameterError, UnsupportedModelError

if TYPE_CHECKING:
    from xaionnx.data.row_numbers import RowNumbers
    from xaionnx.runtime.model import Model
    from xaionnx.typing import Feeds

_TEXT_OPS: Final = frozenset({"TfIdfVectorizer", "StringNormalizer", "StringSplit", "Tokenizer", "RegexFullMatch"})
_MATRIX: Final = 2
# More tokens than this, of samples given as numbers, are not turned back into text.
_MOST_TOKENS: Final = 200_000


def reads_text(model: Model) -> bool:
    """Whether text can be given to a model: by its spec, as it reads strings, or as a tokenizer lies beside it."""
    main = model.input()
    if model.is_derived or main.name in model.shared:
        return False
    if model.spec is not None and model.spec.kind == "text":
        return True
    if main.dtype.kind == "U":
        return model.spec is None and len(model.inputs) == 1 and reads_strings(model)
    rows = main.dtype.kind in "iu" and len(main.shape) == _MATRIX
    return model.spec is None and rows and tokenizer_file(model.path, None) is not None


def reads_strings(model: Model) -> bool:
    """Whether a model takes one string a sample and looks into it."""
    main = model.input()
    single = len(main.shape) == 1 or (len(main.shape) == _MATRIX and main.shape[1] in (1, None))
    ops = {node.op_type for node in model.view.nodes}
    return main.dtype.kind == "U" and single and not _TEXT_OPS.isdisjoint(ops)


def open_tokenizer(model: Model) -> TextTokenizer | None:
    """Open the tokenizer of a model; None for a model that reads strings.

    Raises
    ------
    DataError, ParameterError, UnsupportedModelError
        There is none, it cannot be read, or the package tokenizers is missing.
    """
    main, spec = model.input(), model.spec
    if main.dtype.kind == "U":
        return None
    path = tokenizer_file(model.path, None if spec is None else spec.tokenizer)
    if path is None:
        raise DataError(
            f"{model.name} reads the numbers of tokens, and there is no tokenizer.json beside it. Put one there, name "
            "it in the spec ([input] tokenizer = 'FILE'), or give the numbers as a .npy array."
        )
    return TextTokenizer(path) if spec is None else TextTokenizer(path, spec.max_length, spec.special_tokens)


def text_reading(
    model: Model,
    given: Any,  # Any: users may pass anything
    options: TextOptions,
    chosen: RowNumbers | None = None,
) -> TextReading | ByteReading | None:
    """Return how text or a file of bytes given by a user is read; None if it is neither, or the model reads none.

    Raises
    ------
    InputMismatchError
        Bytes, or the numbers of tokens alone where the model has other inputs too, are given in place of text.
    ParameterError
        It is said which parts of a file are texts, and the model reads none.
    """
    if (options.lines or options.column) and not reads_text(model):
        raise ParameterError(
            f"{model.name} reads no text, and TextOptions.lines and TextOptions.column say which parts of a file are "
            "texts. Leave them out."
        )
    arrays = isinstance(given, Mapping | np.ndarray) and getattr(getattr(given, "dtype", None), "kind", "") not in "UO"
    inputs = tuple(
        TokenInput(info.name, model.purposes[info.name].purpose, info.dtype, info.shape) for info in model.inputs
    )
    if model.spec is not None and model.spec.kind == "bytes" and not model.is_derived and len(inputs) == 1:
        return None if arrays else ByteReading.of(model.spec, inputs[0], model.name)
    if not reads_text(model) or _is_array_file(given):
        return None
    _check_is_text(model, given)
    if arrays:
        return None
    return TextReading(model.tokenizer, inputs, model.input().name, options, chosen)


# Any: users may pass anything.
def _check_is_text(model: Model, given: Any) -> None:
    """Check that neither bytes nor numbers of tokens are given in place of text."""
    items = given if isinstance(given, list | tuple) else [given]
    if any(isinstance(one, bytes | bytearray | memoryview) for one in items):
        raise InputMismatchError(
            f"{model.name} reads text, and bytes were given. Decode them first, such as by x.decode('utf-8')."
        )
    others = [info.name for info in model.inputs if info.name != model.input().name]
    if others and items and _is_number(items[0]):
        raise InputMismatchError(
            f"{model.name} reads text, and numbers were given. Pass a str; or, for the numbers of tokens, a dict with "
            f"an array (N, T) for each of its inputs by name: {model.input().name}, {', '.join(others)}."
        )


# Any: users may pass anything.
def _is_number(given: Any) -> bool:
    """Whether this is a number or the first of any lists and arrays of numbers, which may differ in length."""
    while isinstance(given, list | tuple) and given:
        given = given[0]
    if isinstance(given, np.ndarray | np.generic):
        return given.dtype.kind in "iuf"
    return isinstance(given, int | float)


# Any: users may pass anything.
def _is_array_file(given: Any) -> bool:
    if isinstance(given, ArraySlice):
        return True
    return isinstance(given, str | os.PathLike) and os.fspath(given).lower().endswith((".npy", ".npz"))


def texts_of(model: Model, feeds: Feeds) -> tuple[Text, ...]:
    """Return the texts of checked inputs: strings as they are, tokens turned back; () if it cannot be told."""
    main = model.input()
    if model.is_derived or main.name not in feeds:
        return ()
    x = feeds[main.name]
    try:
        if x.dtype == object:
            if x[:1].size != 1 or not reads_text(model):
                return ()
            return tuple(string_text(str(text)) for text in x.reshape(-1))
        if x.ndim != _MATRIX or x.size > _MOST_TOKENS or not reads_text(model):
            return ()
        tokenizer = model.tokenizer
        return () if tokenizer is None else tuple(tokenizer.decode(row) for row in x)
    except (DataError, ParameterError, UnsupportedModelError):
        # Numbers need no tokenizer to be explained.
        return ()
