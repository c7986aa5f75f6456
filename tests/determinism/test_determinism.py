"""Batch size, threads, order, company and hash seed change no bit, or no more than the session itself changes."""

from dataclasses import replace

import pytest

from tests.determinism.settings import (
    REFERENCE,
    SETTINGS,
    SessionNoise,
    all_methods,
    all_metrics,
    apart,
    applies,
    bound,
    explained,
    kept_results,
    measured,
    models_of,
)

METHODS = all_methods()
# The hash seed, and threads other than the session's, belong to a process.
HERE = [setting for setting in SETTINGS if setting.hash_seed == REFERENCE.hash_seed]
CASES = [(name, model) for name in (*METHODS, *all_metrics()) for model in models_of(name)]


@pytest.mark.sampled(percent=1)
@pytest.mark.parametrize(("method", "model"), CASES, ids=lambda value: value)
def test_how_samples_are_run_changes_nothing(method, model):
    noise = SessionNoise()
    with noise.measured():
        expected = explained(method, model, REFERENCE)
    for setting in [one for one in HERE if applies(one, method)]:
        found = explained(method, model, setting)
        if expected is None:
            assert found is None
            continue
        assert apart(found, expected) <= bound(setting, noise.largest), setting.name


def check_bounds(results):
    """Check that no setting differs from the reference by more than the bare session does."""
    for method, models in results.items():
        assert models, method
        for model, found in models.items():
            noise = {kind: found[f"session, {kind}"] for kind in ("batch", "threads")}
            for setting in [one for one in SETTINGS if applies(one, method)]:
                assert found[setting.name] <= bound(setting, noise), (method, model, setting.name)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_processes_of_other_threads_and_hash_seeds_agree(part):
    check_bounds(measured([*METHODS, *all_metrics()][part::8]))


def test_every_method_is_in_the_table_and_within_the_bound():
    kept = kept_results()
    assert sorted(kept) == sorted(METHODS)
    check_bounds(kept)


def test_a_session_that_rounds_otherwise_in_another_batch_is_noticed():
    noise = SessionNoise()
    with noise.measured():
        expected = explained("saliency", "series", REFERENCE)
    assert noise.largest["batch"] > 0
    found = explained("saliency", "series", replace(REFERENCE, batch_size=1))
    assert apart(found, expected) <= bound(SETTINGS[0], noise.largest)
