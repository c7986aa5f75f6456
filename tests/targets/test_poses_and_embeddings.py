"""Key points and similarities of embeddings, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

import xaionnx
from tests.targets.detectors import returning
from tests.targets.faces import both_faces, words
from tests.tiny import loaded, normal
from tests.tolerances import Tolerance, assert_close
from xaionnx import InputSpec, Target
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.targets.resolve import resolve

LABELS = ("nose", "left eye", "right eye")


def pose(*shape):
    return returning({"points": (3, *shape)}, spec=InputSpec(color="L", labels=LABELS))


def heat():
    """Two samples of three heat maps of 4 x 5."""
    return normal(2, 3, 4, 5)


class TestKeypoint:
    def test_the_peak_of_its_heat_map(self):
        maps = heat()
        x = maps.reshape(2, 1, 1, -1)
        for target in (Target.keypoint(1), Target.keypoint("left eye"), Target.keypoint(1, "score")):
            found = both_faces(target, pose(4, 5), x)
            assert_close(found, [maps[:, 1].max(axis=(1, 2))], Tolerance.SIGNED_SUMS)
        row, column = np.unravel_index(maps[0, 1].argmax(), (4, 5))
        assert words(Target.keypoint(1), pose(4, 5), x)[0][0] == f"left eye (1) at row {row}, column {column}"

    @pytest.mark.parametrize(("part", "place"), [("x", 0), ("y", 1), ("score", 2), (None, 2)])
    def test_a_number_of_its_coordinates(self, part, place):
        points = normal(2, 3, 3)
        found = both_faces(Target.keypoint(2, part), pose(3), points.reshape(2, 1, 1, -1))
        assert_close(found, [points[:, 2, place]], Tolerance.SIGNED_SUMS)

    @pytest.mark.parametrize(
        ("target", "shape", "message"),
        [
            (lambda: Target.keypoint(3), (4, 5), r"must be an int in \[0, 2\]"),
            (lambda: Target.keypoint(0), (2,), "Name the 'part' of Target.keypoint: 'x' or 'y'"),
            (lambda: Target.keypoint(0, "score"), (2,), "has no 'score' of a key point"),
            (lambda: Target.keypoint(0, "x"), (4, 5), "has no 'x' of a key point"),
            (lambda: Target.keypoint(0, "z"), (3,), "must be one of 'x', 'y', 'score'"),
            (lambda: Target.keypoint(0), (7,), r"holds no key points.*Name another output.*Target\.index"),
        ],
    )
    def test_messages(self, target, shape, message):
        x = np.ones((1, 1, 1, 3 * int(np.prod(shape))), np.float32)
        with pytest.raises(ParameterError, match=message):
            resolve(target(), pose(*shape), {"x": x})

    def test_forms_of_the_command_line(self):
        model = pose(4, 5)
        assert Target.read("keypoint:1", model) == Target.keypoint(1)
        assert Target.read("keypoint:left eye,x", model) == Target.keypoint("left eye", "x")


WEIGHTS = normal(6, 4, seed=3)


def embedder():
    return loaded("g (float[N, 6] x) => (float[N, 4] e) { h = MatMul(x, w)  e = Tanh(h) }", w=WEIGHTS)


def cosine(a, b):
    return (a * b).sum(axis=-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


class TestSimilarity:
    def test_to_a_vector(self):
        x, vector = normal(3, 6), normal(4, seed=5)
        expected = cosine(np.tanh(x @ WEIGHTS), vector)
        assert_close(both_faces(Target.similarity(vector), embedder(), x), [expected], Tolerance.SIGNED_LAYERS)
        each = normal(3, 4, seed=6)
        expected = cosine(np.tanh(x @ WEIGHTS), each)
        found = resolve(Target.similarity(each), embedder(), {"x": x})
        assert_close(found.values, [expected], Tolerance.SIGNED_LAYERS)
        assert found.quantities == ["similarity"]

    def test_to_another_input(self, tmp_path):
        x, other = normal(3, 6), normal(1, 6, seed=7)
        expected = cosine(np.tanh(x @ WEIGHTS), np.tanh(other @ WEIGHTS))
        np.save(tmp_path / "other.npy", other)
        model = embedder()
        for target in (Target.similarity(other), Target.read(f"similarity:{tmp_path / 'other.npy'}", model)):
            assert_close(both_faces(target, model, x), [expected], Tolerance.SIGNED_LAYERS)

    def test_its_gradient_and_completeness(self):
        x, vector = normal(1, 6), normal(4, seed=5)
        found = xaionnx.explain(
            embedder(), x, "integrated_gradients", Target.similarity(vector), baseline=0.3, steps=300
        )
        at_baseline = cosine(np.tanh(np.full((1, 6), 0.3) @ WEIGHTS), vector)
        assert_close(found.values.sum(), found.prediction - at_baseline, Tolerance.COMPLETENESS)

    @pytest.mark.parametrize("to", [np.zeros(4), np.array([1, np.nan, 0, 0])])
    def test_a_vector_without_direction(self, to):
        with pytest.raises(ParameterError, match="must be finite, and not zero"):
            resolve(Target.similarity(to), embedder(), {"x": normal(1, 6)})

    def test_an_array_that_is_neither_a_vector_nor_an_input(self):
        with pytest.raises(InputMismatchError):
            resolve(Target.similarity(np.ones((1, 5))), embedder(), {"x": normal(1, 6)})
        with pytest.raises(ParameterError, match="one for each of the 3 samples"):
            resolve(Target.similarity(np.ones((2, 4))), embedder(), {"x": normal(3, 6)})
