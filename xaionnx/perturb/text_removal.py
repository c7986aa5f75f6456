"""How words of a text are removed: by a token of the tokenizer, or by deletion."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from xaionnx.data.sample import Sample
from xaionnx.data.tokens import SpecialTokenName
from xaionnx.errors import ParameterError
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.baselines.by_input import ByInput
from xaionnx.perturb.baselines.deletion import Deletion
from xaionnx.perturb.baselines.special_token import SpecialToken
from xaionnx.perturb.baselines.word import Word
from xaionnx.perturb.feature_removal import Select
from xaionnx.perturb.players import Players
from xaionnx.perturb.removal import Removal
from xaionnx.perturb.text_players import text_of

# Captum's tutorials begin paths at padding between the special tokens.
_STARTS: Final[tuple[SpecialTokenName, ...]] = ("pad", "mask", "unknown", "start")


def default_text_baseline(sample: Sample) -> Baseline:
    """Return the mask token of the tokenizer, or deletion if it has none, as for a string; of a file, the padding."""
    text = text_of(sample, "The default baseline of a text")
    if text.file is not None:
        return Baseline.zero() if text.file.padding is None else SpecialToken("pad")
    tokenizer = text.tokenizer
    masks = tokenizer is not None and tokenizer.special_id("mask") is not None
    return SpecialToken("mask") if masks else Deletion()


def default_text_start(sample: Sample) -> Baseline:
    """Return where a path to the embedding of a text begins: its padding, else its mask, unknown or start token.

    Raises
    ------
    ParameterError
        The tokenizer has none of them.
    """
    text = text_of(sample, "The default baseline of a text")
    if text.tokenizer is None:
        return default_text_baseline(sample)
    which = next((one for one in _STARTS if text.tokenizer.special_id(one) is not None), None)
    if which is None:
        raise ParameterError(
            f"{text.tokenizer.path.name} has no padding, mask, unknown or start token, at which a path could begin. "
            "Give the number of a token that means nothing as the baseline, such as baseline=0."
        )
    return ByInput({sample.main: SpecialToken(which)}) if len(sample.data) > 1 else SpecialToken(which)


def text_removal(sample: Sample, players: Players, baseline: Baseline, seed: int) -> Removal:
    """Return the removal of players of a text."""
    if isinstance(baseline, Deletion | Word) and set(players.maps) == {sample.main}:
        return baseline.removal(sample, players)
    if not isinstance(baseline, SpecialToken):
        return Select(sample, players, baseline.draws(sample, tuple(players.maps), seed))
    followers = tuple(name for name in baseline.followers(sample) if name not in players.maps)
    maps = {**players.maps, **dict.fromkeys(followers, players.maps[sample.main])}
    followed = replace(players, maps=maps, followers=followers)
    return Select(sample, followed, baseline.draws(sample, tuple(maps), seed))
