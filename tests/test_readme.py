"""The README's commands: those that need only the box are run, the test command is the one that CI calls."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from support.command_line import hexit
from support.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.partition("  #")[0].strip() for line in README.splitlines() if line.startswith(("hexit run", "hexit hls"))
]
IN_THE_BOX = [command for command in COMMANDS if not re.search(r"[\w-]+/|\.csv|runs", command)]
OF_A_UNIT = [command for command in COMMANDS if "build/unit" in command]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_most_commands_need_only_the_box() -> None:
    assert len(IN_THE_BOX) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("command", IN_THE_BOX)
def test_command_of_the_readme(
    command: str, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEXIT_CACHE", str(cache))
    ended = hexit(capsys, *shlex.split(command)[1:])
    assert (ended.code, ended.err) == (0, "")
    assert ended.out


@pytest.mark.slow
def test_commands_of_the_readme_that_build_a_unit(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEXIT_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    assert [command.split()[1:3] for command in OF_A_UNIT] == [
        ["hls", "--out"],
        ["hls", "--check"],
        ["run", "--exit-unit"],
    ]
    for command in OF_A_UNIT:
        ended = hexit(capsys, *shlex.split(command)[1:])
        assert (ended.code, ended.err) == (0, "")


def test_ci_calls_the_test_command_of_the_readme(tmp_path: Path) -> None:
    """`.ci/run` in a copy of the tree whose README says something harmless."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_text((ROOT / ".ci" / "run").read_text(encoding="utf-8"), encoding="utf-8")
    start = README.index("<!-- test command -->")
    end = README.index("<!-- end -->", start)
    said = README[start:end].partition("```sh\n")[2].partition("\n```")[0]
    assert said.endswith("make check")
    (tmp_path / "README.md").write_text(README.replace(said, "echo called"), encoding="utf-8")
    done = subprocess.run(["bash", tmp_path / ".ci" / "run"], capture_output=True, text=True, check=True)
    assert done.stdout == "+ echo called\ncalled\n"


def test_every_linked_file_exists() -> None:
    targets = re.findall(r"\]\((?!http)([^)#]+)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
