from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from hexit.quant.errors import ConfigError
from hexit.quant.hub import HUB_PATTERNS, checkpoint_hash, locate, read_config


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert locate(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("name", ["./none", "/none", "~/none-of-this", "~nobody-of-this-name/none", "a/b/c", ""])
def test_a_path_that_is_no_folder_is_never_looked_up_in_the_hub(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    with pytest.raises(ConfigError, match=r"^--teacher = .*: no such folder\. Check the path\.$"):
        locate(name, "--teacher")


def test_a_file_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ConfigError, match="must be a checkpoint folder or a hub name, not a file"):
        locate(str(tmp_path / "model.safetensors"))


@pytest.mark.parametrize("name", ["albert-base-v2", "owner/model"])
def test_a_hub_name_is_fetched_without_pickles(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request: dict[str, Any] = {}

    def download(repository: str, **options: Any) -> str:
        request.update(options, repository=repository)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert locate(name) == tmp_path
    assert request == {"repository": name, "allow_patterns": HUB_PATTERNS}
    assert not any(pattern.endswith((".bin", ".pt", ".pkl", "*")) for pattern in HUB_PATTERNS)


@pytest.mark.parametrize("reason", ["401 Client Error\n\nlong story", ""])
def test_every_trouble_of_the_hub_is_one_line(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> str:
        raise TimeoutError(reason)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    shown = "401 Client Error" if reason else "TimeoutError"
    with pytest.raises(ConfigError, match=rf"cannot be fetched from the hub \({shown}\)\. Check the name"):
        locate("albert-base-v2")


def test_the_hash_is_of_what_decides_the_output(tiny_folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(tiny_folders["albert"], folder)
    original = checkpoint_hash(folder)
    assert original == checkpoint_hash(tiny_folders["albert"]) != checkpoint_hash(tiny_folders["bert"])
    for name in ("training.json", "calibration.txt", "README.md"):
        (folder / name).write_text("something else")
        assert checkpoint_hash(folder) == original
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content + b" ")
        assert checkpoint_hash(folder) != original
        (folder / name).write_bytes(content)
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    assert checkpoint_hash(folder) != original


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"holds no config\.json"),
        (b"{", r"is not JSON"),
        (b"\xff", r"is not JSON"),
        (b"[]", r"model_type = \[\]: must be one of albert, bert"),
        (b"{}", r"model_type = None: must be one of albert, bert"),
        (b'{"model_type": "gpt2"}', r"--model .*config\.json: model_type = gpt2: must be one of albert, bert"),
    ],
)
def test_a_config_of_anything_else_is_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path)


@pytest.mark.parametrize("kind", ["albert", "bert"])
def test_both_kinds_of_encoders_are_known(kind: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "x": 1}))
    assert read_config(tmp_path) == {"model_type": kind, "x": 1}
