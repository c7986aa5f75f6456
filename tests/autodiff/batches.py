"""A gradient that was built for two and three samples, against central differences at other numbers of them."""

import sys
from pathlib import Path

import numpy as np

from xaionnx.autodiff.backward import COTANGENT, differentiate, gradient_name
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.canonicalize import canonicalize
from xaionnx.graph.expand import expand
from xaionnx.graph.probe import probe

sys.path.insert(0, str(Path(__file__).parent))
from differences import STEP, evaluator

PROBED = (2, 3)
ASKED = (1, 5)


def worst_batch_error(model, shapes, wrt, out="y", *, batched, kept=None, seed=0, convert=True, evaluate=evaluator):
    """The largest relative error of the gradient along a random direction, for 1 and 5 samples.

    ``shapes`` are those of one sample's inputs; the ones in ``batched`` get the number of samples in front. ``kept``
    are inputs with numbers of their own, made for a number of samples. ``evaluate`` gives the runner of a graph.
    """
    rng = np.random.default_rng(seed)
    kept = kept or {}

    def feeds(count):
        random = {
            name: rng.standard_normal((count, *shape) if name in batched else shape) for name, shape in shapes.items()
        }
        return random | {name: make(count) for name, make in kept.items()}

    form = canonicalize(model, [], None) if convert else model
    form = expand(form)
    wrt = [wrt] if isinstance(wrt, str) else wrt
    facts = probe(form, [feeds(n) for n in PROBED], lambda shown, values, names: evaluate(shown)(values, names))
    run = evaluate(differentiate(form, facts, out, wrt, STANDARD))
    worst = 0.0
    for count in ASKED:
        at = feeds(count)
        shape = tuple(count if size is None else size for size in facts.shapes[out])
        cotangent = rng.standard_normal(shape)
        slopes = run({**at, COTANGENT: cotangent}, [gradient_name(name) for name in wrt])
        for name, slope in zip(wrt, slopes, strict=True):
            assert slope.shape == at[name].shape
            direction = rng.standard_normal(at[name].shape)
            above, below = (
                np.sum(cotangent * run({**at, name: at[name] + s * STEP * direction, COTANGENT: cotangent}, [out])[0])
                for s in (1.0, -1.0)
            )
            expected = (above - below) / (2 * STEP)
            scale = np.linalg.norm(slope * direction) + abs(expected) + 1e-3
            worst = max(worst, float(abs(np.sum(slope * direction) - expected) / scale))
    return worst
