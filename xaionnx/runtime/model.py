"""Model: one ONNX file, its sessions and batches."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar, Unpack, cast, final

import numpy as np

from xaionnx import loading
from xaionnx.data.inputs import Given, Inputs
from xaionnx.data.row_numbers import RowNumbers
from xaionnx.data.sample import Samples, split
from xaionnx.data.spec import InputSpec
from xaionnx.data.text import Text
from xaionnx.data.texts import TextOptions
from xaionnx.data.tokens import TextTokenizer
from xaionnx.errors import InputMismatchError, ModelFileError, UnsupportedModelError
from xaionnx.graph.adapt import fix_batch, free_batch
from xaionnx.graph.batch_first import batch_first
from xaionnx.graph.branches import branch_points, inline_branches
from xaionnx.graph.class_columns import class_columns
from xaionnx.graph.class_head import class_head
from xaionnx.graph.cut import expose
from xaionnx.graph.input_purposes import InputPurpose, input_purposes, is_data
from xaionnx.graph.output_shapes import declared_shapes, without_output_shape
from xaionnx.graph.view import GraphView
from xaionnx.runtime.axes import ModelAxes, RowsMode, in_file_order, other_axes, stated_ranks
from xaionnx.runtime.batch_runner import BatchRunner, Feed
from xaionnx.runtime.first_rows import FirstRows
from xaionnx.runtime.input_reading import nan_words, read_inputs
from xaionnx.runtime.opening import LoadOptions, Shapes, opened_graphs
from xaionnx.runtime.session import Session, SessionSettings
from xaionnx.runtime.sessions import Sessions
from xaionnx.runtime.tensors import TensorInfo, check_inputs, find, listed
from xaionnx.runtime.token_inputs import open_tokenizer, reads_text, texts_of
from xaionnx.typing import Array, Feeds

if TYPE_CHECKING:
    import onnx

    from xaionnx.runtime.joining import PartLike

T = TypeVar("T")


@dataclass
class _State:
    """Caches of a model, which are not shared or pickled."""

    sessions: Sessions = field(default_factory=Sessions)
    runner: BatchRunner | None = None
    derived: dict[Hashable, Model] = field(default_factory=dict)
    latest: tuple[Hashable, object] | None = None
    view: GraphView | None = None
    purposes: dict[str, InputPurpose] | None = None
    nan: dict[str, str] = field(default_factory=dict)
    first_rows: FirstRows | None = None
    branches: bool | None = None
    tokenizer: TextTokenizer | None = None


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """An exported model that runs in batches on one device. Create one with :meth:`load`.

    Attributes
    ----------
    path : Path
        The file.
    sha256 : str
        Hash of the file and its external data.
    spec : InputSpec or None
        How pictures, rows or text are converted to its input; read from the TOML beside the file.
    inputs, outputs : tuple of TensorInfo
        In the file's order, with the samples on the first axis.
    axes : ModelAxes
        What the axes of the inputs and outputs mean in the file, and where the samples are.
    labels : tuple of str or None
        Class names, from the spec or from a ZipMap in the graph.
    shared : frozenset of str
        Inputs without a batch axis, the same for every sample.
    graph : onnx.ModelProto
        The file's graph, with fused ops of onnxruntime written as plain ones and the samples on the first axis of its
        inputs and outputs, or a graph derived from it; external data are not loaded.
    """

    path: Path
    sha256: str
    settings: SessionSettings
    batch_size: int | None
    timeout_s: float | None
    allow_random: bool
    spec: InputSpec | None
    labels: tuple[str, ...] | None
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    shared: frozenset[str]
    file: loading.ModelFile = field(repr=False)
    graph: onnx.ModelProto = field(repr=False)
    axes: ModelAxes = field(repr=False)
    is_derived: bool = field(repr=False, default=False)
    # Shapes of outputs that the file declares with other axes, None for a free size.
    true_shapes: Shapes = field(repr=False, default_factory=dict)
    # The graph with its fused ops, which the model's own sessions run; None if ``graph`` is that graph.
    deployed: onnx.ModelProto | None = field(repr=False, default=None)
    _state: _State = field(repr=False, default_factory=_State)

    def __new__(cls, *path: object, **_: object) -> Self:
        if path:
            raise TypeError(f"a model is opened with Model.load({path[0]!r})")
        return super().__new__(cls)

    @classmethod
    def load(  # noqa: PLR0913 - options of a model, all by keyword
        cls,
        path: str | os.PathLike[str],
        device: str = "auto",
        batch_size: int | None = None,
        *,
        threads: int | None = None,
        timeout_s: float | None = None,
        spec: InputSpec | str | os.PathLike[str] | None = None,
        axes: str | Mapping[str, str] | None = None,
        rows: RowsMode | None = None,
        allow_random: bool = False,
    ) -> Model:
        """Read a model and open it on a device.

        Parameters
        ----------
        path : path
            The .onnx file; external data must lie in its folder.
        device : str
            ``auto`` (CUDA if there is a driver, else CPU), ``cpu``, ``cuda``, ``tensorrt``, another device of
            onnxruntime, or the name of an execution provider.
        batch_size : int, optional
            Samples in one run; tuned during the work by default.
        threads : int, optional
            Threads inside a run; one per core by default.
        timeout_s : float, optional
            Limit for a single run, and for opening the model or one derived from it, in seconds; 600 by default. Ctrl-C
            stops these within about a second. What Python itself does, such as rewriting a graph, only Ctrl-C stops.
        spec : InputSpec or path, optional
            The spec, or its TOML file, in place of the one beside the model.
        axes : str or mapping of str to str, optional
            What the axes of the explained input mean, or of inputs and outputs by name: letters or words such as
            ``"N T F"`` or ``"sample time feature"``; see :meth:`xaionnx.data.axes.TensorAxes.stated`. Found from the
            spec, names of dimensions and the graph by default.
        rows : {"alone", "joint"}, optional
            How entries along the batch axis are evaluated: each ``alone``, as independent samples, or ``joint``, as one
            sample whose rows may see each other, such as the points of a set. By default alone, and a model whose
            answer for a row depends on the other rows is refused.
        allow_random : bool
            Accept a model whose outputs for the same input vary.

        Raises
        ------
        ModelFileError
            The file is missing, damaged or unsafe.
        ParameterError, UnknownNameError
            The spec is none, or its file is missing or has a wrong key or value.
        UnsupportedModelError
            The model draws random numbers and ``allow_random`` is False, or what the user, names of dimensions and the
            graph say about an axis contradict each other.
        DeviceError
            The requested device cannot be used.
        """
        file = loading.read_model(path)
        if file.random_ops and not allow_random:
            raise UnsupportedModelError(
                f"{file.path.name} draws random numbers: {', '.join(file.random_ops[:3])}. Its outputs cannot be "
                "reproduced; export it in inference mode, or pass allow_random."
            )
        if batch_size is not None and batch_size < 1:
            raise InputMismatchError(f"batch_size must be an int in [1, inf). Got {batch_size} instead.")
        options: LoadOptions = {
            "device": device,
            "batch_size": batch_size,
            "threads": threads,
            "timeout_s": timeout_s,
            "spec": InputSpec.beside(file.path) if spec is None else spec,
            "axes": axes,
            "rows": rows,
            "allow_random": allow_random,
        }
        return cls._open(file, options, {})

    @classmethod
    def _open(cls, file: loading.ModelFile, options: LoadOptions, shapes: Shapes) -> Model:
        """Return the model of a file; ``shapes`` are those of outputs that the file declares with other axes."""
        spec, axes = None if options["spec"] is None else InputSpec.of(options["spec"]), options["axes"]
        graphs = opened_graphs(file, axes, shapes)
        model = cls(
            path=file.path,
            sha256=file.sha256,
            settings=SessionSettings(options["device"], options["threads"]),
            batch_size=options["batch_size"],
            timeout_s=options["timeout_s"],
            allow_random=options["allow_random"],
            spec=spec,
            labels=tuple(spec.labels) if spec and spec.labels else graphs.labels,
            inputs=(),
            outputs=(),
            shared=frozenset(),
            file=file,
            graph=graphs.plain,
            deployed=graphs.deployed,
            axes=ModelAxes.empty(),
        )
        columns = class_columns(model.view) if model.labels is None else None
        model = replace(model, labels=model.labels if columns is None else columns.labels)._with_tensors()
        model._check_stated_axes(stated_ranks(axes))
        found = ModelAxes.find(model.view, model.inputs, model.outputs, spec, axes, options["rows"], model.name)
        model = replace(model, shared=found.shared, axes=found, true_shapes=graphs.shapes)
        if spec is not None:
            spec.check_size(model.input().shape, model.input().name)
        if model.fixed_batch == 0:
            raise UnsupportedModelError(
                f"{model.name} declares 0 samples in a run. Export it with a free number of samples, or with 1."
            )
        return model._batch_first(found.moved)

    def _with_tensors(self) -> Model:
        """Return the model with the inputs and outputs that its session has."""
        session = self._session()
        inputs, outputs = (tuple(map(TensorInfo.of, values)) for values in (session.inputs, session.outputs))
        return replace(self, inputs=inputs, outputs=outputs)

    def _over(self, graph: onnx.ModelProto, deployed: onnx.ModelProto | None) -> Model:
        """Return the model over other graphs for the same file, opened."""
        return replace(self, graph=graph, deployed=deployed, _state=_State())._with_tensors()

    def _check_stated_axes(self, stated: Mapping[str, int]) -> None:
        """Check that as many axes are stated for outputs as onnxruntime finds in them.

        Raises
        ------
        ParameterError
            Another number is stated.
        """
        # Outputs that cannot have the declared axes are left without a shape.
        for name in (one.name for one in self.outputs if not one.shape and one.name in stated):
            free = self._over(without_output_shape(self.graph, name), None)
            shape = find("output", name, free.outputs).shape
            if shape and len(shape) != stated[name]:
                raise other_axes(self.name, name, shape, stated[name])

    def reopened(self, *, shapes: Shapes | None = None, **options: Unpack[LoadOptions]) -> Model:
        """Return the model of the same file with some options changed; ``shapes`` replaces :attr:`true_shapes`."""
        changed: LoadOptions = {**self._options(), **options}
        return self._open(self.file, changed, self.true_shapes if shapes is None else shapes)

    def with_samples_at(self, moved: Mapping[str, int | None]) -> Model:
        """Return the model whose samples are found on other axes of some outputs, and on the first one of its own."""
        if not moved:
            return self
        return replace(self, axes=replace(self.axes, moved={**self.axes.moved, **moved}))._batch_first(moved)

    def _batch_first(self, moved: Mapping[str, int | None]) -> Model:
        """Return the model with the samples on the first axis of its inputs and outputs."""
        if not moved:
            return self
        inputs = {one.name: moved[one.name] for one in self.inputs if one.name in moved}
        outputs = {one.name: moved[one.name] for one in self.outputs if one.name in moved}
        ranks = {one.name: len(one.shape) for one in self.outputs}
        graph = batch_first(self.graph, inputs, outputs, ranks)
        deployed = None if self.deployed is None else batch_first(self.deployed, inputs, outputs, ranks)
        return self._over(graph, deployed)

    def in_runs_of(self, batch_size: int) -> Model:
        """Return the model with another number of samples in one run; see :meth:`load`."""
        state = replace(self._state, runner=None, derived={}, first_rows=None)
        return replace(self, batch_size=batch_size, _state=state)

    def in_batches_of(self, count: int) -> Model:
        """Return the model as one whose file declares ``count`` samples in each run, as its graph requires."""
        graph = fix_batch(self.graph, self._with_rows, count)
        deployed = None if self.deployed is None else fix_batch(self.deployed, self._with_rows, count)
        return self._over(graph, deployed)

    def stated_by_name(self) -> dict[str, str]:
        """Return the axes that the user states, by the name of the input or output."""
        given = self.axes.stated or {}
        return {self.input().name: given} if isinstance(given, str) else dict(given)

    @classmethod
    def join(
        cls,
        *models: PartLike,
        connect: Mapping[str, str] | None = None,
        path: str | os.PathLike[str] | None = None,
        **options: Unpack[LoadOptions],
    ) -> Model:
        """Join models, each of which reads outputs of earlier ones, into one model of all.

        Inputs that read nothing stay inputs, and outputs that nothing reads stay outputs, those of the last model
        first. Tensors keep their names; those that an earlier model has too get the name of their file in front, as in
        ``head/relu``. Op sets are brought to the same versions, floats of another width are converted, and one random
        sample is run to check that the result returns what the models return one after another. Records name the models
        and their hashes in ``provenance["model_parts"]``.

        Parameters
        ----------
        *models : paths, Models, or onnx.ModelProto
            In the order in which they run.
        connect : mapping of str to str, optional
            Output by input that reads it, by name, or as ``FILE:NAME`` with the file's stem if several models have it.
            A model of which no input is named reads the model before it: the outputs with the names of its inputs, or
            the only one that fits.
        path : path, optional
            Where the joined file is written, with its spec beside it unless there is one; a temporary file by default.
        **options
            As in :meth:`load`. The spec is by default the input of the first model's and the output of the last one's.

        Raises
        ------
        ParameterError, UnknownNameError
            The connections are unknown, ambiguous or incomplete.
        UnsupportedModelError
            Connected tensors do not fit, or the op sets cannot be brought together.

        Examples
        --------
        >>> drawn = Model.join("models/mnist_vae_decoder.onnx", "models/mnist_cnn.onnx", device="cpu")
        >>> [info.name for info in drawn.inputs], [info.name for info in drawn.outputs]
        (['latent'], ['logits'])
        """
        from xaionnx.runtime.joining import join_files

        return cls.load(join_files(models, connect, path, options.get("timeout_s")), **options)

    def __repr__(self) -> str:
        """Return path, device, inputs, outputs and spec, on one line each."""
        opened = self._state.sessions.opened.get("own")  # does not open a session
        runs = self.settings.device if opened is None else opened.provider
        derived = ", derived" if self.is_derived else ""
        lines = [f"Model {self.name} ({self.path.parent}), {runs}{derived}"]
        lines += [f"  inputs   {listed(self.inputs)}", f"  outputs  {listed(self.outputs)}"]
        labels = "" if self.labels is None else f", {len(self.labels)} labels"
        spec = "none" if self.spec is None else self.spec.summary()
        return "\n".join([*lines, f"  spec     {spec}{labels}"])

    def __reduce__(self) -> tuple[Callable[..., Model], tuple[str, str, LoadOptions]]:
        if self.is_derived:
            raise TypeError(f"a model derived from {self.name} cannot be pickled; pickle the loaded one")
        return _reload, (str(self.path), self.sha256, self._options())

    def _options(self) -> LoadOptions:
        return {
            "device": self.settings.device,
            "batch_size": self.batch_size,
            "threads": self.settings.threads,
            "timeout_s": self.timeout_s,
            "spec": self.spec,
            "axes": self.axes.stated,
            "rows": self.axes.rows,
            "allow_random": self.allow_random,
        }

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return self.path.name

    @property
    def provider(self) -> str:
        """The execution provider that runs the model."""
        return self._session().provider

    @property
    def on_gpu(self) -> bool:
        """Whether tensors can stay on a CUDA device between runs."""
        return self._session().on_gpu

    def input(self, name: str | None = None) -> TensorInfo:
        """Return the input called ``name``; the default input to explain if None.

        Raises
        ------
        UnknownNameError
            There is no input of that name.
        """
        wanted = name or (self.spec.name if self.spec else None)
        if wanted is not None:
            return find("input", wanted, self.inputs)
        return self._default_input

    @cached_property
    def _default_input(self) -> TensorInfo:
        rows = [one for one in self.inputs if one.name not in self.shared] or self.inputs[:1]
        return next((one for one in rows if one.name in self.data_inputs), rows[0])

    @property
    def purposes(self) -> Mapping[str, InputPurpose]:
        """What each input of the file is for: data, a mask, a length, a setting, a state, token types or positions."""
        state = self._state
        if state.purposes is None:
            state.purposes = input_purposes(self.view, self.shared)
            if self.spec is not None and self.spec.name in state.purposes:
                # The user says that it is to be explained.
                state.purposes[self.spec.name] = replace(state.purposes[self.spec.name], purpose="data", source="name")
        return state.purposes

    @cached_property
    def data_inputs(self) -> tuple[str, ...]:
        """The names of the inputs that are data and belong to a sample: those explained by default."""
        known = self.purposes
        return tuple(one.name for one in self.inputs if one.name not in self.shared and is_data(known, one.name))

    def output(self, name: str | None = None) -> TensorInfo:
        """Return the output called ``name``; the default output to explain if None.

        Raises
        ------
        UnknownNameError
            There is no output of that name.
        UnsupportedModelError
            No output is of a floating-point type.
        """
        wanted = name or (self.spec.output if self.spec else None)
        if wanted is not None:
            return find("output", wanted, self.outputs)
        floats = [output.name for output in self.outputs if output.dtype.kind == "f"]
        if floats:
            # What an output of a derived model is was asked for.
            return find("output", floats[0] if self.is_derived else class_head(self.view, floats), self.outputs)
        raise UnsupportedModelError(
            f"No output of {self.name} contains scores: {', '.join(f'{o.name} {o}' for o in self.outputs)}. "
            "Name an internal tensor to explain with output=..."
        )

    @property
    def declared_outputs(self) -> Mapping[str, str]:
        """The shapes that the file declares for its outputs, in words; outputs without one are left out."""
        return declared_shapes(self.file.proto)

    def check(self, x: Array | Feeds, ready: Collection[str] = ()) -> dict[str, Array]:
        """Check inputs against the model and return them by name; ``x`` is one array, or a mapping of all inputs.

        Floats are cast between float widths, and the samples moved to the first axis, except for inputs that are
        ``ready``; nothing else is converted.

        Raises
        ------
        InputMismatchError
            A name, shape or type does not fit, the inputs disagree on the number N of samples, or the explained input
            is empty.
        """
        main = self.input().name
        if not isinstance(x, Mapping):
            x = {main: np.asarray(x)}
        if self.is_derived:
            declared, moved = self.inputs, {}
        else:
            pairs = zip(self.inputs, self.axes.inputs, strict=True)
            declared = tuple(own if own.name in ready else file for own, file in pairs)
            moved = {name: axis for name, axis in self.axes.sample_axes().items() if name not in ready}
        checked = check_inputs(x, declared, self.shared, self.name, moved)
        if not checked[main].size:
            raise InputMismatchError(
                f"There is nothing to explain: input '{main}' of {self.name} has the shape {checked[main].shape}, "
                "without any element. Give at least one along each axis."
            )
        return checked

    def samples(self, feeds: Feeds, main: str | None = None) -> Samples:
        """Return the samples of checked inputs; ``main`` is the explained input, by default :meth:`input`."""
        main = self.input(main).name
        return split(feeds, main, self.spec, self.shared, self.purposes, self.axes.of_sample)

    def in_file_order(self, feeds: Feeds) -> dict[str, Array]:
        """Return checked inputs in the order of the file's axes."""
        moved = self.axes.sample_axes()
        return {
            name: array if name in self.shared else in_file_order(array, moved.get(name, 0))
            for name, array in feeds.items()
        }

    @cached_property
    def input_spec(self) -> InputSpec:
        """The spec, or one guessed from the shape of the explained input and the metadata of the file."""
        info = self.input()
        metadata = {entry.key: entry.value for entry in self.file.proto.metadata_props}
        return self.spec or InputSpec.guess(info.shape, info.dtype if info.dtype.kind != "U" else np.int64, metadata)

    @property
    def tokenizer(self) -> TextTokenizer | None:
        """The tokenizer of a text model, opened once; None for a model that reads strings.

        Raises
        ------
        DataError, ParameterError, UnsupportedModelError
            There is none, it cannot be read, or the package tokenizers is missing.
        """
        state = self._state
        if state.tokenizer is None:
            state.tokenizer = open_tokenizer(self)
        return state.tokenizer

    @property
    def pads_texts(self) -> bool:
        """Whether texts that are read together are padded to one length."""
        return reads_text(self)

    def texts(self, feeds: Feeds) -> tuple[Text, ...]:
        """Return the texts that checked inputs stand for, one a sample; () if the model reads none."""
        return texts_of(self, feeds)

    def read(
        self,
        x: Given,
        *,
        partial: bool = False,
        exif: bool = False,
        display_side: int | None = None,
        text: TextOptions | None = None,
        rows: RowNumbers | None = None,
        ignore: Sequence[str] = (),
    ) -> Inputs:
        """Read inputs from files, frames, pictures or arrays and return them by name, checked as by :meth:`check`.

        Files and pictures are converted according to the spec; if there is none, it is guessed from the model's shapes.
        Columns of frames and tables are found by name. For a model that reads text, a str is a text, and a Path a file.

        Parameters
        ----------
        x : array, mapping of arrays by input name, frame, path, PIL image, or list of paths and pictures
            In a mapping, any input may be a file or a picture.
        partial : bool
            Leave out and report files and rows that cannot be read, instead of raising an error.
        exif, display_side
            As in `xaionnx.data.batch.read_inputs`.
        text : TextOptions, optional
            How text files and tables of texts are read, and what is appended to each text.
        rows : RowNumbers, optional
            The rows to read of tables and arrays in files; all if None.
        ignore : sequence of str
            Columns of tables that are no inputs, such as that of labels, besides those that the spec ignores.

        Raises
        ------
        DataError
            Something cannot be read.
        InputMismatchError
            The data do not fit the model.
        """
        return read_inputs(self, x, partial, exif, display_side, text or TextOptions(), rows, ignore)

    def nan_words(self, name: str) -> str:
        """Return what the model does with NaN in an input, in words; empty if it does not take missing values."""
        known = self._state.nan
        if name not in known:
            known[name] = nan_words(self, name)
        return known[name]

    def probed(self, feeds: Feeds, outputs: Collection[str]) -> Model:
        """Return the model after a probe of its first rows, which costs at most three runs for each input shape.

        If the answer for a row depends on the other rows, the rows together are one sample: the model returned takes
        them as ``rows="joint"`` does. Outputs whose samples are found on another axis are returned with samples first.

        Parameters
        ----------
        feeds : mapping
            As returned by :meth:`check`.
        outputs : collection of str
            The outputs that matter.
        """
        return self._first_rows.probed(feeds, outputs)

    def with_true_ranks(self, feeds: Feeds) -> Model:
        """Return the model with the numbers of axes that its outputs have, if the file declares others or none.

        Outputs whose axes the graph does not tell are looked at in one run of the first row.

        Parameters
        ----------
        feeds : mapping
            As returned by :meth:`check`.

        Raises
        ------
        ParameterError
            The user states another number of axes.
        """
        return self._first_rows.with_true_ranks(feeds)

    @property
    def _first_rows(self) -> FirstRows:
        state = self._state
        if state.first_rows is None:
            state.first_rows = FirstRows(self)
        return state.first_rows

    @property
    def joint_reason(self) -> str:
        """Why the rows are one sample together, if a probe found it, as a sentence without its full stop."""
        main = self.input().name
        if self.axes.row_failure:
            return f"{self.name} does not run on a single row of '{main}' as on several ({self.axes.row_failure})"
        return f"In {self.name} the answer for a row of '{main}' depends on the other rows"

    @property
    def chooses_branches(self) -> bool:
        """Whether the branch of an If depends on a sample."""
        state = self._state
        if state.branches is None:
            points = branch_points(inline_branches(self.graph))
            state.branches = any(point.inputs - self.shared for point in points)
        return state.branches

    @property
    def fixed_batch(self) -> int | None:
        """The number of samples in one run that the file declares, if any."""
        sizes = {i.shape[0] for i in self.inputs if i.name not in self.shared and i.shape}
        return next((size for size in sizes if isinstance(size, int)), None)

    def run_once(self, feeds: Feeds, fetch: Sequence[str]) -> dict[str, Array]:
        """Return outputs of a single run, not divided into batches and not checked for their rows.

        Raises
        ------
        UnsupportedModelError
            The model failed.
        """
        results = self._session().run(list(fetch), feeds, self.timeout_s)
        return {name: np.asarray(result) for name, result in zip(fetch, results, strict=True)}

    def run(self, feeds: Feeds, fetch: Sequence[str] | None = None) -> dict[str, Array]:
        """Evaluate any number of samples.

        Parameters
        ----------
        feeds : mapping
            All inputs by name, batch axis first, as returned by :meth:`check`.
        fetch : sequence of str, optional
            Names of the outputs; all by default.

        Returns
        -------
        dict
            Arrays by output name, batch axis first.

        Raises
        ------
        UnsupportedModelError
            The model failed, or an output has no batch axis although there are several samples.
        """
        names = list(fetch) if fetch is not None else [o.name for o in self.outputs]
        shared = {name: array for name, array in feeds.items() if name in self.shared}
        rows = {name: array for name, array in feeds.items() if name not in self.shared}
        count = len(next(iter(rows.values()))) if rows else 1
        pieces = self.batches(count, lambda a, b: {n: array[a:b] for n, array in rows.items()}, names, shared)
        parts = [outputs for _, _, outputs in pieces]
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def batches(
        self, count: int, feed: Feed, fetch: Sequence[str], shared: Feeds | None = None, sample_bytes: int | None = None
    ) -> Iterator[tuple[int, int, dict[str, Array]]]:
        """Evaluate ``count`` samples that ``feed`` provides as needed.

        Yields ``(start, stop, outputs)`` in order. If memory runs out, the batch size is halved and the batch repeated.
        Before the first batch of a new input shape, up to five extra rows are run to test whether the model accepts
        several samples at once; their outputs are discarded and do not count as evaluations. ``sample_bytes`` limits
        the batch size if samples are larger inside the graph than as fed.

        Raises
        ------
        MemoryLimitError
            A single sample does not fit.
        """
        return self._runner.batches(count, feed, fetch, shared or {}, sample_bytes)

    @property
    def _runner(self) -> BatchRunner:
        state = self._state
        if state.runner is None:
            state.runner = BatchRunner(
                name=self.name,
                session=self._session,
                fixed=self.fixed_batch,
                batch_size=self.batch_size,
                one_by_one=lambda: self.chooses_branches,
                timeout_s=self.timeout_s,
                allow_random=self.allow_random,
            )
        return state.runner

    def check_rows(self, outputs: Feeds, count: int) -> None:
        """Check that outputs of the file have a row for each of ``count`` samples.

        Raises
        ------
        UnsupportedModelError
            One has not.
        """
        if not self.is_derived:
            self.axes.check_rows(outputs, count, self.name)

    def with_outputs(self, names: Sequence[str]) -> Model:
        """Return the same model with internal tensors as further outputs.

        Raises
        ------
        UnknownNameError
            No tensor has one of these names; the message lists the nearest.
        """
        known = {o.name for o in self.outputs}
        missing = tuple(dict.fromkeys(name for name in names if name not in known))
        if not missing:
            return self
        return self.derived(("outputs", missing), lambda proto: expose(proto, missing))

    @property
    def view(self) -> GraphView:
        """A cached view of the graph."""
        state = self._state
        if state.view is None or state.view.model is not self.graph:
            state.view = GraphView(self.graph)
        return state.view

    def derived(
        self, key: Hashable, rewrite: Callable[[onnx.ModelProto], onnx.ModelProto], shared: frozenset[str] = frozenset()
    ) -> Model:
        """Return a model over a rewritten graph, cached under ``key``.

        ``shared`` names its further inputs without a batch axis. External data are not copied.
        """
        cache = self._state.derived
        if key not in cache:
            cache[key] = self.rewritten(rewrite, shared)
        return cache[key]

    def rewritten(
        self, rewrite: Callable[[onnx.ModelProto], onnx.ModelProto], shared: frozenset[str] = frozenset()
    ) -> Model:
        """Return a model over a rewritten graph, as :meth:`derived` does, without keeping it."""
        self.share_weights()
        graph = rewrite(self.graph)
        state = _State(self._state.sessions.derived(), purposes=dict(self.purposes))
        model = replace(self, graph=graph, deployed=None, is_derived=True, shared=self.shared | shared, _state=state)
        return model._with_tensors()

    def latest(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return ``make()``, kept until another key is asked for; equal keys must mean equal results.

        It is for what takes as much memory as the weights, so that only one is kept.
        """
        state = self._state
        if state.latest is None or state.latest[0] != key:
            state.latest = key, make()
        return cast(T, state.latest[1])

    def close(self) -> None:
        """Close its sessions, and those of all models derived from it; whichever runs again is opened again.

        Sessions hold the memory of their largest batch, and a model that is dropped keeps them until Python looks for
        objects that refer to each other. It is for what makes many models one after another.
        """
        state = self._state
        found = () if state.first_rows is None else state.first_rows.models
        state.sessions.opened.clear()
        state.first_rows, state.runner = None, None
        self.close_derived()
        for model in found:
            model.close()

    def close_derived(self) -> None:
        """Close the sessions of all models derived from it alone, and forget these."""
        state = self._state
        models, state.derived, state.latest = [*state.derived.values()], {}, None
        for model in models:
            model.close()

    def share_weights(self) -> bool:
        """Read large external weights in place from now on, and return whether they are: see :class:`Sessions`."""
        return self._state.sessions.share(self.file.external)

    @property
    def _with_rows(self) -> list[str]:
        """The names of the inputs with a batch axis."""
        return [one.name for one in self.inputs if one.name not in self.shared]

    def _session(self, kind: str = "own") -> Session:
        """Return the session over the graph of the file, ``"own"``, or over it with a free batch axis, ``"free"``."""

        def graph() -> onnx.ModelProto:
            own = self.deployed or self.graph
            return own if kind == "own" else free_batch(own, self._with_rows, 1)

        return self._state.sessions.get(kind, graph, self.file, self.settings, self.timeout_s)


def _reload(path: str, sha256: str, options: LoadOptions) -> Model:
    model = Model.load(path, **options)
    if model.sha256 != sha256:
        raise ModelFileError(f"{path} has changed since it was pickled. Load it again.")
    return model
