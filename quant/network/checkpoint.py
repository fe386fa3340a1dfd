"""Checkpoints on disk: Hugging Face folders with safetensors, read from a path or a hub name, never a pickle.

A folder written here is an ordinary transformers folder (`AutoModel.from_pretrained` opens the backbone) with the
exits beside it: `config.json` has a section "hexit", `model.safetensors` the tensors `heads.*`.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from hexit.quant.data.tasks import TextSet, written_texts
from hexit.quant.errors import ConfigError
from hexit.quant.hub import CALIBRATION, SELECTION, checkpoint_hash, locate, read_config
from hexit.quant.network.model import EarlyExitEncoder, ExitConfig
from hexit.quant.records import from_json, to_json

SECTION = "hexit"
Storage = Literal["fp32", "fp16", "fp8"]
VOCABULARY_FILES = ("tokenizer.json", "vocab.txt", "spiece.model")
OLD_NORM_NAMES = {"gamma": "weight", "beta": "bias"}  # TensorFlow's, still in the first BERT checkpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A loaded model with its tokenizer; `content_hash` is that of configuration, tokenizer and weights."""

    name: str
    model: EarlyExitEncoder
    tokenizer: Any
    content_hash: str
    trained_exits: bool

    @property
    def max_length(self) -> int:
        """Longest input in tokens that the position table allows."""
        return int(self.model.backbone.config.max_position_embeddings)


def load_checkpoint(model: str, *, exits: ExitConfig | None = None, where: str = "--model") -> Checkpoint:
    """Load a checkpoint with its exits and its tokenizer, in float32 and evaluation mode.

    `exits` describes new exits for a checkpoint that has none (training); without it, a checkpoint must bring
    exits or at least one classifier, which then serves every layer. Raises ConfigError for anything else.
    """
    folder = locate(model, where)
    config = read_config(folder, where)
    state = _read_tensors(folder, where)
    stored = config.pop(SECTION, None)
    own = from_json(ExitConfig, stored, f"{where} {folder / 'config.json'}: {SECTION}") if stored is not None else None
    backbone_state, head_state = _split_state(state, config["model_type"], own)
    if own is None and exits is None and not head_state:
        raise ConfigError(
            where, model, "has no exits and no classifier", f"Train them: hexit train --model {model} ..."
        )
    description = exits or own or _classifier_exits(config, head_state)
    network = EarlyExitEncoder(_new_backbone(config, folder, where), description, _head_dropout(config))
    _load_backbone(network, backbone_state, where, model)
    trained = _load_heads(network, head_state, strict=exits is None, where=where, model=model)
    network.eval()
    return Checkpoint(
        name=folder.name if Path(model).expanduser().is_dir() else model,
        model=network,
        tokenizer=load_tokenizer(folder, where),
        content_hash=checkpoint_hash(folder),
        trained_exits=trained,
    )


def load_tokenizer(folder: Path, where: str = "--model") -> Any:
    """Load the fast tokenizer that lies beside the weights."""
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in VOCABULARY_FILES):  # transformers would make up an empty one
        raise ConfigError(where, str(folder), "holds no tokenizer", "Put tokenizer.json beside the weights")
    try:
        return AutoTokenizer.from_pretrained(str(folder), use_fast=True)
    except Exception as error:  # transformers raises whatever its readers raise
        raise ConfigError(
            where,
            str(folder),
            f"its tokenizer cannot be loaded ({_first_line(error)})",
            "Put tokenizer.json beside the weights",
        ) from None


def save_checkpoint(
    model: EarlyExitEncoder,
    tokenizer: Any,
    folder: Path,
    *,
    storage: Storage,
    notes: dict[str, Any],
    calibration: Sequence[str],
    selection: TextSet | None = None,
) -> None:
    """Write a checkpoint folder, whole or not at all.

    `storage` is the type of the stored weights: fp32, fp16, or fp8, which is fp16 but for the word vectors in e4m3 (a
    sign, 4 bits of exponent, 3 of fraction), the largest and the least sensitive of the tables.
    `notes` go to training.json and the sentences that quantisation calibrates on to calibration.txt, both beside
    the weights. So does `selection`, labelled samples that settings of exit rules are chosen on, as selection.tsv.
    """
    prefix = model.backbone.base_model_prefix
    dtype = torch.float32 if storage == "fp32" else torch.float16
    tensors = {f"{prefix}.{key}": value for key, value in model.backbone.state_dict().items()}
    tensors |= {f"heads.{key}": value for key, value in model.heads.state_dict().items()}
    tensors = {k: v.detach().cpu().to(dtype).contiguous() for k, v in tensors.items() if v.is_floating_point()}
    if storage == "fp8":
        name = f"{prefix}.embeddings.word_embeddings.weight"
        tensors[name] = model.backbone.embeddings.word_embeddings.weight.detach().cpu().to(torch.float8_e4m3fn)
    config = json.loads(model.backbone.config.to_json_string(use_diff=False))
    for volatile in ("transformers_version", "_name_or_path", "dtype", "torch_dtype"):
        config.pop(volatile, None)
    config["dtype"] = "float32"  # what transformers computes in, whatever is stored
    config["architectures"] = [type(model.backbone).__name__]
    config[SECTION] = to_json(model.exits)
    with whole_folder(folder) as temporary:
        save_file(tensors, temporary / "model.safetensors", metadata={"format": "pt"})
        tokenizer.save_pretrained(str(temporary))
        (temporary / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        if calibration:
            (temporary / CALIBRATION).write_text("\n".join(calibration) + "\n", encoding="utf-8")
        if selection is not None:
            (temporary / SELECTION).write_text(written_texts(selection), encoding="utf-8")
        (temporary / "training.json").write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `folder` if the block succeeds, replacing files of the same name."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise _unwritable(folder, error) from None
    try:
        yield temporary
        folder.mkdir(exist_ok=True)
        for path in temporary.iterdir():
            path.chmod(0o644)  # safetensors and mkstemp keep files to their owner; a checkpoint is for sharing
            path.replace(folder / path.name)
    except OSError as error:
        raise _unwritable(folder, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unwritable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError("--out", str(folder), f"cannot be written ({error.strerror})", "Name another folder")


def _read_tensors(folder: Path, where: str) -> dict[str, torch.Tensor]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = [path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern)]
        if pickles:
            raise ConfigError(
                where,
                str(folder / pickles[0]),
                "is a pickle, which can run code when opened",
                "Convert it to model.safetensors first",
            )
        raise ConfigError(where, str(folder), "holds no *.safetensors", "Fetch the checkpoint again")
    state: dict[str, torch.Tensor] = {}
    for path in files:
        try:
            state |= load_file(path)
        except (SafetensorError, OSError) as error:
            raise ConfigError(
                where, str(path), f"is damaged or no safetensors file ({error})", "Fetch the checkpoint again"
            ) from None
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def _split_state(
    state: dict[str, torch.Tensor], model_type: str, own: ExitConfig | None
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Separate backbone tensors (prefix removed) from exit tensors; a plain classifier becomes a shared exit."""
    backbone: dict[str, torch.Tensor] = {}
    heads: dict[str, torch.Tensor] = {}
    renames = {"pooler.dense": "0.pooler", "pooler": "0.pooler", "classifier": "0.classifier"}
    for key, value in state.items():
        bare = key.removeprefix(f"{model_type}.")
        stem, _, leaf = bare.rpartition(".")
        if stem.endswith("LayerNorm") and leaf in OLD_NORM_NAMES:
            bare = f"{stem}.{OLD_NORM_NAMES[leaf]}"
        if key.startswith("heads.") and own is not None:
            heads[key.removeprefix("heads.")] = value
        elif stem in renames and own is None:
            heads[f"{renames[stem]}.{leaf}"] = value
        elif bare.startswith(("embeddings.", "encoder.")) and not bare.endswith("position_ids"):
            backbone[bare] = value
    if own is None and "0.classifier.weight" not in heads:
        heads = {}  # a pretraining pooler alone decides nothing
    return backbone, heads


def _classifier_exits(config: dict[str, Any], heads: dict[str, torch.Tensor]) -> ExitConfig:
    n_classes = heads["0.classifier.weight"].shape[0]
    names = config.get("id2label") or {str(i): str(i) for i in range(n_classes)}
    labels = tuple(str(names.get(str(i), i)) for i in range(n_classes)) if n_classes > 1 else ()
    return ExitConfig(label_names=labels, pooler="0.pooler.weight" in heads, pooling="first", shared_head=True)


def _head_dropout(config: dict[str, Any]) -> float:
    return float(config.get("classifier_dropout_prob") or config.get("hidden_dropout_prob") or 0.0)


def _new_backbone(config: dict[str, Any], folder: Path, where: str) -> Any:
    from transformers import AlbertConfig, AlbertModel, BertConfig, BertModel

    kinds: dict[str, tuple[Any, Any]] = {"albert": (AlbertConfig, AlbertModel), "bert": (BertConfig, BertModel)}
    config_class, model_class = kinds[config["model_type"]]
    try:
        return model_class(config_class.from_dict(config), add_pooling_layer=False)
    except Exception as error:  # transformers raises whatever a wrong size happens to break
        requirement = f"describes no {config['model_type']} encoder ({_first_line(error)})"
        raise ConfigError(where, str(folder / "config.json"), requirement, "Fetch the checkpoint again") from None


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _load_backbone(network: EarlyExitEncoder, state: dict[str, torch.Tensor], where: str, model: str) -> None:
    try:
        missing, _ = network.backbone.load_state_dict(state, strict=False)
    except RuntimeError as error:
        line = str(error).splitlines()[-1].strip()
        raise ConfigError(where, model, f"weights and config.json disagree ({line})", "Fetch it again") from None
    missing = [key for key in missing if not key.endswith("position_ids")]
    if missing:
        raise ConfigError(where, model, f"lacks {len(missing)} tensors, the first is {missing[0]}", "Fetch it again")


def _load_heads(
    network: EarlyExitEncoder, state: dict[str, torch.Tensor], *, strict: bool, where: str, model: str
) -> bool:
    expected = network.heads.state_dict()
    fits = set(expected) == set(state) and all(expected[key].shape == state[key].shape for key in expected)
    if not fits:
        if strict:
            raise ConfigError(where, model, "its exit heads do not match its config.json", "Train the exits again")
        return False
    network.heads.load_state_dict(state)
    return True
