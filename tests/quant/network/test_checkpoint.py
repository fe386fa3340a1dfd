from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AlbertForSequenceClassification, AutoModel, BertForSequenceClassification

import hexit.quant.network.checkpoint
from hexit.quant.errors import ConfigError
from hexit.quant.hub import CALIBRATION, checkpoint_hash
from hexit.quant.network.checkpoint import load_checkpoint, save_checkpoint
from hexit.quant.network.encoding import Batch, encode_strings, evaluation_batches
from hexit.quant.network.model import EarlyExitEncoder, ExitConfig
from support.models import MODEL_KINDS, SENTENCES, tiny_backbone, tiny_model

HEADS = [
    {"shared_head": False, "pooler": False},
    {"pooling": "mean", "label_names": ("a", "b", "c")},
    {"label_names": ()},
]


@pytest.fixture(scope="session")
def batch(tokenizer: Any) -> Batch:
    return next(evaluation_batches(encode_strings(SENTENCES, tokenizer, 24), len(SENTENCES), tokenizer.pad_token_id))


def logits_of(model: EarlyExitEncoder, batch: Batch) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = model(batch.input_ids, batch.attention_mask, batch.token_type_ids)
    return logits


@pytest.fixture
def folder(tiny_folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the tiny ALBERT that a test may damage."""
    return Path(shutil.copytree(tiny_folders["albert"], tmp_path / "albert"))


STORED: dict[Any, tuple[torch.dtype, torch.dtype]] = {  # word vectors, everything else
    "fp32": (torch.float32, torch.float32),
    "fp16": (torch.float16, torch.float16),
    "fp8": (torch.float8_e4m3fn, torch.float16),
}


@pytest.mark.parametrize("storage", STORED)
@pytest.mark.parametrize("exits", HEADS, ids=str)
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_saved_model_comes_back(
    kind: str, exits: dict[str, Any], storage: Any, tokenizer: Any, batch: Batch, tmp_path: Path
) -> None:
    model = tiny_model(kind, tokenizer, **exits)
    save_checkpoint(model, tokenizer, tmp_path / "m", storage=storage, notes={"a": 1}, calibration=["one", "two"])
    loaded = load_checkpoint(str(tmp_path / "m"))
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data.to(STORED[storage]["word_embeddings" not in name]).float()
    assert torch.equal(logits_of(loaded.model, batch), logits_of(model, batch))
    assert (loaded.model.exits, loaded.model.shape()) == (model.exits, model.shape())
    assert (loaded.name, loaded.trained_exits, loaded.max_length) == ("m", True, 24)
    assert not loaded.model.training
    assert loaded.tokenizer(SENTENCES[1])["input_ids"] == tokenizer(SENTENCES[1])["input_ids"]
    assert (tmp_path / "m" / CALIBRATION).read_text() == "one\ntwo\n"
    assert json.loads((tmp_path / "m" / "training.json").read_text()) == {"a": 1}


@pytest.mark.parametrize("storage", STORED)
def test_weights_are_stored_as_asked(storage: Any, tokenizer: Any, tmp_path: Path) -> None:
    model = tiny_model("albert", tokenizer)
    save_checkpoint(model, tokenizer, tmp_path / "m", storage=storage, notes={}, calibration=["a"])
    stored = load_file(tmp_path / "m" / "model.safetensors")
    for name, tensor in stored.items():
        assert tensor.dtype == STORED[storage]["word_embeddings" not in name]
    assert sum(tensor.numel() for tensor in stored.values()) == sum(one.numel() for one in model.parameters())


@pytest.mark.parametrize("storage", STORED)
def test_transformers_opens_every_kind_of_storage(storage: Any, tokenizer: Any, batch: Batch, tmp_path: Path) -> None:
    save_checkpoint(tiny_model("albert", tokenizer), tokenizer, tmp_path, storage=storage, notes={}, calibration=["a"])
    ours, theirs = load_checkpoint(str(tmp_path)).model.backbone, AutoModel.from_pretrained(str(tmp_path)).eval()
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    with torch.inference_mode():
        assert torch.equal(theirs(**inputs).last_hidden_state, ours(**inputs).last_hidden_state)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_transformers_opens_the_backbone(kind: str, tiny_folders: dict[str, Path], batch: Batch) -> None:
    ours = load_checkpoint(str(tiny_folders[kind])).model.backbone
    theirs = AutoModel.from_pretrained(str(tiny_folders[kind])).eval()
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    with torch.inference_mode():
        assert torch.equal(theirs(**inputs).last_hidden_state, ours(**inputs).last_hidden_state)


def plain_classifier(kind: str, n_classes: int, tokenizer: Any, folder: Path) -> Any:
    """A classifier as transformers saves it, with its tokenizer."""
    config = tiny_backbone(kind, 2, len(tokenizer)).config
    config.num_labels = n_classes
    torch.manual_seed(3)
    model = {"albert": AlbertForSequenceClassification, "bert": BertForSequenceClassification}[kind](config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.eval()


@pytest.mark.parametrize("n_classes", [1, 2, 3])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_plain_classifier_becomes_an_exit_that_all_layers_share(
    kind: str, n_classes: int, tokenizer: Any, batch: Batch, tmp_path: Path
) -> None:
    theirs = plain_classifier(kind, n_classes, tokenizer, tmp_path)
    loaded = load_checkpoint(str(tmp_path))
    names = {1: (), 2: ("0", "1"), 3: ("LABEL_0", "LABEL_1", "LABEL_2")}[n_classes]  # two: transformers saves no names
    assert loaded.model.exits == ExitConfig(label_names=names, pooler=True, pooling="first", shared_head=True)
    assert loaded.trained_exits
    with torch.inference_mode():
        expected = theirs(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    assert torch.equal(logits_of(loaded.model, batch)[-1], expected)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_plain_classifier_may_lack_a_pooler(kind: str, tokenizer: Any, tmp_path: Path) -> None:
    plain_classifier(kind, 2, tokenizer, tmp_path)
    edit_tensors(lambda tensors: [tensors.pop(key) for key in list(tensors) if "pooler" in key])(tmp_path)
    assert not load_checkpoint(str(tmp_path)).model.exits.pooler


def test_tensors_under_their_first_names_are_read(folder: Path, batch: Batch) -> None:
    expected = logits_of(load_checkpoint(str(folder)).model, batch)
    renamed = {
        key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for key, value in load_file(folder / "model.safetensors").items()
    }
    assert any(key.endswith("gamma") for key in renamed)
    save_file(renamed, folder / "model.safetensors")
    assert torch.equal(logits_of(load_checkpoint(str(folder)).model, batch), expected)


def test_weights_may_lie_in_several_files(folder: Path, batch: Batch) -> None:
    expected = logits_of(load_checkpoint(str(folder)).model, batch)
    tensors = sorted(load_file(folder / "model.safetensors").items())
    save_file(dict(tensors[:9]), folder / "model-00001-of-00002.safetensors")
    save_file(dict(tensors[9:]), folder / "model-00002-of-00002.safetensors")
    (folder / "model.safetensors").unlink()
    assert torch.equal(logits_of(load_checkpoint(str(folder)).model, batch), expected)


CLASSIFIER = "heads.0.classifier.weight"


def test_new_exits_replace_old_ones_that_do_not_fit(folder: Path) -> None:
    old = load_checkpoint(str(folder))
    same = load_checkpoint(str(folder), exits=old.model.exits)
    other = load_checkpoint(str(folder), exits=ExitConfig(label_names=("a", "b", "c"), shared_head=False))
    assert (same.trained_exits, other.trained_exits) == (True, False)
    assert torch.equal(same.model.state_dict()[CLASSIFIER], old.model.state_dict()[CLASSIFIER])
    assert other.model.shape().n_classes == 3
    for key, value in old.model.backbone.state_dict().items():
        assert torch.equal(other.model.backbone.state_dict()[key], value)


def edit_config(**changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(
            json.dumps({key: value for key, value in config.items() if value is not None})
        )

    return edit


def edit_tensors(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return edit


def only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def pickle_in_disguise(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps({"a": 1}))


def truncated(folder: Path) -> None:
    raw = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(raw[: len(raw) // 2])


EMBEDDING = "albert.embeddings.word_embeddings.weight"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (only_a_pickle, r"pytorch_model\.bin: is a pickle, which can run code when opened\. Convert it to model\.safe"),
        (pickle_in_disguise, r"model\.safetensors: is damaged or no safetensors file"),
        (truncated, r"model\.safetensors: is damaged or no safetensors file"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"holds no \*\.safetensors"),
        (lambda folder: (folder / "config.json").unlink(), r"holds no config\.json\. Give a Hugging Face checkpoint"),
        (lambda folder: (folder / "config.json").write_text("{"), r"config\.json: is not JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), r"config\.json: model_type = \[\]: must be one of"),
        (lambda folder: (folder / "tokenizer.json").unlink(), r"holds no tokenizer\. Put tokenizer\.json beside"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), r"its tokenizer cannot be loaded \(.+\)"),
        (edit_config(model_type="roberta"), r"config\.json: model_type = roberta: must be one of albert, bert"),
        (edit_config(model_type=None), r"config\.json: model_type = None: must be one of albert, bert"),
        (edit_config(hidden_size="wide"), r"config\.json: describes no albert encoder \(.+\)"),
        (edit_config(num_attention_heads=5), r"weights and config\.json disagree \(size mismatch.+\)"),
        (edit_config(num_hidden_groups=3), r"lacks \d+ tensors, the first is encoder\.albert_layer_groups\.1\..+"),
        (edit_config(inner_group_num=2), r"inner_group_num = 2: must be 1"),
        (edit_config(hidden_size=64), r"weights and config\.json disagree \(.*size mismatch.*\)"),
        (
            edit_config(hexit={"label_names": ["a"], "sharp": True}),
            r"config\.json: hexit\.sharp = True: is not a known",
        ),
        (edit_config(hexit={"pooler": True}), r"config\.json: hexit\.label_names = \(missing\): is required"),
        (edit_config(hexit={"label_names": ["a", "b", "c"]}), r"its exit heads do not match its config\.json"),
        (edit_config(hexit={"label_names": ["a", "b"], "pooler": False}), r"its exit heads do not match"),
        (edit_config(hexit=None), r"has no exits and no classifier\. Train them: hexit train --model"),
        (edit_tensors(lambda tensors: tensors.pop(EMBEDDING)), r"lacks 1 tensors, the first is embeddings\.word_emb"),
        (edit_tensors(lambda tensors: tensors.pop("heads.0.classifier.bias")), r"its exit heads do not match"),
    ],
)
def test_damaged_checkpoints_say_what_is_wrong(damage: Callable[[Path], object], message: str, folder: Path) -> None:
    damage(folder)
    with pytest.raises(ConfigError, match=message) as caught:
        load_checkpoint(str(folder))
    assert str(caught.value).startswith("--model")


def test_a_pretraining_checkpoint_needs_exits_first(folder: Path) -> None:
    edit_config(hexit=None)(folder)
    edit_tensors(lambda tensors: [tensors.pop(key) for key in list(tensors) if key.startswith("heads.")])(folder)
    with pytest.raises(ConfigError, match=r"has no exits and no classifier"):
        load_checkpoint(str(folder))
    assert not load_checkpoint(str(folder), exits=ExitConfig(label_names=("a", "b"))).trained_exits


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/none/at/all", r"= /none/at/all: no such folder\. Check the path"),
        ("config.json", r"config\.json: must be a checkpoint folder or a hub name, not a file"),
        ("no-such-model-here", r"= no-such-model-here: is no folder here and cannot be fetched from the hub \(.+\)"),
    ],
)
def test_a_model_is_a_folder_or_a_hub_name(name: str, message: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_checkpoint(str(folder / name) if name == "config.json" else name)


def test_the_hash_sees_every_byte_that_decides_the_output(folder: Path) -> None:
    first = checkpoint_hash(folder)
    (folder / "training.json").write_text("{}")
    assert checkpoint_hash(folder) == first == load_checkpoint(str(folder)).content_hash
    for name in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"):
        raw = (folder / name).read_bytes()
        for position in (0, len(raw) // 2, len(raw) - 1):
            changed = bytearray(raw)
            changed[position] ^= 1
            (folder / name).write_bytes(bytes(changed))
            assert checkpoint_hash(folder) != first, (name, position)
        (folder / name).write_bytes(raw)
    assert checkpoint_hash(folder) == first
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    assert checkpoint_hash(folder) != first


def test_saving_twice_gives_equal_bytes(tokenizer: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_checkpoint(
            tiny_model("bert", tokenizer), tokenizer, tmp_path / name, storage="fp16", notes={}, calibration="x"
        )
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_failed_save_leaves_nothing(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hexit.quant.network.checkpoint, "save_file", full)
    with pytest.raises(ConfigError, match=r"^--out = .*/m: cannot be written \(No space left on device\)"):
        save_checkpoint(
            tiny_model("bert", tokenizer), tokenizer, tmp_path / "m", storage="fp16", notes={}, calibration=[]
        )
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_checkpoint_alone(
    folder: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, n_files = checkpoint_hash(folder), len(list(folder.iterdir()))
    monkeypatch.setattr(json, "dumps", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_checkpoint(tiny_model("bert", tokenizer), tokenizer, folder, storage="fp16", notes={}, calibration=[])
    assert (checkpoint_hash(folder), len(list(folder.iterdir()))) == (first, n_files)
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_place_that_cannot_be_written_is_named(place: str, tokenizer: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ConfigError, match=rf"^--out = .*/{place}: cannot be written \(.+\)\. Name another folder"):
        save_checkpoint(
            tiny_model("bert", tokenizer), tokenizer, tmp_path / place, storage="fp16", notes={}, calibration=[]
        )
    assert (tmp_path / "file").read_text() == "kept"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
