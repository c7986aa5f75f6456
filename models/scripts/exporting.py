"""Export ONNX files for the scripts of this folder: one thread, a symbolic batch axis, the same bytes each time.

Needs torch, onnx, onnxruntime and numpy; each script names the versions that made the committed file.
"""

import hashlib
import random
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch

MODELS = Path(__file__).resolve().parents[1]
OPSET = 17


def seed_everything(seed: int) -> None:
    """Seed every generator and limit torch to one thread, so that reruns give the same bits."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - exported code of other packages draws from the global state
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def export(
    module: torch.nn.Module,
    example: torch.Tensor,
    path: Path,
    *,
    input_name: str,
    output_name: str | list[str],
    fold_batch_norm: bool = True,
    simplify: bool = False,
) -> None:
    """Write `module` in evaluation mode to `path`, with a symbolic first axis ("N"), and print name, size and sha256.

    The export fails unless the outputs of the file on 1, 2 and 3 rows equal those of torch within float32 rounding.

    Parameters
    ----------
    example
        A batch of 2 rows; with a single row the tracer could hard-code the batch size into reshapes.
    fold_batch_norm
        Fold normalisation into the convolution before it, as deployment exports do.
    output_name
        The name of the output, or those of a module that returns several.
    simplify
        Save through onnxruntime's basic optimisation level, which folds constants, merges padding into convolutions,
        and uses only standard operators.
    """
    module.eval()
    outputs = [output_name] if isinstance(output_name, str) else output_name
    with warnings.catch_warnings():
        # The tracing exporter is deprecated, but its successor writes local paths into the file.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=[input_name],
            output_names=outputs,
            dynamic_axes={name: {0: "N"} for name in (input_name, *outputs)},
            training=torch.onnx.TrainingMode.EVAL if fold_batch_norm else torch.onnx.TrainingMode.PRESERVE,
        )
    if simplify:
        save_through_onnxruntime(path)
    finish(path)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        for batch in (example[:1], example, torch.cat([example, example[:1]])):
            expected = module(batch)
            several = [expected] if isinstance(expected, torch.Tensor) else expected
            for found, one in zip(session.run(None, {input_name: batch.numpy()}), several, strict=True):
                np.testing.assert_allclose(found, one.numpy(), rtol=1e-3, atol=1e-4)


def save_through_onnxruntime(path: Path) -> None:
    """Replace the file with onnxruntime's basic optimisation of it, and check that the outputs stay the same."""
    quiet = ort.SessionOptions()
    quiet.log_severity_level = 3
    plain = ort.InferenceSession(path, quiet, providers=["CPUExecutionProvider"])
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / path.name
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(target)
        basic = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (entry,) = plain.get_inputs()
        x = np.random.default_rng(0).standard_normal((2, *entry.shape[1:])).astype(np.float32)
        before, after = plain.run(None, {entry.name: x}), basic.run(None, {entry.name: x})
        worst = max(float(np.abs(a - b).max()) for a, b in zip(before, after, strict=True))
        if worst > 1e-5:
            raise RuntimeError(f"{path.name} changed by {worst} when saved through onnxruntime.")
        print(f"{path.name}: largest difference after simplification {worst:.2g}")
        path.write_bytes(target.read_bytes())


def finish(path: Path) -> None:
    """Check the file with onnx, drop unused opset imports, and print nodes, size and sha256."""
    model = onnx.load(path)
    used = {node.domain for node in model.graph.node}
    # sorted, because skl2onnx writes them in the order of a set of strings, which differs from run to run
    kept = sorted((entry for entry in model.opset_import if entry.domain in used), key=lambda entry: entry.domain)
    del model.opset_import[:]
    model.opset_import.extend(kept)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"{path.name}: {len(model.graph.node)} nodes, {path.stat().st_size} bytes, sha256 {digest}")
