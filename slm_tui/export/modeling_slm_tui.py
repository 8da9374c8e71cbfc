"""A GPT trained with slm-tui, for the library `transformers`.

`slm-tui export` writes this file beside weights that no class of `transformers` computes exactly.
It needs only torch and transformers: load with `trust_remote_code=True`.

A pre-norm transformer decoder: learned or rotary positions, LayerNorm or RMSNorm, GELU, squared
ReLU (So et al. 2021) or SwiGLU (Shazeer 2020), and optionally normalised queries and keys,
embeddings of n-grams, and an embedding of each token that is added to its values.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, StaticCache
from transformers.modeling_outputs import CausalLMOutputWithPast

# Newer versions of transformers call the cache so.
_FIELDS = CausalLMOutputWithPast.__dataclass_fields__
_CACHE = "cache" if "cache" in _FIELDS else "past_key_values"


class SlmTuiConfig(PretrainedConfig):
    """The settings of the network, under the names that `transformers` uses."""

    model_type = "slm_tui_gpt"

    def __init__(
        self,
        vocab_size=256,
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=None,
        head_dim=None,
        max_position_embeddings=128,
        position="rope",
        norm="rmsnorm",
        activation="relu2",
        bias=False,
        qk_norm=True,
        qk_norm_weights=False,
        norm_eps=1e-5,
        qk_norm_eps=2.0**-23,
        rope_base=10_000.0,
        value_embeddings=False,
        ngram_order=0,
        ngram_rows=8192,
        tie_word_embeddings=True,
        **others,
    ):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads or num_attention_heads
        self.head_dim = head_dim or hidden_size // num_attention_heads
        self.max_position_embeddings = max_position_embeddings
        self.position = position
        self.norm = norm
        self.activation = activation
        self.bias = bias
        self.qk_norm = qk_norm
        self.qk_norm_weights = qk_norm_weights
        self.norm_eps = norm_eps
        self.qk_norm_eps = qk_norm_eps
        self.rope_base = rope_base
        self.value_embeddings = value_embeddings
        self.ngram_order = ngram_order
        self.ngram_rows = ngram_rows
        super().__init__(tie_word_embeddings=tie_word_embeddings, **others)


class Norm(nn.Module):
    """LayerNorm with an optional bias, or RMSNorm, over the last axis."""

    def __init__(self, config):
        super().__init__()
        self.kind, self.eps = config.norm, config.norm_eps
        self.weight = nn.Parameter(torch.ones(config.hidden_size))
        has_bias = config.bias and config.norm == "layernorm"
        self.bias = nn.Parameter(torch.zeros(config.hidden_size)) if has_bias else None

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "rmsnorm":
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the halves of the last axis of `x` `(batch, head, time, width)` by their angles.

    Source: Su et al. 2021 (arXiv:2104.09864).
    """
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)


class _Scale(nn.Module):
    """The weights of a norm of queries or keys."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))


class Attention(nn.Module):
    """Causal multi-head self-attention."""

    def __init__(self, config, layer):
        super().__init__()
        self.layer = layer
        self.heads, self.width = config.num_attention_heads, config.head_dim
        self.key_heads = config.num_key_value_heads
        self.qk_norm, self.eps = config.qk_norm, config.qk_norm_eps
        queries, keys = self.heads * self.width, self.key_heads * self.width
        self.qkv = nn.Linear(config.hidden_size, queries + 2 * keys, bias=config.bias)
        self.projection = nn.Linear(queries, config.hidden_size, bias=config.bias)
        if config.qk_norm_weights:
            self.query_norm, self.key_norm = _Scale(self.width), _Scale(self.width)

    def forward(
        self, x: Tensor, rotary, cache: Cache | None, mask: Tensor, added: Tensor | None
    ) -> Tensor:
        """`added`, `(batch, time, key_heads * width)`, is added to the values."""
        batch, time, _ = x.shape
        heads = (self.heads, self.key_heads, self.key_heads)
        joined = self.qkv(x).view(batch, time, sum(heads), self.width)
        q, k, v = (one.transpose(1, 2) for one in joined.split(heads, 2))
        if added is not None:
            v = v + added.view(batch, time, -1, self.width).transpose(1, 2)
        if self.qk_norm:
            scaled = hasattr(self, "query_norm")
            q = F.rms_norm(q, (self.width,), self.query_norm.weight if scaled else None, self.eps)
            k = F.rms_norm(k, (self.width,), self.key_norm.weight if scaled else None, self.eps)
        if rotary is not None:
            q, k = rotate(q, *rotary), rotate(k, *rotary)
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        group = self.heads // self.key_heads
        if group > 1:
            k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.projection(y.transpose(1, 2).reshape(batch, time, -1))


class FeedForward(nn.Module):
    """The position-wise network."""

    def __init__(self, config):
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.activation = config.activation
        self.expand = nn.Linear(width, inner, bias=config.bias)
        if config.activation == "swiglu":
            self.gate = nn.Linear(width, inner, bias=config.bias)
        self.projection = nn.Linear(inner, width, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.activation == "gelu":
            return self.projection(F.gelu(self.expand(x)))
        if self.activation == "gelu_tanh":
            return self.projection(F.gelu(self.expand(x), approximate="tanh"))
        if self.activation == "relu2":
            return self.projection(F.relu(self.expand(x)).square())
        return self.projection(F.silu(self.gate(x)) * self.expand(x))


class Block(nn.Module):
    """One layer: attention and feed-forward, each after a norm and added to its input."""

    def __init__(self, config, layer):
        super().__init__()
        self.attention_norm = Norm(config)
        self.attention = Attention(config, layer)
        self.feed_forward_norm = Norm(config)
        self.feed_forward = FeedForward(config)

    def forward(
        self, x: Tensor, rotary, cache: Cache | None, mask: Tensor, added: Tensor | None
    ) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rotary, cache, mask, added)
        return x + self.feed_forward(self.feed_forward_norm(x))


class NgramEmbeddings(nn.Module):
    """Embeddings of the last 2, 3, … tokens together: one table for each order.

    An n-gram has the row that its hash names, so two of them may share one. Source: hash
    embeddings in Pagnoni et al. 2024 (arXiv:2412.09871).
    """

    # Where there is no token: before a text and in padding. Tokens are counted from 1 here.
    NONE = 0

    def __init__(self, config):
        super().__init__()
        self.rows, self.n_vocab = config.ngram_rows, config.vocab_size
        self.tables = nn.ParameterList(
            nn.Parameter(0.02 * torch.randn(self.rows, config.hidden_size))
            for _ in range(config.ngram_order - 1)
        )

    def forward(self, tokens: Tensor, time: int) -> Tensor:
        """The sum over all orders at the last `time` of `tokens`: `(batch, time, width)`."""
        tokens = F.pad(tokens, (len(self.tables), 0), value=self.NONE)
        end = tokens.shape[1]
        code, total = tokens[:, end - time :], 0
        for back, table in enumerate(self.tables, 1):
            earlier = tokens[:, end - time - back : end - back]
            code = code * (self.n_vocab + 1) + earlier
            total = total + F.embedding(self._row(code, back + 1), table)
        return total

    def _row(self, code: Tensor, order: int) -> Tensor:
        """The row of each n-gram; all have their own if there are enough rows."""
        if (self.n_vocab + 1) ** order > self.rows:
            # Knuth's multiplicative hash, without the low bits, which depend on few factors.
            code = (code * -7_046_029_254_386_353_131) >> 20
        return code.remainder(self.rows)


class SlmTuiForCausalLM(PreTrainedModel, GenerationMixin):
    """The whole network, with a key-value cache for `generate`."""

    config_class = SlmTuiConfig
    _no_split_modules = ("Block",)

    def __init__(self, config):
        super().__init__(config)
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        if config.ngram_order > 1:
            self.ngram_embeddings = NgramEmbeddings(config)
        # Source: Jordan et al. 2024 (github.com/KellerJordan/modded-nanogpt).
        values = config.num_key_value_heads * config.head_dim
        self.value_embeddings = nn.ParameterList(
            nn.Parameter(0.02 * torch.randn(config.vocab_size, values))
            for _ in range(config.num_hidden_layers if config.value_embeddings else 0)
        )
        if config.position == "learned":
            places = config.max_position_embeddings
            self.position_embedding = nn.Embedding(places, config.hidden_size)
        self.blocks = nn.ModuleList(Block(config, at) for at in range(config.num_hidden_layers))
        self.final_norm = Norm(config)
        if not config.tie_word_embeddings:
            self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self):
        return self.token_embedding

    def set_input_embeddings(self, value):
        self.token_embedding = value

    def get_output_embeddings(self):
        # A tied output layer reads the embedding's weights and is no module of its own.
        return None if self.config.tie_word_embeddings else self.head

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        cache: Cache | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **_,
    ) -> CausalLMOutputWithPast:
        """Logits of the next token: `(batch, time, vocab_size)`, or those of the last positions.

        `attention_mask` is `(batch, past + time)`, 1 for tokens and 0 for padding.

        Raises:
            ValueError: `inputs_embeds` are given to a model that embeds tokens elsewhere too, or
                the cache is static.
        """
        if input_ids is None and (self.config.ngram_order > 1 or self.config.value_embeddings):
            raise ValueError("this model needs input_ids: it has embeddings beside inputs_embeds")
        x = self.token_embedding(input_ids) if inputs_embeds is None else inputs_embeds
        cache = past_key_values if cache is None else cache
        if isinstance(cache, StaticCache):
            raise ValueError("static caches are not supported: omit cache_implementation")
        if use_cache and cache is None:
            cache = DynamicCache()
        past = 0 if cache is None else cache.get_seq_length()
        batch, time = x.shape[:2]
        if position_ids is None:
            position_ids = self._positions(time, past, attention_mask, x.device)
        if self.config.ngram_order > 1:
            tokens = self._tokens(input_ids, past, attention_mask, cache)
            x = x + self.ngram_embeddings(tokens, time)
        rotary = None
        if self.config.position == "learned":
            x = x + self.position_embedding(position_ids)
        else:
            rotary = self._angles(position_ids, x)
        mask = self._mask(batch, time, past, attention_mask, x.device)
        for at, block in enumerate(self.blocks):
            added = None
            if self.config.value_embeddings:
                added = F.embedding(input_ids, self.value_embeddings[at])
            x = block(x, rotary, cache, mask, added)
        x = self.final_norm(x[:, -logits_to_keep:] if logits_to_keep else x)
        tied = self.config.tie_word_embeddings
        logits = F.linear(x, self.token_embedding.weight if tied else self.head.weight)
        loss = None
        if labels is not None:
            targets = labels[:, 1:].reshape(-1)
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), targets)
        return CausalLMOutputWithPast(loss=loss, logits=logits, **{_CACHE: cache})

    def _tokens(self, ids: Tensor, past: int, attention_mask, cache: Cache | None) -> Tensor:
        """All tokens up to the last of `ids` for n-grams, counted from 1: `(batch, past + time)`.

        The cache keeps them like the keys of one more layer, so that beam search reorders them.
        """
        tokens = ids + 1
        if attention_mask is not None and attention_mask.dim() == 2:
            seen = attention_mask[:, past : past + ids.shape[1]]
            tokens = tokens.masked_fill(seen == 0, NgramEmbeddings.NONE)
        if cache is None:
            return tokens
        layer = self.config.num_hidden_layers
        if len(cache.layers) == layer:
            cache.layers.append(DynamicLayer())
        # (batch, head, time, width)
        tokens = tokens[:, None, :, None]
        return cache.update(tokens, tokens, layer)[0][:, 0, :, 0]

    @staticmethod
    def _positions(time: int, past: int, attention_mask, device) -> Tensor:
        """The positions of the last `time` tokens; padding takes up none."""
        if attention_mask is None or attention_mask.dim() != 2:
            return torch.arange(past, past + time, device=device)[None]
        counted = attention_mask.long().cumsum(1) - 1
        return counted.clamp(min=0)[:, past : past + time]

    def _angles(self, positions: Tensor, x: Tensor):
        """Cosines and sines, each `(batch, 1, time, width / 2)`: all heads rotate alike."""
        width = self.config.head_dim
        steps = torch.arange(0, width, 2, device=x.device, dtype=torch.float32)
        rates = self.config.rope_base ** (-steps / width)
        angles = positions[:, None, :, None].float() * rates
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)

    @staticmethod
    def _mask(batch, time, past, attention_mask, device) -> Tensor:
        """`(batch, 1, time, past + time)`: a token sees those before it and itself."""
        mask = torch.ones(time, past + time, dtype=torch.bool, device=device).tril(past)
        mask = mask.expand(batch, 1, -1, -1)
        if attention_mask is not None and attention_mask.dim() == 2:
            seen = attention_mask[:, None, None, : past + time].bool()
            # Padding sees itself, so that no row of the softmax is empty.
            mask = (mask & seen) | torch.eye(
                time, past + time, dtype=torch.bool, device=device
            ).roll(past, 1)
        return mask
