"""The exit head in integers: what an FPGA computes between a pooled state and the exit unit, bit for bit.

    a = W_p x + b_p          y = sat((a m_p + 2^(s_p - 1)) >> s_p)          f = table[y + 2^(address_bits - 1)]
    c = W_c f + b_c          q = sat((c m_c + 2^(s_c - 1)) >> s_c)

x: the pooled state; a, c: accumulators; y: address of the table, which holds the feature that tanh gives; q: logits.
Multipliers are positive, one per channel; the shift is common and arithmetic, so that it rounds half up; sat clamps to
all of [-2^(bits - 1), 2^(bits - 1) - 1]. Without a pooler f = x. `integer_head` derives multipliers, shifts and table
from the scales of a quantised network; where these are powers of two, so are the multipliers. `head_logits` is the
golden model.

Two things differ from the network in floating point, and `head_error` measures or bounds both: the table has a finite
step, and a multiplier has a finite width. Ties round half up here, to even there.

Not modelled: the pooling (mean over the tokens, or the first one), cycles and area.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant.errors import ConfigError

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

MULTIPLIER_BITS = 18  # two's complement: the narrower port of a DSP48E1 or DSP48E2
MAX_SHIFT = 47  # the rounding constant then fits the 48 bits of a DSP's adder
MAX_PRODUCT_BITS = 63  # accumulator times multiplier, in 64-bit integers
TABLE_GUARD_BITS = 4  # address bits of a tanh table beyond the bits of a feature
MIN_ADDRESS_BITS, MAX_ADDRESS_BITS = 4, 16
DEFAULT_MAX_ADDRESS_BITS = 14  # 16-bit features: 16384 x 16 bits, the largest table made unless more is asked for


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerDense:
    """A linear layer, accumulator[o] = bias[o] + sum_i weights[o, i] x[i].

    `weights` [n_out, n_in] of `weight_bits` bits, `bias` [n_out], inputs of `input_bits` bits, all two's complement.
    """

    weights: Integers
    bias: Integers
    weight_bits: int
    input_bits: int

    def __post_init__(self) -> None:
        """Reject arrays that contradict each other or the widths."""
        if self.weights.ndim != 2 or 0 in self.weights.shape or self.bias.shape != self.weights.shape[:1]:
            _reject("weights", f"{self.weights.shape} and bias {self.bias.shape}", "must be [n_out, n_in] and [n_out]")
        for name, kind in (("weights", self.weights.dtype), ("bias", self.bias.dtype)):
            if kind != np.int64:
                _reject(name, str(kind), "must be int64")
        if bits_of(self.weights) > self.weight_bits:
            _reject("weights", bits_of(self.weights), f"bits must be at most weight_bits {self.weight_bits}")

    @property
    def n_out(self) -> int:
        """Output channels."""
        return int(self.weights.shape[0])

    @property
    def n_in(self) -> int:
        """Inputs."""
        return int(self.weights.shape[1])

    @property
    def bias_bits(self) -> int:
        """Bits of the widest bias, two's complement."""
        return bits_of(self.bias)

    @property
    def accumulator_range(self) -> tuple[Integers, Integers]:
        """Smallest and largest accumulator of each channel that any input can give, [n_out] each."""
        low, high = -(1 << (self.input_bits - 1)), (1 << (self.input_bits - 1)) - 1
        positive, negative = np.maximum(self.weights, 0).sum(axis=1), np.minimum(self.weights, 0).sum(axis=1)
        return self.bias + low * positive + high * negative, self.bias + high * positive + low * negative

    @property
    def accumulator_bits(self) -> int:
        """Bits that hold every accumulator and every partial sum, in whatever order terms and bias are added."""
        low, high = self.accumulator_range
        sums = np.concatenate([low, high, low - self.bias, high - self.bias])
        return max(bits_of(sums), self.bias_bits)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Requantisation:
    """An accumulator to an integer of `output_bits` bits: clamp((a multipliers[c] + 2^(shift - 1)) >> shift).

    `multipliers` [n_channels], none negative; `shift` at least 1; the range is all of two's complement.
    """

    multipliers: Integers
    shift: int
    output_bits: int

    def __post_init__(self) -> None:
        """Reject what is no requantisation."""
        if self.multipliers.ndim != 1 or self.multipliers.dtype != np.int64 or (self.multipliers < 0).any():
            _reject("multipliers", self.multipliers.shape, "must be one int64, 0 or more, per channel")
        if not 1 <= self.shift <= MAX_SHIFT:
            _reject("shift", self.shift, f"must be 1..{MAX_SHIFT}")

    @property
    def multiplier_bits(self) -> int:
        """Bits of the widest multiplier, two's complement."""
        return bits_of(self.multipliers)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerPooler:
    """Linear, requantisation to a table address, and the table of tanh.

    `table` [2^address_bits] holds features of `feature_bits` bits; entry y + 2^(address_bits - 1) belongs to address y.
    """

    dense: IntegerDense
    requantisation: Requantisation
    table: Integers
    feature_bits: int

    def __post_init__(self) -> None:
        """Reject parts that do not fit each other."""
        _check_stage(self.dense, self.requantisation)
        if self.table.dtype != np.int64 or self.table.shape != (1 << self.address_bits,):
            _reject("table", self.table.shape, f"must be one int64 for each address of {self.address_bits} bits")
        if bits_of(self.table) > self.feature_bits:
            _reject("table", bits_of(self.table), f"bits must be at most feature_bits {self.feature_bits}")

    @property
    def address_bits(self) -> int:
        """Bits of a table address, two's complement."""
        return self.requantisation.output_bits


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadScales:
    """Real value per integer step, by tensor: what the integers of a head mean; no hardware needs it.

    `pooler_weights` [hidden] and `classifier_weights` [n_classes] are per output channel. `features` is `inputs`, and
    `pooler_weights` empty, where there is no pooler.
    """

    inputs: float
    pooler_weights: Floats
    features: float
    classifier_weights: Floats
    logits: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerHead:
    """One exit head; everything that hardware needs is an integer. `pooler` is None where the classifier is alone."""

    pooler: IntegerPooler | None
    classifier: IntegerDense
    requantisation: Requantisation
    scales: HeadScales

    def __post_init__(self) -> None:
        """Reject parts that do not fit each other."""
        _check_stage(self.classifier, self.requantisation)
        if self.pooler is not None:
            made = (self.pooler.dense.n_out, self.pooler.feature_bits)
            if made != (self.classifier.n_in, self.classifier.input_bits):
                _reject("features", f"{made[0]} of {made[1]} bits", "must be the inputs of the classifier")

    @property
    def hidden_size(self) -> int:
        """Width of the pooled state."""
        return self.classifier.n_in if self.pooler is None else self.pooler.dense.n_in

    @property
    def n_classes(self) -> int:
        """Logits; 1 for a regression."""
        return self.classifier.n_out

    @property
    def input_bits(self) -> int:
        """Bits of the pooled state."""
        return self.classifier.input_bits if self.pooler is None else self.pooler.dense.input_bits

    @property
    def feature_bits(self) -> int:
        """Bits of what the classifier reads."""
        return self.classifier.input_bits

    @property
    def logit_bits(self) -> int:
        """Bits of a logit."""
        return self.requantisation.output_bits


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadRun:
    """What entered the heads of a quantised network, and what it answered, in integers.

    `inputs` int32 [n_layers, n, hidden]: pooled states; `logits` int32 [n_layers, n, n_classes]: of the network's own
    heads, which compute in floating point between their integers; real logit = logit_scale * integer.
    """

    inputs: NDArray[np.int32]
    logits: NDArray[np.int32]
    logit_scale: float


def head_logits(head: IntegerHead, x: NDArray[np.integer]) -> Integers:
    """Return the logits int64 [n, n_classes] of pooled states, integers [n, hidden]; this defines the head.

    Raises ConfigError for states of another width, or that do not fit `input_bits`.
    """
    states = np.asarray(x, dtype=np.int64)
    if states.ndim != 2 or states.shape[1] != head.hidden_size:
        shown = "x".join(map(str, states.shape))
        raise ConfigError("head inputs", shown, f"must be samples x {head.hidden_size}", "Check the model")
    if states.size and bits_of(states) > head.input_bits:
        raise ConfigError("head inputs", bits_of(states), f"bits must be at most {head.input_bits}", "Check the model")
    accumulators = dense_accumulators(head.classifier, head_features(head, states))
    return requantise(head.requantisation, accumulators)


def head_features(head: IntegerHead, x: Integers) -> Integers:
    """Return what the classifier reads, int64 [n, hidden]: the table's answers, or `x` itself without a pooler."""
    if head.pooler is None:
        return x
    pooler = head.pooler
    address = requantise(pooler.requantisation, dense_accumulators(pooler.dense, x))
    return np.asarray(pooler.table[address + (1 << (pooler.address_bits - 1))])


def dense_accumulators(dense: IntegerDense, x: Integers) -> Integers:
    """Return W x + b, int64 [n, n_out], of integers [n, n_in].

    Computed in float64, whose matrix products are fast and here exact: no partial sum needs more than 53 bits.
    """
    sums = x.astype(np.float64) @ dense.weights.T.astype(np.float64)
    return sums.astype(np.int64) + dense.bias


def requantise(requantisation: Requantisation, accumulators: Integers) -> Integers:
    """Return clamp((a multiplier + 2^(shift - 1)) >> shift) of accumulators [..., n_channels]."""
    limit = 1 << (requantisation.output_bits - 1)
    half = 1 << (requantisation.shift - 1)
    shifted = (accumulators * requantisation.multipliers + half) >> requantisation.shift
    return np.asarray(np.clip(shifted, -limit, limit - 1))


def integer_head(
    *,
    pooler: IntegerDense | None,
    classifier: IntegerDense,
    scales: HeadScales,
    logit_bits: int,
    address_bits: int | None = None,
) -> IntegerHead:
    """Return the head of two quantised linears (one without a pooler), with everything between them derived.

    `address_bits`: size of the tanh table, by default `default_address_bits`. Raises ConfigError for sizes that no
    table has and accumulators that no 64-bit product holds.
    """
    stage = None
    if pooler is not None:
        bits = default_address_bits(classifier.input_bits) if address_bits is None else address_bits
        if not MIN_ADDRESS_BITS <= bits <= MAX_ADDRESS_BITS:
            rule = f"must be {MIN_ADDRESS_BITS}..{MAX_ADDRESS_BITS}"
            raise ConfigError("tanh table address bits", bits, rule, "The default is good")
        step = table_step(scales.features, classifier.input_bits, bits)
        stage = IntegerPooler(
            dense=pooler,
            requantisation=requantisation(scales.inputs * scales.pooler_weights / step, bits),
            table=tanh_table(scales.features, classifier.input_bits, bits),
            feature_bits=classifier.input_bits,
        )
    ratios = scales.features * scales.classifier_weights / scales.logits
    return IntegerHead(
        pooler=stage, classifier=classifier, requantisation=requantisation(ratios, logit_bits), scales=scales
    )


def with_address_bits(head: IntegerHead, address_bits: int) -> IntegerHead:
    """Return the same head with a tanh table of another size; a head without a pooler stays as it is."""
    return integer_head(
        pooler=head.pooler.dense if head.pooler else None,
        classifier=head.classifier,
        scales=head.scales,
        logit_bits=head.logit_bits,
        address_bits=address_bits,
    )


def default_address_bits(feature_bits: int) -> int:
    """Return the address bits of the tanh table: TABLE_GUARD_BITS more than a feature has, as far as tables go."""
    return min(feature_bits + TABLE_GUARD_BITS, DEFAULT_MAX_ADDRESS_BITS)


def requantisation(ratios: Floats, output_bits: int) -> Requantisation:
    """Return the integer form of multiplication with `ratios` [n_channels], output steps per accumulator step.

    The shift is the largest at which the widest multiplier has MULTIPLIER_BITS bits; zeros that all multipliers end
    with are then shifted out.
    """
    widest = float(ratios.max())
    shift = min(MULTIPLIER_BITS - 1 - math.frexp(widest)[1], MAX_SHIFT)
    if round(math.ldexp(widest, shift)) >= 1 << (MULTIPLIER_BITS - 1):  # just below a power of two, rounded up to it
        shift -= 1
    shift = max(shift, 1)
    multipliers = np.rint(np.ldexp(ratios, shift)).astype(np.int64)
    together = int(np.bitwise_or.reduce(multipliers))
    zeros = min((together & -together).bit_length() - 1, shift - 1) if together else 0
    return Requantisation(multipliers=multipliers >> zeros, shift=shift - zeros, output_bits=output_bits)


def table_step(feature_scale: float, feature_bits: int, address_bits: int) -> float:
    """Return the real step between two addresses of the tanh table, a power of two.

    The addresses reach to where the last feature begins: 2^(address_bits - 1) step >= atanh((n - 1/2) feature_scale),
    n the largest feature magnitude that tanh can give.
    """
    largest = max(1, min(1 << (feature_bits - 1), round(1 / feature_scale)))
    begins = math.atanh(min((largest - 0.5) * feature_scale, 1 - 2.0**-24))  # float32 has no number nearer to 1
    return math.ldexp(1.0, math.ceil(math.log2(begins)) - (address_bits - 1))


def tanh_table(feature_scale: float, feature_bits: int, address_bits: int) -> Integers:
    """Return the features at every address, int64 [2^address_bits]: tanh in the middle of the address' interval."""
    half = 1 << (address_bits - 1)
    step = table_step(feature_scale, feature_bits, address_bits)
    return _features_of(np.arange(-half, half, dtype=np.float64) * step, feature_scale, feature_bits)


def _features_of(x: Floats, feature_scale: float, feature_bits: int) -> Integers:
    limit = 1 << (feature_bits - 1)
    return np.asarray(np.clip(np.rint(np.tanh(x) / feature_scale), -limit, limit - 1)).astype(np.int64)


def bits_of(values: Integers) -> int:
    """Return the bits that hold all `values` in two's complement; at least 1.

    >>> bits_of(np.array([127, -128]))
    8
    """
    return 1 + max(int(values.max()), ~int(values.min())).bit_length()


def _check_stage(dense: IntegerDense, requantisation: Requantisation) -> None:
    if requantisation.multipliers.shape != (dense.n_out,):
        _reject("multipliers", requantisation.multipliers.shape, f"must be one per channel, {dense.n_out}")
    needed = dense.accumulator_bits + requantisation.multiplier_bits
    if needed > MAX_PRODUCT_BITS or dense.accumulator_bits > np.finfo(np.float64).nmant:
        rule = f"bits of accumulator and multiplier must be at most {MAX_PRODUCT_BITS} together"
        _reject("product", f"{dense.accumulator_bits} + {requantisation.multiplier_bits}", rule)


def _reject(field: str, value: object, rule: str) -> None:
    raise ConfigError(f"exit head {field}", value, rule, "Quantise the model again")
