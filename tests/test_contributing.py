"""The recipes of CONTRIBUTING.md work: applied to a copy of the repository, each ends with tests that pass."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.paths import ROOT

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PLACE = re.compile(r"# (?P<file>[\w./-]+), (?:(?P<new>new file)|(?P<where>before|after|instead of): (?P<anchor>.+))")
COPIED = ("hexit", "quant", "hw_model", "sim", "hls", "tests", "benchmarks", "docs", "pyproject.toml")


@dataclass(frozen=True)
class Recipe:
    """One section "How to add": its code, and the command `pytest FILES -k TESTS` that says whether it is complete."""

    title: str
    blocks: tuple[str, ...]
    files: tuple[str, ...]
    tests: str

    @property
    def name(self) -> str:
        """What the recipe adds, the first word of its TESTS."""
        return self.tests.split()[0]


def recipes(text: str) -> list[Recipe]:
    found = []
    for section in re.split(r"^### \.\.\. ", text, flags=re.MULTILINE)[1:]:
        blocks = BLOCK.findall(section)
        (command,) = (shlex.split(body) for kind, body in blocks if kind == "sh")
        program, *files, option, tests = command
        assert (program, option) == ("pytest", "-k")
        code = tuple(body for kind, body in blocks if kind != "sh")
        found.append(Recipe(title=section.partition("\n")[0], blocks=code, files=tuple(files), tests=tests))
    return found


RECIPES = recipes((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
FILES = sorted({file for recipe in RECIPES for file in recipe.files})
SELECTED = " or ".join(recipe.tests for recipe in RECIPES)


def insert(root: Path, place: re.Match[str], lines: list[str]) -> None:
    """Put lines where their place says; the anchor is the beginning of exactly one line of the file."""
    path = root / place["file"]
    if place["new"]:
        assert not path.exists(), f"{place['file']} exists"
        path.write_text("".join(lines), encoding="utf-8")
        return
    old = path.read_text(encoding="utf-8").splitlines(keepends=True)
    at = [number for number, line in enumerate(old) if line.strip().startswith(place["anchor"])]
    assert len(at) == 1, f"{place['file']}: {len(at)} lines begin with {place['anchor']!r}"
    first = at[0] + (place["where"] == "after")
    last = at[0] + (place["where"] != "before")
    path.write_text("".join([*old[:first], *lines, *old[last:]]), encoding="utf-8")


def apply(block: str, root: Path) -> None:
    place, lines = None, list[str]()
    for line in block.splitlines(keepends=True):
        match = PLACE.fullmatch(line.rstrip("\n"))
        if match and place:
            insert(root, place, lines)
        if match:
            place, lines = match, []
        else:
            lines.append(line)
    assert place, "a block without a place"
    insert(root, place, lines)


def copy_of_the_repository(folder: Path) -> Path:
    """The packages and tests, with what Python and numba compiled; the weights are linked, as nothing changes them."""
    root = folder / "hexit"
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("assets", "images"))
        else:
            shutil.copy(ROOT / name, root / name)
    (root / "quant" / "assets").symlink_to(ROOT / "quant" / "assets")
    return root


def test_there_is_a_recipe_for_everything_that_is_added() -> None:
    subjects = ("device", "design", "data flow", "loss", "picture", "exit rule")
    assert [next(name for name in subjects if name in recipe.title) for recipe in RECIPES] == list(subjects)


@pytest.mark.slow
def test_every_recipe_ends_with_tests_that_pass(tmp_path: Path) -> None:
    """One process for all recipes: most of its time are imports."""
    root = copy_of_the_repository(tmp_path)
    for recipe in RECIPES:
        for block in recipe.blocks:
            apply(block, root)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "no:xdist", *FILES, "-k", SELECTED],
        cwd=root,
        env={name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTEST_"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = [line for line in done.stdout.splitlines() if " PASSED" in line]
    assert [recipe.title for recipe in RECIPES if not any(recipe.name in line for line in passed)] == []


@pytest.mark.parametrize(
    ("anchor", "complaint"), [("lut =", "b.toml: 2 lines begin with 'lut ='"), ("dsp", "b.toml: 0 lines")]
)
def test_a_recipe_whose_place_is_gone_or_not_the_only_one_fails(anchor: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text("lut = 1\nlut = 2\nff = 3\n")
    with pytest.raises(AssertionError, match=complaint):
        apply(f"# b.toml, after: {anchor}\nx = 1\n", tmp_path)
    apply("# b.toml, instead of: ff\nff = 4\n# b.toml, before: ff\nx = 1\n", tmp_path)
    assert (tmp_path / "b.toml").read_text() == "lut = 1\nlut = 2\nx = 1\nff = 4\n"
