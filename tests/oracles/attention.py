"""Attention rollout and relevance as in the papers: whole matrices, one sample and one head at a time."""

import numpy as np


def rollout(layers, heads="mean", discard=0.0):
    """Equation 1 of Abnar and Zuidema (arXiv:2005.00928): (T, T) of the attention (heads, T, T) of each layer."""
    tokens = layers[0].shape[-1]
    rolled = np.eye(tokens)
    for attention in layers:
        fused = np.zeros((tokens, tokens))
        for i in range(tokens):
            for j in range(tokens):
                fused[i, j] = {"mean": np.mean, "max": max, "min": min}[heads]([head[i, j] for head in attention])
        for number in np.argsort(fused, axis=None)[: int(discard * tokens**2)]:
            fused[np.unravel_index(number, fused.shape)] = 0
        mixed = fused + np.eye(tokens)
        rolled = np.diag(1 / mixed.sum(axis=1)) @ mixed @ rolled
    return rolled


def relevance(layers, slopes):
    """Equations 1, 5 and 6 of Chefer, Gur and Wolf (arXiv:2103.15679): R_L of attention and gradients."""
    tokens = layers[0].shape[-1]
    relevance = np.eye(tokens)
    for attention, slope in zip(layers, slopes, strict=True):
        kept = np.zeros((tokens, tokens))
        for head, downhill in zip(attention, slope, strict=True):
            kept += np.where(head * downhill > 0, head * downhill, 0)
        relevance = relevance + kept / len(attention) @ relevance
    return relevance


def encoder(x, weights, heads, shift=None):
    """A chain of attention layers with residual connections over x (T, D), and the attention of each layer.

    ``weights`` holds (query, key, value) of each layer; ``shift`` is added to the attention of each, (heads, T, T).
    """
    held = []
    for number, (query, key, value) in enumerate(weights):
        size = x.shape[1] // heads
        branch = np.zeros_like(x)
        attention = np.zeros((heads, len(x), len(x)))
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            scores = (x @ query)[:, own] @ (x @ key)[:, own].T
            shares = np.exp(scores - scores.max(axis=1, keepdims=True))
            attention[head] = shares / shares.sum(axis=1, keepdims=True)
        held.append(attention)
        used = attention if shift is None else attention + shift[number]
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            branch[:, own] = used[head] @ (x @ value)[:, own]
        x = x + branch
    return x, held
