"""The generated pages of the documentation site: every public name, and tables of everything that can be given.

``pages()`` gives them as Markdown, made from signatures, docstrings, option fields and argument parsers, so that they
say what the code says; ``scripts/site_hooks.py`` hands them to MkDocs. ``omissions()`` lists what has no meaning yet: a
test asks that there be none. When an algorithm's option is worth changing stands in ``docs/reference/advice.toml``.

    python scripts/build_reference.py                prints what is missing
    python scripts/build_reference.py algorithms     prints a page: environments, views, algorithms, command-line
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import build_pages

from mfnet_agents import registry
from mfnet_agents.cli import parser
from mfnet_agents.config import AlgorithmConfig
from mfnet_envs.options import Option, options_of
from mfnet_envs.registration import scenario
from mfnet_envs.views import AgentsBatch, AgentsEnv, CentralEnv, CentralVectorEnv, TeamsBatch, TeamsEnv

ROOT = Path(__file__).resolve().parents[1]
ADVICE = ROOT / "docs" / "reference" / "advice.toml"
# The modules whose names a user may import; those of one line stand on one page.
MODULES = {
    "mfnet_envs": "the door: models, policies, simulator, environments by id",
    "mfnet_envs.registration": "from an id to a model and its views",
    "mfnet_envs.views": "the environments of Gymnasium and PettingZoo, and many worlds as arrays",
    "mfnet_envs.simulator": "plain arrays in and out",
    "mfnet_envs.backends": "what draws, and on which arrays",
    "mfnet_envs.evaluate": "what a policy earns",
    "mfnet_envs.measure": "policies side by side on common worlds",
    "mfnet_envs.heuristics": "rules that scenarios share",
    "mfnet_envs.policy_file": "policies as files",
    "mfnet_envs.programmes": "planners",
    "mfnet_envs.exact": "small games, solved",
    "mfnet_envs.engines": "congestion, assignment, link laws, trips",
    "mfnet_envs.io": "networks and cities from files",
    "mfnet_envs.conformance": "checks of models and environments",
    "mfnet_envs.drawing": "pictures and films",
    "mfnet_envs.options": "what can be given to a scenario or a view",
    "mfnet_agents": "the learners' door",
    "mfnet_agents.registry": "algorithms by name",
    "mfnet_agents.dec_neural_ac": "DEC-NEURAL-AC",
    "mfnet_agents.baselines.config": "the options of the learners to compare with",
    "mfnet_agents.runs": "run folders",
    "mfnet_agents.comparison.plan": "a comparison",
    "mfnet_agents.comparison.suites": "frozen lists of instances",
    "mfnet_agents.comparison.statistics": "means, intervals, profiles",
}
# Each needs its library, so these are read and not imported.
ADAPTERS = ("benchmarl", "epymarl", "masked", "open_spiel", "policies", "rllib", "sb3", "tianshou", "torchrl")
VIEWS = {
    "central": (CentralEnv, "`gymnasium.make(ID, ...)`: one planner moves everybody."),
    "vector": (CentralVectorEnv, "`gymnasium.make_vec(ID, num_envs=64, ...)`: many planners' worlds in one array."),
    "teams": (TeamsEnv, '`mfnet_envs.parallel_env(ID, "teams", ...)`: one PettingZoo agent for each state.'),
    "agents": (AgentsEnv, '`mfnet_envs.parallel_env(ID, "agents", ...)`: one for each of the N agents.'),
}
BATCHES = {"teams": TeamsBatch, "agents": AgentsBatch}
SET_BY_DOORS = {"model", "has_time_limit", "name"}  # given by make, make_vec and parallel_env themselves
DATA = (str, int, float, dict, tuple, list)


def pages() -> dict[str, str]:
    """Path under ``docs/`` -> Markdown."""
    written = {
        "reference/environments.md": environment_options(),
        "reference/views.md": view_options(),
        "reference/algorithms.md": algorithm_options(),
        "reference/command-line.md": command_line(),
    }
    names = (*MODULES, *map(_adapter, ADAPTERS))
    return written | {f"reference/api/{name}.md": module_page(name) for name in names}


def list_of_names() -> str:
    """The end of reference/index.md: every module that has a page."""
    said = MODULES | {_adapter(name): f"for {name}" for name in ADAPTERS}
    return "\n".join(
        ["| module | what it is |", "|---|---|", *(f"| [{n}](api/{n}.md) | {text} |" for n, text in said.items())]
    )


def omissions() -> list[str]:
    """What a reader would look for in vain, a sentence each."""
    found = [f"option {row.name} of {place} has no meaning" for place, row in every_option() if not row.meaning]
    found += [f"{verb}: {name} has no help" for verb, name, text in every_argument() if not text]
    found += [f"{name} has no docstring" for name in _undocumented()]
    for config in _config_classes():
        said = {name for base in config.__mro__ for name in _advice().get(base.__name__, {})}
        written = {name for name in config.fields() if name in vars(config).get("__annotations__", {})}
        found += [f"{config.__name__}.{name} has no advice in {ADVICE.name}" for name in sorted(written - said)]
        gone = sorted(said - set(config.fields()))
        found += [f"{ADVICE.name} speaks of {config.__name__}.{name}, which is no option" for name in gone]
    return found


# -- options of environments and views --------------------------------------------------------------------------------


def every_option() -> Iterator[tuple[str, Option]]:
    """(whose, option) of every environment, view and algorithm."""
    for id in build_pages.own_ids():
        yield from ((id, row) for row in options_of(scenario(id).load()))
    for name, (view, _) in VIEWS.items():
        yield from ((f"the {name} view", row) for row in options_of(view))
    for config in _config_classes():
        yield from ((config.__name__, row) for row in _config_rows(config))


def environment_options() -> str:
    """Every id with its options."""
    lines = ["# Environment options", ""]
    lines += ["Given to `gymnasium.make`, `mfnet_envs.make_model` and the other doors by name, and to commands as", ""]
    lines += ["    mfnet train ID --env NAME=VALUE NAME=VALUE", ""]
    lines += ["An id's page says what its options mean for the model. [View options](views.md) go beside them."]
    for id in build_pages.own_ids():
        page = f"../environments/{build_pages.stem(id)}.md"
        lines += ["", f"## {id}", "", f"[The environment's page]({page}).", "", *build_pages.options(id)]
    return "\n".join(lines) + "\n"


def view_options() -> str:
    """Every view with its options."""
    lines = ["# View options", "", "Given beside the [environment's options](environments.md); names tell them apart."]
    for name, (view, made_by) in VIEWS.items():
        rows = [row for row in options_of(view) if row.name not in SET_BY_DOORS]
        lines += ["", f"## {name}", "", made_by, "", *build_pages.option_table(rows)]
    lines += ["", "## many worlds as arrays", ""]
    lines += ['`mfnet_envs.batch_env(ID, "teams" or "agents", num_worlds=1, ...)` takes what these two views take, but']
    lines += ["`render_mode`. The adapters rest on it."]
    return "\n".join(lines) + "\n"


# -- options of algorithms --------------------------------------------------------------------------------------------


def _config_classes() -> list[type[AlgorithmConfig]]:
    return [AlgorithmConfig, *(registry.config_class(name) for name in registry.algorithms())]


@cache
def _advice() -> dict[str, dict[str, str]]:
    return tomllib.loads(ADVICE.read_text("utf-8"))


def advice(config: type[AlgorithmConfig], name: str) -> str:
    """When to change an option: the nearest word on it, of the class or of those above it."""
    above = (table[name] for base in config.__mro__ if name in (table := _advice().get(base.__name__, {})))
    return next(above, "")


def _config_rows(config: type[AlgorithmConfig]) -> list[Option]:
    """The options of a config class; one that shares a meaning with the base is left to the base."""
    kinds = {row.name: row for row in options_of(config)}
    base = AlgorithmConfig.fields() if config is not AlgorithmConfig else {}
    own = {
        name: field
        for name, field in config.fields().items()
        if name not in base or (field.default, field.metadata) != (base[name].default, base[name].metadata)
    }
    return [
        Option(name, kinds[name].kind, kinds[name].default if name != "env_config" else "{}", field.metadata["doc"])
        for name, field in own.items()
    ]


def algorithm_options() -> str:
    """Every algorithm with its options, and when to change them."""
    lines = ["# Algorithm options", "", "Set by the call that stands in front of the options, as in", ""]
    lines += ["    DecNeuralACConfig().training(actor_lr=0.01).env_runners(num_envs_per_env_runner=8)", ""]
    lines += ["or by `mfnet train ID --algorithm NAME --set NAME=VALUE`. [What the learners are](../algorithms.md)."]
    for config in _config_classes():
        title = "All algorithms" if config is AlgorithmConfig else registry.name_of(config)
        said = build_pages.as_markdown(inspect.cleandoc(config.__doc__ or "")).partition("\n\n")[0]
        lines += ["", f"## {title}", "", said]
        for group in ("environment", "training", "env_runners", "evaluation", "debugging"):
            rows = [row for row in _config_rows(config) if config.fields()[row.name].metadata["group"] == group]
            if rows:
                lines += ["", f"`.{group}(...)`", "", "| option | kind | default | meaning | when to change it |"]
                lines += ["|---|---|---|---|---|", *(_with_advice(config, row) for row in rows)]
    return "\n".join(lines) + "\n"


def _with_advice(config: type[AlgorithmConfig], row: Option) -> str:
    cells = [f"`{row.name}`", f"`{row.kind}`", f"`{row.default}`", row.meaning, advice(config, row.name)]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


# -- the command line -------------------------------------------------------------------------------------------------


def verbs(top: argparse.ArgumentParser | None = None) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """Every verb's parser, with its one line of help; groups of verbs are opened."""
    for action in (top or parser())._actions:
        if isinstance(action, argparse._SubParsersAction):
            said = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, below in action.choices.items():
                opened = list(verbs(below))
                yield from opened or [(below, said.get(name, ""))]


def every_argument() -> Iterator[tuple[str, str, str]]:
    """(verb, argument, help) of the whole command line."""
    for verb, said in verbs():
        yield verb.prog, "the verb", said
        yield from ((verb.prog, _usage(action), action.help or "") for action in verb._actions)


def _usage(action: argparse.Action) -> str:
    """An argument as it is typed."""
    names = action.metavar or (f"{{{','.join(map(str, action.choices))}}}" if action.choices else action.dest.upper())
    value = names if isinstance(names, str) else " ".join(names)
    many = {"*": f"[{value} ...]", "+": f"{value} ...", "?": f"[{value}]", "0": ""}.get(str(action.nargs), value)
    return " ".join(filter(None, [", ".join(action.option_strings), many]))


def command_line() -> str:
    """Every verb with its arguments."""
    lines = [
        "# Command line",
        "",
        "`mfnet VERB --help` prints the same. Exit codes: 0 done; 1 a check found something,",
    ]
    lines += ["training diverged, or a fault of ours; 2 a wrong argument or an unusable file; 130 stopped by Ctrl-C."]
    for verb, said in verbs():
        lines += ["", f"## {verb.prog}", "", _text(said[:1].upper() + said[1:], verb) + ".", ""]
        lines += ["| argument | default | meaning |", "|---|---|---|"]
        for action in verb._actions:
            if not isinstance(action, argparse._HelpAction):
                shown = f"`{action.default!r}`" if action.default not in (None, [], False, argparse.SUPPRESS) else ""
                usage = _usage(action).replace("|", "\\|")
                lines.append(f"| `{usage}` | {shown} | {_text(action.help or '', verb, action)} |")
    return "\n".join(lines) + "\n"


def _text(text: str, verb: argparse.ArgumentParser, action: argparse.Action | None = None) -> str:
    """Help as a cell of a table, its placeholders filled in."""
    filled = text % {**vars(action), "prog": verb.prog} if action and "%(" in text else text.replace("%%", "%")
    return re.sub(r"<(\w+)>", r"`<\1>`", filled).replace("|", "\\|")


# -- public names -----------------------------------------------------------------------------------------------------


def _adapter(name: str) -> str:
    return f"mfnet_envs.adapters.{name}"


def module_page(name: str) -> str:
    """A page on which mkdocstrings writes the names of a module."""
    if name not in MODULES:
        return f"# {name}\n\n::: {name}\n"
    names = "\n".join(f"        - {each}" for each in public_names(importlib.import_module(name)))
    return f"# {name}\n\n::: {name}\n    options:\n      members:\n{names}\n"


def public_names(module: ModuleType) -> list[str]:
    """What a user may import from a module: ``__all__``, else the classes and functions that are written there."""
    named: list[str] = list(getattr(module, "__all__", []))
    mine = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    return named or [name for name in mine if not name.startswith("_") and callable(vars(module)[name])]


def _undocumented() -> Iterator[str]:
    for module in map(importlib.import_module, MODULES):
        for name in public_names(module):
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isroutine(value):
                yield from _silent(f"{module.__name__}.{name}", value)
            elif not isinstance(value, (*DATA, ModuleType)) and not type(value).__doc__:
                yield f"{module.__name__}.{name}"
    for name in map(_adapter, ADAPTERS):
        tree = ast.parse((ROOT / name.replace(".", "/")).with_suffix(".py").read_text("utf-8"))
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name[0] != "_" and not ast.get_docstring(node):
                yield f"{name}.{node.name}"


def _silent(name: str, value: Any) -> Iterator[str]:
    """A class or function without a docstring, and a class's own members of which neither says anything: a docstring
    counts that is inherited, and an entry among the class's Attributes. Names of tests are sentences."""
    said = inspect.getdoc(value)
    if not said or said.startswith(f"{value.__name__}("):  # what a dataclass writes itself
        yield name
    for member, made in vars(value).items() if inspect.isclass(value) else ():
        called = getattr(made, "fget", None) or getattr(made, "func", None) or getattr(made, "__func__", made)
        if member.startswith(("_", "test_")) or not inspect.isroutine(called):
            continue
        text = inspect.getdoc(getattr(value, member)) if not isinstance(made, property) else inspect.getdoc(made)
        if not text and not re.search(rf"\b{member}(, \w+)*: ", said or ""):
            yield f"{name}.{member}"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(pages()[f"reference/{name}.md"])
    print(*(missing := omissions()), sep="\n")
    sys.exit(bool(missing))
