"""HLS kernels: their C simulation is the golden model, within whole projects, through hls4ml and with g++ alone."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from typing import Any

import hls4ml
import numpy as np
import pytest
import yaml  # type: ignore[import-untyped]
from hls4ml.model.flow import get_flow

from hexit.hls.exit_unit.constants import Test, Trend, constants
from hexit.hls.exit_unit.hls4ml_layers import KERNELS, register, unit_config
from hexit.hls.exit_unit.hls4ml_model import Backend, Interface, hls_model, predict_events, write_project
from hexit.hls.exit_unit.hls_project import write_hls_project
from hexit.hls.exit_unit.simulation import simulate_hls_project
from hexit.hls.exit_unit.vectors import EventStream, answer, proof_events
from hexit.quant.arrays import Integers
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import parse_rule
from hexit.quant.exits.unit import ExitUnitSpec, exit_unit_spec
from hexit.quant.integer.head import HeadScales, IntegerDense, IntegerHead, head_logits, integer_head

TARGET: dict[str, Any] = {"part": "xczu9eg-ffvb1156-2-e", "clock_period_ns": 5.0}
VECTORS = 6000


def spec_of(rule: str, n_classes: int, **options: Any) -> ExitUnitSpec:
    given = {"n_layers": 12, "scale": 2.0**-6, "logit_bits": 12, "n_slots": 3, "confidence": "fixed" not in rule}
    return exit_unit_spec(parse_rule(rule), n_classes=n_classes, **(given | options))


def random_head(weight_bits: int, pooler: bool, hidden: int = 32, n_classes: int = 2) -> IntegerHead:
    """Weights over all of their width, the most negative one included; logits that sometimes saturate."""
    random = np.random.default_rng(weight_bits)
    low, high = -(1 << (weight_bits - 1)), (1 << (weight_bits - 1)) - 1

    def dense(n_out: int) -> IntegerDense:
        weights = random.integers(low, high + 1, (n_out, hidden))
        weights[0, :2] = low, high
        return IntegerDense(
            weights=weights, bias=random.integers(-100, 101, n_out), weight_bits=weight_bits, input_bits=8
        )

    scales = HeadScales(
        inputs=2.0**-5,
        pooler_weights=random.uniform(0.5, 1.5, hidden) * 2.0**-weight_bits if pooler else np.zeros(0),
        features=2.0**-7,
        classifier_weights=random.uniform(0.5, 1.5, n_classes) * 2.0 ** (1 - weight_bits),
        logits=2.0**-7 * math.sqrt(hidden) / 34,  # a standard deviation of about 1000
    )
    return integer_head(
        pooler=dense(hidden) if pooler else None, classifier=dense(n_classes), scales=scales, logit_bits=12
    )


def head_events(spec: ExitUnitSpec, head: IntegerHead, n_sentences: int) -> tuple[EventStream, Integers]:
    """Events of sentences one after the other, and what the head reads at each of them."""
    random = np.random.default_rng(3)
    n = n_sentences * spec.n_layers
    inputs = np.clip(np.rint(random.normal(0, 40, (n, head.hidden_size))), -128, 127).astype(np.int64)
    inputs[:24] = random.choice([-128, 127], (24, head.hidden_size))
    layer = np.tile(np.arange(1, spec.n_layers + 1), n_sentences)
    return answer(spec, np.zeros(n, np.int64), layer, head_logits(head, inputs)), inputs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "n_classes", "options", "backend", "interface"),
    [
        ("hardware:run_length=3", 2, {"logit_bits": 16, "n_slots": 1}, "vitis", "parallel"),
        ("hardware:threshold=1000", 2, {"logit_bits": 8, "evaluated_layers": (3, 4, 6, 9, 12)}, "vivado", "stream"),
        ("elbert:bias=bias_1,window=2,margin=0.1", 3, {"logit_bits": 8}, "vivado", "parallel"),
        ("elbert:bias=bias_2,window=3", 2, {"n_slots": 5}, "vitis", "stream"),
        ("elbert:bias=bias_2,window=3", 10, {"logit_bits": 8}, "vivado", "stream"),
        ("elbert:bias=bias_3,window=4,range_limit=0.2", 2, {"logit_bits": 16}, "vitis", "parallel"),
        (
            "elbert:bias=bias_3,window=3,range_limit=0.3",
            3,
            {"evaluated_layers": (2, 3, 4, 5, 8, 12)},
            "vivado",
            "parallel",
        ),
        ("pabee:patience=2", 10, {"n_layers": 40}, "vivado", "parallel"),
        ("pabee-regression:patience=2", 1, {"logit_bits": 16}, "vitis", "stream"),
        ("entropy:threshold=0.3", 3, {"logit_bits": 24, "scale": 2.0**-18}, "vitis", "parallel"),
        ("normalized-entropy:threshold=0.5", 10, {"logit_bits": 8, "confidence": False}, "vivado", "stream"),
        ("max-probability:threshold=0.6", 10, {"logit_bits": 16}, "vitis", "stream"),
        ("fixed-depth:layer=7", 3, {}, "vivado", "parallel"),
    ],
)
def test_c_simulation_with_gpp_alone_is_the_golden_model(
    rule: str, n_classes: int, options: dict[str, Any], backend: Backend, interface: Interface, tmp_path: Path
) -> None:
    spec = spec_of(rule, n_classes, **options)
    stream = proof_events(spec, VECTORS, seed=5)
    assert 0 < stream.exit.mean() < 1
    write_hls_project(spec, tmp_path, backend=backend, interface=interface, name="unit", stream=stream, **TARGET)
    result = simulate_hls_project(tmp_path)
    assert (result.n_events, result.n_different, result.first_difference) == (VECTORS, 0, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "interface", "rule", "n_classes", "kind"),
    [
        ("vitis", "parallel", "max-probability:threshold=0.7", 3, np.float64),
        ("vivado", "stream", "hardware", 2, np.float32),
    ],
)
def test_an_hls4ml_user_compiles_and_predicts(
    backend: Backend, interface: Interface, rule: str, n_classes: int, kind: type[np.floating[Any]], tmp_path: Path
) -> None:
    spec = spec_of(rule, n_classes, n_slots=2, logit_bits=24, scale=2.0**-18)  # all that float32 can hold
    stream = proof_events(spec, 2000, seed=6)
    assert {-(1 << 23), (1 << 23) - 1} <= set(stream.logits.ravel().tolist())
    model = hls_model(spec, tmp_path, backend=backend, interface=interface, project_name="unit", **TARGET)
    model.compile()
    assert np.array_equal(predict_events(model, stream), stream.decisions)
    inputs = [np.column_stack([stream.slot, stream.layer]).astype(kind), stream.logits.astype(kind)]
    assert np.array_equal(model.predict(inputs), stream.decisions)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weight_bits", "pooler", "reuse_factor", "backend", "interface"),
    [
        (2, True, 1, "vitis", "stream"),
        (4, False, 8, "vivado", "parallel"),
        (8, True, 32, "vitis", "parallel"),
        (8, False, 1, "vivado", "stream"),
    ],
)
def test_head_and_decision_in_one_project(
    weight_bits: int, pooler: bool, reuse_factor: int, backend: Backend, interface: Interface, tmp_path: Path
) -> None:
    head = random_head(weight_bits, pooler)
    spec = spec_of("hardware", 2, n_slots=1, scale=head.scales.logits)
    stream, inputs = head_events(spec, head, 50)
    assert {-2048, 2047} <= set(stream.logits.ravel().tolist())
    assert (np.abs(stream.logits) < 2047).mean() > 0.4
    model = hls_model(
        spec,
        tmp_path,
        backend=backend,
        interface=interface,
        project_name="unit",
        head=head,
        reuse_factor=reuse_factor,
        **TARGET,
    )
    layers = {layer.name: layer for layer in model.get_layers()}
    assert layers["pooler" if pooler else "classifier"].get_attr("reuse_factor") == reuse_factor
    assert layers["classifier"].get_weights("weight").type.precision.width == weight_bits
    layers["scores"].set_attr("trace", True)
    event = np.column_stack([stream.slot, stream.layer]).astype(float)
    decisions, traced = model.trace([event, inputs.astype(float)])
    assert np.array_equal(decisions, stream.decisions)
    assert np.array_equal(traced["scores"], stream.logits)


def test_registering_again_changes_nothing_and_hls4ml_keeps_its_own_way_of_writing() -> None:
    for _ in range(2):
        register("vitis")
    assert get_flow("vitis:write").optimizers == ["make_stamp", "vitis:write_hls"]
    headers = {path.name for path in KERNELS.glob("*.h")}
    assert {Path(name).name for name in hls4ml.backends.get_backend("vitis").get_custom_source()} >= headers


@pytest.mark.parametrize("backend", ["vitis", "vivado"])
def test_a_project_is_written_the_same_every_time_and_hls4ml_can_link_to_it(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        model = hls_model(
            spec_of("elbert", 3),
            Path(),
            backend=backend,
            interface="stream",
            project_name="unit",
            head=random_head(4, True, n_classes=3),
            **TARGET,
        )
        write_project(model)
        files = sorted(path for path in Path().rglob("*") if path.is_file())
        found.append({str(path): path.read_bytes() for path in files})
    assert found[0] == found[1]
    assert yaml.safe_load(found[0]["hls4ml_config.yml"])["Backend"].lower() == backend
    hls4ml.converters.link_existing_project(str(tmp_path / "one"))


def test_kernels_and_constants_have_the_same_numbers_for_tests_and_trends() -> None:
    header = (KERNELS / "exit_common.h").read_text()
    for kind in (Test, Trend):
        prefix = f"{kind.__name__.upper()}_"
        found = {name: int(value) for name, value in re.findall(rf"\b{prefix}(\w+) = (\d+)", header)}
        assert found == {member.name: member.value for member in kind}


@pytest.mark.parametrize(("rule", "n_classes"), [("elbert:bias=bias_3,window=3,range_limit=0.2", 3), ("hardware", 2)])
def test_the_configuration_holds_every_constant_under_its_name(rule: str, n_classes: int) -> None:
    spec = spec_of(rule, n_classes, evaluated_layers=(2, 4, 5, 12))
    text = unit_config("config", spec)
    outside = re.findall(r"^    static const (?:int|long long) (\w+) = (-?\d+);", text, re.M)
    mask = re.search(r"EXIT_MASK.*?\{([01, ]+)\};", text, re.S)
    assert mask is not None
    bits = sum(int(bit) << layer for layer, bit in enumerate(mask[1].split(", ")))
    assert {name: int(value) for name, value in outside} | {"EXIT_MASK": bits} == constants(spec)


def test_what_cannot_be_built_is_refused_in_one_line(tmp_path: Path) -> None:
    given: dict[str, Any] = {"backend": "vitis", "interface": "stream", "project_name": "unit", **TARGET}
    with pytest.raises(ConfigError, match=r"^exit head = 2 logits of 12 bits: must be 3 logits of 12 bits"):
        hls_model(spec_of("entropy", 3), tmp_path, head=random_head(4, False), **given)
    with pytest.raises(
        ConfigError, match=r"^--reuse-factor = 7: is not possible for 32 x 32 weights\. Use one of 1, 2,"
    ):
        hls_model(spec_of("hardware", 2), tmp_path, head=random_head(4, True), reuse_factor=7, **given)
    assert not list(tmp_path.iterdir())


def test_build_without_the_vendor_tools_says_which_one_is_missing(tmp_path: Path) -> None:
    if shutil.which("vitis-run"):
        pytest.skip("the tools are here")
    model = hls_model(
        spec_of("hardware", 2), tmp_path, backend="vitis", interface="stream", project_name="unit", **TARGET
    )
    with pytest.raises(Exception, match="vitis-run"):
        model.build()
