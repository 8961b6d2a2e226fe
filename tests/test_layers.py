"""Who may import whom. The imports are parsed, not run, so a forbidden one is found wherever it hides.

Two kinds of import: *eager* ones run when the module is imported, *lazy* ones stand inside a function. Those under
``if TYPE_CHECKING`` never run and bind nobody.
"""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("mfnet_envs", "mfnet_agents")

# Lower to higher. A layer may rest, directly or through others, on those before it, never on those after.
ENVS = (("network",), ("model",), ("simulator",), ("exact", "checks", "views"), ("registration",))
AGENTS = (
    ("nets", "compositions"),
    ("policies", "energy", "energy_sampled", "critics"),
    ("sampling", "updates"),
    ("dec_neural_ac",),
    ("compare",),
    ("cli",),
)

# Named by the design and not built yet. What is built must leave this set.
NOT_YET = {"mfnet_agents.compare"}

# Imported on request only: they are slow to import, or not everybody has them.
HEAVY = {
    "torch", "scipy", "matplotlib", "PIL", "numba", "ray", "torchrl", "tianshou", "stable_baselines3", "supersuit",
    "pyarrow", "topohub", "pytraf", "sb3_contrib", "tensordict", "benchmarl", "open_spiel", "pyspiel",
}  # fmt: skip

# Draws whose law is the game's. Views may pass a generator on, and may sample from a space, but decide nothing.
DRAWS = {"multinomial", "binomial", "poisson", "hypergeometric", "multivariate_hypergeometric", "choice", "random"}


@cache
def modules() -> dict[str, Path]:
    """Every module of both packages: dotted name -> file."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return {name_of(file): file for file in sorted(files)}


def name_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text())


def import_nodes(module: str, lazy: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The import statements of a module, without those for the type checker; lazy ones only if asked for."""

    def walk(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                yield child
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                yield from (found for branch in child.orelse for found in walk(branch))
            elif lazy or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                yield from walk(child)

    return walk(tree(module))


def targets(module: str, node: ast.Import | ast.ImportFrom) -> set[str]:
    """What a statement imports. ``from package import module`` counts as the module, else as what holds the name."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    base = node.module or ""
    if node.level:
        package = module if modules()[module].name == "__init__.py" else module.rpartition(".")[0]
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*above, base]).rstrip(".")
    names = {f"{base}.{alias.name}" for alias in node.names}
    return {name if name in modules() else base for name in names}


@cache
def imports(module: str, lazy: bool) -> frozenset[str]:
    return frozenset(target for node in import_nodes(module, lazy) for target in targets(module, node))


@cache
def reach(module: str) -> frozenset[str]:
    """All own modules that importing this one runs, apart from the packages' ``__init__`` on the way."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        new = {target for target in imports(waiting.pop(), False) if target in modules()} - seen
        seen |= new
        waiting.extend(new)
    return frozenset(seen)


def inside(*packages: str) -> list[str]:
    return [m for m in modules() if any(m == package or m.startswith(package + ".") for package in packages)]


def outside_packages(names: frozenset[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(("package", "layers"), [("mfnet_envs", ENVS), ("mfnet_agents", AGENTS)])
def test_each_layer_rests_on_lower_ones_only(package: str, layers: tuple[tuple[str, ...], ...]) -> None:
    for height, layer in enumerate(layers):
        above = set(inside(*(f"{package}.{name}" for higher in layers[height + 1 :] for name in higher)))
        for module in inside(*(f"{package}.{name}" for name in layer)):
            assert not reach(module) & above, f"{module} reaches {reach(module) & above}"


def test_the_named_layers_exist() -> None:
    """A layer that is renamed must be renamed above, or the directions would hold of nothing."""
    named = {f"mfnet_envs.{name}" for layer in ENVS for name in layer}
    named |= {f"mfnet_agents.{name}" for layer in AGENTS for name in layer}
    assert named - set(modules()) == NOT_YET


def test_no_import_cycles() -> None:
    graph = {module: imports(module, False) & set(modules()) - {module} for module in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_environments_never_import_the_trainer() -> None:
    for module in inside("mfnet_envs"):
        assert "mfnet_agents" not in outside_packages(imports(module, True)), module


def test_heavy_libraries_are_imported_on_request() -> None:
    """``backends/`` and ``adapters/`` are asked for by name, so their libraries may stand at the top there."""
    for module in set(inside("mfnet_envs")) - set(inside("mfnet_envs.backends", "mfnet_envs.adapters")):
        assert not outside_packages(imports(module, False)) & HEAVY, module


def test_the_command_line_starts_without_torch() -> None:
    for module in {"mfnet_agents.cli", "mfnet_agents", *reach("mfnet_agents.cli")}:
        assert not outside_packages(imports(module, False)) & HEAVY, module


def test_nobody_imports_an_adapter() -> None:
    """Whoever wants a library asks for its adapter by name. Adapters may share their library-free parts."""
    adapters = set(inside("mfnet_envs.adapters", "mfnet_agents.adapters"))
    for module in set(modules()) - adapters:
        assert not imports(module, True) & adapters, module


def test_an_adapter_is_for_one_library() -> None:
    """Each imports at most its own library and what that one rests on; so none needs two extras."""
    families = ({"stable_baselines3", "sb3_contrib"}, {"ray"}, {"torchrl", "tensordict"}, {"tianshou"}, {"benchmarl"})
    for module in inside("mfnet_envs.adapters", "mfnet_agents.adapters"):
        outside = outside_packages(imports(module, True))
        used = [family for family in (*families, {"open_spiel", "pyspiel"}) if outside & family]
        assert len(used) <= 1 or used == [{"torchrl", "tensordict"}, {"benchmarl"}], module


def test_updates_know_no_environment() -> None:
    """The update rules are equations on tensors."""
    for module in inside("mfnet_agents.updates"):
        assert not outside_packages(imports(module, True)) & {"mfnet_envs", "gymnasium", "pettingzoo"}, module


def test_nobody_imports_the_command_line() -> None:
    for module in set(modules()) - {"mfnet_agents.cli", "mfnet_agents.__main__"}:
        assert "mfnet_agents.cli" not in imports(module, True), module


def test_views_contain_no_dynamics() -> None:
    """A view translates: every draw and every reward is the simulator's."""
    for module in inside("mfnet_envs.views"):
        called = {
            node.func.attr: node.lineno
            for node in ast.walk(tree(module))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        }
        assert not called.keys() & (DRAWS | {"reward", "branch_weights"}), f"{module}: {called}"


def test_the_rules_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser sees relative, nested and conditional imports, and lets those for the type checker pass."""
    source = """
from typing import TYPE_CHECKING
from . import beside
from ..network import StateNetwork
import torch.nn as nn
if TYPE_CHECKING:
    import never
try:
    import optional
except ImportError:
    optional = None
class Holder:
    import in_class
    def method(self):
        from scipy.optimize import linprog
"""
    package = tmp_path / "mfnet_envs" / "views"
    package.mkdir(parents=True)
    files = {"mfnet_envs.views.probe": package / "probe.py", "mfnet_envs.views.beside": package / "beside.py"}
    files["mfnet_envs.views.probe"].write_text(source)
    monkeypatch.setitem(globals(), "modules", lambda: files)
    tree.cache_clear()
    imports.cache_clear()
    eager = {"typing", "mfnet_envs.views.beside", "mfnet_envs.network", "torch.nn", "optional", "in_class"}
    assert imports("mfnet_envs.views.probe", False) == eager
    assert imports("mfnet_envs.views.probe", True) == eager | {"scipy.optimize"}
    tree.cache_clear()
    imports.cache_clear()
