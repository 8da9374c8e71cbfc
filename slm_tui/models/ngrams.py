"""Embeddings of n-grams: what the last few tokens say together, without any layer.

Each order has a table of `rows` embeddings; an n-gram has the row that its hash names, so two of
them may share one. Tables cost memory but no products, so that a small model learns in a few
steps which token usually follows the last two to four.

Sources: hash embeddings of byte n-grams in Pagnoni et al. 2024 (arXiv:2412.09871), of tokens in
Huang et al. 2025 (arXiv:2501.16975).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Where there is no token: before the first of a text. Tokens are counted from 1 here.
_NONE = 0
# 2^64 divided by the golden ratio, as a signed odd number: Knuth's multiplicative hash.
_MIX = -7_046_029_254_386_353_131
# The low bits of a product depend on few bits of the factors.
_LOW_BITS = 20


class NgramEmbeddings(nn.Module):
    """One table for each of the orders 2 to `order`.

    Args:
        order: tokens in the longest n-gram, at least 2.
        rows: embeddings in each table.
        width: channels of an embedding.
    """

    def __init__(self, order: int, rows: int, n_vocab: int, width: int) -> None:
        super().__init__()
        self.order, self.rows, self.n_vocab = order, rows, n_vocab
        self.tables = nn.ParameterList(
            nn.Parameter(torch.empty(rows, width)) for _ in range(order - 1)
        )

    def start(self, batch: int, device: torch.device) -> Tensor:
        """The tokens before a text: none, `(batch, order - 1)`."""
        return torch.full((batch, self.order - 1), _NONE, dtype=torch.int64, device=device)

    def forward(self, ids: Tensor, before: Tensor | None = None) -> Tensor:
        """The sum over all orders: `(batch, time, width)`.

        Args:
            ids: `(batch, time)`.
            before: from `start` or `extended`; `None` at the beginning of texts.
        """
        if before is None:
            before = self.start(len(ids), ids.device)
        tokens = torch.cat((before, ids + 1), 1)
        time, code = ids.shape[1], ids + 1
        total: Tensor | None = None
        for back, table in enumerate(self.tables, 1):
            first = self.order - 1 - back
            code = code * (self.n_vocab + 1) + tokens[:, first : first + time]
            embedded = F.embedding(self._row(code, back + 1), table)
            total = embedded if total is None else total + embedded
        assert total is not None
        return total

    def extended(self, before: Tensor, ids: Tensor, lengths: list[int]) -> Tensor:
        """The tokens before the next one, after the first `lengths[text]` of `ids`."""
        tokens = torch.cat((before, ids + 1), 1)
        places = torch.tensor(lengths, device=ids.device)[:, None]
        return tokens.gather(1, places + torch.arange(self.order - 1, device=ids.device))

    def _row(self, code: Tensor, order: int) -> Tensor:
        """The row of each n-gram; all have their own if there are enough rows."""
        if (self.n_vocab + 1) ** order > self.rows:
            code = (code * _MIX) >> _LOW_BITS
        return code.remainder(self.rows)
