"""The plain loop: how a typical teaching trainer trains a GPT. The base of the ratios.

It is deliberately ordinary: windows sliced one by one, all logits in the loss, torch's own AdamW,
one line printed at every step.

    python -m tests.benchmarks.plain_loop SIZE TOKENS.bin WARMUP_SECONDS SECONDS
"""

import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.benchmarks.figures import rate_of
from tests.benchmarks.sizes import SIZES, THREADS


class Shape(NamedTuple):
    """A model and its batch, in the order of the sizes."""

    n_vocab: int
    n_embd: int
    n_layer: int
    n_head: int
    block_size: int
    batch: int


class Attention(nn.Module):
    def __init__(self, n_embd: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.qkv = nn.Linear(n_embd, 3 * n_embd)
        self.output = nn.Linear(n_embd, n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, time, n_embd)` to the same."""
        batch, time_, width = x.shape
        split = (batch, time_, self.n_head, width // self.n_head)
        q, k, v = (part.view(split).transpose(1, 2) for part in self.qkv(x).split(width, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.output(y.transpose(1, 2).contiguous().view(batch, time_, width))
        return out


class Block(nn.Module):
    def __init__(self, n_embd: int, n_head: int) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(n_embd)
        self.attention = Attention(n_embd, n_head)
        self.norm_2 = nn.LayerNorm(n_embd)
        self.mlp = nn.Sequential(
            nn.Linear(n_embd, 4 * n_embd), nn.GELU(), nn.Linear(4 * n_embd, n_embd)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm_1(x))
        out: Tensor = x + self.mlp(self.norm_2(x))
        return out


class PlainGpt(nn.Module):
    """Learned positions, LayerNorm, GELU, biases, tied head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        n_vocab, n_embd, n_layer, n_head, block_size, _ = shape
        self.tokens = nn.Embedding(n_vocab, n_embd)
        self.positions = nn.Embedding(block_size, n_embd)
        self.blocks = nn.ModuleList(Block(n_embd, n_head) for _ in range(n_layer))
        self.norm = nn.LayerNorm(n_embd)
        self.head = nn.Linear(n_embd, n_vocab, bias=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, 0.0, 0.02)
        self.head.weight = self.tokens.weight

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Mean loss in nats of `(batch, time)`."""
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def train(size: str, tokens: Path, warmup: float, seconds: float) -> float:
    """Train for `warmup` and then `seconds` seconds; return the `rate_of` the latter's steps."""
    torch.manual_seed(42)
    torch.set_num_threads(THREADS)
    *_, block_size, batch = SIZES[size]
    data = np.memmap(tokens, dtype=np.uint16, mode="r")
    model = PlainGpt(Shape(*SIZES[size]))
    matrices = [one for one in model.parameters() if one.dim() > 1]
    vectors = [one for one in model.parameters() if one.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=1e-3,
    )
    began = time.monotonic()
    steps, marks = 0, [began]
    while True:
        starts = torch.randint(len(data) - block_size - 1, (batch,)).tolist()
        ids = torch.stack(
            [torch.from_numpy(data[at : at + block_size].astype(np.int64)) for at in starts]
        )
        targets = torch.stack(
            [torch.from_numpy(data[at + 1 : at + 1 + block_size].astype(np.int64)) for at in starts]
        )
        loss = model(ids, targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1
        now = time.monotonic()
        print(f"step {steps}: loss {loss.item():.4f}, {now - began:.1f} s", file=sys.stderr)
        marks.append(now)
        if now - began >= warmup + seconds:
            return rate_of([mark for mark in marks if mark - began >= warmup], batch * block_size)


if __name__ == "__main__":
    print(train(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
