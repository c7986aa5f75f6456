"""Masker: a small U-Net that is trained to find, in one run, the region that a model's class depends on."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Self, final

import numpy as np
import onnx

from xaionnx.autodiff.gradient import gradient, with_fed_weights
from xaionnx.data.storage import write_whole
from xaionnx.errors import DataError, InputMismatchError, UnsupportedModelError
from xaionnx.optimisers.adam import Adam
from xaionnx.parameters import check_all, integer, random_seed, real
from xaionnx.perturb import baseline as baselines
from xaionnx.perturb.baseline import Baseline
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.scores import default_output
from xaionnx.typing import Array, BaselineLike, ModelLike

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

_X, _CLASS, _MASK = "x", "class", "mask"
# The entry of the file's metadata with the hash of the model that it explains.
_OF: Final = "xaionnx_masker_of"
# Added to probabilities before their logarithms and powers.
_LEAST: Final = 1e-6
# The logit of a mask where nothing speaks for the class is -3, a share of 0.05.
_EMPTY: Final = 3.0


@final
@dataclass(frozen=True, eq=False)
class Masker:
    """A trained masker, from :meth:`MaskerTraining.train` or :meth:`load`.

    Attributes
    ----------
    model : Model
        The U-Net: ``x`` and one-hot rows ``class`` to ``mask``.
    of : str
        Hash of the model that it explains.
    """

    model: Model
    of: str

    __repr__ = short_repr

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str = "auto") -> Self:
        """Read a file that a training wrote.

        Raises
        ------
        DataError
            It is no masker.
        """
        model = Model.load(path, device)
        entries = {entry.key: entry.value for entry in model.graph.metadata_props}
        if _OF not in entries:
            raise DataError(f"'{os.fspath(path)}' is no masker. Make one with MaskerTraining().train(model, x, path).")
        return cls(model, entries[_OF])

    def masks(self, x: Array, classes: Array) -> Array:
        """Return masks (N, H, W) in [0, 1] of what the classes depend on, in one run.

        Parameters
        ----------
        x : array (N, C, H, W)
            Inputs of the model.
        classes : array of int (N,)
        """
        one_hot = self.model.input(_CLASS).shape[1]
        if not isinstance(one_hot, int) or not ((np.asarray(classes) >= 0) & (np.asarray(classes) < one_hot)).all():
            raise InputMismatchError(f"The classes must be numbers in [0, {one_hot}). Got {classes} instead.")
        chosen = np.eye(one_hot, dtype=np.float32)[np.asarray(classes)]
        found = self.model.run(self.model.check({_X: np.asarray(x, np.float32), _CLASS: chosen}), [_MASK])
        return found[_MASK][:, 0]


@final
@dataclass(frozen=True, kw_only=True)
class MaskerTraining:
    """How a masker is trained, so that its masks M of inputs x and classes c make the mean of these small::

        total_variation mean |dM|^2 + area mean(M) - log p_c(z(M)) + destroy p_c(z(1 - M))^power
        z(M) = b + M (x - b)

    What the mask keeps is to be the class by itself, and what it leaves is not. Gradients come from two graphs: of the
    model with respect to z, and of the U-Net with respect to its weights, with the former as cotangent. Of each batch a
    share ``fake`` gets a class that the model does not see; their masks are to be empty, which makes the masker look at
    the class. The encoder of the paper is a trained ResNet; here it is trained with the rest.

    Parameters
    ----------
    steps, batch : int
        Batches, and their size.
    width : int
        Channels of the first level; each of the two further ones has twice as many.

    References
    ----------
    Dabkowski and Gal, Real time image saliency for black box classifiers, NeurIPS 2017, arXiv:1705.07857, equation 3.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "masker.onnx"
    >>> digits = np.load("models/data/mnist_sample.npz")["images"] / np.float32(255)
    >>> masker = MaskerTraining(steps=2, batch=8).train("models/mnist_cnn.onnx", digits, path)
    >>> masker.masks(digits[:3], np.array([1, 2, 3])).shape
    (3, 28, 28)
    """

    steps: int = integer(600, "batches of the training", low=1)
    batch: int = integer(32, "inputs of a batch", low=2)
    width: int = integer(8, "channels of the first level", low=1)
    area: float = real(2.0, "weight of the mean of the mask", low=0)
    total_variation: float = real(2.0, "weight of the mean squared difference of neighbours", low=0)
    destroy: float = real(5.0, "weight of the class where the mask is removed", low=0)
    power: float = real(0.3, "power of its probability", low=0, low_open=True)
    fake: float = real(0.2, "share of a batch with a class that is not there", low=0, high=1)
    learning_rate: float = real(0.003, "size of a step of Adam", low=0, low_open=True)
    baseline: BaselineLike = baselines.parameter("what removal puts in")
    seed: int = random_seed("seed of the weights, batches and classes")

    def __post_init__(self) -> None:
        check_all(self)

    def train(self, model: ModelLike, x: Array, path: str | os.PathLike[str]) -> Masker:
        """Train a masker for a model on inputs, write it to an .onnx file, and return it.

        Parameters
        ----------
        model : Model or path
            A classifier of pictures, channels first, whose output are logits or probabilities.
        x : array (M, C, H, W)
            Inputs like those that will be explained; thousands are better. Labels are not needed.
        path : path

        Raises
        ------
        UnsupportedModelError
            The model is no classifier of pictures, channels first.
        """
        loaded = model if isinstance(model, Model) else Model.load(model)
        classifier = Classifier.of(loaded, x)
        with TemporaryDirectory() as folder:
            first = Path(folder) / "masker.onnx"
            proto = self._network(classifier.shape, classifier.classes, loaded.sha256)
            first.write_bytes(proto.SerializeToString())
            weights = self._trained(Model.load(first, loaded.settings.device), classifier)
        for tensor in proto.graph.initializer:
            if tensor.name in weights:
                tensor.CopyFrom(onnx.numpy_helper.from_array(weights[tensor.name], tensor.name))
        target = Path(path)
        write_whole(target, lambda stream: stream.write(proto.SerializeToString()))
        return Masker.load(target, loaded.settings.device)

    def _network(self, shape: Sequence[int], classes: int, sha256: str) -> onnx.ModelProto:
        """The U-Net with random weights, which are its float initializers of the names ``weight...``."""
        import onnx_ir as ir

        from xaionnx.graph.builder import Builder

        g, rng = Builder(prefix=""), np.random.default_rng(self.seed)
        channels, *size = shape
        layers = _Layers(g, rng)
        sizes = [size, *([math.ceil(side / 2**level) for side in size] for level in (1, 2))]
        widths = [self.width << level for level in range(3)]
        value = g.input(_X, ir.DataType.FLOAT, ["N", *shape])
        chosen = g.input(_CLASS, ir.DataType.FLOAT, ["N", classes])
        skips = []
        for level, (inner, outer) in enumerate(zip([channels, *widths], widths, strict=False)):
            value = layers.conv(value, inner, outer, 1 if level == 0 else 2)
            value = layers.conv(value, outer, outer)
            skips.append(value)
        # The class chooses among the places of the coarsest level by a product with its own direction.
        direction = layers.weight(rng.normal(0, 1 / math.sqrt(widths[-1]), (classes, widths[-1])))
        column = g.reshape(g.op("MatMul", chosen, direction), np.array([0, widths[-1], 1, 1]))
        match = g.op("ReduceSum", g.op("Mul", value, column), np.array([1]), keepdims=1)
        gate = g.op("Sigmoid", match)
        value = g.op("Mul", value, gate)
        for level in (1, 0):
            value = g.op("Resize", value, None, None, np.array(sizes[level]), axes=[2, 3], mode="nearest")
            joined = g.op("Concat", value, skips[level], axis=1)
            value = layers.conv(joined, widths[level + 1] + widths[level], widths[level])
        # Connections from the encoder bypass the choice, which therefore holds at the end, too.
        gate = g.op("Resize", gate, None, None, np.array(sizes[0]), axes=[2, 3], mode="linear")
        logit = layers.conv(g.op("Mul", value, gate), widths[0], 1, rectified=False)
        # Without evidence for the class the mask is empty.
        g.output(g.op("Sigmoid", g.op("Sub", logit, _EMPTY)), _MASK)
        g.model.metadata_props[_OF] = sha256
        g.graph.outputs[0].shape = ir.Shape(["N", 1, *size])
        proto: onnx.ModelProto = ir.to_proto(g.model)
        return proto

    def _trained(self, network: Model, classifier: Classifier) -> dict[str, Array]:
        """The weights after all steps."""
        names = [t.name for t in network.graph.graph.initializer if t.name.startswith("weight")]
        forward, weights = with_fed_weights(network, names)
        slopes, states = gradient(network, _MASK, names), {name: dict[str, Array]() for name in names}
        optimiser, rng = Adam(learning_rate=self.learning_rate), np.random.default_rng([self.seed, 1])
        progress.expect(self.steps * self.batch)
        for rows, wanted, real_ones in self._batches(classifier, rng):
            x, b = classifier.x[rows], classifier.baselines(self.baseline, rows, self.seed)
            feeds = {_X: x, _CLASS: np.eye(classifier.classes, dtype=np.float32)[wanted], **weights}
            masks = forward.run_once(feeds, [_MASK])[_MASK]
            down = self.slopes(classifier, x, b, masks, wanted, real_ones)
            _, found = slopes.run(feeds, down)
            for name, slope in found.items():
                weights[name] = weights[name] + optimiser.step(states[name], -slope)
            progress.advance(self.batch)
        return weights

    def _batches(self, classifier: Classifier, rng: np.random.Generator) -> Iterator[tuple[Array, Array, Array]]:
        """The rows of each batch, the classes that are asked for, and which of them the model sees."""
        for _ in range(self.steps):
            rows = rng.integers(len(classifier.x), size=self.batch)
            seen = classifier.top[rows]
            other = (seen + rng.integers(1, classifier.classes, self.batch)) % classifier.classes
            real_ones = rng.random(self.batch) >= self.fake
            yield rows, np.where(real_ones, seen, other), real_ones

    def slopes(
        self, classifier: Classifier, x: Array, b: Array, masks: Array, wanted: Array, real_ones: Array
    ) -> Array:
        """Return the slope of the objective with respect to the masks (N, 1, H, W)."""
        count = np.float32(masks[0].size)
        found = np.full_like(masks, self.area / count)
        for axis in (2, 3):
            steps = 2 * self.total_variation / count * np.diff(masks, axis=axis)
            ends = [(1, 1) if at == axis else (0, 0) for at in range(4)]
            found -= np.diff(np.pad(steps, ends), axis=axis)
        way, chosen = x - b, real_ones.reshape(-1, 1, 1, 1)
        kept = classifier.slope(b + masks * way, wanted, lambda p: -1 / (p + _LEAST))
        left = classifier.slope(
            x - masks * way, wanted, lambda p: self.destroy * self.power * (p + _LEAST) ** (self.power - 1)
        )
        found += np.where(chosen, ((kept - left) * way).sum(axis=1, keepdims=True), 0)
        return np.asarray(found / len(masks), dtype=np.float32)

    def objective(
        self, classifier: Classifier, x: Array, b: Array, masks: Array, wanted: Array, real_ones: Array
    ) -> float:
        """Return the objective of masks (N, 1, H, W): the mean over the inputs."""
        rows, way = np.arange(len(x)), x - b
        kept = classifier.probabilities(b + masks * way)[rows, wanted]
        left = classifier.probabilities(x - masks * way)[rows, wanted]
        wide = masks.astype(np.float64)
        variation = sum(np.square(np.diff(wide, axis=axis)).sum(axis=(1, 2, 3)) for axis in (2, 3)) / masks[0].size
        each = -np.log(kept + _LEAST) + self.destroy * (left + _LEAST) ** self.power
        smooth = self.total_variation * variation + self.area * wide.mean(axis=(1, 2, 3))
        return float(np.mean(smooth + np.where(real_ones, each, 0)))


@final
@dataclass(frozen=True, eq=False)
class Classifier:
    """What a masker is trained on: a model, its inputs, and its classes for them.

    Attributes
    ----------
    model : Model
    out : str
        The tensor of logits or probabilities.
    logits : bool
    x : array (M, C, H, W)
    top : array of int (M,)
        The class that the model sees in each.
    classes : int
    """

    model: Model
    out: str
    logits: bool
    x: Array
    top: Array
    classes: int

    __repr__ = short_repr

    @classmethod
    def of(cls, model: Model, x: Array) -> Classifier:
        """Return the classifier; raises UnsupportedModelError if the model is none, of pictures with channels first."""
        feeds, out = model.check(x), default_output(model)
        (name, *others), sample = model.data_inputs, model.samples(feeds)[0]
        found = sample.positions(name)
        scores = model.with_outputs([out]).run(feeds, [out])[out]
        is_picture = not others and len(model.inputs) == 1 and found is not None and found.axes == (1, 2)
        if not is_picture or scores.ndim != 2 or scores.shape[1] < 2:
            raise UnsupportedModelError(
                f"A masker needs a model of one picture, channels first, that returns a score for each of its classes. "
                f"{model.name} is none."
            )
        activation = "none" if model.spec is None else model.spec.activation
        logits = activation == "logits" or not np.allclose(scores.sum(axis=1), 1, atol=0.05) or bool((scores < 0).any())
        return cls(model, out, logits, feeds[name], scores.argmax(axis=1), scores.shape[1])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape (C, H, W) of an input."""
        return self.x.shape[1:]

    def baselines(self, baseline: BaselineLike, rows: Array, seed: int) -> Array:
        """Return a baseline (N, C, H, W) of each of some inputs; of several, the first one."""
        name, kind = self.model.input().name, Baseline.of(baseline)
        samples = self.model.samples({name: self.x[rows]})
        return np.stack([kind.draws(sample, (name,), seed)[name][0] for sample in samples])

    def probabilities(self, z: Array) -> Array:
        """Return the probabilities (N, K) of inputs, in float64."""
        scores = self.model.with_outputs([self.out]).run({self.model.input().name: z}, [self.out])[self.out]
        if not self.logits:
            return scores.astype(np.float64)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True), dtype=np.float64)
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def slope(self, z: Array, wanted: Array, outer: Callable[[Array], Array]) -> Array:
        """Return the gradient (N, C, H, W) of a function of the probabilities of classes (N,), whose slope is given."""
        name, rows = self.model.input().name, np.arange(len(z))
        p = self.probabilities(z)
        mine = p[rows, wanted]
        cotangent = np.zeros_like(p)
        if self.logits:
            cotangent -= (outer(mine) * mine)[:, None] * p
            cotangent[rows, wanted] += outer(mine) * mine
        else:
            cotangent[rows, wanted] = outer(mine)
        found = gradient(self.model, self.out, [name], sample={name: z})
        return found.run({name: z}, cotangent.astype(np.float32))[1][name]


@final
@dataclass(frozen=True, eq=False)
class _Layers:
    """Adds convolutions with random weights to a graph."""

    g: Builder
    rng: np.random.Generator

    def weight(self, array: Array) -> ir.Value:
        import onnx_ir as ir

        name = f"weight{len(self.g.graph.initializers)}"
        held = ir.tensor(array.astype(np.float32), name=name)
        value = ir.Value(
            name=name, shape=ir.Shape(array.shape), type=ir.TensorType(ir.DataType.FLOAT), const_value=held
        )
        self.g.graph.register_initializer(value)
        return value

    def conv(self, value: ir.Value, inner: int, outer: int, stride: int = 1, *, rectified: bool = True) -> ir.Value:
        kernel = self.rng.normal(0, math.sqrt(2 / (9 * inner)), (outer, inner, 3, 3))
        made = self.g.op(
            "Conv", value, self.weight(kernel), self.weight(np.zeros(outer)), pads=[1] * 4, strides=[stride] * 2
        )
        return self.g.op("Relu", made) if rectified else made
