"""Helpers for targets: a model that outputs its input, and both faces of a target (numpy and graph)."""

from itertools import pairwise

import numpy as np

from tests import tiny
from tests.tiny import node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.data.sample import Sample
from xaionnx.perturb.feature_removal import Select
from xaionnx.perturb.game import Game
from xaionnx.perturb.players import Players
from xaionnx.targets.resolve import resolve


def shown(tmp_path, shape, ops=(), **options):
    """A model that outputs its input, after some ops, so that the test feeds the scores."""
    names = ["x", *(f"h{i}" for i in range(len(ops))), "y"]
    nodes = [node(op, [a], [b]) for op, (a, b) in zip((*ops, "Identity"), pairwise(names), strict=True)]
    path = tmp_path / f"shown{''.join(ops)}{'x'.join(map(str, shape))}.onnx"
    tiny.saved(path, nodes, [tensor("x", ["N", *shape])], [tensor("y", ["N", *shape])])
    return Model.load(path, **options)


def both_faces(target, model, x):
    """The values (T, N) in numpy, after checking that the nodes in the graph give the same."""
    resolution, rng = resolve(target, model, {"x": x}), np.random.default_rng(7)
    for n in range(len(x)):
        one = x[n, ...]
        players = Players.of({"x": np.arange(one.size).reshape(one.shape)})
        sample = Sample({"x": one}, "x", model.spec, n, len(x))
        removal = Select(sample, players, {"x": np.zeros((1, *one.shape), np.float32)})
        selection = resolution.selection.of_sample(n)
        codes = rng.random((5, players.count)) < 0.5
        codes[0] = True
        answers = [
            Game(resolution.model, selection, removal, resolution.values[:, n], applier_kind=kind).values(codes)
            for kind in ("host", "graph")
        ]
        assert_close(answers[0], answers[1], Tolerance.SIGNED_SUMS)
        assert_close(answers[0][0], resolution.values[:, n], Tolerance.SIGNED_SUMS)
    return resolution.values


def words(target, model, x):
    return resolve(target, model, {"x": x}).selection.names.tolist()
