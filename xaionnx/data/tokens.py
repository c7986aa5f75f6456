"""Text as the tokens of a model, by its tokenizer.json, and the characters that each token stands for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, final

import numpy as np

from xaionnx.data.files import is_file, read_bytes, sha256_of
from xaionnx.data.words import sentences_of, words_of
from xaionnx.errors import DataError, ParameterError, UnsupportedModelError
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Document, DType

SpecialToken = Literal["mask", "pad", "unknown", "start"]

MAX_TOKENIZER_BYTES: Final = 64 * 2**20
"""Size of a tokenizer file that is not refused."""

# What exporters call the special tokens, in the files beside a model and in vocabularies.
_KEYS: Final[Mapping[SpecialToken, str]] = {
    "mask": "mask_token",
    "pad": "pad_token",
    "unknown": "unk_token",
    "start": "bos_token",
}
_USUAL: Final[Mapping[SpecialToken, tuple[str, ...]]] = {
    "mask": ("[MASK]", "<mask>", "<|mask|>", "<MASK>"),
    "pad": ("[PAD]", "<pad>", "<|pad|>", "<PAD>"),
    "unknown": ("[UNK]", "<unk>", "<UNK>"),
    "start": ("<s>", "<bos>", "<|begin_of_text|>", "<|endoftext|>", "<|startoftext|>"),
}
# A model_max_length beyond this stands for none.
_UNLIMITED: Final = 10**6


@final
@dataclass(frozen=True, eq=False)
class Text:
    """A text and its T tokens, as a model reads them.

    Attributes
    ----------
    text : str
    ids : int array (T,)
        The numbers of the tokens.
    spans : int array (T, 2)
        The characters of each token, from start to stop; two equal numbers for special tokens and padding.
    special : bool array (T,)
        Tokens that stand for no text: those that the tokenizer adds, and padding.
    cut : int
        How many further tokens of the text the model does not see.
    tokenizer : TextTokenizer or None
    """

    text: str
    ids: Array
    spans: Array
    special: Array
    cut: int = 0
    tokenizer: TextTokenizer | None = None

    __repr__ = short_repr

    def padded(self, length: int) -> Text:
        """Return the text with padding to ``length`` tokens."""
        missing = length - len(self.ids)
        if missing <= 0:
            return self
        pad = 0 if self.tokenizer is None else self.tokenizer.pad_id
        return dataclasses.replace(
            self,
            ids=np.concatenate([self.ids, np.full(missing, pad, self.ids.dtype)]),
            spans=np.concatenate([self.spans, np.zeros((missing, 2), self.spans.dtype)]),
            special=np.concatenate([self.special, np.ones(missing, bool)]),
        )

    def keeping(self, tokens: range) -> Text:
        """Return the text with some tokens that are never removed, such as a continuation."""
        special = self.special.copy()
        special[tokens.start : tokens.stop] = True
        return dataclasses.replace(self, special=special)

    @property
    def seen(self) -> int:
        """The number of characters, from the start, that the model sees."""
        return len(self.text) if not self.cut else int(self.spans[:, 1].max(initial=0))

    @cached_property
    def tokens(self) -> Array:
        """The player of each token if each is one, (T,); tokens of one character, such as its bytes, are one."""
        return _numbered(_joined(np.arange(len(self.ids)), self._shown_spans, self.special))

    @cached_property
    def words(self) -> Array:
        """The player of each token if the tokens of a word are one, (T,); -1 for special tokens and padding."""
        return self._grouped(words_of(self.text))

    @cached_property
    def sentences(self) -> Array:
        """The player of each token if the tokens of a sentence are one, (T,); -1 for special tokens and padding."""
        return self._grouped(sentences_of(self.text))

    def spans_of(self, players: Array) -> list[list[int]]:
        """Return the characters from start to stop of each of the players (T,) 0 .. P - 1.

        A player whose tokens do not follow each other has several starts and stops, one after the other.
        """
        found: list[list[int]] = [[] for _ in range(int(players.max(initial=-1)) + 1)]
        before = -1
        for player, (start, stop) in zip(players.tolist(), self.spans.tolist(), strict=True):
            if player < 0:
                continue
            if player == before:
                found[player][-2:] = min(found[player][-2], start), max(found[player][-1], stop)
            else:
                found[player] += [start, stop]
            before = player
        return [
            [end for k in range(0, len(own), 2) for end in self._without_white_space(own[k], own[k + 1])]
            for own in found
        ]

    def _without_white_space(self, start: int, stop: int) -> list[int]:
        """Characters from start to stop without white space at their ends, if they hold anything else."""
        part = self.text[start:stop]
        if not part.strip():
            return [start, stop]
        return [start + len(part) - len(part.lstrip()), stop - len(part) + len(part.rstrip())]

    @cached_property
    def _shown_spans(self) -> Array:
        """The spans without white space at their ends, if they hold anything else."""
        shown = self.spans.copy()
        for place in np.flatnonzero(~self.special):
            shown[place] = self._without_white_space(*shown[place].tolist())
        return shown

    def _grouped(self, by_character: Array) -> Array:
        """Players of tokens whose characters share a number; a token with characters of several joins them."""
        spans, groups = self._shown_spans, np.full(len(self.ids), -1, dtype=np.int64)
        # The group that each number stands for: a token with characters of several joins them.
        group, blank = np.arange(len(self.text) + 1), list[int]()
        for place in np.flatnonzero(~self.special).tolist():
            start, stop = spans[place]
            own = by_character[start:stop]
            own = own[own >= 0]
            if not len(own):
                blank.append(place)
                continue
            group[own[0] : own[-1] + 1] = group[own[0]]
            groups[place] = group[own[0]]
            # White space that is a token belongs to what follows it.
            groups[blank] = groups[place]
            blank = []
        known = groups[groups >= 0]
        groups[blank] = known[-1] if len(known) else 0
        return _numbered(_joined(groups, spans, self.special))


def _joined(groups: Array, spans: Array, special: Array) -> Array:
    """Give tokens that share a character one group, such as the bytes of one; -1 to special tokens."""
    joined, stop, group = groups.copy(), -1, -1
    joined[special] = -1
    for place in np.flatnonzero(~special):
        if spans[place, 0] < stop and spans[place, 1] > spans[place, 0]:
            joined[joined == joined[place]] = group
        group, stop = joined[place], max(stop, int(spans[place, 1]))
    return joined


def _numbered(groups: Array) -> Array:
    """Number the groups 0 .. P - 1 by their first token; negative ones stay -1."""
    known: dict[int, int] = {}
    for group in groups.tolist():
        if group >= 0:
            known.setdefault(group, len(known))
    return np.array([known.get(group, -1) for group in groups.tolist()], dtype=np.int32)


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

    def special_id(self, which: SpecialToken) -> int | None:
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

    def encode(self, text: str, max_length: int | None = None) -> Text:
        """Return the tokens of a text, cut to ``max_length`` or :attr:`max_length` if that is smaller.

        Raises
        ------
        DataError
            The text has no token, or is not valid Unicode.
        """
        limits = [limit for limit in (max_length, self.max_length) if limit is not None]
        if limits:
            self._tokenizer.enable_truncation(min(limits))
        try:
            found = self._tokenizer.encode(text, add_special_tokens=self.special_tokens)
        except (TypeError, UnicodeEncodeError) as error:
            raise DataError("The text is not valid Unicode: it holds half of a surrogate pair. Correct it.") from error
        finally:
            self._tokenizer.no_truncation()
        ids, special = np.array(found.ids, np.int64), np.array(found.special_tokens_mask, bool)
        if special.all():
            raise DataError("The text is empty for the tokenizer, so there is nothing to explain. Give some words.")
        cut = sum(len(more.ids) - sum(more.special_tokens_mask) for more in found.overflowing)
        spans = np.array(found.offsets, np.int64).reshape(-1, 2)
        spans[special] = 0
        return Text(text, ids, spans, special, cut, self)

    def decode(self, ids: Array) -> Text:
        """Return the text that tokens stand for, as well as the tokenizer can tell, with the characters of each."""
        pieces, spans, special, at = list[str](), list[list[int]](), list[bool](), 0
        added = {item["id"] for item in self._document.get("added_tokens", []) if item.get("special")}
        for number in np.asarray(ids).astype(np.int64).tolist():
            own = number in added
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
        if "ByteLevel" in json.dumps([self._document.get("decoder"), self._document.get("pre_tokenizer")]):
            return str(self._tokenizer.decode([number], skip_special_tokens=False)) or token
        return str(token).replace("\N{LOWER ONE EIGHTH BLOCK}", " ").replace("</w>", " ")

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


@dataclass(frozen=True)
class TokenInput:
    """An input of a model that is fed from the tokens of a text.

    Attributes
    ----------
    name : str
    purpose : str
        As in :class:`xaionnx.graph.input_purposes.InputPurpose`; ``data`` for the numbers of the tokens.
    dtype : dtype
    shape : tuple of int, str or None
        As the file declares it.
    """

    name: str
    purpose: str
    dtype: DType
    shape: tuple[int | str | None, ...]


def token_feeds(texts: Sequence[Text], inputs: Iterable[TokenInput], model: str) -> dict[str, Array]:
    """Return the arrays of all inputs of a model for texts of T tokens each.

    Masks are 1 at all tokens but padding, token types 0, positions count from 0, and a state, such as past keys and
    values, is empty.

    Raises
    ------
    DataError
        An input cannot be made from text.
    """
    count, length = len(texts), len(texts[0].ids)
    ids = np.stack([text.ids for text in texts])
    real = np.stack([np.arange(length) < _used(text) for text in texts])
    feeds = {}
    for one in inputs:
        if one.purpose == "data":
            feeds[one.name] = ids.astype(one.dtype)
        elif one.purpose == "mask" and len(one.shape) == 2:
            feeds[one.name] = real.astype(one.dtype)
        elif one.purpose == "token types":
            feeds[one.name] = np.zeros((count, length), one.dtype)
        elif one.purpose == "positions":
            feeds[one.name] = np.broadcast_to(np.arange(length), (count, length)).astype(one.dtype)
        elif one.purpose == "length":
            feeds[one.name] = real.sum(axis=1).astype(one.dtype).reshape(-1, *(1,) * (len(one.shape) - 1))
        elif one.purpose == "state":
            feeds[one.name] = _empty_state(one, count)
        elif one.name.rpartition("/")[2] == "use_cache_branch":
            feeds[one.name] = np.zeros([size if isinstance(size, int) else 1 for size in one.shape], one.dtype)
        else:
            raise DataError(
                f"Input '{one.name}' of {model} ({one.purpose}) cannot be made from text. Give a dict with the arrays "
                "of all inputs."
            )
    return feeds


def _used(text: Text) -> int:
    """The number of tokens before the padding."""
    shown = np.flatnonzero(~text.special)
    pads = text.ids == (0 if text.tokenizer is None else text.tokenizer.pad_id)
    last = len(text.ids)
    while last > shown[-1] + 1 and pads[last - 1] and text.special[last - 1]:
        last -= 1
    return last


def _empty_state(one: TokenInput, count: int) -> Array:
    """A state of no steps: the first free size is that of the samples, the next is 0."""
    shape, free = [], 0
    for place, size in enumerate(one.shape):
        if isinstance(size, int):
            shape.append(size)
            continue
        shape.append(count if place == 0 else 0)
        free += 1
    if isinstance(one.shape[0], int):
        shape[0] = count
    return np.zeros(shape, one.dtype)
