"""Brevitas' integers are what this file believes they are, on every linear of tiny random encoders."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hexit.quant.config import LEGAL_BITS, QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.integer.head import bits_of, dense_accumulators
from hexit.quant.network.encoding import Batch, Encoded, encode_strings, equal_length_batches, evaluation_batches
from hexit.quant.network.model import EarlyExitEncoder
from hexit.quant.quantisation.fixed import fixed
from hexit.quant.quantisation.heads import integer_dense
from hexit.quant.quantisation.layers import QuantisedLinear, quantised_linears
from hexit.quant.quantisation.network import QuantisedEncoder, calibrate, quantise
from hexit.quant.quantisation.network import quantised as quantised_at
from hexit.quant.quantisation.wiring import wired
from support.models import N_LAYERS, SENTENCES, tiny_model

pytestmark = pytest.mark.slow

Quantise = Callable[..., tuple[EarlyExitEncoder, QuantisedEncoder]]
KINDS = tuple(N_LAYERS)
CASES = [(kind, bits, po2) for kind in KINDS for bits in (2, 3, 4, 8, 16) for po2 in (False, True)]


@pytest.fixture(scope="session")
def encoded(tokenizer: Any) -> Encoded:
    return encode_strings(SENTENCES, tokenizer, 24)


@pytest.fixture(scope="session")
def batch(encoded: Encoded) -> Batch:
    return next(evaluation_batches(encoded, len(SENTENCES), 0))


@pytest.fixture(scope="session")
def quantised(tokenizer: Any, encoded: Encoded) -> Quantise:
    """A function from (kind, config, exits) to a float model and its quantised form, each made once."""

    @functools.cache
    def make(kind: str, config: QuantConfig, **exits: Any) -> tuple[EarlyExitEncoder, QuantisedEncoder]:
        model = tiny_model(kind, tokenizer, **exits)
        return model, quantise(model, config, equal_length_batches(encoded, 32))

    return make


def run(model: nn.Module, batch: Batch) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = model(batch.input_ids, batch.attention_mask, batch.token_type_ids)
    return logits


def error_rms(model: EarlyExitEncoder, network: QuantisedEncoder, batch: Batch) -> float:
    """Error of the quantised logits over the size of the float ones, both root mean square."""
    real = run(model, batch)
    error = run(network, batch) * network.logit_scale - real
    return float(error.square().mean().sqrt() / real.square().mean().sqrt())


def is_power_of_two(scale: Tensor) -> bool:
    mantissas, _ = torch.frexp(scale.detach())
    return bool((mantissas == 0.5).all())


def names_of(model: nn.Module, kind: str) -> list[str]:
    return [name for name, module in model.named_modules() if type(module).__name__ == kind]


@pytest.mark.parametrize(("kind", "bits", "po2"), CASES)
def test_weights_are_integers_times_a_scale_per_channel(kind: str, bits: int, po2: bool, quantised: Quantise) -> None:
    model, network = quantised(kind, QuantConfig.uniform(bits, power_of_two=po2))
    linears = dict(quantised_linears(network))
    assert len({id(linear.weight) for linear in linears.values()}) == len(names_of(model, "Linear"))
    for name, linear in linears.items():
        weight = linear.quant_weight()
        integers = weight.int(float_datatype=False)
        assert weight.scale.shape == (linear.out_features, 1), name
        assert torch.equal(integers * weight.scale, weight.value), name
        assert int(integers.abs().max()) <= 2 ** (bits - 1) - 1, name
        assert not po2 or is_power_of_two(weight.scale), name


@pytest.mark.parametrize(("kind", "bits", "po2"), CASES)
def test_embeddings_are_integers_of_at_least_8_bits(kind: str, bits: int, po2: bool, quantised: Quantise) -> None:
    _, network = quantised(kind, QuantConfig.uniform(bits, power_of_two=po2))
    tables = [module for module in network.modules() if type(module).__name__ == "QuantEmbedding"]
    assert len(tables) == 3
    for table in tables:
        weight: Any = table.quant_weight()  # type: ignore[operator]
        assert torch.equal(weight.int(float_datatype=False) * weight.scale, weight.value)
        assert int(weight.int().abs().max()) <= 2 ** (max(8, bits) - 1) - 1
        assert not po2 or is_power_of_two(weight.scale)


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("kind", KINDS)
def test_scales_of_activations_and_logits_can_be_powers_of_two(kind: str, bits: int, quantised: Quantise) -> None:
    for po2 in (True, False):
        _, network = quantised(kind, QuantConfig.uniform(bits, power_of_two=po2))
        proxies: list[Any] = [linear.input_quant for _, linear in quantised_linears(network)]
        proxies += [module.act_quant for module in network.modules() if type(module).__name__ == "QuantIdentity"]
        assert {int(proxy.bit_width()) for proxy in proxies} == {bits, 16}
        assert all(is_power_of_two(proxy.scale()) for proxy in proxies) == po2
        assert is_power_of_two(torch.tensor(network.logit_scale)) == po2


@pytest.mark.parametrize("logit_bits", [4, 8, 16, 24])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_integers_of_their_width(kind: str, logit_bits: int, quantised: Quantise, batch: Batch) -> None:
    config = QuantConfig(weight_bits=8, activation_bits=8, logit_bits=logit_bits)
    model, network = quantised(kind, config)
    logits = run(network, batch)
    assert (logits.dtype, logits.shape) == (torch.int32, (model.n_layers, len(SENTENCES), 2))
    assert -(2 ** (logit_bits - 1)) <= int(logits.min())
    assert int(logits.max()) <= 2 ** (logit_bits - 1) - 1
    assert int(logits.abs().max()) >= 2 ** (logit_bits - 3)  # the range is used, up to its headroom of one bit
    assert error_rms(model, network, batch) < (0.2 if logit_bits == 4 else 0.03)


def layers_of(network: nn.Module) -> list[QuantisedLinear]:
    return [module for module in network.modules() if isinstance(module, QuantisedLinear)]


def accumulators_of(layer: QuantisedLinear, x: Tensor) -> Tensor:
    """What hardware sums up: two's complement inputs times weights, and the bias with the zero point in it."""
    dense = integer_dense(layer)
    read = layer.linear.input_quant(x if layer.factors is None else x * layer.factors)
    middle = 0 if layer.linear.input_quant.is_signed else 2 ** (dense.input_bits - 1)
    n = torch.round(read.value.double() / read.scale.double() + read.zero_point.double()).long().numpy() - middle
    assert bits_of(n) <= dense.input_bits
    return torch.from_numpy(dense_accumulators(dense, n))


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_integer_accumulators_give_the_output_of_the_linear(kind: str, bits: int, quantised: Quantise) -> None:
    """With powers of two every float operation is exact, so the two must be equal to the last bit."""
    _, network = quantised(kind, QuantConfig.uniform(bits, power_of_two=True))
    generator = torch.Generator().manual_seed(0)
    zero_points = set()
    for layer in layers_of(network):
        with torch.inference_mode():
            x = torch.randn(5, layer.linear.in_features, generator=generator)
            accumulators = accumulators_of(layer, x)
            scale = layer.linear.input_quant.scale() * layer.linear.quant_weight().scale.flatten()
            assert torch.equal(accumulators * scale, layer(x))
        assert int(accumulators.abs().max()) > 2**bits  # a test on zeros would pass for any scale
        zero_points.add(int(layer.linear.input_quant.zero_point()))
    assert len(zero_points) > 1  # GELU's output has one


@pytest.mark.parametrize("kind", KINDS)
def test_accumulators_agree_for_any_scale_within_float_rounding(kind: str, quantised: Quantise) -> None:
    _, network = quantised(kind, QuantConfig.uniform(8))
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    for layer in layers_of(network):
        with torch.inference_mode():
            inputs = x[:, : layer.linear.in_features]
            scale = layer.linear.input_quant.scale() * layer.linear.quant_weight().scale.flatten()
            exact, output = accumulators_of(layer, inputs) * scale.double(), layer(inputs)
        # float32 rounds each of 64 products and sums by at most 2**-24 of sums below 16
        torch.testing.assert_close(output.double(), exact, rtol=0, atol=2 * 64 * 16 * 2.0**-24)


ALBERT_PASS = "encoder.albert_layer_groups.{}.albert_layers.0"
BERT_LAYER = "encoder.layer.{}"


def makers_and_readers(kind: str) -> Iterator[tuple[str, list[str]]]:
    """Where a tensor is made, and the linears that read it: all of them have one grid."""
    n_layers = N_LAYERS[kind]
    if kind == "bert":
        layers = [BERT_LAYER.format(i) for i in range(n_layers)]
        makers = ["embeddings.LayerNorm.1", *(f"{layer}.output.LayerNorm.1" for layer in layers)]
        parts, attended, ffn = "attention.self", "attention.output.LayerNorm.1", "intermediate.dense"
    else:
        layers = [ALBERT_PASS.format(i) for i in range(n_layers)]
        makers = [f"{layer}.full_layer_layer_norm.1" for layer in layers]
        makers = ["encoder.embedding_hidden_mapping_in.1", *makers]
        parts, attended, ffn = "attention", "attention.LayerNorm.1", "ffn"
        yield "embeddings.LayerNorm.1", ["encoder.embedding_hidden_mapping_in.0"]
    for i, maker in enumerate(makers):
        readers = [f"{layers[i]}.{parts}.{part}" for part in ("query", "key", "value")] if i < n_layers else []
        yield maker, [*readers, *([f"heads.{i - 1}.pooler"] if i else [])]
    for layer in layers:
        yield f"{layer}.{attended}", [f"{layer}.{ffn}"]


@pytest.mark.parametrize("po2", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_all_readers_of_a_tensor_share_its_grid(kind: str, po2: bool, quantised: Quantise, batch: Batch) -> None:
    _, network = quantised(kind, QuantConfig.uniform(4, power_of_two=po2), shared_head=False)
    encoder = network.encoder

    def module(path: str) -> Any:
        return (encoder if path.startswith("heads") else encoder.backbone).get_submodule(path)

    seen: list[str] = []

    def unchanged(reader: Any, inputs: Any) -> None:
        seen.append(type(reader).__name__)
        folded = inputs[0] * reader.factors
        assert torch.equal(reader.linear.input_quant(folded).value, folded)

    handles = []
    for maker, readers in makers_and_readers(kind):
        for reader in readers:
            assert torch.equal(module(reader).linear.input_quant.scale(), module(maker).quantiser.act_quant.scale())
            assert torch.equal(module(reader).factors, module(maker).factors)
            assert module(reader).reads_grid
            handles.append(module(reader).register_forward_pre_hook(unchanged))
    run(network, batch)
    for handle in handles:
        handle.remove()
    assert len(seen) == len(handles)


def test_groups_of_layers_keep_their_weights_and_their_own_grids(quantised: Quantise) -> None:
    """Two groups of two passes: weights are those of the group, grids those of the pass that reads the tensor."""
    model, network = quantised("grouped", QuantConfig.uniform(8))
    queries = [network.encoder.backbone.get_submodule(f"{ALBERT_PASS.format(i)}.attention.query") for i in range(4)]
    assert queries[0].linear.weight is queries[1].linear.weight
    assert queries[2].linear.weight is queries[3].linear.weight
    assert len({float(query.linear.input_quant.scale()) for query in queries}) == len(queries)
    assert torch.equal(queries[0].factors, queries[1].factors)
    for group, query in enumerate(queries[::2]):
        found = query.linear.weight * query.factors
        for other in range(2):
            source: Any = model.backbone.get_submodule(f"{ALBERT_PASS.format(other)}.attention.query")
            distance = float((found - source.weight).norm() / source.weight.norm())
            assert distance < 0.05 if other == group else distance > 0.5


@pytest.mark.parametrize("po2", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_16_bits_are_the_float_model_and_the_error_grows_as_bits_fall(
    kind: str, po2: bool, quantised: Quantise, batch: Batch
) -> None:
    errors = [error_rms(*quantised(kind, QuantConfig.uniform(b, power_of_two=po2)), batch) for b in (16, 8, 4, 2)]
    assert errors == sorted(errors)
    # One rounding at 16 bits errs by 2**-15 / sqrt(12) of the range, some 2**-15 of the values; about 30 roundings in a
    # row, each seen by the weights of two or three random layers, stay below 2**-12. Eight bits: 2**8 times that.
    assert errors[0] < 2.0**-12
    assert errors[1] < 2.0**-4


@pytest.mark.parametrize("bits", LEGAL_BITS)
def test_every_width_runs(bits: int, quantised: Quantise, batch: Batch) -> None:
    model, network = quantised("albert", QuantConfig.uniform(bits))
    assert error_rms(model, network, batch) < 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "exits",
    [
        {"shared_head": False, "pooler": False},
        {"shared_head": False, "pooling": "mean"},
        {"pooling": "mean", "pooler": False},
        {"label_names": ()},
        {"label_names": ("a", "b", "c")},
    ],
    ids=str,
)
def test_every_kind_of_exit_is_quantised(kind: str, exits: Any, quantised: Quantise, batch: Batch) -> None:
    model, network = quantised(kind, QuantConfig.uniform(8), **exits)
    assert error_rms(model, network, batch) < 2.0**-4
    assert names_of(network, "Linear") == []


@pytest.mark.parametrize("kind", KINDS)
def test_padding_does_not_change_the_integers_much(
    kind: str, quantised: Quantise, encoded: Encoded, batch: Batch
) -> None:
    """Sums in another order round some values the other way; at 16 bits that is a few steps of the logits' 65,536."""
    _, network = quantised(kind, QuantConfig.uniform(16), pooling="mean")
    together = run(network, batch)
    for alone in equal_length_batches(encoded, 1):
        padded = together[:, batch.indices.index(alone.indices[0])]
        assert int((run(network, alone)[:, 0] - padded).abs().max()) <= 64


@pytest.mark.parametrize("kind", KINDS)
def test_the_float_model_stays_as_it_is(kind: str, tokenizer: Any, encoded: Encoded, batch: Batch) -> None:
    model = tiny_model(kind, tokenizer)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    logits, modules = run(model, batch), str(model)
    attention = model.backbone.config._attn_implementation
    quantise(model, QuantConfig.uniform(4), equal_length_batches(encoded, 32))
    assert torch.equal(run(model, batch), logits)
    assert (str(model), model.backbone.config._attn_implementation) == (modules, attention)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_quantising_twice_gives_the_same_integers(tokenizer: Any, encoded: Encoded, batch: Batch) -> None:
    model = tiny_model("bert", tokenizer)
    networks = [quantise(model, QuantConfig.uniform(4), equal_length_batches(encoded, 32)) for _ in range(2)]
    assert torch.equal(run(networks[0], batch), run(networks[1], batch))
    assert networks[0].logit_scale == networks[1].logit_scale


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_cores_changes_no_integer(kind: str, tokenizer: Any, encoded: Encoded, batch: Batch) -> None:
    """Not through calibration, not through the rounding of weights; see `one_core`."""
    before, found = torch.get_num_threads(), []
    try:
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            network = quantise(tiny_model(kind, tokenizer), QuantConfig.uniform(4), equal_length_batches(encoded, 32))
            found.append((network.state_dict(), network.logit_scale, torch.get_num_threads()))
    finally:
        torch.set_num_threads(before)
    (one, one_scale, _), (three, three_scale, n_threads) = found
    assert (one_scale, n_threads) == (three_scale, 3)
    assert all(torch.equal(value, three[name]) for name, value in one.items())


def test_bias_correction_removes_the_mean_error(tokenizer: Any, encoded: Encoded) -> None:
    """On the calibration text itself the mean output of a first linear is that of its float weights."""
    model = tiny_model("bert", tokenizer)
    config = QuantConfig(weight_bits=2, activation_bits=16)
    network = quantise(model, config, equal_length_batches(encoded, 32))
    query: Any = model.backbone.encoder.layer[0].attention.self.query
    rounded: Any = network.encoder.backbone.encoder.layer[0].attention.self.query
    inputs: list[Tensor] = []
    with query.register_forward_pre_hook(lambda _, x: inputs.append(x[0].reshape(-1, 32))):
        for batch in equal_length_batches(encoded, 32):
            run(model, batch)
    x = torch.cat(inputs)
    with torch.inference_mode():
        mean_error = (rounded(x) - query(x)).mean(0)
        uncorrected = mean_error - rounded.linear.bias + query.bias
        steps = rounded.linear.input_quant.scale() * rounded.linear.quant_weight().scale.flatten()
    assert float(uncorrected.abs().max()) > 1e-2
    # the bias is rounded to its step; float32 sums of about 100 inputs
    assert (mean_error.abs() <= steps / 2 + 1e-5).all()


def test_bias_correction_takes_in_what_the_input_loses(tokenizer: Any, encoded: Encoded) -> None:
    """Of GELU's output at 3 bits, on the calibration text: most small negative values become one."""
    model = tiny_model("bert", tokenizer)
    network = quantise(model, QuantConfig(weight_bits=16, activation_bits=3), equal_length_batches(encoded, 32))
    dense: Any = model.backbone.encoder.layer[0].output.dense
    rounded: Any = network.encoder.backbone.encoder.layer[0].output.dense
    inputs: list[Tensor] = []
    with dense.register_forward_pre_hook(lambda _, x: inputs.append(x[0].reshape(-1, 64))):
        for batch in equal_length_batches(encoded, 32):
            run(model, batch)
    x = torch.cat(inputs)
    with torch.inference_mode():
        mean_error = (rounded(x) - dense(x)).mean(0)
        uncorrected = mean_error - rounded.linear.bias + dense.bias
    # what is left is the share of clipped values; without the correction it is several times as much
    assert float(mean_error.square().mean()) < 0.25 * float(uncorrected.square().mean())


@pytest.mark.parametrize("po2", [False, True])
@pytest.mark.parametrize("bits", LEGAL_BITS)
@pytest.mark.parametrize("kind", KINDS)
def test_rounding_once_changes_no_logit(kind: str, bits: int, po2: bool, quantised: Quantise, encoded: Encoded) -> None:
    """Every logit of the fast form is that of Brevitas, alone and in batches; see `fixed`."""
    _, network = quantised(kind, QuantConfig.uniform(bits, power_of_two=po2), shared_head=False, pooling="mean")
    fast = fixed(network)
    assert not layers_of(fast)
    for size in (1, 4, len(SENTENCES)):
        for batch in evaluation_batches(encoded, size, 0):
            assert torch.equal(run(fast, batch), run(network, batch))


@pytest.mark.parametrize("kind", KINDS)
def test_one_calibration_serves_every_width_in_any_order(
    kind: str, tokenizer: Any, encoded: Encoded, batch: Batch
) -> None:
    model = tiny_model(kind, tokenizer)
    calibration = calibrate(model, equal_length_batches(encoded, 32))
    for bits in (2, 8, 4):
        config = QuantConfig.uniform(bits)
        apart = quantise(model, config, equal_length_batches(encoded, 32))
        assert torch.equal(run(quantised_at(calibration, config), batch), run(apart, batch))


@pytest.mark.parametrize("kind", KINDS)
def test_taps_and_shifts_leave_the_float_network_as_it_is(kind: str, tokenizer: Any, batch: Batch) -> None:
    """Passes taken apart compute what transformers computes with one set of modules, to the last bit."""
    model = tiny_model(kind, tokenizer)
    model.backbone.config._attn_implementation = "eager"
    observed, _ = wired(model)
    assert torch.equal(run(observed, batch), run(model, batch))


def test_without_calibration_text_there_are_no_ranges(tokenizer: Any) -> None:
    with pytest.raises(ConfigError, match=r"^--calibration = \(nothing\): must hold at least one sentence"):
        quantise(tiny_model("albert", tokenizer), QuantConfig.uniform(8), [])
