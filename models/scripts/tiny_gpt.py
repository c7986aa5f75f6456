"""Train a GPT of two layers on made-up sentences, and export it with and without past keys and values.

The sentences say where people live, and which languages they speak, in another order, so that the answer is known:
in "Anna lives in Paris. Bert lives in Rome. Bert speaks" the next word is Italian because of Bert and Rome.

Install: torch==2.13.0 onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6 tokenizers==0.23.3.
Run: python models/scripts/tiny_gpt.py (about six minutes)
"""

import json
import warnings
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from exporting import MODELS, OPSET, finish, seed_everything
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn

NAMES = ["Anna", "Bert", "Clara", "David", "Emma", "Frank", "Grace", "Henry", "Irene", "James"]
LANGUAGES = {
    "Paris": "French",
    "Rome": "Italian",
    "Berlin": "German",
    "Madrid": "Spanish",
    "London": "English",
    "Tokyo": "Japanese",
    "Athens": "Greek",
    "Warsaw": "Polish",
}
VOCABULARY, LENGTH, WIDTH, HEADS, LAYERS = 420, 64, 64, 4, 2
STEPS, BATCH, RATE = 4000, 64, 3e-3
PAST = [f"past_key_values.{layer}.{part}" for layer in range(LAYERS) for part in ("key", "value")]
PRESENT = [f"present.{layer}.{part}" for layer in range(LAYERS) for part in ("key", "value")]


def sentences(rng: np.random.Generator) -> str:
    """Two people, where they live, and their languages in any order."""
    count = 2
    names = rng.choice(NAMES, count, replace=False)
    cities = rng.choice(list(LANGUAGES), count, replace=False)
    said = [f"{name} lives in {city}." for name, city in zip(names, cities, strict=True)]
    asked = [f"{names[one]} speaks {LANGUAGES[cities[one]]}." for one in rng.permutation(count)]
    return " ".join([*said, *asked])


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(
        self, x: torch.Tensor, bias: torch.Tensor, past: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        n, t, _ = x.shape
        q, k, v = self.qkv(self.before(x)).view(n, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        weights = torch.softmax(q @ k.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5 + bias, dim=-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, t, WIDTH))
        return x + self.narrow(nn.functional.gelu(self.wide(self.after(x)))), k, v


class Gpt(nn.Module):
    """Token ids, an attention mask and perhaps positions and past keys and values to logits (N, T, V)."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.places = nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor | None = None,
        *past: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        steps, keys = input_ids.shape[1], attention_mask.shape[1]
        if position_ids is None:
            position_ids = (attention_mask.cumsum(1) - 1).clamp(min=0)[:, -steps:]
        x = self.words(input_ids) + self.places(position_ids)
        at = torch.arange(keys)
        later = at[None, :] > at[keys - steps :, None]
        hidden = later[None, None] | (attention_mask[:, None, None, :] == 0)
        bias = hidden.to(x.dtype) * -1e4
        present: list[torch.Tensor] = []
        for number, block in enumerate(self.blocks):
            x, key, value = block(x, bias, (past[2 * number], past[2 * number + 1]) if past else None)
            present += [key, value]
        logits = self.norm(x) @ self.words.weight.T
        return (logits, *present) if past else (logits,)


def byte_pairs(texts: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def train(gpt: Gpt, encoded: list[list[int]], speaks: int) -> None:
    optimizer = torch.optim.AdamW(gpt.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    rng = np.random.default_rng(1)
    for step in range(STEPS):
        rows = [encoded[row] for row in rng.integers(len(encoded), size=BATCH)]
        longest = max(len(row) for row in rows)
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        (logits,) = gpt(ids, mask)
        wanted = torch.where(mask[:, 1:] == 1, ids[:, 1:], -100)
        each = nn.functional.cross_entropy(logits[:, :-1].reshape(-1, VOCABULARY), wanted.reshape(-1), reduction="none")
        # Few tokens can be known from others: the languages, after "speaks".
        weight = torch.where(ids[:, :-1] == speaks, 20.0, 1.0).reshape(-1)
        loss = (each * weight).sum() / weight.sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(gpt.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 250 == 249:
            print(f"step {step + 1}: loss {loss.item():.4f}", flush=True)


def export(gpt: Gpt, tokenizer: Tokenizer, name: str, with_past: bool) -> None:
    ids = torch.tensor([tokenizer.encode("Anna lives in Paris. Bert lives in Rome. Bert speaks").ids] * 2)
    mask = torch.ones_like(ids)
    inputs: tuple[torch.Tensor, ...] = (ids, mask)
    names, outputs = ["input_ids", "attention_mask"], ["logits"]
    axes: dict[str, dict[int, str]] = {
        "input_ids": {0: "batch_size", 1: "sequence_length"},
        "attention_mask": {0: "batch_size", 1: "total_sequence_length"},
        "logits": {0: "batch_size", 1: "sequence_length"},
    }
    if with_past:
        kept = torch.randn(2, HEADS, 3, WIDTH // HEADS)
        inputs = (
            ids,
            torch.ones(2, ids.shape[1] + 3, dtype=torch.int64),
            torch.arange(3, 3 + ids.shape[1]).expand(2, -1),
        )
        inputs += tuple(kept for _ in PAST)
        names, outputs = [*names, "position_ids", *PAST], [*outputs, *PRESENT]
        axes["position_ids"] = axes["input_ids"]
        axes |= {one: {0: "batch_size", 2: "past_sequence_length"} for one in PAST}
        axes |= {one: {0: "batch_size", 2: "total_sequence_length"} for one in PRESENT}
    else:
        axes["attention_mask"] = axes["input_ids"]
    path = MODELS / f"{name}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracing exporter, see exporting.py
        torch.onnx.export(
            gpt,
            inputs,
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=names,
            output_names=outputs,
            dynamic_axes=axes,
        )
    finish(path)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeds = dict(zip(names, (one.numpy() for one in inputs), strict=True))
    with torch.no_grad():
        wanted = gpt(*inputs)[0].numpy()
        np.testing.assert_allclose(session.run(["logits"], feeds)[0], wanted, rtol=1e-3, atol=1e-4)
        if with_past:
            feeds = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
            feeds["position_ids"] = np.tile(np.arange(ids.shape[1]), (2, 1))
            feeds |= {one: np.zeros((2, HEADS, 0, WIDTH // HEADS), np.float32) for one in PAST}
            found = session.run(["logits"], feeds)[0]
            np.testing.assert_allclose(found, gpt(ids, mask)[0].numpy(), rtol=1e-3, atol=1e-4)


def main() -> None:
    seed_everything(0)
    rng = np.random.default_rng(0)
    texts = [sentences(rng) for _ in range(20_000)]
    tokenizer = byte_pairs(texts)
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    gpt = Gpt()
    for table in (gpt.words, gpt.places):
        nn.init.normal_(table.weight, std=0.02)
    train(gpt, encoded, tokenizer.encode(" speaks").ids[0])
    gpt.eval()
    right, others = 0, [sentences(np.random.default_rng(10_000 + n)) for n in range(500)]
    with torch.no_grad():
        for text in others:
            prompt, answer = text.split(" speaks ")[0] + " speaks", text.split(" speaks ")[1].split(".")[0]
            ids = torch.tensor([tokenizer.encode(prompt).ids])
            first = tokenizer.encode(f" {answer}").ids[0]
            right += int(gpt(ids, torch.ones_like(ids))[0][0, -1].argmax()) == first
    print(f"the language is right in {right / len(others):.3f} of {len(others)} new texts")
    tokenizer.save(str(MODELS / "tiny_gpt.tokenizer.json"))
    for name, with_past in (("tiny_gpt", False), ("tiny_gpt_with_past", True)):
        export(gpt, tokenizer, name, with_past)
        spec = {"kind": "text", "name": "input_ids", "tokenizer": "tiny_gpt.tokenizer.json", "max_length": LENGTH}
        lines = ["[input]", *(f"{key} = {json.dumps(value)}" for key, value in spec.items())]
        lines += ["", "[output]", 'name = "logits"', 'activation = "logits"', ""]
        Path(MODELS / f"{name}.toml").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
