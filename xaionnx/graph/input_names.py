"""What the usual name of an input says it is for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from xaionnx.graph.declared_tensor import DeclaredTensor, Purpose

_MASK: Final = re.compile(r"(^|_)(masks?|mask_index|padding|key_padding)$")
_SEQUENCE: Final = "seq|sequence|input|audio|wav|waveform|speech|text|feats?|features?|tokens?|src|source|mel|frames?|x"
_LENGTH: Final = re.compile(rf"^(({_SEQUENCE}|encoder|decoder|signal|target|tgt|y)s?_?)?(lens?|lengths?)$")
_TOKEN_TYPES: Final = frozenset({"token_type_ids", "segment_ids", "input_type_ids", "type_ids", "token_types"})
_POSITIONS: Final = frozenset({"position_ids", "pos_ids", "positions", "cache_position"})
_SETTINGS: Final = frozenset(
    {
        "sr", "sample_rate", "sampling_rate", "samplerate", "scales", "noise_scale", "length_scale",
        "orig_target_sizes", "original_sizes", "target_sizes", "orig_size", "orig_im_size", "im_shape", "image_shape",
        "scale_factor", "is_training", "training", "keep_prob", "dropout_rate", "learning_phase", "use_cache_branch",
        "score_threshold", "conf_threshold", "confidence_threshold", "iou_threshold", "nms_threshold",
        "max_output_boxes_per_class", "num_beams", "max_length", "min_length", "repetition_penalty", "length_penalty",
    }
)  # fmt: skip
# These names occur for other things, so a state needs an output of its shape too.
_STATE: Final = re.compile(
    r"(^|_)(h|c|h0|c0|hx|cx|hn|cn|h_\d+|c_\d+|hidden|cell|states?|caches?|memory|buffers?|initial_[hc])(_|\d|$)"
    r"|^past|(^|_)past_"
)
_TIMES: Final = frozenset(
    {"in", "out", "input", "output", "new", "next", "prev", "previous", "past", "present", "n", "init", "initial"}
    | {"final", "last", "updated"}
)


def purpose_by_name(one: DeclaredTensor, shared: bool, outputs: list[DeclaredTensor]) -> Purpose | None:
    """Return the purpose that a usual name tells; None if there is none."""
    name = _plain_name(one.name)
    if name in _TOKEN_TYPES:
        return "token types"
    if name in _POSITIONS and one.is_integer:
        return "positions"
    if name in _SETTINGS:
        return "setting"
    if _LENGTH.search(name) and (one.is_integer or len(one.shape) == 1):
        return "length"
    if _MASK.search(name) and (one.has_positions or shared):
        return "mask"
    return "state" if _is_state(one, name, outputs) else None


def _plain_name(name: str) -> str:
    """Return a name in lower case without scopes, numbers of outputs and other decoration: ``attention_mask``."""
    last = re.split(r"[/]", re.sub(r":\d+$", "", name))[-1].removeprefix("serving_default_")
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", last)
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")


def _is_state(one: DeclaredTensor, name: str, outputs: list[DeclaredTensor]) -> bool:
    """Whether an output of the same type and shape returns the input's next value.

    A single output is the result, whatever its shape.
    """
    if len(outputs) < 2 or len(one.shape) < 2:
        return False
    alike = [out for out in outputs if out.kind == one.kind and _same_shape(out.shape, one.shape)]
    if "memory" in name.split("_"):
        # What an encoder made of a text has this name too.
        alike = [out for out in alike if "memory" in _plain_name(out.name).split("_")]
    if _STATE.search(name):
        return bool(alike)
    stem = _stem(name)
    return bool(stem) and any(_stem(_plain_name(out.name)) == stem and out.name != one.name for out in alike)


def _stem(name: str) -> str:
    """Return a name without the words that tell the next value from the last: ``state_in`` and ``stateN`` are alike."""
    return "_".join(word for word in name.split("_") if word not in _TIMES)


def _same_shape(one: tuple[int | str | None, ...], other: tuple[int | str | None, ...]) -> bool:
    """Whether two shapes may be equal, and are where both are fixed. A free size may be another's name."""
    return len(one) == len(other) and all(
        a == b or not (isinstance(a, int) and isinstance(b, int)) for a, b in zip(one, other, strict=True)
    )
