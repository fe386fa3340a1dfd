"""Brevitas' integers are what this file believes they are, on every linear of tiny random encoders."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hexit.quant.config import LEGAL_BITS, QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.network.encoding import Batch, Encoded, encode_strings, equal_length_batches, evaluation_batches
from hexit.quant.network.model import EarlyExitEncoder
from hexit.quant.quantisation.layers import Observer, QuantisedEncoder, quantise, quantised_linears
from support.models import MODEL_KINDS, SENTENCES, tiny_model

pytestmark = pytest.mark.slow

Quantise = Callable[..., tuple[EarlyExitEncoder, QuantisedEncoder]]
CASES = [(kind, bits, po2) for kind in MODEL_KINDS for bits in (2, 3, 4, 8, 16) for po2 in (False, True)]


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
    assert len(linears) == len(names_of(model, "Linear"))
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
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_scales_of_activations_and_logits_can_be_powers_of_two(kind: str, bits: int, quantised: Quantise) -> None:
    for po2 in (True, False):
        _, network = quantised(kind, QuantConfig.uniform(bits, power_of_two=po2))
        proxies: list[Any] = [linear.input_quant for _, linear in quantised_linears(network)]
        proxies += [module.act_quant for module in network.modules() if type(module).__name__ == "QuantIdentity"]
        assert {int(proxy.bit_width()) for proxy in proxies} == {bits, 16}
        assert all(is_power_of_two(proxy.scale()) for proxy in proxies) == po2
        assert is_power_of_two(torch.tensor(network.logit_scale)) == po2


@pytest.mark.parametrize("logit_bits", [4, 8, 16, 24])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_logits_are_integers_of_their_width(kind: str, logit_bits: int, quantised: Quantise, batch: Batch) -> None:
    config = QuantConfig(weight_bits=8, activation_bits=8, logit_bits=logit_bits)
    model, network = quantised(kind, config)
    logits = run(network, batch)
    assert (logits.dtype, logits.shape) == (torch.int32, (model.n_layers, len(SENTENCES), 2))
    assert -(2 ** (logit_bits - 1)) <= int(logits.min())
    assert int(logits.max()) <= 2 ** (logit_bits - 1) - 1
    assert int(logits.abs().max()) >= 2 ** (logit_bits - 3)  # the range is used, up to its headroom of one bit
    assert error_rms(model, network, batch) < (0.2 if logit_bits == 4 else 0.03)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_integer_accumulators_give_the_output_of_the_linear(kind: str, bits: int, quantised: Quantise) -> None:
    """With powers of two every float operation is exact, so the two must be equal to the last bit."""
    _, network = quantised(kind, QuantConfig.uniform(bits, power_of_two=True))
    linears = [linear for _, linear in quantised_linears(copy.deepcopy(network))]
    generator = torch.Generator().manual_seed(0)
    for linear in linears:
        linear.bias_quant.cache_inference_quant_bias = True  # without it brevitas forgets the scale of the bias
        with torch.inference_mode():
            x = torch.randn(5, linear.in_features, generator=generator)
            output = linear(x)
            x_quant, w_quant = linear.input_quant(x), linear.quant_weight()
            scale = x_quant.scale * w_quant.scale.flatten()
            bias = linear.quant_bias().int(float_datatype=False)
            assert torch.equal(bias, torch.round(linear.bias / scale).to(bias.dtype))
            accumulators = x_quant.int(float_datatype=False).long() @ w_quant.int(float_datatype=False).long().T + bias
            assert torch.equal(accumulators * scale, output)
            assert int(accumulators.abs().max()) > 2**bits  # a test on zeros would pass for any scale


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_accumulators_agree_for_any_scale_within_float_rounding(kind: str, quantised: Quantise) -> None:
    _, network = quantised(kind, QuantConfig.uniform(8))
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    for _, linear in quantised_linears(network):
        with torch.inference_mode():
            x_quant, w_quant = linear.input_quant(x[:, : linear.in_features]), linear.quant_weight()
            scale = (x_quant.scale * w_quant.scale.flatten()).double()
            bias = torch.round(linear.bias.double() / scale)
            exact = (x_quant.int().double() @ w_quant.int().double().T + bias) * scale
            output = linear(x[:, : linear.in_features])
        # float32 rounds each of 64 products and sums by at most 2**-24 of sums below 16
        torch.testing.assert_close(output.double(), exact, rtol=0, atol=2 * 64 * 16 * 2.0**-24)


# Where a tensor is made, and the linears that read it: all of them have one scale.
READERS = {
    "albert": {
        "embeddings.LayerNorm.1": ["encoder.embedding_hidden_mapping_in.0"],
        "encoder.embedding_hidden_mapping_in.1": [f"LAYER.attention.{part}" for part in ("query", "key", "value")],
        "LAYER.full_layer_layer_norm.1": [f"LAYER.attention.{part}" for part in ("query", "key", "value")],
        "LAYER.attention.LayerNorm.1": ["LAYER.ffn"],
    },
    "bert": {
        "embeddings.LayerNorm.1": [f"encoder.layer.0.attention.self.{part}" for part in ("query", "key", "value")],
        "encoder.layer.0.attention.output.LayerNorm.1": ["encoder.layer.0.intermediate.dense"],
        "encoder.layer.0.output.LayerNorm.1": [
            *(f"encoder.layer.1.attention.self.{part}" for part in ("query", "key", "value")),
            "heads.0.pooler",
        ],
        "encoder.layer.1.attention.output.LayerNorm.1": ["encoder.layer.1.intermediate.dense"],
        "encoder.layer.1.output.LayerNorm.1": ["heads.1.pooler"],
    },
}


@pytest.mark.parametrize("po2", [False, True])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_all_readers_of_a_tensor_share_its_scale(kind: str, po2: bool, quantised: Quantise, batch: Batch) -> None:
    config = QuantConfig.uniform(4, power_of_two=po2)
    _, network = quantised(kind, config, shared_head=False)
    encoder = network.encoder

    def module(path: str) -> Any:
        path = path.replace("LAYER", "encoder.albert_layer_groups.0.albert_layers.0")
        return (encoder if path.startswith("heads") else encoder.backbone).get_submodule(path)

    seen: list[str] = []

    def unchanged(reader: Any, inputs: Any) -> None:
        seen.append(type(reader).__name__)
        assert torch.equal(reader.input_quant(inputs[0]).value, inputs[0])

    handles = []
    for source, readers in READERS[kind].items():
        scale = module(source).act_quant.scale()
        for reader in readers:
            assert torch.equal(module(reader).input_quant.scale(), scale), (source, reader)
            handles.append(module(reader).register_forward_pre_hook(unchanged))
    run(network, batch)
    for handle in handles:
        handle.remove()
    assert len(seen) >= len(handles)


@pytest.mark.parametrize("po2", [False, True])
@pytest.mark.parametrize("kind", MODEL_KINDS)
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


@pytest.mark.parametrize("kind", MODEL_KINDS)
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


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_padding_does_not_change_the_integers_much(
    kind: str, quantised: Quantise, encoded: Encoded, batch: Batch
) -> None:
    """Sums in another order round some values the other way; at 16 bits that is a few steps of the logits' 65,536."""
    _, network = quantised(kind, QuantConfig.uniform(16), pooling="mean")
    together = run(network, batch)
    for alone in equal_length_batches(encoded, 1):
        padded = together[:, batch.indices.index(alone.indices[0])]
        assert int((run(network, alone)[:, 0] - padded).abs().max()) <= 64


@pytest.mark.parametrize("kind", MODEL_KINDS)
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
        mean_error = (x @ rounded.quant_weight().value.T + rounded.bias - query(x)).mean(0)
        uncorrected = (x @ rounded.quant_weight().value.T + query.bias - query(x)).mean(0)
    assert float(uncorrected.abs().max()) > 1e-2
    torch.testing.assert_close(mean_error, torch.zeros(32), rtol=0, atol=1e-5)  # float32 sums of about 100 inputs


def test_without_calibration_text_there_are_no_ranges(tokenizer: Any) -> None:
    with pytest.raises(ConfigError, match=r"^--calibration = \(nothing\): must hold at least one sentence"):
        quantise(tiny_model("albert", tokenizer), QuantConfig.uniform(8), [])


def squared_error(x: Tensor, limit: float, bits: int, unsigned: bool) -> float:
    levels = 2**bits - 1 if unsigned else 2 ** (bits - 1) - 1
    step = limit / levels
    return float(((x / step).round().clamp(0 if unsigned else -levels, levels) * step - x).square().mean())


def samples(name: str, unsigned: bool) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(20_000, generator=generator, dtype=torch.float64)
    uniform = torch.rand(20_000, generator=generator, dtype=torch.float64)
    x = {
        "normal": normal,
        "uniform": 2 * uniform - 1,
        "heavy_tails": normal / uniform.sqrt(),
        "two_outliers": torch.cat([normal, torch.tensor([30.0, -40.0], dtype=torch.float64)]),
        "tiny": normal * 1e-4,
    }[name]
    return x.abs() if unsigned else x


@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize("name", ["normal", "uniform", "heavy_tails", "two_outliers", "tiny"])
def test_the_range_is_nearly_the_best_one_by_brute_force(name: str, bits: int, unsigned: bool) -> None:
    x = samples(name, unsigned)
    observer = Observer(unsigned=unsigned)
    assert torch.equal(observer(x), x)
    limit = observer.clip(bits, power_of_two=False)
    best = min(
        squared_error(x, fraction * observer.maximum, bits, unsigned) for fraction in torch.linspace(0.05, 1, 96)
    )
    # bins are 2 % wide and rounding counts as uniform noise, which at 2 bits it is not quite
    assert math.sqrt(squared_error(x, limit, bits, unsigned) / best) < 1.05


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize("name", ["normal", "uniform", "heavy_tails", "two_outliers", "tiny"])
def test_ranges_can_be_powers_of_two(name: str, bits: int) -> None:
    x = samples(name, False)
    observer = Observer()
    observer(x)
    limit = observer.clip(bits, power_of_two=True)
    assert is_power_of_two(torch.tensor(limit))
    top = math.ceil(math.log2(observer.maximum))
    best = min(squared_error(x, 2.0**exponent, bits, False) for exponent in range(top - 5, top + 1))
    assert math.sqrt(squared_error(x, limit, bits, False) / best) < 1.1  # few candidates: neighbours can be close


def test_an_observer_counts_over_all_its_calls() -> None:
    x = samples("normal", False)
    whole, parts = Observer(), Observer()
    whole(x)
    for part in torch.tensor_split(x, 7):
        parts(part)
    assert (whole.maximum, whole.counts.tolist()) == (parts.maximum, parts.counts.tolist())
    assert whole.counts.sum() == len(x)


def test_a_tensor_that_is_always_zero_still_has_a_scale() -> None:
    observer = Observer()
    observer(torch.zeros(4))
    assert 0 < observer.clip(8, power_of_two=False) < 1e-6
    assert is_power_of_two(torch.tensor(observer.clip(8, power_of_two=True)))
