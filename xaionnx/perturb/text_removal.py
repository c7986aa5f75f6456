"""How words of a text are removed: by a token of the tokenizer, or by deletion."""

from __future__ import annotations

from dataclasses import replace

from xaionnx.data.sample import Sample
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.baselines.deletion import Deletion
from xaionnx.perturb.baselines.special_token import SpecialToken
from xaionnx.perturb.baselines.word import Word
from xaionnx.perturb.players import Players
from xaionnx.perturb.removal import Removal, Select
from xaionnx.perturb.text_players import text_of


def default_text_baseline(sample: Sample) -> Baseline:
    """Return the mask token of the tokenizer, or deletion if it has none, as for a string; of a file, the padding."""
    text = text_of(sample, "The default baseline of a text")
    if text.file is not None:
        return Baseline.zero() if text.file.padding is None else SpecialToken("pad")
    tokenizer = text.tokenizer
    masks = tokenizer is not None and tokenizer.special_id("mask") is not None
    return SpecialToken("mask") if masks else Deletion()


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
