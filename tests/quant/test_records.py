from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hexit.hw_model.area.resources import Resources
from hexit.hw_model.design_files import list_designs, load_design
from hexit.hw_model.device import list_devices, load_device
from hexit.hw_model.energy import EnergyModel
from hexit.quant.config import EncoderShape, QuantConfig
from hexit.quant.errors import ConfigError
from hexit.quant.exits.rules import RULES
from hexit.quant.network.model import ExitConfig
from hexit.quant.records import from_json, to_json
from hexit.quant.shapes import ALBERT_BASE, ParameterCounts
from hexit.quant.traces.reference import Reference
from hexit.quant.traces.trace import TraceOrigin
from hexit.quant.training.plan import ParameterRate, Recipe, Stage, TrainingPlan
from hexit.quant.training.state import EpochResult
from hexit.quant.workload import Add, Embed, ExitDecision, ExitHead, Gelu, LayerNorm, MatMul, Softmax, encoder_workload
from support.strategies import shapes


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    radius: float
    kind: Literal["steel", "rubber"] = "steel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cart:
    name: str
    n_horses: int
    wheels: tuple[Wheel, ...]
    cover: Wheel | None
    size: tuple[int, float]
    cargo: dict[str, int]
    covered: bool = False


CART = Cart(
    name="größer 'x'\n",
    n_horses=2,
    wheels=(Wheel(radius=0.1), Wheel(radius=3.0, kind="rubber")),
    cover=None,
    size=(1, 0.5),
    cargo={"hay": 3},
)

wheels = st.builds(
    Wheel, radius=st.floats(allow_nan=False, allow_infinity=False), kind=st.sampled_from(["steel", "rubber"])
)
carts = st.builds(
    Cart,
    name=st.text(),
    n_horses=st.integers(),
    wheels=st.lists(wheels).map(tuple),
    cover=st.none() | wheels,
    size=st.tuples(st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
    cargo=st.dictionaries(st.text(), st.integers()),
    covered=st.booleans(),
)
quants = st.builds(
    QuantConfig,
    weight_bits=st.sampled_from([2, 3, 8, 16]),
    activation_bits=st.sampled_from([2, 8, 16]),
    logit_bits=st.integers(4, 24),
    power_of_two=st.booleans(),
)


def through_text(record: Any) -> Any:
    return from_json(type(record), json.loads(json.dumps(to_json(record))))


@given(st.one_of(carts, shapes(), quants))
def test_a_record_comes_back_from_its_text(record: Any) -> None:
    assert through_text(record) == record


WORKLOAD = encoder_workload(ALBERT_BASE, QuantConfig.uniform(8), 128)
NO_ENERGY = {field.name: 0.25 for field in dataclasses.fields(EnergyModel)}
REFERENCE = Reference(
    version=1,
    model="tiny",
    checkpoint_hash="c0ffee",
    data="dev.tsv",
    data_hash="beef",
    n_samples=4,
    n_truncated=1,
    max_length=128,
    metric="accuracy_fraction",
    scores=(0.5, 0.75),
    compute="cpu",
    processor="some processor",
    driver="",
    torch="2.13.0",
    transformers="5.23.0",
)
RECORDS = [
    ALBERT_BASE,
    QuantConfig.uniform(4, power_of_two=True),
    ExitConfig(label_names=("negative", "positive"), pooling="mean"),
    ExitConfig(label_names=()),
    TraceOrigin(checkpoint_hash="a", model="m", data="d", data_hash="b", quant=QuantConfig.uniform(8), n_truncated=0),
    TraceOrigin(checkpoint_hash="a", model="m", data="d", data_hash="b", quant=None, n_truncated=2),
    REFERENCE,
    TrainingPlan(),
    TrainingPlan(pooling="mean", precision="bf16", seed=7),
    Recipe(
        plan=TrainingPlan(),
        stages=(Stage(loss="pabee"), Stage(freeze=("a.*",), rates=(ParameterRate(match="b", learning_rate=0.5),))),
    ),
    EpochResult(stage="s", epoch=1, mean_loss=0.25, dev_scores=(0.5, 0.75), wall_s=1.5),
    *(rule() for rule in RULES.values()),
    *{type(op): op for op in (*WORKLOAD.prologue, *WORKLOAD.layer, *WORKLOAD.exit)}.values(),
    ParameterCounts(**{field.name: 3 for field in dataclasses.fields(ParameterCounts)}),
    *(load_design(name) for name in list_designs()),
    *(load_device(name) for name in list_devices()),
    Resources(lut=1, uram=2),
    EnergyModel(**NO_ENERGY),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_every_kind_of_record_comes_back_from_its_text(record: Any) -> None:
    assert through_text(record) == record


def test_the_table_above_holds_every_op() -> None:
    ops = {MatMul, Softmax, LayerNorm, Gelu, Add, Embed, ExitHead, ExitDecision}
    assert ops <= {type(record) for record in RECORDS}


def test_whole_numbers_serve_as_reals_but_not_the_other_way_round() -> None:
    assert from_json(Wheel, {"radius": 3}) == Wheel(radius=3.0)
    assert type(from_json(Wheel, {"radius": 3}).radius) is float
    with pytest.raises(ConfigError, match=r"Cart\.n_horses = 2\.0: must be of type int"):
        from_json(Cart, to_json(CART) | {"n_horses": 2.0})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"colour": "red"},
            r"^Cart\.colour = red: is not a known key\. Known keys: name, n_horses, .*covered\. Did you mean cover\.$",
        ),
        ({"name": 3}, r"^Cart\.name = 3: must be of type str\. "),
        ({"n_horses": True}, r"^Cart\.n_horses = True: must be of type int"),
        ({"n_horses": "2"}, r"^Cart\.n_horses = 2: must be of type int"),
        ({"covered": 1}, r"^Cart\.covered = 1: must be of type bool"),
        ({"wheels": 4}, r"^Cart\.wheels = 4: must be a list"),
        ({"wheels": "ab"}, r"^Cart\.wheels = ab: must be a list"),
        ({"wheels": [{"radius": 1.0}, {"radius": "big"}]}, r"^Cart\.wheels\[1\]\.radius = big: must be of type float"),
        ({"wheels": [3]}, r"^Cart\.wheels\[0\] = 3: must be a table of the keys of Wheel"),
        ({"cover": {}}, r"^Cart\.cover\.radius = \(missing\): is required\. Add a line radius = VALUE"),
        ({"cover": {"radius": True}}, r"^Cart\.cover\.radius = True: must be of type float"),
        ({"cover": {"radius": 1.0, "kind": "wood"}}, r"^Cart\.cover\.kind = wood: must be one of steel, rubber"),
        ({"size": [1]}, r"^Cart\.size = \[1\]: must be a list of 2"),
        ({"size": [1, 2.0, 3]}, r"^Cart\.size = .*: must be a list of 2"),
        ({"size": [1.5, 2.0]}, r"^Cart\.size\[0\] = 1\.5: must be of type int"),
        ({"cargo": ["hay"]}, r"^Cart\.cargo = \['hay'\]: must be a table"),
        ({"cargo": {"hay": "much"}}, r"^Cart\.cargo\.hay = much: must be of type int"),
    ],
)
def test_wrong_values_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_json(Cart, to_json(CART) | changes)


@pytest.mark.parametrize("value", [None, 3, "text", [1, 2]])
def test_only_a_table_is_a_record(value: object) -> None:
    with pytest.raises(ConfigError, match=r"^cart\.toml = .*: must be a table of the keys of Cart"):
        from_json(Cart, value, "cart.toml")


@pytest.mark.parametrize("missing", ["name", "n_horses", "wheels", "cover", "size", "cargo"])
def test_a_missing_key_is_named_and_a_default_fills_in(missing: str) -> None:
    rest = {key: value for key, value in to_json(CART).items() if key not in {missing, "covered"}}
    with pytest.raises(ConfigError, match=rf"^Cart\.{missing} = \(missing\): is required"):
        from_json(Cart, rest)
    assert from_json(Cart, rest | {missing: to_json(CART)[missing]}) == CART


def test_a_record_that_reads_back_is_still_checked() -> None:
    with pytest.raises(ConfigError, match=r"shape\.n_heads = 5: must divide hidden_size 768"):
        from_json(EncoderShape, to_json(ALBERT_BASE) | {"n_heads": 5})
