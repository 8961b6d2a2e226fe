"""What a run has learnt as a folder of plain files, for people and programmes that have nothing of this package."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mfnet_agents.runs.folder import RunError, RunFolder
from mfnet_agents.runs.training import REPORT_SEED
from mfnet_envs import load_policy, save_policy
from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.io import CityData
from mfnet_envs.io.reading import geographical
from mfnet_envs.measure import RANDOM
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy, uniform
from mfnet_envs.policy_file import FilePolicy
from mfnet_envs.positions import node_positions
from mfnet_envs.simulator import Simulator
from mfnet_envs.words import one_of
from mfnet_envs.writing import written

POLICY, README = "policy.npz", "README.txt"
WORLDS = 16  # whose flows are counted
TOGETHER = 100_000  # agents that are followed at a time
MOST = 2_000_000  # agents of a world that can be followed one by one
CROWDS, ROWS = 12, 200_000  # sizes that policy.csv lists at most, where that makes no more rows


def export(
    folder: RunFolder, out: Path, *, worlds: int = WORLDS, rule: str | None = None, seconds: float = math.inf
) -> list[Path]:
    """Write the best policy of a finished run and what is known of it; the files, README.txt last.

    Args:
        worlds: whose flows are counted. rule: a heuristic of the scenario, in place of what was learnt.
        seconds: to count flows in; where there is no clock fewer steps are counted then, which README.txt says.

    Raises:
        ValueError: a policy that no file can hold; no such rule. RunError: no finished run, or ``out`` holds other
            things. OSError: it cannot be written.
    """
    result = folder.read("result.json")
    if "best" not in result:
        raise RunError(f"the run in {folder.path} is not finished, so it has nothing to export yet")
    if out.exists() and not (out.is_dir() and ((out / POLICY).is_file() or not any(out.iterdir()))):
        raise RunError(f"{out} exists and is no earlier export; name another folder with --out")
    algorithm = folder.algorithm(folder.best)
    policy: Policy = algorithm.policy
    if rule is not None:
        rules = {RANDOM: uniform(policy.model), **policy.model.heuristics()}
        one_of("rule", rule, tuple(rules))
        policy = rules[rule]
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        save_policy(policy, out / POLICY)
    except ValueError:
        if made:
            out.rmdir()
        raise
    saved, model = load_policy(out / POLICY, policy.model), policy.model
    moved, largest, counted = flows(model, policy, worlds, REPORT_SEED, seconds, algorithm.config.backend)
    crowds = _crowds(saved, largest)
    texts = {
        "policy.csv": _csv(("region", "step", "crowd", "to", "share"), _shares(saved, crowds)),
        "bound.json": json.dumps(_bound(folder, result), indent=1) + "\n",
        "flows.csv": None if moved is None else _csv(("step", "from", "to", "agents"), moved),
        "policy.geojson": _geojson(saved, model),
    }
    there = {name for name, text in texts.items() if text is not None}
    texts[README] = _readme(folder, saved, model, result, there, rule, counted)
    for name, text in texts.items():
        if text is None:
            (out / name).unlink(missing_ok=True)  # of an earlier export
        else:
            with written(out / name) as file:
                file.write(text.encode())
    return [out / POLICY, *(out / name for name, text in texts.items() if text is not None)]


def _csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(head)
    table.writerows(rows)
    return text.getvalue()


def _crowds(saved: FilePolicy, largest: int) -> list[int]:
    """Sizes of a team from 1 to the largest that was seen, closer where they are small."""
    many = int(np.clip(ROWS // max(1, saved.shares.shape[0] * len(saved.to)), 3, CROWDS))
    if len(saved.sizes) == 1:
        return [1]
    return np.unique(np.geomspace(1, max(1, largest), many).round().astype(int)).tolist()  # type: ignore[no-any-return]


def _shares(saved: FilePolicy, crowds: list[int]) -> Iterable[tuple[str, int, int, str, str]]:
    for turn in range(len(saved.shares)):
        for n in crowds:
            found = saved.by_pair(n, turn)
            for owner, to, share in zip(saved.owner.tolist(), saved.to, found.tolist(), strict=True):
                yield saved.places[owner], turn, n, to, f"{share:.6g}"


def _bound(folder: RunFolder, result: dict[str, Any]) -> dict[str, Any]:
    known = folder.certificate()
    return {
        "bound": None if known is None else asdict(known),
        "unit": folder.yardstick().unit,
        "policies": result.get("policies", {name: result[name] for name in ("random", "last", "best")}),
        "evaluation": result.get("evaluation"),
    }


# -- flows


def flows(
    model: LocalModel, policy: Policy, worlds: int, seed: int, seconds: float = math.inf, backend: str | None = None
) -> tuple[list[tuple[int | str, str, str, str]] | None, int, int]:
    """Mean agents that go from one node to another in a step, the largest team that was seen, and steps played.

    By the step of the episode, or of the clock's turn; without a clock the mean after the warm-up, its step "all". None
    where agents are too many to be followed one by one. Where there is no clock, no step is begun after ``seconds``,
    one after the warm-up excepted, which crowds are played through in ``backend``.
    """
    n, nodes = model.population, model.network.num_nodes
    if n > MOST:
        return None, int(2 * model.usual_counts[model.team_states].max(initial=1)), 0
    simulator, rng = (
        Simulator(model, "numpy"),
        np.random.default_rng([seed, 1]),
    )  # another stream than that of the warm-up
    worlds = max(1, min(worlds, TOGETHER // n))
    until = time.perf_counter() + seconds
    counts, largest = _warmed_up(Simulator(model, backend), policy, worlds, seed)
    states = np.stack([np.repeat(np.arange(len(row)), row) for row in counts])
    place, (steps, warmup) = model.network.node_of, model.evaluation
    turns = steps if model.episode_steps is not None else (model.period or 1)
    seen: list[list[tuple[Ints, Ints]]] = [[] for _ in range(turns)]
    times, played = np.zeros(turns, int), steps
    for t in range(warmup, steps):
        if turns == 1 and t > warmup and time.perf_counter() > until:
            played = t
            break
        counts = np.stack([np.bincount(row, minlength=len(model.legal)) for row in states])
        largest = max(largest, int(counts[:, model.team_states].max(initial=0)))
        after, _ = simulator.at(t).step_agents(states, _drawn(policy, model, states, counts, t, rng), rng)
        gone = place[states] != place[after]
        keys = place[states[gone]] * nodes + place[after[gone]]
        seen[t % turns].append(np.unique(keys, return_counts=True))
        times[t % turns] += 1
        states = after
    called = _called(model)
    rows: list[tuple[int | str, str, str, str]] = []
    for turn in np.flatnonzero(times).tolist():
        keys, where = np.unique(np.concatenate([k for k, _ in seen[turn]]), return_inverse=True)
        total = np.bincount(where, np.concatenate([c for _, c in seen[turn]])) / (times[turn] * worlds)
        step = "all" if turns == 1 and steps > 1 else turn
        rows += [(step, called[k // nodes], called[k % nodes], f"{x:.6g}") for k, x in zip(keys, total, strict=True)]
    return rows, largest, played


def _warmed_up(simulator: Simulator, policy: Policy, worlds: int, seed: int) -> tuple[Ints, int]:
    """``(B, S)`` crowds after the warm-up, and the largest team until then."""
    rng, teams, largest = simulator.generator(seed), simulator.model.team_states, 0
    counts: Ints = simulator.reset(rng, worlds)
    for t in range(simulator.model.evaluation[1]):
        largest = max(largest, int(counts[:, teams].max(initial=0)))
        counts = policy.play(simulator.at(t), counts, t, rng).next_counts
    return counts, largest


def _drawn(policy: Policy, model: LocalModel, states: Ints, counts: Ints, t: int, rng: np.random.Generator) -> Ints:
    """``(B, N)`` actions: every agent draws its own."""
    row = np.full(len(model.legal), -1)
    row[model.team_states] = np.arange(len(model.team_states))
    actions, (world, agent) = model.first_legal[states], np.nonzero(row[states] >= 0)
    until = policy.teams(counts, t)[world, row[states[world, agent]]].cumsum(1)
    actions[world, agent] = (rng.random((len(world), 1)) * until[:, -1:] >= until).sum(1)
    return actions


def _called(model: LocalModel) -> list[str]:
    graph = model.network.graph
    return [str(graph.nodes[label].get("name", label)) for label in model.network.nodes]


# -- where and what


def _on_earth(model: LocalModel) -> Floats | None:
    """``(V, 2)`` longitudes and latitudes, where the network's file says that its coordinates are some."""
    places = node_positions(model)
    said = str(model.network.graph.graph.get("crs", ""))
    return places if said.endswith("lon/lat") and places is not None and geographical(places) else None


def _geojson(saved: FilePolicy, model: LocalModel) -> str | None:
    """A point for each region, with its shares in usual crowds, step by step."""
    where = _on_earth(model)
    if where is None:
        return None
    states = model.team_states
    usual = np.maximum(1, np.rint(model.usual_counts[states])).astype(int)
    by_turn = [saved.by_pair(usual, turn).round(6).tolist() for turn in range(len(saved.shares))]
    features: list[dict[str, Any]] = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": where[model.network.node_of[state]].tolist()},
            "properties": {"region": saved.places[k], "crowd": int(usual[k]), "shares": [{} for _ in by_turn]},
        }
        for k, state in enumerate(states.tolist())
    ]
    for turn, found in enumerate(by_turn):
        for owner, to, share in zip(saved.owner.tolist(), saved.to, found, strict=True):
            features[owner]["properties"]["shares"][turn][to] = share
    return json.dumps({"type": "FeatureCollection", "features": features}) + "\n"


def _readme(
    folder: RunFolder, saved: FilePolicy, model: LocalModel, result: dict[str, Any], there: set[str],
    rule: str | None, counted: int,
) -> str:  # fmt: skip
    headline, agents = folder.yardstick(), model.wording.agents
    city = getattr(model, "city", None)
    clock = "the step of the episode or of the clock's turn, from 0"
    if isinstance(city, CityData):
        clock += f"; step 0 begins at {city.start // 60}:{city.start % 60:02}, a step is {city.step:g} minutes"
    if len(saved.shares) == 1:
        clock = "always 0: this policy does not look at the clock"
    layered = len(np.unique(model.network.node_of[model.team_states])) < len(model.team_states)
    weight = getattr(model, "weight", 1.0)
    stands = "" if weight == 1 else f" An agent stands for {weight:g} of them."
    place = f"{result['env']} with {result.get('env_config')}"
    what, mine = f"What was learnt in {place}, by {result['algorithm']}.", result["best"]
    if rule is not None:
        what = f"A rule of {place}: {model.wording.labels.get(rule, rule)}. It was not learnt."
        mine = result.get("policies", {}).get(rule)
    lines = [
        what,
        *([f"It earns {headline.text(mine['value'], mine['ci95'])} {headline.unit}."] if mine else []),
        f"{model.population:,} agents, the {agents}.{stands}",
        "",
        f"{POLICY}: the whole policy. In Python, without torch:",
        f"  mfnet_envs.load_policy('{POLICY}').at({saved.places[0]!r}, n=CROWD, t=STEP)",
        *(f"  {note}" for note in saved.notes),
        "policy.csv: what the agents of a region do.",
        "  region  where they are" + (", and what they are there, such as their destination." if layered else "."),
        "  step    " + clock + ".",
        "  crowd   how many agents are there; sizes in between and beyond are in policy.npz."
        + (" This policy does not look at it." if len(saved.sizes) == 1 else ""),
        "  to      where they go; their own region is staying. share  the chance that each goes there, from 0 to 1.",
        'bound.json: what no policy exceeds, and what this policy and the heuristics earn, all in its "unit".',
    ]
    if "flows.csv" in there:
        few = "" if counted >= model.evaluation[0] else f", in the first {counted:,} of {model.evaluation[0]:,} steps"
        lines += [
            f"flows.csv: mean flows under the policy, counted in evaluation worlds (seed {REPORT_SEED}){few}.",
            "  step    as above, or all: the mean over the evaluated steps where there is no clock.",
            "  from, to  where agents leave in this step, and where they go, by choice or not; staying is left out.",
            "  agents  how many in a step, in the mean.",
        ]
    else:
        lines.append(f"There is no flows.csv: more than {MOST:,} agents are not followed one by one.")
    if "policy.geojson" in there:
        said = model.network.graph.graph["crs"]
        lines += [
            f"policy.geojson: a point for each region, in longitude and latitude ({said}).",
            "  crowd   what is usual there, and shares  what is done then, step by step: where to, and its share.",
        ]
    else:
        lines.append("There is no policy.geojson: nothing says that the places have longitudes and latitudes.")
    return "\n".join(
        [*lines, "", "To be known about the model:", *(f"- {note}" for note in model.notes or ("nothing",)), ""]
    )
