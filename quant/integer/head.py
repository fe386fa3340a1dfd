"""The exit head in integers: what an FPGA computes between a pooled state and the exit unit, bit for bit.

    a = W_p x + b_p          y = sat((a m_p + 2^(s_p - 1)) >> s_p)          f = feature[h] + (l > threshold[h])
    c = W_c f + b_c          q = sat((c m_c + 2^(s_c - 1)) >> s_c)

x: the pooled state; a, c: accumulators; y: a position on the axis of tanh, h its high and l its low bits; f: features;
q: logits. Multipliers, one per channel, are 0 or more; the shift is common and arithmetic, so that it rounds half
up; sat clamps to all of [-2^(bits - 1), 2^(bits - 1) - 1]. Without a pooler f = x. `integer_head` derives multipliers,
shifts and table from the scales of a quantised network; where these are powers of two, so are the multipliers.
`head_logits` is the golden model.

A table entry is not one feature but a feature and the position after which the next one begins: 1024 entries of 18
bits (one 18 Kib block RAM) know tanh at 8 bits as well as 2^20 entries of one feature would.

Two things differ from the network in floating point, and the tests measure or bound both: a position has a finite
step, and a multiplier a finite width. Ties round half up here, to even there.

Not modelled: the pooling (mean over the tokens, or the first one), cycles and area.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hexit.quant.arrays import Floats, Integers
from hexit.quant.errors import ConfigError

MULTIPLIER_BITS = 18  # two's complement: the narrower port of a DSP48E1 or DSP48E2
MAX_SHIFT = 47  # the rounding constant then fits the 48 bits of a DSP's adder
MAX_ACCUMULATOR_BITS = 48  # a DSP's; float64 holds sums of up to 53 bits exactly
MAX_PRODUCT_BITS = 63  # accumulator times multiplier, in 64-bit integers
POSITION_BITS = 20  # an entry then has 18 bits, the word of a block RAM; finer, and multipliers cannot follow
MAX_POSITION_BITS = 24
MAX_ADDRESS_BITS = 14  # 16-bit features: 16384 x 16 bits, eight 36 Kib block RAMs


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

    `multipliers` [n_channels], 0 or more; `shift` at least 1; the range is all of two's complement.
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
class TanhTable:
    """Position to feature, features[h] + (l > thresholds[h]), h = (y >> threshold_bits) + 2^(address_bits - 1).

    y is a position of `position_bits` = address_bits + threshold_bits, two's complement; l its lowest `threshold_bits`.
    `features` [2^address_bits] of `feature_bits` bits, `thresholds` [2^address_bits], unsigned, of `threshold_bits`;
    the largest threshold is never passed. With `threshold_bits` 0 the table is one of features alone.
    """

    features: Integers
    thresholds: Integers
    feature_bits: int
    threshold_bits: int

    def __post_init__(self) -> None:
        """Reject arrays that contradict each other or the widths."""
        shape = self.features.shape
        if len(shape) != 1 or shape != (1 << self.address_bits,) or self.thresholds.shape != shape:
            _reject("tanh table", f"{shape} and {self.thresholds.shape}", "must be 2^address_bits entries of both")
        for name, kind in (("features", self.features.dtype), ("thresholds", self.thresholds.dtype)):
            if kind != np.int64:
                _reject(name, str(kind), "must be int64")
        if bits_of(self.features) > self.feature_bits:
            _reject("features", bits_of(self.features), f"bits must be at most feature_bits {self.feature_bits}")
        if self.thresholds.min() < 0 or self.thresholds.max() >> self.threshold_bits:
            _reject("thresholds", int(self.thresholds.max()), f"must fit {self.threshold_bits} bits, unsigned")

    @property
    def address_bits(self) -> int:
        """Bits of an entry's address."""
        return len(self.features).bit_length() - 1

    @property
    def position_bits(self) -> int:
        """Bits of a position, two's complement."""
        return self.address_bits + self.threshold_bits


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerPooler:
    """Linear, requantisation to a position on the axis of tanh, and the table of tanh."""

    dense: IntegerDense
    requantisation: Requantisation
    table: TanhTable

    def __post_init__(self) -> None:
        """Reject parts that do not fit each other."""
        _check_stage(self.dense, self.requantisation)
        if self.requantisation.output_bits != self.table.position_bits:
            requirement = f"must be the table's position_bits {self.table.position_bits}"
            _reject("position", self.requantisation.output_bits, requirement)


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
            made = (self.pooler.dense.n_out, self.pooler.table.feature_bits)
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
    """Inputs of the exit heads of a quantised network, and its own logits, in integers.

    `inputs` [n_layers, n, hidden]: pooled states; `logits` [n_layers, n, n_classes]: of the network's own heads, which
    compute in floating point between their integers; real logit = logit_scale * integer.
    """

    inputs: Integers
    logits: Integers
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
    """Return what the classifier reads, int64 [n, hidden]: what the table holds, or `x` itself without a pooler."""
    if head.pooler is None:
        return x
    pooler = head.pooler
    return look_up(pooler.table, requantise(pooler.requantisation, dense_accumulators(pooler.dense, x)))


def look_up(table: TanhTable, positions: Integers) -> Integers:
    """Return the features at `positions`, integers of position_bits bits, of any shape."""
    entry = (positions >> table.threshold_bits) + (1 << (table.address_bits - 1))
    low = positions & ((1 << table.threshold_bits) - 1)
    return np.asarray(table.features[entry] + (low > table.thresholds[entry]))


def dense_accumulators(dense: IntegerDense, x: Integers) -> Integers:
    """Return W x + b, int64 [n, n_out], of integers [n, n_in].

    Computed in float64, whose matrix products are fast and here exact: no partial sum has more than 48 bits.
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
    position_bits: int = POSITION_BITS,
    address_bits: int | None = None,
) -> IntegerHead:
    """Return the head of two quantised linears (one without a pooler), with everything between them derived.

    `position_bits` and `address_bits`: see `tanh_table`. Raises ConfigError for widths that no table has and
    accumulators that no 64-bit product holds.
    """
    integer_pooler = None
    if pooler is not None:
        table, step = tanh_table(scales.features, classifier.input_bits, position_bits, address_bits)
        ratios = scales.inputs * scales.pooler_weights / step
        integer_pooler = IntegerPooler(
            dense=pooler, requantisation=requantisation(ratios, table.position_bits), table=table
        )
    ratios = scales.features * scales.classifier_weights / scales.logits
    return IntegerHead(
        pooler=integer_pooler, classifier=classifier, requantisation=requantisation(ratios, logit_bits), scales=scales
    )


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


def tanh_table(
    feature_scale: float, feature_bits: int, position_bits: int = POSITION_BITS, address_bits: int | None = None
) -> tuple[TanhTable, float]:
    """Return the table of round(tanh(y step) / feature_scale) and its step, the real distance of two positions.

    Positions reach to where the last feature begins, rounded up to a power of two; so the step is one too. An entry
    separates two features, so by default there are as many addresses as make one entry no wider than a feature
    (tanh is nowhere steeper than 1), which makes the table exact at every position. Features of 16 bits would need
    2^19 entries: they get MAX_ADDRESS_BITS and no thresholds, as does every table with an `address_bits` of its own.
    """
    for name, bits in (("position bits", position_bits), ("address bits", address_bits or 1)):
        if not 1 <= bits <= MAX_POSITION_BITS:
            requirement = f"must be 1..{MAX_POSITION_BITS}"
            raise ConfigError(f"tanh table {name}", bits, requirement, "The default is good")
    reach = _reach(feature_scale, feature_bits)
    needed = max(1, math.ceil(math.log2(2 * reach / feature_scale)))
    if address_bits is None and needed <= min(MAX_ADDRESS_BITS, position_bits):
        address_bits, threshold_bits = needed, position_bits - needed
    else:
        address_bits, threshold_bits = address_bits or min(MAX_ADDRESS_BITS, position_bits), 0
    n_bits = address_bits + threshold_bits
    step = math.ldexp(reach, 1 - n_bits)
    half = 1 << (n_bits - 1)
    positions = np.arange(-half, half, dtype=np.float64) * step
    features = tanh_features(positions, feature_scale, feature_bits).reshape(-1, 1 << threshold_bits)
    first = features[:, 0]
    thresholds = (features == first[:, None]).sum(axis=1) - 1
    table = TanhTable(
        features=first.copy(), thresholds=thresholds, feature_bits=feature_bits, threshold_bits=threshold_bits
    )
    return table, step


def _reach(feature_scale: float, feature_bits: int) -> float:
    """The power of two from which on tanh gives its last feature, at both ends."""
    last = max(1, min(1 << (feature_bits - 1), round(1 / feature_scale)))
    begins = math.atanh(min((last - 0.5) * feature_scale, 1 - 2.0**-24))  # float32 has no number nearer to 1
    return math.ldexp(1.0, math.ceil(math.log2(begins)))


def tanh_features(x: Floats, feature_scale: float, feature_bits: int) -> Integers:
    """Return round(tanh(x) / feature_scale), clamped: what the network's quantiser makes of real pooler outputs."""
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
    if dense.accumulator_bits > MAX_ACCUMULATOR_BITS:
        _reject("accumulator", dense.accumulator_bits, f"bits must be at most {MAX_ACCUMULATOR_BITS}")
    product_bits = dense.accumulator_bits + requantisation.multiplier_bits
    if product_bits > MAX_PRODUCT_BITS:
        _reject("product", product_bits, f"bits must be at most {MAX_PRODUCT_BITS}")


def _reject(field: str, value: object, requirement: str) -> None:
    raise ConfigError(f"exit head {field}", value, requirement, "Quantise the model again")
