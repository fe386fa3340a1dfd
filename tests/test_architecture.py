from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from support.paths import ROOT

PACKAGES = ("quant", "hw_model", "sim", "hls")
MAY_IMPORT = {  # a package of the repository, or hexit itself: the Python interface
    "quant": {"quant"},
    "hw_model": {"hw_model", "quant"},
    "sim": {"sim", "hw_model", "quant"},
    "hls": {"hls", "hw_model", "quant"},
    "hexit": {"hexit", "sim", "hw_model", "quant"},
}
MEETING_POINT = "sim.commands.hls"  # the one module of sim that calls hls: the command line calls every package
ROOMS: dict[str, dict[str, set[str]]] = {  # what a folder may import of its own package; "" is the package itself
    "quant": {
        "": set(),
        "data": {""},
        "exits": {""},
        "integer": {""},
        "network": {"", "data"},
        "quantisation": {"", "network", "integer"},
        "training": {"", "data", "network"},
        "traces": {"", "data", "exits", "integer", "network", "quantisation"},
    },
    "hw_model": {
        "": set(),
        "memory": {""},
        "area": {"", "memory"},
        "exit_unit": {"", "area"},
        "machine": {"", "memory"},
    },
    "sim": {
        "core": set(),
        "traffic": {"core"},
        "analysis": {"core"},
        "published": {"core"},
        "job": {"core", "traffic", "analysis", "published"},
        "report": {"core", "traffic", "analysis", "published", "job"},
        "plots": {"core", "traffic", "analysis", "published", "job", "report"},
        "export": {"core", "analysis", "job", "report", "plots"},
        "commands": {"core", "traffic", "analysis", "published", "job", "report", "plots", "export"},
        "": {"commands"},
    },
    "hls": {"": set(), "tools": set(), "exit_unit": {"tools"}},
}
NEEDS_TORCH = ("quant.network", "quant.quantisation", "quant.training")
LIGHT_TOO = {"quant.training.plan"}  # loaded with the command line
NEEDS_TORCH_TOO = {"quant.traces.recording"}  # loaded where a trace is not in the cache
SPEAK_HLS4ML = {"hls.exit_unit.hls4ml_layers", "hls.exit_unit.hls4ml_model"}  # loaded where a project is written
DRAWS = "sim.plots"
SHOWS = ("sim.report.", "sim.plots.", "sim.export.")  # what was computed before; nothing in them simulates
RUNS_JOBS = "sim.export.result"  # the Python interface: runs a job, then hands on what it computed
COMPUTES = re.compile(
    r"(simulate|compile|decide|run|sweep|search|size|choose)_\w+|simulate|evaluate|compare|spatial_costs"
    r"|lone_sentence|lone_run|exit_table|stall_breakdown|kernel_and_transfers|sentence_timeline|roofline|saturate"
)
HEAVY = {
    "torch",
    "transformers",
    "brevitas",
    "safetensors",
    "tokenizers",
    "datasets",
    "huggingface_hub",
    "matplotlib",
    "hls4ml",
}
ALLOWED_ROOT = {
    "hexit",
    "quant",
    "hw_model",
    "hls",
    "sim",
    "tests",
    "docs",
    "examples",
    "benchmarks",
    "README.md",
    "LICENSE",
    "NOTICE",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "CITATION.cff",
    "Makefile",
    "pyproject.toml",
    ".gitignore",
    ".gitattributes",
    ".pre-commit-config.yaml",
    ".ci",
}
DATA_FOLDERS = {
    "quant": {"assets"},
    "hw_model": {"designs", "devices", "measured", "published"},
    "hls": {"kernels", "rtl", "templates"},
}
UNITS = ("_pj", "_uj", "_mw", "_ms", "_us", "_ns", "_mhz", "_gb_s", "_fraction", "_factor", "_per_cycle", "scale")

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in (*PACKAGES, "hexit")
    for path in (ROOT / package).rglob("*.py")
}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def own_name(imported: str) -> str:
    """The name by folders: hexit.sim.core becomes sim.core."""
    inner = imported.removeprefix("hexit.")
    return inner if inner.split(".")[0] in PACKAGES else imported


def imports(nodes: list[ast.stmt], everywhere: bool) -> Iterator[str]:
    """Names of imported modules; without `everywhere` only of imports that happen when the module is loaded."""
    for node in nodes:
        match node:
            case ast.Import(names=names):
                yield from (own_name(alias.name) for alias in names)
            case ast.ImportFrom(module=str(name), names=names):
                yield own_name(name)
                both = (own_name(f"{name}.{alias.name}") for alias in names)
                yield from (inner for inner in both if inner in MODULES)
            case ast.ImportFrom():
                yield "a relative import"
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not everywhere:
                pass
            case ast.If(test=ast.Name(id="TYPE_CHECKING")) if not everywhere:
                yield from imports(node.orelse, everywhere)
            case _:
                inner = [child for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node]
                direct = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
                handlers = [stmt for child in getattr(node, "handlers", ()) for stmt in child.body]
                yield from imports(direct + handlers, everywhere) if inner else ()


@cache
def loads(module: str) -> frozenset[str]:
    """Every package that is loaded with a module, its own project modules followed."""
    found: set[str] = set()
    seen: set[str] = set()
    ahead = [module]
    while ahead:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        for imported in imports(tree(name).body, everywhere=False):
            found.add(imported.split(".")[0])
            ahead += [imported] if imported in MODULES else []
    return frozenset(found)


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    package = module.split(".")[0]
    used = {name.split(".")[0] for name in imports(tree(module).body, everywhere=True)}
    assert "a relative import" not in used
    assert used & set(PACKAGES) <= MAY_IMPORT[package] | ({"hls"} if module == MEETING_POINT else set())


def room(module: str) -> tuple[str, str]:
    """The package and the folder in it that a module, or what is imported from one, lies in."""
    package, *inner = module.split(".")
    return package, inner[0] if inner and inner[0] in ROOMS[package] else ""


@pytest.mark.parametrize("module", [name for name in MODULES if name.split(".")[0] in ROOMS])
def test_folders_of_a_package_import_one_way(module: str) -> None:
    package, own = room(module)
    ours = {room(name) for name in imports(tree(module).body, everywhere=True) if name.split(".")[0] in PACKAGES}
    used = {folder for other, folder in ours if other == package}
    assert used <= ROOMS[package][own] | {own}


def test_modules_import_each_other_in_no_circle() -> None:
    ahead = {name: {used for used in imports(tree(name).body, everywhere=False) if used in MODULES} for name in MODULES}
    list(graphlib.TopologicalSorter(ahead).static_order())  # raises CycleError, which names the circle


def test_the_test_of_imports_sees_every_kind_of_import() -> None:
    code = """
import a
from b import c
if TYPE_CHECKING:
    import d
with open("x"):
    import e
try:
    import f
except ImportError:
    import g
class K:
    import h
def function():
    import i
from . import j
"""
    body = ast.parse(code).body
    loaded = ["a", "b", "e", "f", "g", "h", "a relative import"]
    assert list(imports(body, everywhere=False)) == loaded
    assert sorted(imports(body, everywhere=True)) == sorted([*loaded, "d", "i"])


def used_names(module: str) -> set[str]:
    """The names that a module imports from elsewhere, and those of the functions that it calls."""
    names: set[str] = set()
    for node in ast.walk(tree(module)):
        match node:
            case ast.ImportFrom(names=imported):
                names |= {alias.name for alias in imported}
            case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
                names.add(name)
    return names


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith(SHOWS) and name != RUNS_JOBS])
def test_what_shows_results_computes_none(module: str) -> None:
    assert {name for name in used_names(module) if COMPUTES.fullmatch(name)} == set()


def test_the_test_of_showing_sees_what_computes() -> None:
    computing = {"sweep_rules", "sentence_timeline", "roofline", "evaluate", "stall_breakdown", "size_buffers"}
    computing |= {"compare", "choose_rule"}
    used = used_names("sim.job.experiment") | used_names("sim.job.experiment") | used_names("sim.job.resolve")
    assert computing <= {name for name in used if COMPUTES.fullmatch(name)}


def heavy(module: str) -> bool:
    if module in LIGHT_TOO:
        return False
    return module.startswith((*NEEDS_TORCH, DRAWS)) or module in NEEDS_TORCH_TOO | SPEAK_HLS4ML


@pytest.mark.parametrize("module", [name for name in MODULES if not heavy(name)])
def test_models_of_hardware_and_replays_of_traces_load_without_the_network(module: str) -> None:
    assert loads(module) & HEAVY == set()


def test_one_module_alone_touches_brevitas() -> None:
    users = {
        name
        for name in MODULES
        if any(used.split(".")[0] == "brevitas" for used in imports(tree(name).body, everywhere=True))
    }
    assert users == {"quant.quantisation.layers"}


@pytest.mark.parametrize("module", MODULES)
def test_no_module_hides_one_of_the_standard_library(module: str) -> None:
    name = module.split(".")[-1]
    assert name not in {"utils", "helpers", "misc", "common"}
    found_first = "." not in module or module.rpartition(".")[0] in PACKAGES  # `python sim/run.py` puts sim/ first
    assert not (found_first and name in sys.stdlib_module_names) or module == "hw_model.array"  # no script runs there


@pytest.mark.parametrize("module", MODULES)
def test_everything_public_says_what_it_is(module: str) -> None:
    silent = [] if ast.get_docstring(tree(module)) else [module]
    for node in tree(module).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            silent += [] if ast.get_docstring(node) else [node.name]
            members = [item for item in node.body if isinstance(item, ast.FunctionDef)]
        else:
            members = [node] if isinstance(node, ast.FunctionDef) else []
        silent += [m.name for m in members if not m.name.startswith("_") and not ast.get_docstring(m)]
    assert silent == []


@pytest.mark.parametrize("module", MODULES)
def test_code_is_finished_and_opens_no_pickle(module: str) -> None:
    source = MODULES[module].read_text(encoding="utf-8")
    assert re.findall(r"\b(TODO|FIXME|XXX)\b", source) == []
    assert not {"pickle", "joblib", "dill"} & {n.split(".")[0] for n in imports(tree(module).body, everywhere=True)}
    assert not re.search(r"torch\.load\(|allow_pickle=True|weights_only=False", source)
    calls = {
        node.func.id
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not {"eval", "exec"} & calls
    if not module.startswith("sim."):
        assert "print" not in calls


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("hw_model.")])
def test_every_real_quantity_of_the_hardware_names_its_unit(module: str) -> None:
    fields = [
        item.target.id
        for node in tree(module).body
        if isinstance(node, ast.ClassDef)
        for item in node.body
        if isinstance(item, ast.AnnAssign)
        and isinstance(item.target, ast.Name)
        and re.match(r"float\b", ast.unparse(item.annotation))
    ]
    assert [name for name in fields if not name.endswith(UNITS)] == []


def tracked() -> list[Path]:
    """Files under version control, or all files where there is none."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [Path(name) for name in listed.stdout.split("\0") if name]


def test_the_root_and_the_packages_hold_what_belongs_there() -> None:
    paths = tracked()
    assert {path.parts[0] for path in paths} <= ALLOWED_ROOT
    for package, folders in ROOMS.items():
        found = {path.parts[1] for path in paths if path.parts[0] == package and len(path.parts) > 2}
        assert found <= set(folders) | DATA_FOLDERS.get(package, set())


def test_tests_lie_where_what_they_test_lies() -> None:
    tests = [path for path in tracked() if path.parts[0] == "tests" and path.name.startswith("test_")]
    places = {path.parent.relative_to("tests").as_posix() for path in tests}
    assert {place for place in places if place != "." and not (ROOT / place).is_dir()} == set()


def test_an_installation_has_every_package() -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    assert set(configuration["packages"]) == {"hexit"} | {f"hexit.{name}" for name in packages - {"hexit"}}


def test_an_installation_has_every_file_that_lies_beside_the_code() -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = configuration["package-dir"]
    taken = {
        path.relative_to(ROOT)
        for package, patterns in configuration["package-data"].items()
        for pattern in patterns
        for path in (ROOT / folders[package]).glob(pattern)
    }
    beside = {path for path in tracked() if path.parts[0] in folders.values() and path.suffix not in {".py", ".md"}}
    assert {path for path in beside if (ROOT / path).is_file()} - taken == set()


def test_no_file_is_large() -> None:
    sizes = {path: (ROOT / path).stat().st_size for path in tracked() if (ROOT / path).is_file()}
    limits = {path: 16_000_000 if path.suffix == ".safetensors" else 1_000_000 for path in sizes}
    assert {str(path): size for path, size in sizes.items() if size > limits[path]} == {}
