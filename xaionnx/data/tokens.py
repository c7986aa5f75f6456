"""Text as the tokens of a model, by its tokenizer.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, final

import numpy as np

from xaionnx.data.files import is_file, read_bytes, sha256_of
from xaionnx.data.text import Text
from xaionnx.errors import DataError, ParameterError, UnsupportedModelError
from xaionnx.typing import Array, Document

SpecialTokenName = Literal["mask", "pad", "unknown", "start"]

MAX_TOKENIZER_BYTES: Final = 64 * 2**20
"""Size of a tokenizer file that is not refused."""

# What exporters call the special tokens, in the files beside a model and in vocabularies.
_KEYS: Final[Mapping[SpecialTokenName, str]] = {
    "mask": "mask_token",
    "pad": "pad_token",
    "unknown": "unk_token",
    "start": "bos_token",
}
_USUAL: Final[Mapping[SpecialTokenName, tuple[str, ...]]] = {
    "mask": ("[MASK]", "<mask>", "<|mask|>", "<MASK>"),
    "pad": ("[PAD]", "<pad>", "<|pad|>", "<PAD>"),
    "unknown": ("[UNK]", "<unk>", "<UNK>"),
    "start": ("<s>", "<bos>", "<|begin_of_text|>", "<|endoftext|>", "<|startoftext|>"),
}
# A model_max_length beyond this stands for none.
_UNLIMITED: Final = 10**6


@final
class TextTokenizer:
    """A tokenizer.json file, opened.

    Parameters
    ----------
    path : Path
    max_length : int, optional
        The most tokens of a text, with special ones; that of the file, or of a tokenizer_config.json beside it, if
        None.
    special_tokens : bool
        Whether the tokens that the tokenizer adds to a text, such as [CLS], are added.

    Raises
    ------
    UnsupportedModelError
        The package tokenizers is not installed.
    DataError
        The file is missing or is no tokenizer.
    """

    def __init__(self, path: Path, max_length: int | None = None, special_tokens: bool = True) -> None:
        data = read_bytes(path, "tokenizer", MAX_TOKENIZER_BYTES)
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise UnsupportedModelError(
                f"Reading text with {path.name} needs the package tokenizers. Install it with: pip install "
                "'xaionnx[text]', or give the numbers of the tokens as an array."
            ) from error
        self.path, self.sha256, self.special_tokens = path, sha256_of(data), special_tokens
        try:
            self._document: Document = json.loads(data)
            # Any: the package has no types.
            self._tokenizer: Any = Tokenizer.from_str(data.decode())
        except Exception as error:  # the package raises no other kind
            raise DataError(f"'{path}' is not a tokenizer.json file ({str(error).splitlines()[0]}).") from error
        self._config = {**_json_beside(path, "special_tokens_map.json"), **_json_beside(path, "tokenizer_config.json")}
        self.max_length = max_length or self._own_max_length()
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def _own_max_length(self) -> int | None:
        cut = self._document.get("truncation")
        found = cut.get("max_length") if isinstance(cut, dict) else self._config.get("model_max_length")
        return int(found) if isinstance(found, int | float) and 0 < found < _UNLIMITED else None

    def __repr__(self) -> str:
        return f"TextTokenizer({self.path.name})"

    def special_id(self, which: SpecialTokenName) -> int | None:
        """Return the number of a special token; None if the tokenizer has none."""
        known = self._config.get(_KEYS[which])
        known = known.get("content") if isinstance(known, dict) else known
        padding, model = self._document.get("padding"), self._document.get("model", {})
        if which == "pad" and isinstance(padding, dict):
            known = padding.get("pad_token", known)
        if which == "unknown":
            if isinstance(model.get("unk_id"), int):
                return int(model["unk_id"])
            known = model.get("unk_token") or known
        for name in [known, *_USUAL[which]]:
            found = self._tokenizer.token_to_id(name) if isinstance(name, str) else None
            if found is not None:
                return int(found)
        return None

    @cached_property
    def pad_id(self) -> int:
        """The number of the token that fills up short texts: padding, else the start of a text, else 0."""
        pad = self.special_id("pad")
        return (self.special_id("start") or 0) if pad is None else pad

    @cached_property
    def size(self) -> int:
        """The number of tokens that the tokenizer knows."""
        return int(self._tokenizer.get_vocab_size())

    @cached_property
    def _written_special(self) -> frozenset[int]:
        """The special tokens that a text may hold as it is written; that of an unknown word stands for the word."""
        added = {int(item["id"]) for item in self._document.get("added_tokens", []) if item.get("special")}
        return frozenset(added - {self.special_id("unknown")})

    def encode(self, text: str, max_length: int | None = None, second: str | None = None) -> Text:
        """Return the tokens of a text, or of a pair, cut to ``max_length`` or :attr:`max_length` if that is smaller.

        A pair is one text of two lines; only the second is cut.

        Raises
        ------
        DataError
            The text has no token, is not valid Unicode, or leaves no room for the second.
        """
        if second is not None and self._document.get("post_processor") is None:
            raise DataError(
                f"{self.path.name} has no template for pairs of texts (a post_processor), so a tuple of two texts "
                "cannot be read. Give a list of them, or one text."
            )
        limit = min((one for one in (max_length, self.max_length) if one is not None), default=None)
        try:
            whole = found = self._tokenizer.encode(text, second, add_special_tokens=self.special_tokens)
            if limit is not None and len(whole.ids) > limit:
                self._tokenizer.enable_truncation(limit, strategy="longest_first" if second is None else "only_second")
                found = self._tokenizer.encode(text, second, add_special_tokens=self.special_tokens)
        except (TypeError, UnicodeEncodeError) as error:
            raise DataError("The text is not valid Unicode: it holds half of a surrogate pair. Correct it.") from error
        except Exception as error:  # the package raises no other kind
            what = "text" if second is None else "second text of the pair"
            raise DataError(
                f"The {what} cannot be cut to the {limit} tokens of the model ({error}). Shorten it."
            ) from error
        finally:
            self._tokenizer.no_truncation()
        ids = np.array(found.ids, np.int64)
        special = np.array(found.special_tokens_mask, bool) | np.isin(ids, [*self._written_special - {self.pad_id}])
        if special.all():
            raise DataError("The text is empty for the tokenizer, so there is nothing to explain. Give some words.")
        spans = np.array(found.offsets, np.int64).reshape(-1, 2)
        types = np.array(found.type_ids, np.int64)
        if second is not None:
            spans[np.array(found.sequence_ids) == 1] += len(text) + 1
            text = f"{text}\n{second}"
        spans[special] = 0
        return Text(text, ids, spans, special, len(whole.ids) - len(ids), self, types=types)

    def decode(self, ids: Array) -> Text:
        """Return the text that tokens stand for, as well as the tokenizer can tell, with the characters of each."""
        pieces, spans, special, at = list[str](), list[list[int]](), list[bool](), 0
        for number in np.asarray(ids).astype(np.int64).tolist():
            own = number in self._written_special
            piece = "" if own else self.piece(number)
            # The first piece of a text has no space before it.
            piece = piece if pieces and any(pieces) else piece.lstrip()
            pieces.append(piece)
            spans.append([at, at + len(piece)])
            special.append(own)
            at += len(piece)
        return Text(
            "".join(pieces),
            np.asarray(ids).astype(np.int64),
            np.array(spans, np.int64).reshape(-1, 2),
            np.array(special, bool),
            0,
            self,
        )

    def piece(self, number: int) -> str:
        """Return the characters of one token inside a text, with a space in front if it begins a word."""
        token = self._tokenizer.id_to_token(number)
        if token is None:
            return f"[{number}]"
        model = self._document.get("model", {})
        if model.get("type") == "WordPiece":
            prefix = str(model.get("continuing_subword_prefix", "##"))
            return token[len(prefix) :] if token.startswith(prefix) else f" {token}"
        if model.get("type") == "WordLevel" and self._splits_at_spaces:
            return f" {token}"
        if "ByteLevel" in json.dumps([self._document.get("decoder"), self._document.get("pre_tokenizer")]):
            return str(self._tokenizer.decode([number], skip_special_tokens=False)) or token
        return str(token).replace("\N{LOWER ONE EIGHTH BLOCK}", " ").replace("</w>", " ")

    @cached_property
    def _splits_at_spaces(self) -> bool:
        """Whether the tokenizer divides a text at white space, which is then no token."""
        given = self._document.get("pre_tokenizer") or {}
        kinds = {one.get("type") for one in [given, *given.get("pretokenizers", [])]}
        return not kinds.isdisjoint({"Whitespace", "WhitespaceSplit", "BertPreTokenizer"})

    def id_of(self, text: str) -> list[int]:
        """Return the numbers of the tokens of a text without special ones."""
        return [int(number) for number in self._tokenizer.encode(text, add_special_tokens=False).ids]


def _json_beside(path: Path, name: str) -> Document:
    other = path.with_name(name)
    if not is_file(other):
        return {}
    try:
        found = json.loads(read_bytes(other, "file", MAX_TOKENIZER_BYTES))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def tokenizer_file(model_path: Path, named: str | None) -> Path | None:
    """Return the tokenizer file of a model: the named one, or one in its folder; None if there is none.

    Without a name it is ``MODEL.tokenizer.json`` or ``tokenizer.json`` beside the model, or in the folder above a
    folder ``onnx``.

    Raises
    ------
    ParameterError
        There is no file of the given name.
    """
    folders = [model_path.parent] + ([model_path.parent.parent] if model_path.parent.name == "onnx" else [])
    if named is not None:
        found = next((path for path in [Path(named), *(one / named for one in folders)] if is_file(path)), None)
        if found is None:
            raise ParameterError(f"There is no tokenizer file '{named}', which the spec names. Check the name.")
        return found
    names = (f"{model_path.stem}.tokenizer.json", "tokenizer.json")
    return next((one / name for one in folders for name in names if is_file(one / name)), None)
