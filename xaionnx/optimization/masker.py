"""Training of a masker: a small U-Net that finds, in one run, the region that a model's class depends on."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Final, final

import numpy as np
import onnx

from xaionnx.autodiff.gradient import Gradient, gradient, with_fed_weights
from xaionnx.data.dataset import ahead
from xaionnx.data.storage import write_whole
from xaionnx.errors import DataError, ParameterError
from xaionnx.masker import ABOUT, CLASS, INPUT, MASK, PRESENT, Masker
from xaionnx.optimisers.adam import Adam
from xaionnx.optimization.classifier import Classifier
from xaionnx.optimization.masker_network import WEIGHT, masker_network
from xaionnx.optimization.search_state import StepsInterrupted, check_same
from xaionnx.parameters import check_all, declared, free, integer, random_seed, real
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.variation import total_variation
from xaionnx.record import recorded_value
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, BaselineLike, Document, InputLike, ModelLike

# The entry of the file's metadata with what a training goes on from, if it was stopped.
_STATE: Final = "xaionnx_masker_state"
_BOTH: Final = "mask and present"
# Added to probabilities before their logarithms and powers.
_LEAST: Final = 1e-6


def _check_baselines(given: Sequence[BaselineLike]) -> None:
    """Raise ParameterError unless these are baselines, of which there is one at least."""
    if not isinstance(given, list | tuple) or not given:
        raise ParameterError(
            f"The 'baselines' parameter of MaskerTraining must be one baseline or several. Got {given!r} instead."
        )
    for one in given:
        Baseline.of(one)


class TrainingInterrupted(StepsInterrupted):
    """A training was stopped by Ctrl-C after some steps.

    Attributes
    ----------
    found : Masker
        What was trained so far. Its file is written, and the training goes on from there.
    """

    def __init__(self, found: Masker, steps: int) -> None:
        super().__init__(len(found.objective), steps)
        self.found = found


@final
@dataclass(frozen=True, eq=False)
class _State:
    """Where a training stands after some steps.

    Attributes
    ----------
    weights : dict of arrays
    optimiser : dict of the states of the weights, by name
    objective : tuple of float
        Of each step.
    """

    weights: Mapping[str, Array]
    optimiser: Mapping[str, Mapping[str, Array]]
    objective: tuple[float, ...] = ()

    __repr__ = short_repr

    def packed(self) -> str:
        """The state of the optimiser as text."""
        stream = io.BytesIO()
        arrays = {f"{name}/{key}": array for name, own in self.optimiser.items() for key, array in own.items()}
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # names of arrays are free
        return base64.b64encode(stream.getvalue()).decode("ascii")

    @staticmethod
    def unpacked(text: str) -> dict[str, dict[str, Array]]:
        """The state of an optimiser from :meth:`packed`."""
        found: dict[str, dict[str, Array]] = {}
        with np.load(io.BytesIO(base64.b64decode(text))) as arrays:
            for key, array in arrays.items():
                name, _, own = key.partition("/")
                found.setdefault(name, {})[own] = array
        return found


@final
@dataclass(frozen=True, kw_only=True)
class MaskerTraining:
    """How a masker is trained, so that its masks M of inputs x and classes c make the mean of these small::

        total_variation mean |dM|^2 + area mean(M) - log p_c(z(M)) + destroy p_c(z(1 - M))^power
        z(M) = b + M (x - b)

    What the mask keeps is to be the class by itself, and what it leaves is not. b is drawn anew for each input from
    ``baselines``, so that the mask cannot rely on one way to remove. Gradients come from two graphs: of the model with
    respect to z, and of the U-Net with respect to its weights, with the former as cotangent. Of each batch a share
    ``fake`` gets a class that the model does not see; their masks are to be empty, and ``selector`` is the weight of
    the cross-entropy by which the network learns to tell them from the others. The encoder of the paper is a trained
    ResNet; here it is trained with the rest.

    Inputs are drawn at random and read when they are drawn, so that a data set may be larger than the memory.

    Parameters
    ----------
    steps, batch : int
        Batches, and their size.
    width : int
        Channels of the first level; each of the two further ones has twice as many.
    baselines : sequence of baselines
        What removal puts in.

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

    reference: ClassVar[str] = "Dabkowski and Gal 2017, arXiv:1705.07857"

    steps: int = integer(1600, "batches of the training", low=1)
    batch: int = integer(32, "inputs of a batch", low=2)
    width: int = integer(12, "channels of the first level", low=1)
    area: float = real(2.0, "weight of the mean of the mask", low=0)
    total_variation: float = real(2.0, "weight of the mean squared difference of neighbours", low=0)
    destroy: float = real(5.0, "weight of the class where the mask is removed", low=0)
    power: float = real(0.3, "power of its probability", low=0, low_open=True)
    fake: float = real(0.25, "share of a batch with a class that is not there", low=0, high=1)
    selector: float = real(0.5, "weight of telling these from the others", low=0)
    learning_rate: float = real(0.003, "size of the first step of Adam; it falls to 0", low=0, low_open=True)
    baselines: Sequence[BaselineLike] = free(
        ("zero", "rise_blur"),
        "one baseline or several",
        "what removal puts in: one of these for each input, such as zero,blur:10",
        reader=lambda text: tuple(text.split(",")),
        resolver=_check_baselines,
        optional=False,
    )
    seed: int = random_seed("seed of the weights, batches, classes and baselines")

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_all(self)

    def train(
        self, model: ModelLike, x: InputLike, path: str | os.PathLike[str], resume: str | os.PathLike[str] | None = None
    ) -> Masker:
        """Train a masker for a model on inputs, write it to an .onnx file, and return it.

        Parameters
        ----------
        model : Model or path
            A classifier of pictures, whose output are logits or probabilities.
        x : Dataset, array (M, C, H, W), folder, or anything else that has samples
            Inputs like those that will be explained; thousands are better. Labels are not needed.
        path : path
        resume : path, optional
            The file of a training that was stopped, from which it goes on: the result is the same to the last bit.

        Raises
        ------
        UnsupportedModelError
            The model is not a classifier of pictures.
        DataError
            No input can be read, or the file to resume is none of a training that was stopped.
        ParameterError
            That training had other settings, inputs or another model.
        TrainingInterrupted
            Ctrl-C was pressed; the file is written, with what was trained so far.
        """
        loaded = model if isinstance(model, Model) else Model.load(model)
        classifier = Classifier.of(loaded, x)
        inputs = classifier.inputs
        about = {"of": loaded.sha256, "training": self._settings(classifier)}
        proto, now = self._start(classifier) if resume is None else self._resumed(Path(resume), about)
        with TemporaryDirectory() as folder:
            first = Path(folder) / "masker.onnx"
            first.write_bytes(proto.SerializeToString())
            graphs = _Graphs.of(Model.load(first, loaded.settings.device), now.weights)
        left = self.steps - len(now.objective)
        progress.expect(left * self.batch)
        steps = range(len(now.objective), self.steps)
        drawn = ahead(lambda step: inputs.drawn(self.batch, np.random.default_rng([self.seed, 2, step])), steps)
        try:
            for step, some in zip(steps, drawn, strict=True):
                now = self._stepped(graphs, classifier, now, step, some)
                progress.phase(f"objective {now.objective[-1]:.3g}")
                progress.advance(self.batch)
        except KeyboardInterrupt as stop:
            if not now.objective:
                raise
            written = _written(proto, now, about, Path(path), loaded, done=False)
            raise TrainingInterrupted(replace(written, refused=inputs.left_out), self.steps) from stop
        return replace(_written(proto, now, about, Path(path), loaded, done=True), refused=inputs.left_out)

    def _settings(self, classifier: Classifier) -> Document:
        own = {name: recorded_value(getattr(self, name)) for name in declared(type(self))}
        data = classifier.inputs.data
        return {**own, "inputs": len(data), "inputs_sha256": data.units.key}

    def _start(self, classifier: Classifier) -> tuple[onnx.ModelProto, _State]:
        rng = np.random.default_rng([self.seed, 0])
        proto = masker_network(classifier.positions, classifier.classes, self.width, rng)
        weights = _weights(proto)
        return proto, _State(weights, {name: {} for name in weights})

    @staticmethod
    def _resumed(path: Path, about: Document) -> tuple[onnx.ModelProto, _State]:
        """The network and the state of a training that was stopped.

        Raises
        ------
        DataError, ParameterError
            See :meth:`train`.
        """
        masker = Masker.load(path)
        proto = masker.model.file.proto
        entries = {entry.key: entry.value for entry in proto.metadata_props}
        if _STATE not in entries:
            raise DataError(f"The training of '{path}' was not stopped, so there is nothing to resume. Train anew.")
        before = {"model_sha256": masker.of, **masker.training}
        now = {"model_sha256": about["of"], **about["training"]}
        check_same(f"The training of '{path}'", before, now)
        weights = _weights(proto)
        return proto, _State(weights, _State.unpacked(entries[_STATE]), tuple(masker.objective))

    def _stepped(self, graphs: _Graphs, classifier: Classifier, now: _State, step: int, x: Array) -> _State:
        """The state after one more step; the one before stays as it is, so that a stop leaves it whole."""
        rng = np.random.default_rng([self.seed, 1, step])
        top, real_ones = classifier.top(x), rng.random(self.batch) >= self.fake
        other = (top + rng.integers(1, classifier.classes, self.batch)) % classifier.classes
        wanted = np.where(real_ones, top, other)
        b = classifier.baselines(self.baselines, x, rng)
        feeds = {INPUT: x, CLASS: np.eye(classifier.classes, dtype=np.float32)[wanted], **now.weights}
        found = graphs.forward.run_once(feeds, [MASK, PRESENT])
        value, slope = self.objective(classifier, x, b, found[MASK], wanted, real_ones)
        missed, turn = self.selection(found[PRESENT], real_ones)
        _, slopes = graphs.backward.run(feeds, np.concatenate([slope.reshape(self.batch, -1), turn], axis=1))
        # Steps become smaller, down to nothing at the end, so that the last batches do not undo what all agree on.
        adam = Adam(learning_rate=self.learning_rate * (1 - step / self.steps))
        states = {name: {key: array.copy() for key, array in own.items()} for name, own in now.optimiser.items()}
        moved = {name: weight + adam.step(states[name], -slopes[name]) for name, weight in now.weights.items()}
        return _State(moved, states, (*now.objective, round(value + missed, 6)))

    def objective(
        self, classifier: Classifier, x: Array, b: Array, masks: Array, wanted: Array, real_ones: Array
    ) -> tuple[float, Array]:
        """Return the objective of masks (N, H, W), which is a mean over the inputs, and its slope in their shape.

        ``wanted`` are the classes (N,), and ``real_ones`` those that the model sees.
        """
        count, rough, slope = masks[0].size, *total_variation(masks, (1, 2), 2)
        value = (self.total_variation * rough + self.area * masks.sum(axis=(1, 2), dtype=np.float64)) / count
        slope = (self.total_variation * slope + self.area) / count
        if real_ones.any():
            lost, turn = self._lost(classifier, *(each[real_ones] for each in (x, b, masks, wanted)))
            value[real_ones] += lost
            slope[real_ones] += turn
        return float(value.mean()), np.asarray(slope / len(masks), dtype=np.float32)

    def _lost(self, classifier: Classifier, x: Array, b: Array, masks: Array, wanted: Array) -> tuple[Array, Array]:
        """What masks (N, H, W) lose of the classes and leave of them, (N,), and its slope."""
        way, over = x - b, classifier.over(masks)
        kept, rise = classifier.slope(b + over * way, wanted, lambda p: -1 / (p + _LEAST))
        left, fall = classifier.slope(
            x - over * way, wanted, lambda p: self.destroy * self.power * (p + _LEAST) ** (self.power - 1)
        )
        value = -np.log(kept + _LEAST) + self.destroy * (left + _LEAST) ** self.power
        return value, classifier.under((rise - fall) * way)

    def selection(self, present: Array, real_ones: Array) -> tuple[float, Array]:
        """Return the cross-entropy of logits (N, 1) of a class being there, times its weight, and its slope."""
        sign = np.where(real_ones, 1.0, -1.0)[:, None]
        value = np.logaddexp(0, -sign * present)
        slope = -sign / (1 + np.exp(sign * present.astype(np.float64)))
        return self.selector * float(value.mean()), np.asarray(self.selector * slope / len(sign), dtype=np.float32)


@final
@dataclass(frozen=True, eq=False)
class _Graphs:
    """The network with its weights as inputs, and its gradient with respect to them."""

    forward: Model
    backward: Gradient

    __repr__ = short_repr

    @classmethod
    def of(cls, network: Model, weights: Mapping[str, Array]) -> _Graphs:
        names, joined = list(weights), network.rewritten(_joined)
        return cls(with_fed_weights(network, names)[0], gradient(joined, _BOTH, names))


def _joined(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A network with its outputs as one, so that one cotangent reaches both."""
    flat = onnx.helper.make_node("Flatten", [MASK], [f"{MASK}/flat"], axis=1)
    joined = onnx.helper.make_node("Concat", [*flat.output, PRESENT], [_BOTH], axis=1)
    proto.graph.node.extend([flat, joined])
    proto.graph.output.append(onnx.helper.make_tensor_value_info(_BOTH, onnx.TensorProto.FLOAT, ["N", None]))
    return proto


def _weights(proto: onnx.ModelProto) -> dict[str, Array]:
    """The weights of a network by name."""
    return {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer if t.name.startswith(WEIGHT)}


def _written(proto: onnx.ModelProto, now: _State, about: Document, path: Path, model: Model, *, done: bool) -> Masker:
    """Write a masker, with the state of its training unless that is done, and return it."""
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    for tensor in made.graph.initializer:
        if tensor.name in now.weights:
            tensor.CopyFrom(onnx.numpy_helper.from_array(now.weights[tensor.name], tensor.name))
    entries = {ABOUT: json.dumps({**about, "objective": now.objective})}
    onnx.helper.set_model_props(made, entries if done else {**entries, _STATE: now.packed()})
    made.producer_name = "xaionnx"
    write_whole(path, lambda stream: stream.write(made.SerializeToString()))
    return Masker.load(path, model.settings.device)
