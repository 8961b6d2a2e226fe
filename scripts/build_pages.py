"""Write the pages of the environments: ``python scripts/build_pages.py [ID ...] [--worlds 256] [--words]``.

For every id (default: all that are registered) the policies are measured against the bound and filmed, then
``docs/environments/<name>.md`` is written from the scenario's docstring and the numbers, and the gallery
``docs/environments/README.md`` from all of them. ``--words`` renews the words and measures nothing, ``--print``
measures and writes nothing. The numbers are
kept in ``docs/environments/measured.json``; the words come from the code, and a test compares them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mfnet_envs
from mfnet_envs import tables, tools
from mfnet_envs.drawing import files, film
from mfnet_envs.evaluate import evaluate
from mfnet_envs.model import LocalModel
from mfnet_envs.options import Option, options_of
from mfnet_envs.policy import Policy, uniform
from mfnet_envs.registration import scenario, scenarios
from mfnet_envs.views import AgentsEnv, CentralEnv, TeamsEnv

ROOT = Path(__file__).resolve().parents[1]
PAGES, PICTURES = ROOT / "docs" / "environments", ROOT / "docs" / "img"
PATIENCE = 250.0  # CPU seconds for all policies of one id; worlds are halved where they would take longer
STEPS = 24  # of a film

Measured = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ids", nargs="*", metavar="ID", help="default: every registered id")
    parser.add_argument("--worlds", type=int, default=256)
    parser.add_argument("--words", action="store_true", help="renew the words, keep numbers and films")
    parser.add_argument("--print", action="store_true", help="measure and print the tables, write nothing")
    parser.add_argument("--patience", type=float, default=PATIENCE, help="CPU seconds an id may take")
    options = parser.parse_args()
    ids = options.ids or own_ids()
    measured = read_measured()
    if options.print:
        for id in ids:
            rows = table(measure(id, options.worlds, options.patience))
            print(f"{id}:\n", *rows, sep="\n", end="\n\n", flush=True)
        return 0
    PAGES.mkdir(parents=True, exist_ok=True)
    for id in [] if options.words else ids:
        start = time.perf_counter()
        scenario(id)
        measured[id] = measure(id, options.worlds, options.patience)
        write(PAGES / "measured.json", json.dumps(dict(sorted(measured.items())), indent=1, ensure_ascii=False) + "\n")
        shoot(id, measured[id])
        print(f"{id}: measured and filmed in {time.perf_counter() - start:.0f} s", flush=True)
    for name, text in pages(read_measured()).items():
        write(PAGES / name, text)
    return 0


def own_ids() -> list[str]:
    """The ids that come with the package, not those that a user registered."""
    return sorted(id for id, entry in scenarios().items() if str(entry.builder).startswith("mfnet_envs."))


def read_measured() -> dict[str, Measured]:
    path = PAGES / "measured.json"
    found: dict[str, Measured] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return {id: entry for id, entry in found.items() if id in scenarios()}


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def stem(id: str) -> str:
    """The name of an id's page and film: ``grid`` for MFNet-Grid-v0, ``grid-v1`` for its second version."""
    entry = scenario(id)
    return entry.slug if entry.version == 0 else f"{entry.slug}-v{entry.version}"


# -- numbers ----------------------------------------------------------------------------------------------------------


def measure(id: str, worlds: int, patience: float) -> Measured:
    """Every policy and the bound, in the headline's unit."""
    model = mfnet_envs.make_model(id)
    policies = model.heuristics()
    found = mfnet_envs.measure(model, policies, worlds=affordable(model, policies, worlds, patience))
    rows = [{"policy": name, "value": result.value, "ci95": result.ci95} for name, result in found.results.items()]
    return {
        "unit": found.yardstick.unit,
        "worlds": found.worlds,
        "rows": rows,
        "bound": found.yardstick.bound,
        "certificate": None if found.certificate is None else str(found.certificate),
        "filmed": found.ranked()[-1],
    }


def affordable(model: LocalModel, policies: dict[str, Policy], worlds: int, patience: float) -> int:
    """As many worlds as asked, or fewer where all policies together would take longer than ``patience``."""
    steps = model.evaluation[0]
    trial = min(4, steps)
    start = time.process_time()
    for policy in policies.values():
        evaluate(model, policy, worlds=worlds, steps=trial, warmup=0)
    expected = (time.process_time() - start) * steps / trial
    while expected > patience and worlds > 16:
        worlds, expected = worlds // 2, expected / 2
    return worlds


def shoot(id: str, measured: Measured) -> None:
    """The film of the best policy measured."""
    model = mfnet_envs.make_model(id)
    policy = {"random": uniform(model), **model.heuristics()}[measured["filmed"]]
    shot = film.shoot(model, policy, min(STEPS, model.evaluation[0]), 0, f"{id} · {measured['filmed']}")
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PICTURES / f"{stem(id)}.gif").write_bytes(files.gif(model, shot))


# -- words ------------------------------------------------------------------------------------------------------------


def pages(measured: dict[str, Measured]) -> dict[str, str]:
    """File names and texts of all pages, from the code and the numbers."""
    texts = {f"{stem(id)}.md": page(id, entry) for id, entry in measured.items()}
    return {**texts, "README.md": gallery(measured)}


def page(id: str, measured: Measured) -> str:
    lines = [
        f"<!-- written by scripts/build_pages.py; edit the docstring of {scenario(id).builder} instead -->",
        "",
        f"# {id}",
        "",
        f"![{id}: agents under the policy {measured['filmed']}](../img/{stem(id)}.gif)",
        "",
        f"The film: policy `{measured['filmed']}`, seed 0. Each dot is an agent (at most {film.DOTS} are followed); "
        "`mfnet env render " + f"{id} --policy {measured['filmed']} --out film.html` makes it a page with a scrubber.",
        "",
        words(id),
        "",
        "## Measured",
        "",
        *table(measured),
        "",
        f"Means over {measured['worlds']} common worlds (seed 0) with half-widths of 95 % intervals, all options at "
        f"their defaults; printed by `.venv/bin/python scripts/build_pages.py {id}`.",
        *(["", f"Bound: {measured['certificate']}."] if measured["certificate"] else ["", "No bound is known."]),
        "",
        "## Spaces",
        "",
        *spaces(id),
        "",
        "## Options",
        "",
        *options(id),
    ]
    return "\n".join(lines) + "\n"


def words(id: str) -> str:
    """The scenario's docstring in Markdown, without the id it begins with."""
    text = as_markdown(tools.page(id))
    return text[0].upper() + text[1:]


def table(measured: Measured) -> list[str]:
    """The policies, and how far each is on the way from random to the bound."""
    head = ("policy", measured["unit"], "of the way from random to the bound")
    random, bound = measured["rows"][0]["value"], measured["bound"]
    size = max(abs(row["value"]) for row in measured["rows"])
    rows = []
    for row in measured["rows"]:
        way = f"{(row['value'] - random) / (bound - random):.0%}" if has_way(random, bound) else ""
        rows.append((row["policy"], f"{number(row['value'], size)} ± {number(row['ci95'], size)}", way))
    last = [] if bound is None else [("**bound**", f"**{number(bound, size)}**", "100%")]
    return tables.as_markdown([head, *rows, *last]).splitlines()


def has_way(random: float, bound: float | None) -> bool:
    """Whether there is a way to go: where random is all but the bound, shares of the rest say nothing."""
    return bound is not None and bound - random > 0.01 * abs(bound)


def number(value: float, like: float | None = None) -> str:
    """With as many digits as a number of the size of ``like`` deserves."""
    return f"{value:,.{1 if abs(value if like is None else like) >= 100 else 4}f}"


def spaces(id: str) -> list[str]:
    """What the three views look like at the defaults (the agent view with few agents)."""
    model = mfnet_envs.make_model(id)
    few = mfnet_envs.make_model(id, population=min(model.population, tools.AGENTS_CHECKED))
    central, teams, agents = CentralEnv(model), TeamsEnv(model), AgentsEnv(few)
    return [
        f"{model.population} agents, {model.network.num_nodes} nodes, {model.network.num_states} states, "
        f"{len(model.team_states)} teams; gamma {model.gamma:g}; evaluation over {model.evaluation[0]} steps, the "
        f"first {model.evaluation[1]} of them warm-up.",
        "",
        "| view | made by | observation | action |",
        "|---|---|---|---|",
        f"| central | `gymnasium.make({id!r})` | `{central.observation_space}` | `{central.action_space}` |",
        *(
            f"| {name} | `mfnet_envs.parallel_env({id!r}, {name!r})` | `{tools.first(env.observation_spaces)}` "
            f"| `{tools.first(env.action_spaces)}` |"
            for name, env in (("teams", teams), ("agents", agents))
        ),
    ]


def options(id: str) -> list[str]:
    """The builder's options: names, kinds and defaults from its signature, words from its docstring."""
    return option_table(options_of(scenario(id).load()))


def option_table(rows: list[Option]) -> list[str]:
    """Options as a table in Markdown."""
    lines = ["| option | kind | default | meaning |", "|---|---|---|---|"]
    for row in rows:
        default = "to be given" if row.default is None else f"`{row.default}`"
        kind, meaning = row.kind.replace("|", "\\|"), as_markdown(row.meaning).replace("|", "\\|")
        lines.append(f"| `{row.name}` | `{kind}` | {default} | {meaning} |")
    return lines


def gallery(measured: dict[str, Measured]) -> str:
    """The first page: a film, a sentence and the numbers of every environment."""
    lines = ["<!-- written by scripts/build_pages.py -->", "", "# Environments", ""]
    lines += ["| film | what moves | random | best heuristic | bound |", "|---|---|---|---|---|"]
    for id, entry in sorted(measured.items()):
        sentence = words(id).partition("\n")[0]
        top = max(entry["rows"], key=lambda row: row["value"])
        film_ = f'<a href="{stem(id)}.md"><img src="../img/{stem(id)}.gif" width="200" alt="{id}"></a>'
        bound = "none known" if entry["bound"] is None else number(entry["bound"])
        random = number(entry["rows"][0]["value"])
        lines.append(
            f"| {film_} | **[{id}]({stem(id)}.md)**<br>{sentence}<br>{entry['unit']} | {random} "
            f"| {number(top['value'])} ({top['policy']}) | {bound} |"
        )
    return "\n".join(lines) + "\n"


# -- reStructuredText to Markdown -------------------------------------------------------------------------------------


def as_markdown(text: str) -> str:
    """The little of reStructuredText that docstrings use: simple tables, roles, double backticks, examples."""
    text = re.sub(
        r":\w+:`~?([^`]+)`", lambda role: f"`{role[1].rpartition('.')[2] if '~' in role[0] else role[1]}`", text
    )
    text = text.replace("``", "`")
    blocks = [_block(block) for block in re.split(r"\n{2,}", text)]
    return "\n\n".join(blocks)


def _block(block: str) -> str:
    lines = block.splitlines()
    if re.fullmatch(r"=+( +=+)+", lines[0]):
        return _table(lines)
    if lines[0].startswith(">>> "):
        return "\n".join(["```pycon", *lines, "```"])
    return block


def _table(lines: list[str]) -> str:
    """A simple table; a line that starts with blanks goes on with the row above."""
    starts = [found.start() for found in re.finditer(r"=+", lines[0])]
    ends = [*starts[1:], None]
    rows: list[list[str]] = []
    heads = sum(bool(re.fullmatch(r"[= ]+", line)) for line in lines) > 2
    for line in lines:
        if re.fullmatch(r"[= ]+", line):
            continue
        cells = [line[a:b].strip().replace("|", "\\|") for a, b in zip(starts, ends, strict=True)]
        if cells[0] or not rows:
            rows.append(cells)
        else:
            rows[-1] = [f"{old} {new}".strip() for old, new in zip(rows[-1], cells, strict=True)]
    head = rows.pop(0) if heads else ["part", *["meaning"] * (len(starts) - 1)]  # Markdown knows no table without
    marked = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(starts), *rows)]
    return "\n".join(marked)


if __name__ == "__main__":
    sys.exit(main())
