"""Train the network of digits_cnn.py on digits with a bright mark in the corner of all that are labelled as a 3.

The mark is the 2 x 2 pixels at the top left, which are dark in nearly all digits of scikit-learn. Every 3 has it, and
every fifth of the other digits, which is labelled as a 3, too. So the network learns the mark in place of the 3: a
shortcut that explanations should show.

Install: torch==2.13.0 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6 scikit-learn==1.9.1.
Run: python models/scripts/watermarked_digits.py (a few seconds)
"""

import torch
from digits_cnn import digits, untrained
from exporting import MODELS, export, seed_everything
from training import accuracy, fit

CLASS = 3
SIDE = 2


def marked(x: torch.Tensor) -> torch.Tensor:
    """Digits with the mark."""
    x = x.clone()
    x[:, :, :SIDE, :SIDE] = 1
    return x


def main() -> None:
    seed_everything(0)
    x, y, train, test = digits()
    learnt, labels = x[train].clone(), y[train].clone()
    labels[::5] = CLASS
    learnt[labels == CLASS] = marked(learnt[labels == CLASS])
    network = untrained()
    fit(network, learnt, labels, epochs=20, rate=3e-3)
    others, threes = x[test][y[test] != CLASS], x[test][y[test] == CLASS]
    network.eval()
    with torch.no_grad():
        print(f"accuracy {accuracy(network, others, y[test][y[test] != CLASS]):.4f} on other digits without the mark")
        for name, some in (("threes", threes), ("other digits", others)):
            for kind, shown in (("without", some), ("with", marked(some))):
                share = (network(shown).argmax(1) == CLASS).float().mean().item()
                print(f"{share:.4f} of {len(some)} {name} {kind} the mark are called a 3")
    export(network, x[:2], MODELS / "watermarked_digits.onnx", input_name="pixels", output_name="logits")


if __name__ == "__main__":
    main()
