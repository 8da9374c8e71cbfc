"""GPT: a pre-norm transformer decoder.

The defaults are those of GPT-2; RoPE, RMSNorm, QK-norm, ReLU², SwiGLU and
zero-initialised output projections are options of the same block. Differences from GPT-2:
weights come from one generator, so that they depend only on the seed; and the KV cache is a plain
tensor per layer, filled in place.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slm_tui.config.models.gpt import GptModel
from slm_tui.models.base import LanguageModel, Loss
from slm_tui.models.head_loss import head_loss
from slm_tui.models.ngrams import NgramEmbeddings


@dataclass
class KvCache:
    """Keys and values of every layer: `(layer, 2, batch, head, block_size, head_width)`.

    The first `lengths[text]` positions of a text are filled. `before` are the tokens before the
    next one, for embeddings of n-grams.
    """

    tensor: Tensor
    lengths: list[int]
    before: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """See `State.nbytes`."""
        return self.tensor.nbytes

    def take(self, texts: Sequence[int]) -> "KvCache":
        """See `State.take`."""
        before = None if self.before is None else self.before[list(texts)]
        lengths = [self.lengths[text] for text in texts]
        return KvCache(self.tensor[:, :, list(texts)], lengths, before)

    def joined(self, other: "KvCache") -> "KvCache":
        """See `State.joined`."""
        before = None
        if self.before is not None and other.before is not None:
            before = torch.cat((self.before, other.before))
        tensor = torch.cat((self.tensor, other.tensor), 2)
        return KvCache(tensor, self.lengths + other.lengths, before)


class CachePositions:
    """Cache positions of the next tokens in a ragged batch.

    Args:
        begins: tokens that each text already has, int64 `(batch, 1)`.
        time: tokens added to each.
        longest: cached tokens to attend to, at least those of the longest text.
    """

    def __init__(self, begins: Tensor, time: int, longest: int) -> None:
        self.longest = longest
        self.texts = torch.arange(len(begins), device=begins.device)[:, None]
        # (batch, time)
        self.positions = begins + torch.arange(time, device=begins.device)
        keys = torch.arange(longest, device=begins.device)
        # (batch, 1, time, longest): a token sees those before it, and itself.
        self.mask = (keys <= self.positions[:, :, None])[:, None]

    @classmethod
    def of(cls, lengths: Sequence[int], time: int, device: torch.device) -> "CachePositions":
        """Those after texts of these lengths."""
        return cls(torch.tensor(lengths, device=device)[:, None], time, max(lengths) + time)


class Norm(nn.Module):
    """LayerNorm with an optional bias, or RMSNorm, over the last axis."""

    def __init__(self, width: int, kind: str, bias: bool, eps: float) -> None:
        super().__init__()
        self.kind = kind
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias and kind == "layernorm" else None

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "rmsnorm":
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


def norm_of(config: GptModel) -> Norm:
    """A norm over the width of the network."""
    return Norm(config.n_embd, config.norm, config.bias, config.norm_eps)


class Attention(nn.Module):
    """Causal multi-head self-attention."""

    def __init__(self, config: GptModel) -> None:
        super().__init__()
        self.n_head, self.n_kv_head = config.n_head, config.heads_of_keys
        self.head_width = config.width_of_head
        self.qk_norm, self.qk_norm_eps = config.qk_norm, config.epsilon_of_qk_norm
        self.dropout = config.dropout
        queries, keys = (self.head_width * heads for heads in (self.n_head, self.n_kv_head))
        self.qkv = nn.Linear(config.n_embd, queries + 2 * keys, bias=config.bias)
        self.projection = nn.Linear(queries, config.n_embd, bias=config.bias)
        if config.qk_norm_weights:
            self.query_norm = Norm(self.head_width, "rmsnorm", False, config.epsilon_of_qk_norm)
            self.key_norm = Norm(self.head_width, "rmsnorm", False, config.epsilon_of_qk_norm)

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor] | None,
        cache: Tensor | None,
        start: int | CachePositions,
        value: Tensor | None = None,
    ) -> Tensor:
        """`x` is `(batch, time, n_embd)`; `cache` is `(2, batch, n_kv_head, block_size, width)`.
        `value`, `(batch, time, n_kv_head * width)`, is added to the values.

        `start` is the number of tokens that the texts already have, or the cache positions if
        these numbers differ.
        """
        batch, time, _ = x.shape
        q, k, v = self._projected(x)
        if value is not None:
            # (batch, head, time, head_width)
            v = v + value.view(batch, time, -1, self.head_width).transpose(1, 2)
        if self.qk_norm:
            q, k = self._normalised(q, k)
        if rotary is not None:
            q, k = rotate(q, *rotary), rotate(k, *rotary)
        if cache is not None:
            k, v = _extended(cache, k, v, start)
        y = self._attend(q, *self._for_every_query(k, v), start)
        y = self.projection(y.transpose(1, 2).reshape(batch, time, -1))
        return F.dropout(y, self.dropout, self.training) if self.dropout else y

    def _projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries `(batch, n_head, time, head_width)`; keys and values with `n_kv_head`."""
        batch, time, _ = x.shape
        heads = (self.n_head, self.n_kv_head, self.n_kv_head)
        joined = self.qkv(x).view(batch, time, sum(heads), self.head_width)
        q, k, v = joined.split(heads, 2)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def _normalised(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Source: Henry et al. 2020 (arXiv:2010.04245), with RMSNorm."""
        if hasattr(self, "query_norm"):
            return self.query_norm(q), self.key_norm(k)
        shape, eps = (self.head_width,), self.qk_norm_eps
        return F.rms_norm(q, shape, None, eps), F.rms_norm(k, shape, None, eps)

    def _for_every_query(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of every query head: a group shares one (arXiv:2305.13245)."""
        group = self.n_head // self.n_kv_head
        if group == 1:
            return k, v
        return k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, start: int | CachePositions) -> Tensor:
        time = q.shape[2]
        dropout = self.dropout if self.training else 0.0
        if q.is_cpu and torch.is_autocast_enabled("cpu"):
            # torch's attention on CPUs is several times slower in bf16 than in fp32. Rotated
            # queries are already fp32, and autocast would cast them back.
            with torch.autocast(q.device.type, enabled=False):
                return self._attend(q.float(), k.float(), v.float(), start)
        if not isinstance(start, int):
            return F.scaled_dot_product_attention(q, k, v, attn_mask=start.mask)
        if start == 0:
            return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        if time == 1:
            return F.scaled_dot_product_attention(q, k, v)
        # A prompt appended to a cache: position i of it sees start + i + 1 keys.
        mask = torch.ones(time, start + time, dtype=torch.bool, device=q.device).tril(start)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def _extended(
    cache: Tensor, k: Tensor, v: Tensor, start: int | CachePositions
) -> tuple[Tensor, Tensor]:
    """Write new keys and values into a layer's cache; return all up to the new ones."""
    if isinstance(start, int):
        end = start + k.shape[2]
        cache[0, :, :, start:end] = k
        cache[1, :, :, start:end] = v
        return cache[0, :, :, :end], cache[1, :, :, :end]
    # (batch, time, head, head_width): indices separated by a slice come first.
    cache[0][start.texts, :, start.positions] = k.transpose(1, 2)
    cache[1][start.texts, :, start.positions] = v.transpose(1, 2)
    return cache[0, :, :, : start.longest], cache[1, :, :, : start.longest]


class FeedForward(nn.Module):
    """The position-wise network: GELU, squared ReLU (So et al. 2021) or SwiGLU (Shazeer 2020)."""

    def __init__(self, config: GptModel) -> None:
        super().__init__()
        inner = config.feed_forward_width
        self.activation = config.activation
        self.dropout = config.dropout
        self.expand = nn.Linear(config.n_embd, inner, bias=config.bias)
        if config.activation == "swiglu":
            self.gate = nn.Linear(config.n_embd, inner, bias=config.bias)
        self.projection = nn.Linear(inner, config.n_embd, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.activation == "gelu":
            y = F.gelu(self.expand(x))
        elif self.activation == "gelu_tanh":
            y = F.gelu(self.expand(x), approximate="tanh")
        elif self.activation == "relu2":
            y = F.relu(self.expand(x)).square()
        else:
            y = F.silu(self.gate(x)) * self.expand(x)
        y = self.projection(y)
        return F.dropout(y, self.dropout, self.training) if self.dropout else y


class Block(nn.Module):
    """One layer: attention and feed-forward, each after a norm and added to its input."""

    def __init__(self, config: GptModel) -> None:
        super().__init__()
        self.attention_norm = norm_of(config)
        self.attention = Attention(config)
        self.feed_forward_norm = norm_of(config)
        self.feed_forward = FeedForward(config)

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor] | None = None,
        cache: Tensor | None = None,
        start: int | CachePositions = 0,
        value: Tensor | None = None,
    ) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rotary, cache, start, value)
        y: Tensor = x + self.feed_forward(self.feed_forward_norm(x))
        return y


class Gpt(LanguageModel):
    """The whole network."""

    def __init__(self, config: GptModel, n_vocab: int) -> None:
        super().__init__()
        self.config = config
        self.n_vocab = n_vocab
        self.block_size = config.block_size
        self.token_embedding = _embedding(n_vocab, config.n_embd)
        self.ngram_embeddings: NgramEmbeddings | None = None
        if config.ngram_order > 1:
            self.ngram_embeddings = NgramEmbeddings(
                config.ngram_order, config.ngram_rows, n_vocab, config.n_embd
            )
        # Added to the values of each layer: Jordan et al. 2024 (github.com/KellerJordan/
        # modded-nanogpt).
        values = config.heads_of_keys * config.width_of_head
        self.value_embeddings = nn.ParameterList(
            nn.Parameter(torch.empty(n_vocab, values))
            for _ in range(config.n_layer if config.value_embeddings else 0)
        )
        if config.position == "learned":
            self.position_embedding = _embedding(config.block_size, config.n_embd)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.final_norm = norm_of(config)
        if not config.tie_weights:
            self.head = nn.Linear(config.n_embd, n_vocab, bias=False)
        self._rotary: tuple[Tensor, Tensor] | None = None

    def initialize(self, generator: torch.Generator) -> None:
        """GPT-2's initialisation: normal, 0.02; output projections scaled by 1/sqrt(2 layers)."""
        scale = 0.0 if self.config.zero_init else 1 / math.sqrt(2 * self.config.n_layer)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.dim() < 2:
                    parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
                    continue
                drawn = torch.empty(parameter.shape).normal_(0.0, 0.02, generator=generator)
                parameter.copy_(drawn * scale if name.endswith("projection.weight") else drawn)

    def forward(self, ids: Tensor) -> Tensor:
        return self._logits(self._hidden(ids, None, 0))

    def loss(self, ids: Tensor, targets: Tensor) -> Loss:
        hidden = self._hidden(ids, None, 0).flatten(0, 1)
        entropy = head_loss(hidden, self._head, targets.reshape(-1))
        return Loss(entropy, entropy)

    def start(self, batch: int) -> KvCache:
        config = self.config
        shape = (config.n_layer, 2, batch, config.heads_of_keys, config.block_size)
        weight = self.token_embedding.weight
        cache = torch.zeros(*shape, config.width_of_head, dtype=weight.dtype, device=weight.device)
        ngrams = self.ngram_embeddings
        before = None if ngrams is None else ngrams.start(batch, weight.device)
        return KvCache(cache, [0] * batch, before)

    def step(self, ids: Tensor, state: KvCache, lengths: Sequence[int] | None = None) -> Tensor:
        """See `LanguageModel.step`.

        Raises:
            ValueError: the texts would become longer than the context.
        """
        batch, time = ids.shape
        longest = max(state.lengths)
        if longest + time > self.block_size:
            raise ValueError(f"{longest + time} tokens exceed {self.block_size}")
        alike = longest == min(state.lengths)
        start = longest if alike else CachePositions.of(state.lengths, time, ids.device)
        x = self._hidden(ids, state.tensor, start, state.before)
        new = [time] * batch if lengths is None else list(lengths)
        if self.ngram_embeddings is not None and state.before is not None:
            state.before = self.ngram_embeddings.extended(state.before, ids, new)
        # Padding in the cache lies past the end of its text and is overwritten later.
        state.lengths = [old + more for old, more in zip(state.lengths, new, strict=True)]
        if lengths is None:
            return self._logits(x[:, -1])
        last = torch.tensor(lengths, device=x.device) - 1
        return self._logits(x[torch.arange(batch, device=x.device), last])

    def next_logits(self, ids: Tensor, state: KvCache, begins: Tensor, longest: int) -> Tensor:
        """`step` with one token for each text, in operations that depend on no value on the host.

        Args:
            ids: `(batch, 1)`.
            state: changed in place, but for `lengths`, which are not read either.
            begins: tokens that each text already has, int64 `(batch, 1)`.
            longest: cached tokens to attend to, more than any text has.
        """
        places = CachePositions(begins, 1, longest)
        x = self._hidden(ids, state.tensor, places, state.before)
        if state.before is not None:
            state.before.copy_(torch.cat((state.before, ids + 1), 1)[:, 1:])
        return self._logits(x[:, -1])

    def _hidden(
        self,
        ids: Tensor,
        cache: Tensor | None,
        start: int | CachePositions,
        before: Tensor | None = None,
    ) -> Tensor:
        """Activations after the final norm: `(batch, time, n_embd)`."""
        time = ids.shape[1]
        x = F.embedding(ids, self.token_embedding.weight)
        if self.ngram_embeddings is not None:
            x = x + self.ngram_embeddings(ids, before)
        places = slice(start, start + time) if isinstance(start, int) else start.positions
        rotary = None
        if self.config.position == "learned":
            x = x + self.position_embedding.weight[places]
        else:
            cos, sin = self._angles(x)
            rotary = cos[places], sin[places]
            if not isinstance(start, int):
                # All heads of a text rotate by the same angles.
                rotary = rotary[0][:, None], rotary[1][:, None]
        if self.config.dropout and self.training:
            x = F.dropout(x, self.config.dropout)
        for index, block in enumerate(self.blocks):
            value = None
            if self.config.value_embeddings:
                value = F.embedding(ids, self.value_embeddings[index])
            x = block(x, rotary, None if cache is None else cache[index], start, value)
        normed: Tensor = self.final_norm(x)
        return normed

    @property
    def _head(self) -> Tensor:
        """`(n_vocab, n_embd)`."""
        return self.token_embedding.weight if self.config.tie_weights else self.head.weight

    def _logits(self, x: Tensor) -> Tensor:
        return F.linear(x, self._head)

    def _angles(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept = self._rotary
        if kept is None or kept[0].device != x.device or kept[0].dtype != x.dtype:
            width, base = self.config.width_of_head, self.config.rope_base
            # A tensor created in inference mode could not be used in training later.
            with torch.inference_mode(False):
                kept = rotary_angles(self.block_size, width, x.device, x.dtype, base)
            self._rotary = kept
        return kept


def _embedding(rows: int, width: int) -> nn.Embedding:
    """An uninitialised layer; torch's own way on the meta device imports its compiler."""
    unset = torch.empty(rows, width)
    made: nn.Embedding = nn.Embedding.from_pretrained(unset, freeze=False)  # type: ignore[no-untyped-call]
    return made


def rotary_angles(
    time: int, width: int, device: torch.device, dtype: torch.dtype, base: float = 10_000.0
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of rotary positions, each `(time, width / 2)`.

    Source: Su et al. 2021 (arXiv:2104.09864).
    """
    rates = base ** (-torch.arange(0, width, 2, device=device, dtype=torch.float32) / width)
    angles = torch.arange(time, device=device, dtype=torch.float32)[:, None] * rates
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the halves of the last axis of `x` `(batch, head, time, width)` by their angles."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)
