"""An onnxruntime session on a requested device, with runs that can be stopped.

This is the only module that uses onnxruntime.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from xaionnx.data.storage import temporary_folder
from xaionnx.errors import DeviceError, MemoryLimitError, TimeLimitError, UnsupportedModelError, XaionnxError
from xaionnx.graph.waves import MANY_NODES
from xaionnx.runtime import installation
from xaionnx.runtime.optimisers import MANY_TO_OPTIMISE, SLOW_OPTIMISERS, TOO_MANY_TO_OPTIMISE
from xaionnx.runtime.tensors import NodeArg
from xaionnx.runtime.worker import Expired, current_worker
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnxruntime as ort
else:
    ort = installation.runtime()

# onnxruntime writes errors that it raises to stderr too.
_FATAL_ONLY = 4
# Limit for opening a session, and for a run, where none is given: far above what a model needs that can be explained.
DEFAULT_LIMIT_S = 600.0

_DEVICES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "directml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "qnn": "QNNExecutionProvider",
}


@dataclass(frozen=True)
class SessionSettings:
    """Settings of sessions: ``device`` by name, intra-op ``threads`` (None: one per core)."""

    device: str = "auto"
    threads: int | None = None

    def provider(self) -> str:
        """Return the requested execution provider; for ``auto``, CUDA if its driver is present, else the CPU.

        Raises
        ------
        DeviceError
            The device is unknown, or this build of onnxruntime does not support it.
        """
        if self.device == "auto":
            return _DEVICES["cuda"] if _cuda_driver() else _DEVICES["cpu"]
        known: dict[str, str] = {name.lower(): name for name in ort.get_available_providers()}
        wanted = _DEVICES.get(self.device.lower(), self.device)
        if wanted.lower() in known:
            return known[wanted.lower()]
        offered = [name for name, provider in _DEVICES.items() if provider.lower() in known]
        raise DeviceError(
            f"Device '{self.device}' is not available in this build of onnxruntime {ort.__version__} "
            f"({', '.join(offered)}). Choose one of these, or 'auto'."
        )


class Session:
    """A session over one graph.

    Parameters
    ----------
    model : str or bytes
        Path of the file, or a serialised graph.
    settings : SessionSettings
        Device and threads.
    folder : str, optional
        Folder of the external data of a serialised graph.
    name : str
        Name of the model in messages.
    in_place : bool
        Read external weights without copying them: sessions over one file then share its pages in memory, but cannot
        reorder weights for the processor.
    timeout_s : float, optional
        Time limit for opening the session, in seconds; :data:`DEFAULT_LIMIT_S` by default.
    nodes : int
        The number of nodes, if known. Above :data:`MANY_NODES` results share no buffers that are planned in advance,
        and above :data:`MANY_TO_OPTIMISE` and :data:`TOO_MANY_TO_OPTIMISE` the graph is optimised little or not.

    Raises
    ------
    DeviceError
        A device was requested by name and the session does not run on it.
    TimeLimitError
        It took longer than ``timeout_s``.
    """

    def __init__(
        self,
        model: str | bytes,
        settings: SessionSettings,
        *,
        folder: str | None = None,
        name: str = "model",
        in_place: bool = False,
        nodes: int = 0,
        timeout_s: float | None = None,
    ) -> None:
        installation.warn_of_several()
        self.name = name
        provider = settings.provider()
        options = ort.SessionOptions()
        options.log_severity_level = _FATAL_ONLY
        # Spinning threads are a tenth faster on an idle machine, but halve the speed of a shared one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if settings.threads is not None:
            options.intra_op_num_threads = settings.threads
        if folder is not None and isinstance(model, bytes):
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
        without: list[str] = []
        if in_place:
            options.add_session_config_entry("session.disable_prepacking", "1")
            without = ["ConstantFolding"]  # would copy transposed weights
        if nodes > MANY_TO_OPTIMISE:
            without += SLOW_OPTIMISERS
        if nodes > TOO_MANY_TO_OPTIMISE:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        # The search for a free buffer, and the plan of one large buffer in the first run of each shape, take time that
        # grows with the square of the number of nodes.
        options.enable_mem_reuse = options.enable_mem_pattern = nodes <= MANY_NODES
        providers = [provider] if provider == _DEVICES["cpu"] else [provider, _DEVICES["cpu"]]
        with _suppress_output():
            if provider in (_DEVICES["cuda"], _DEVICES["tensorrt"]):
                _preload_cuda()
            # The fallback would print on stdout and continue on another device.
            self._session = _opened(
                lambda: ort.InferenceSession(
                    model, options, providers=providers, enable_fallback=0, disabled_optimizers=without
                ),
                options,
                name,
                timeout_s,
            )
        self.provider: str = self._session.get_providers()[0]
        if settings.device != "auto" and self.provider != provider:
            raise DeviceError(
                f"Device '{settings.device}' was requested, but onnxruntime could not start {provider} and would "
                f"run {name} on {self.provider}. Install the device's libraries (for CUDA: pip install "
                "'xaionnx[cuda]'), or choose 'auto' or 'cpu'."
            )
        self.inputs: list[NodeArg] = self._session.get_inputs()
        self.outputs: list[NodeArg] = self._session.get_outputs()

    @property
    def on_gpu(self) -> bool:
        """Whether tensors can stay on a CUDA device between runs."""
        return self.provider in (_DEVICES["cuda"], _DEVICES["tensorrt"])

    def place(self, array: Array) -> object:
        """Copy an array to the session's device for several runs; on the CPU return it unchanged."""
        return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), "cuda", 0) if self.on_gpu else array

    def run(
        self, fetch: Sequence[str], feeds: Mapping[str, object], timeout_s: float | None = None, brief: bool = False
    ) -> list[Array]:
        """Run once.

        Parameters
        ----------
        fetch : sequence of str
            Names of the outputs.
        feeds : mapping
            Arrays by input name, or results of :meth:`place`.
        timeout_s : float, optional
            Time limit of the run in seconds; :data:`DEFAULT_LIMIT_S` by default.
        brief : bool
            Whether the run is known to be short: it then runs in the calling thread, and Ctrl-C waits for it.

        Returns
        -------
        list of arrays
            In the order of ``fetch``. A sequence is returned as a list: a graph that exposes all tensors may have one,
            and `TensorInfo.of` refuses any other.

        Raises
        ------
        KeyboardInterrupt
            Ctrl-C was pressed; the run was stopped between two nodes.
        MemoryLimitError
            The batch did not fit into memory; the session remains usable.
        TimeLimitError, UnsupportedModelError
            The run took longer than ``timeout_s``, or failed.
        """
        options = ort.RunOptions()
        options.log_severity_level = _FATAL_ONLY
        if any(isinstance(value, ort.OrtValue) for value in feeds.values()):
            job = self._bound_job(fetch, feeds, options)
        else:

            def job() -> list[Array]:
                return list(self._session.run(list(fetch), dict(feeds), options))

        try:
            if brief and timeout_s is None:
                return job()
            limit_s = timeout_s or DEFAULT_LIMIT_S
            return current_worker().call(job, lambda: setattr(options, "terminate", True), limit_s)
        except Expired as error:
            raise TimeLimitError(
                f"One run of {self.name} took longer than {limit_s:g} s and was stopped. "
                "Raise timeout_s, or lower the batch size."
            ) from error
        except ValueError as error:
            # Raised while the results are made into arrays.
            if "number of dimensions" not in str(error):
                raise
            raise UnsupportedModelError(
                f"{self.name} returns an array of more than 64 axes, which numpy cannot hold. Export it with fewer."
            ) from error
        except Exception as error:
            if kind := re.search(r"No corresponding Numpy type for Tensor Type\.? *(\w+)", str(error)):
                raise UnsupportedModelError(
                    f"{self.name} computes tensors of type {kind[1]}, which numpy cannot hold. "
                    "Use a method without gradients: occlusion, rise, lime, kernel_shap."
                ) from error
            # onnxruntime's exceptions share no base class, but one module.
            if not type(error).__module__.startswith("onnxruntime"):
                raise
            raise self._translate_error(error) from error

    def _bound_job(
        self, fetch: Sequence[str], feeds: Mapping[str, object], options: ort.RunOptions
    ) -> Callable[[], list[Array]]:
        binding = self._session.io_binding()
        for name, value in feeds.items():
            if isinstance(value, ort.OrtValue):
                binding.bind_ortvalue_input(name, value)
            else:
                binding.bind_cpu_input(name, np.ascontiguousarray(value))
        for name in fetch:
            binding.bind_output(name, "cpu")

        def job() -> list[Array]:
            self._session.run_with_iobinding(binding, options)
            return list(binding.copy_outputs_to_cpu())

        return job

    def _translate_error(self, error: Exception) -> XaionnxError:
        text = str(error)
        if re.search(r"Failed to allocate memory|BFCArena|out of memory|ALLOC_FAILED|bad_alloc|bad allocation", text):
            requested = re.search(r"(?:buffer of size|requested bytes of|requested bytes:?)\s*(\d+)", text)
            size = f" ({int(requested[1]):,} bytes requested)" if requested else ""
            return MemoryLimitError(
                f"One batch of {self.name} does not fit into memory{size}. Use a smaller input or a larger machine."
            )
        reason = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text).strip().splitlines()
        advice = "Check with 'xaionnx inspect' which inputs it expects."
        if "does not support double" in text:
            advice = "Export it in float32."
        elif re.search("mismatched dimensions|broadcast|dimensions? mismatch|cannot be reshaped", text) and (
            free := next((info.name for info in self.inputs if _is_free_picture(info.shape)), None)
        ):
            advice = (
                f"Its input '{free}' declares any height and width, and does not take these: try sides that are "
                "multiples of 32, and write them as size = [H, W] under [input] of the spec."
            )
        return UnsupportedModelError(
            f"{self.name} failed while running: {reason[0] if reason else type(error).__name__}. {advice}"
        )


def _is_free_picture(shape: Sequence[object]) -> bool:
    """Whether an input of this shape may be pictures of any size."""
    return len(shape) == 4 and sum(not isinstance(size, int) for size in shape[1:]) == 2


def _opened(
    make: Callable[[], ort.InferenceSession], options: ort.SessionOptions, name: str, timeout_s: float | None
) -> ort.InferenceSession:
    """Open a session in the worker's thread, which the time limit and Ctrl-C stop."""
    limit_s = timeout_s or DEFAULT_LIMIT_S
    try:
        return current_worker().call(make, lambda: _cancel(options), limit_s)
    except Expired as error:
        raise TimeLimitError(
            f"Opening {name} took longer than {limit_s:g} s and was stopped. Raise timeout_s, or simplify the model."
        ) from error


def _cancel(options: ort.SessionOptions) -> None:
    # Releases of onnxruntime before 1.22 cannot be stopped; their thread is abandoned.
    if hasattr(options, "set_load_cancellation_flag"):
        options.set_load_cancellation_flag(True)


@lru_cache(maxsize=1)
def _cuda_driver() -> bool:
    if _DEVICES["cuda"] not in ort.get_available_providers():
        return False
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


@lru_cache(maxsize=1)
def _preload_cuda() -> None:
    # Makes CUDA and cuDNN libraries installed as wheels visible to onnxruntime.
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()


@contextlib.contextmanager
def _suppress_output() -> Iterator[None]:
    # onnxruntime prints while it looks for a device, which would corrupt machine-readable output.
    ort.set_default_logger_severity(_FATAL_ONLY)
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def simplified(model: bytes) -> bytes:
    """Return a serialised model after onnxruntime's basic optimisations: constants folded, only ONNX ops."""
    return _optimised(model, ort.GraphOptimizationLevel.ORT_ENABLE_BASIC)


def _optimised(model: bytes, level: ort.GraphOptimizationLevel) -> bytes:
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.graph_optimization_level = level
    # The session is not run; planning its memory takes most of the time of a large graph.
    options.enable_mem_reuse = options.enable_mem_pattern = False
    # It would duplicate quantised tensors for each consumer, and so disconnect a named tensor from its consumers.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    with temporary_folder() as folder:
        path = folder / "optimised.onnx"
        options.optimized_model_filepath = str(path)
        with _suppress_output():
            _opened(lambda: ort.InferenceSession(model, options, providers=[_DEVICES["cpu"]]), options, "model", None)
        return path.read_bytes()


@lru_cache(maxsize=1)
def channel_block() -> int:
    """Return the number of channels in a block of the layout that onnxruntime uses for convolutions on this CPU.

    The weights of a convolution with a single filter are filled up to one block.
    """
    import onnx

    from xaionnx.loading.reading import WEIGHTS_APART

    weights = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [1, 1, 1, 1], [1.0])
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, 1, 1]) for name in "xy"]
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "probe", ends[:1], ends[1:], [weights])
    imports = [onnx.helper.make_opsetid("", 13)]
    probe = onnx.helper.make_model(graph, ir_version=WEIGHTS_APART, opset_imports=imports)
    optimised = onnx.load_model_from_string(
        _optimised(probe.SerializeToString(), ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    )
    return int(optimised.graph.initializer[0].dims[0])


def runtime_version() -> str:
    """Return the version of onnxruntime."""
    return str(ort.__version__)
