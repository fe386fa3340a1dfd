"""The work of one sentence: the ops of an early-exit encoder with their exact shapes.

    prologue:  embed -> norm [-> projection]                       once per sentence
    layer:     query, key, value -> scores -> softmax -> context -> output -> add -> norm
               -> ffn_in -> gelu -> ffn_out -> add -> norm
    exit:      head (pool [-> dense, tanh] -> classifier) -> decision   after every layer

Every op names the ops whose results it reads (`inputs`; "input" is the hidden state that enters the
group), so readers need no knowledge of transformers. Sentences are padded or cut to one `sequence_length`.
Not modelled: skipped padding, pruned heads, tokenisation, the host's transfer of token numbers.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from typing import TypeVar, assert_never

from hexit.quant.arrays import Integers
from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.errors import ConfigError

Count = TypeVar("Count", int, Integers)
GROUP_INPUT = "input"  # name under which an op reads the hidden state that enters its group


@dataclass(frozen=True, slots=True, kw_only=True)
class _Op:
    """What all ops share: a name, and sizes of at least 1."""

    name: str

    def __post_init__(self) -> None:
        """Reject empty operands."""
        for field in fields(self):
            size = getattr(self, field.name)
            if type(size) is int and size < 1:
                raise ConfigError(f"{self.name}.{field.name}", size, "must be at least 1", "Correct the size")


@dataclass(frozen=True, slots=True, kw_only=True)
class MatMul(_Op):
    """`count` independent products of an m x k by a k x n matrix (count > 1: one per attention head).

    `weights`: the right operand is stored weights with a bias; otherwise it is the result of `inputs[1]`,
    read as its transpose where `transposed` (the keys).
    """

    m: int
    k: int
    n: int
    count: int = 1
    weights: bool
    transposed: bool = False
    inputs: tuple[str, ...] = (GROUP_INPUT,)

    def __post_init__(self) -> None:
        """Reject empty products and operands that do not match `weights`."""
        _Op.__post_init__(self)
        if self.weights and (self.transposed or self.count > 1 or len(self.inputs) != 1):
            raise ConfigError(
                f"{self.name}.weights",
                self.weights,
                "takes one input, one product, no transpose",
                "Set weights to False",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Softmax(_Op):
    """Softmax over each row of `count` matrices of rows x columns."""

    rows: int
    columns: int
    count: int = 1
    inputs: tuple[str, ...] = (GROUP_INPUT,)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNorm(_Op):
    """Layer normalisation of each row, with a gain and a shift per column."""

    rows: int
    columns: int
    inputs: tuple[str, ...] = (GROUP_INPUT,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gelu(_Op):
    """GELU of every element."""

    rows: int
    columns: int
    inputs: tuple[str, ...] = (GROUP_INPUT,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(_Op):
    """Sum of two matrices, element by element (the residual)."""

    rows: int
    columns: int
    inputs: tuple[str, ...] = (GROUP_INPUT, GROUP_INPUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Embed(_Op):
    """One row of each of `n_tables` stored tables per token (word, position, token type), summed."""

    rows: int
    columns: int
    n_tables: int
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitHead(_Op):
    """Classifier after a layer: pool `pooled_rows` tokens (1: the first), dense + tanh if `pooler`, logits."""

    hidden_size: int
    n_classes: int
    pooler: bool
    pooled_rows: int
    inputs: tuple[str, ...] = (GROUP_INPUT,)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitDecision(_Op):
    """Leave or go on: the exit rule on the logits of the first input, once the whole layer is done."""

    n_classes: int
    inputs: tuple[str, ...] = ("head", GROUP_INPUT)


Op = MatMul | Softmax | LayerNorm | Gelu | Add | Embed | ExitHead | ExitDecision


def output_shape(op: Op) -> tuple[int, int, int]:
    """Return (count, rows, columns) of the result of an op."""
    match op:
        case MatMul():
            return op.count, op.m, op.n
        case Softmax():
            return op.count, op.rows, op.columns
        case LayerNorm() | Gelu() | Add() | Embed():
            return 1, op.rows, op.columns
        case ExitHead() | ExitDecision():
            return 1, 1, op.n_classes
        case _:
            assert_never(op)


def op_macs(op: Op) -> int:
    """Return the multiply-accumulates of an op: count m k n of a product, the weights of a head, else 0."""
    match op:
        case MatMul():
            return op.count * op.m * op.k * op.n
        case ExitHead():
            return n_weights(op)
        case Softmax() | LayerNorm() | Gelu() | Add() | Embed() | ExitDecision():
            return 0
        case _:
            assert_never(op)


def n_weights(op: Op) -> int:
    """Return the entries of the weight matrices that an op stores (at weight_bits each)."""
    match op:
        case MatMul():
            return op.k * op.n if op.weights else 0
        case ExitHead():
            return op.hidden_size * (op.hidden_size * op.pooler + op.n_classes)
        case Softmax() | LayerNorm() | Gelu() | Add() | Embed() | ExitDecision():
            return 0
        case _:
            assert_never(op)


def n_vector_parameters(op: Op) -> int:
    """Return the biases, gains and shifts that an op stores (at bias_bits each)."""
    match op:
        case MatMul():
            return op.n if op.weights else 0
        case LayerNorm():
            return 2 * op.columns
        case ExitHead():
            return op.hidden_size * op.pooler + op.n_classes
        case Softmax() | Gelu() | Add() | Embed() | ExitDecision():
            return 0
        case _:
            assert_never(op)


def packed_bytes(n_values: Count, bits: int) -> Count:
    """Return the bytes of `n_values` values of `bits` bits without gaps: ceil(n bits / 8)."""
    return -(-n_values * bits // 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The ops of one sentence: `prologue` once, then `layer` and `exit` once per layer until the exit."""

    shape: EncoderShape
    quant: QuantConfig
    sequence_length: int
    prologue: tuple[Op, ...]
    layer: tuple[Op, ...]
    exit: tuple[Op, ...]

    @property
    def groups(self) -> tuple[tuple[Op, ...], tuple[Op, ...], tuple[Op, ...]]:
        """Prologue, layer and exit."""
        return self.prologue, self.layer, self.exit

    @property
    def prologue_macs(self) -> int:
        """Multiply-accumulates before the first layer."""
        return sum(map(op_macs, self.prologue))

    @property
    def layer_macs(self) -> int:
        """Multiply-accumulates of one layer."""
        return sum(map(op_macs, self.layer))

    @property
    def exit_macs(self) -> int:
        """Multiply-accumulates of one exit head."""
        return sum(map(op_macs, self.exit))

    def sentence_macs(self, exit_layer: int) -> int:
        """Multiply-accumulates of a sentence that leaves after `exit_layer`, all heads on the way included."""
        return self.prologue_macs + exit_layer * (self.layer_macs + self.exit_macs)

    @property
    def prologue_weight_bytes(self) -> int:
        """Bytes of the embedding projection's weights (0 without one), biases and norms not counted."""
        return group_weight_bytes(self.prologue, self.quant)

    @property
    def layer_weight_bytes(self) -> int:
        """Bytes of one layer's weight matrices at weight_bits, biases and norms not counted."""
        return group_weight_bytes(self.layer, self.quant)

    @property
    def exit_weight_bytes(self) -> int:
        """Bytes of one exit head's weight matrices at weight_bits, biases not counted."""
        return group_weight_bytes(self.exit, self.quant)

    @property
    def n_stored_layers(self) -> int:
        """Sets of layer weights that are stored: 1 where all layers share them."""
        return self.shape.n_layer_groups

    @property
    def n_stored_heads(self) -> int:
        """Exit heads whose weights are stored: 1 where all exits share one."""
        return 1 if self.shape.shared_head else self.shape.n_layers

    @property
    def embedding_bytes(self) -> int:
        """Bytes of the rows that one sentence reads from the embedding tables, at activation_bits."""
        return sum(embed_bytes(op, self.quant) for op in self.prologue if isinstance(op, Embed))


def group_weight_bytes(ops: tuple[Op, ...], quant: QuantConfig) -> int:
    """Return the bytes of the weight matrices of a group of ops, each matrix packed at weight_bits."""
    return sum(packed_bytes(n_weights(op), quant.weight_bits) for op in ops)


def group_vector_bytes(ops: tuple[Op, ...], quant: QuantConfig) -> int:
    """Return the bytes of the biases and norm parameters of a group of ops, at bias_bits."""
    return sum(packed_bytes(n_vector_parameters(op), quant.bias_bits) for op in ops)


def embed_bytes(op: Embed, quant: QuantConfig) -> int:
    """Return the bytes of the table rows that an embedding reads: rows n_tables ceil(columns bits / 8)."""
    return op.rows * op.n_tables * packed_bytes(op.columns, quant.activation_bits)


@functools.lru_cache(maxsize=256)  # a run asks several times, designs one after the other for the same
def encoder_workload(shape: EncoderShape, quant: QuantConfig, sequence_length: int) -> Workload:
    """Return the ops of one sentence of `sequence_length` tokens through an encoder of this shape.

    Raises ConfigError for lengths outside 1 .. n_positions.
    """
    if not 1 <= sequence_length <= shape.n_positions:
        raise ConfigError(
            "--seq-len",
            sequence_length,
            f"must be 1..{shape.n_positions} (positions of the model)",
            f"Try --seq-len {min(128, shape.n_positions)}",
        )
    rows = sequence_length
    return Workload(
        shape=shape,
        quant=quant,
        sequence_length=sequence_length,
        prologue=prologue_ops(shape, rows),
        layer=layer_ops(shape, rows),
        exit=(
            ExitHead(
                name="head",
                hidden_size=shape.hidden_size,
                n_classes=shape.n_classes,
                pooler=shape.pooler,
                pooled_rows=rows if shape.pooling == "mean" else 1,
            ),
            ExitDecision(name="decision", n_classes=shape.n_classes),
        ),
    )


def prologue_ops(shape: EncoderShape, rows: int) -> tuple[Op, ...]:
    """Return the ops before the first layer, for `rows` tokens."""
    embedding: tuple[Op, ...] = (
        Embed(name="embed", rows=rows, columns=shape.embedding_size, n_tables=3),
        LayerNorm(name="embed_norm", rows=rows, columns=shape.embedding_size, inputs=("embed",)),
    )
    if not shape.factorised_embedding:
        return embedding
    return (
        *embedding,
        MatMul(
            name="embed_projection",
            m=rows,
            k=shape.embedding_size,
            n=shape.hidden_size,
            weights=True,
            inputs=("embed_norm",),
        ),
    )


def layer_ops(shape: EncoderShape, rows: int) -> tuple[Op, ...]:
    """Return the ops of one layer, for `rows` tokens."""
    hidden, heads, head_size = shape.hidden_size, shape.n_heads, shape.head_size

    def linear(name: str, k: int, n: int, source: str) -> MatMul:
        return MatMul(name=name, m=rows, k=k, n=n, weights=True, inputs=(source,))

    return (
        linear("query", hidden, hidden, GROUP_INPUT),
        linear("key", hidden, hidden, GROUP_INPUT),
        linear("value", hidden, hidden, GROUP_INPUT),
        MatMul(
            name="scores",
            m=rows,
            k=head_size,
            n=rows,
            count=heads,
            weights=False,
            transposed=True,
            inputs=("query", "key"),
        ),
        Softmax(name="softmax", rows=rows, columns=rows, count=heads, inputs=("scores",)),
        MatMul(
            name="context",
            m=rows,
            k=rows,
            n=head_size,
            count=heads,
            weights=False,
            inputs=("softmax", "value"),
        ),
        linear("output", hidden, hidden, "context"),
        Add(name="attention_add", rows=rows, columns=hidden, inputs=("output", GROUP_INPUT)),
        LayerNorm(name="attention_norm", rows=rows, columns=hidden, inputs=("attention_add",)),
        linear("ffn_in", hidden, shape.ffn_size, "attention_norm"),
        Gelu(name="gelu", rows=rows, columns=shape.ffn_size, inputs=("ffn_in",)),
        linear("ffn_out", shape.ffn_size, hidden, "gelu"),
        Add(name="ffn_add", rows=rows, columns=hidden, inputs=("ffn_out", "attention_norm")),
        LayerNorm(name="ffn_norm", rows=rows, columns=hidden, inputs=("ffn_add",)),
    )
