"""Calls of Python's public doors: keyword arguments, actions, seeds, options of a config, networks with odd numbers."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import mfnet_envs
from fuzz import odd
from fuzz.judging import Fault, Refused, attempt
from fuzz.mutations import pick
from mfnet_envs.policy import uniform
from mfnet_envs.registration import scenarios
from mfnet_envs.views.agents import AgentsEnv
from mfnet_envs.views.batch import AgentsBatch, TeamsBatch
from mfnet_envs.views.central import CentralEnv
from mfnet_envs.views.teams import TeamsEnv
from mfnet_envs.views.vector import CentralVectorEnv

VIEWS: dict[str, tuple[Callable[..., Any], Any]] = {
    "teams": (lambda id, **o: mfnet_envs.parallel_env(id, view="teams", **o), TeamsEnv),
    "agents": (lambda id, **o: mfnet_envs.parallel_env(id, view="agents", **o), AgentsEnv),
    "aec": (lambda id, **o: mfnet_envs.env(id, view="teams", **o), TeamsEnv),
    "central": (lambda id, **o: gym.make(id, **o), CentralEnv),
    "vector": (lambda id, **o: gym.make_vec(id, num_envs=2, **o), CentralVectorEnv),
    "batch teams": (lambda id, **o: mfnet_envs.batch_env(id, view="teams", **o), TeamsBatch),
    "batch agents": (lambda id, **o: mfnet_envs.batch_env(id, view="agents", **o), AgentsBatch),
    "model": (mfnet_envs.make_model, None),
}
NOT_OPTIONS = {"model", "name", "self", "num_envs"}
SMALL = {"population": 12}
BACKENDS = ("numpy", "compiled") if find_spec("numba") else ("numpy",)


def ids(rng: np.random.Generator) -> str:
    return pick(rng, [id for id in scenarios() if id != "MFNet-RideShareNYC-v0" or rng.random() < 0.2])


def note(folder: Path, text: str) -> None:
    (folder / "call.txt").write_text(text + "\n", "utf-8", "backslashreplace")


def questionable(default: Any, given: Any) -> str:
    """Why ``given`` should not be taken for a number or a word like ``default``, or nothing."""
    if odd.is_nan(given):
        return "NaN"
    number = isinstance(default, int | float) and not isinstance(default, bool)
    if number and isinstance(given, bool):
        return "a bool for a number"
    if number and isinstance(given, str) and not isinstance(default, str):
        return "a string for a number"
    if isinstance(default, str) and isinstance(given, float) and not np.isfinite(given):
        return "not finite"
    return ""


class Keywords:
    """Options of every id in every view: refused in one sentence, or an environment that can be played."""

    name, share = "keywords", 3.0

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        id, view = ids(rng), pick(rng, list(VIEWS))
        make, kind = VIEWS[view]
        takes = {n: p.default for n, p in inspect.signature(scenarios()[id].load()).parameters.items()}
        if kind is not None:
            takes |= {n: p.default for n, p in inspect.signature(kind).parameters.items() if n not in NOT_OPTIONS}
        asked = {pick(rng, list(takes)): odd.value(rng) for _ in range(int(rng.choice([1, 1, 1, 2])))}
        if rng.random() < 0.03:
            asked[pick(rng, ["gama", "populaton", "", "self"])] = 1
        options = {**SMALL, **asked}
        if "backend" in takes and rng.random() < 0.1 and "backend" not in asked:
            options |= {"backend": "compiled"}
        told = ", ".join(f"{n}={odd.shown(v)}" for n, v in options.items())
        note(folder, f"{view} of {id}: {told}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            env = attempt(lambda: make(id, **options))
            for name, given in asked.items():
                if why := questionable(takes.get(name, ""), given):
                    raise Fault(
                        "silent", f"{view} of {id} takes {name}={odd.shown(given)}", f"{id} {name}: {why} accepted"
                    )
            play(env, view, rng, f"{view} of {id}")
            if view == "model" and rng.random() < 0.3:
                attempt(lambda: env.heuristics())


def play(env: Any, view: str, rng: np.random.Generator, told: str, backend: str | None = None) -> None:
    """Reset and two steps with sampled actions; what comes out is finite."""
    seed = int(rng.integers(100))
    if view == "model":
        simulator = attempt(lambda: mfnet_envs.Simulator(env, backend))
        draws = simulator.generator(seed)
        counts = attempt(lambda: simulator.reset(draws, 2))
        pi = env.legal[env.team_states] / env.legal[env.team_states].sum(1, keepdims=True)
        result = [attempt(lambda: simulator.play(counts, pi, draws))]
        answers = [(r.next_counts, r.team_rewards) for r in result]
        if (answers[0][0].sum(1) != env.population).any():
            raise Fault("silent", f"{told}: agents are lost", "agents lost")
    elif view == "aec":
        env.reset(seed=seed)
        answers = []
        for agent in env.agent_iter(min(6, 2 * env.num_agents)):
            observation, reward, ended, truncated, _ = env.last()
            answers.append((observation, reward))
            attempt(lambda: env.step(None if ended or truncated else env.action_space(agent).sample()))  # noqa: B023
    elif view.startswith("batch"):
        answers = [attempt(lambda: env.reset(seed))]
        shape = env.num_worlds, env.num_actors
        width = env.single_action_space.shape
        actions = rng.uniform(-1, 1, (*shape, *width)) if width else rng.integers(0, env.single_action_space.n, shape)
        answers += [tuple(attempt(lambda: env.step(_like(env, actions))))[:2]]
    else:
        attempt(lambda: env.reset(seed=seed))
        answers = []
        for _ in range(2):
            if view in ("teams", "agents"):
                if not env.agents:
                    break
                step = {a: env.action_space(a).sample() for a in env.agents}
            else:
                step = env.action_space.sample()
            out = attempt(lambda: env.step(step))  # noqa: B023
            answers.append(out[:2])
            if out[3] is True:
                break
    if not odd.finite(*answers):
        raise Fault("silent", f"{told}: rewards or observations that are not finite", "not finite")


def _like(env: Any, actions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return actions.astype(env.single_action_space.dtype)


PLACES: dict[str, dict[str, Any]] = {
    "MFNet-Grid-v0": {"population": 6, "rows": 2, "cols": 2, "horizon": 5},
    "MFNet-TwoByTwo-v0": {"population": 6, "days": 5},
    "MFNet-Braess-v0": {"population": 6},
    "MFNet-SIS-v0": {"population": 6, "rows": 2, "cols": 2, "horizon": 5},
    "MFNet-Grid-v0 ": {"population": 1, "rows": 1, "cols": 2, "horizon": 3},
}


def made(rng: np.random.Generator, view: str) -> tuple[Any, str]:
    key = pick(rng, list(PLACES))
    return VIEWS[view][0](key.strip(), **PLACES[key]), f"{view} of {key.strip()}"


def seen(env: Any, view: str) -> Any:
    """What an environment is at: to compare before and after a refusal."""
    return np.array(_counts(env, view))


def acting(env: Any, view: str) -> Any:
    """Proper actions for everybody."""
    if view in ("teams", "agents"):
        return {a: env.action_space(a).sample() for a in env.agents}
    if view == "aec":
        return env.action_space(env.agent_selection).sample()
    if view.startswith("batch"):
        shape = env.num_worlds, env.num_actors, *env.single_action_space.shape
        return np.zeros(shape, env.single_action_space.dtype)
    return env.action_space.sample()


def spoilt_action(rng: np.random.Generator, good: Any) -> Any:
    """Actions with one thing wrong, or something else altogether; and whether it must be refused."""
    if isinstance(good, dict) and rng.random() < 0.75:
        bad, key = dict(good), pick(rng, list(good))
        how = rng.random()
        if how < 0.15:
            del bad[key]
        elif how < 0.3:
            bad[pick(rng, ["stranger", "team_99", ""])] = bad[key]
        elif how < 0.6:
            bad[key] = spoilt_action(rng, bad[key])
        else:
            bad[key] = odd.value(rng)
        return bad
    array = np.asarray(good)
    changes: list[Callable[[], Any]] = [
        lambda: np.full(array.shape, np.nan), lambda: np.full(array.shape, np.inf),
        lambda: np.full(array.shape, 1e308), lambda: array.astype(str),
        lambda: array[None], lambda: array.reshape(-1)[:-1], lambda: array.astype(complex),
        lambda: array.astype(object), lambda: np.full(array.shape, -5),
        lambda: np.full(array.shape, 99), lambda: array.astype(float) + 0.5, lambda: array.astype(bool),
        lambda: array.tolist(), lambda: odd.value(rng),
        lambda: odd.value(rng), lambda: np.ma.masked_all(array.shape), lambda: array.astype(np.float16),
        lambda: [array, array], lambda: None,
    ]  # fmt: skip
    try:
        return changes[int(rng.integers(len(changes)))]()
    except (TypeError, ValueError):  # no numbers to be changed
        return odd.value(rng)


def _is_word(thing: Any) -> bool:
    """A string that spells no number, or None."""
    if isinstance(thing, str | bytes):
        try:
            float(thing)
        except ValueError:
            return True
    return thing is None


def must_refuse(bad: Any) -> str:
    """What in these actions can mean nothing."""
    for thing in bad.values() if isinstance(bad, dict) else [bad]:
        if odd.is_nan(thing):
            return "NaN"
        if any(_is_word(x) for x in np.asarray(thing, object).reshape(-1)):
            return "no numbers"
        if isinstance(thing, complex) or (isinstance(thing, np.ndarray) and thing.dtype.kind == "c"):
            return "complex numbers"
    return ""


class Actions:
    """``step`` of every view with actions that are none: refused, and the world has not moved."""

    name, share = "actions", 2.0

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        view = pick(rng, [v for v in VIEWS if v != "model"])
        env, told = made(rng, view)
        if rng.random() < 0.9:
            env.reset(seed=3)
        elif view != "aec":  # before the first reset
            note(folder, f"{told}: step before reset")
            attempt(lambda: env.step(odd.value(rng)))
            raise Fault("silent", f"{told}: step before reset is accepted", "step before reset")
        else:
            env.reset(seed=3)
        bad = spoilt_action(rng, acting(env, view))
        note(folder, f"{told}: step({odd.shown(bad)})")
        before = seen(env, view)
        if view == "aec" and bad is None:
            return  # PettingZoo's word for agents that are gone

        def step() -> Any:
            out = env.step(bad)
            while view == "aec" and env.agent_selection != env.possible_agents[0]:
                env.step(acting(env, view))  # PettingZoo asks everybody before the world moves
            return out

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                out = attempt(step)
        except Refused:
            if view == "aec":
                raise
            if not np.array_equal(before, seen(env, view)):
                raise Fault("silent", f"{told}: the world moved although the actions were refused", "moved") from None
            attempt(lambda: env.step(acting(env, view)))
            raise
        if why := must_refuse(bad):
            raise Fault("silent", f"{told}: step({odd.shown(bad)}) is accepted", f"{view}: {why} accepted as actions")
        if out is not None and not odd.finite(*out[:2]):
            raise Fault("silent", f"{told}: step({odd.shown(bad)}) pays what is not finite", f"{view}: not finite")


class Seeds:
    """Seeds of every view and of evaluations: a whole number gives the same world twice, all else is refused."""

    name, share = "seeds", 1.0

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        view = pick(rng, list(VIEWS))
        env, told = made(rng, view)
        seed = odd.value(rng)
        note(folder, f"{told}: seed={odd.shown(seed)}")
        if view == "model":
            policy = uniform(env)
            first = attempt(lambda: mfnet_envs.evaluate(env, policy, worlds=2, seed=seed))
            again = mfnet_envs.evaluate(env, policy, worlds=2, seed=seed)
            same = seed is None or first == again
        else:
            attempt(lambda: env.reset(seed=seed))
            one = np.array(_counts(env, view))
            attempt(lambda: env.reset(seed=seed))
            same = seed is None or _nones(seed) or np.array_equal(one, _counts(env, view))
        whole = isinstance(seed, int | np.integer)  # Gymnasium takes True for 1
        lists = view in ("vector", "model") and isinstance(seed, list | tuple | np.ndarray | range)
        if not (whole or seed is None or lists or (isinstance(seed, np.ndarray) and seed.dtype.kind in "iu")):
            raise Fault(
                "silent",
                f"{told}: seed={odd.shown(seed)} is accepted",
                f"{view}: seed of {type(seed).__name__} accepted",
            )
        if not same:
            raise Fault("silent", f"{told}: seed={odd.shown(seed)} gives two worlds", f"{view}: seed does not hold")


def _counts(env: Any, view: str) -> Any:
    if view == "aec":
        return env.unwrapped.env.counts if hasattr(env.unwrapped, "env") else env.unwrapped.state()
    return env.counts if view.startswith("batch") else env.unwrapped.counts


def _nones(seed: Any) -> bool:
    return isinstance(seed, list | tuple) and all(one is None for one in seed)


def _few(steps: Any) -> Any:
    """Many steps take long, and rightly so; more than anybody has time or memory for must be refused."""
    return 1000 if isinstance(steps, int) and 1000 < steps < 10**9 else steps


class Measures:
    """``evaluate``, ``measure``, ``Simulator``, ``from_networkx``, ``render_to`` with odd arguments."""

    name, share = "measures", 1.0

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        from mfnet_envs.drawing.files import render_to

        key = pick(rng, list(PLACES))
        model = mfnet_envs.make_model(key.strip(), **PLACES[key])
        backend = pick(rng, BACKENDS)
        simulator, draws = mfnet_envs.Simulator(model, backend), np.random.default_rng(0)
        counts = simulator.reset(draws, 2)
        policy, x = uniform(model), odd.value(rng)
        pi = np.where(model.legal, 1.0, 0.0) / model.legal.sum(1, keepdims=True)
        doors: dict[str, Callable[[], Any]] = {
            "evaluate worlds": lambda: mfnet_envs.evaluate(model, policy, worlds=x, steps=2, warmup=0, backend=backend),
            "evaluate steps": lambda: mfnet_envs.evaluate(model, policy, worlds=2, steps=_few(x), warmup=0),
            "evaluate warmup": lambda: mfnet_envs.evaluate(model, policy, worlds=2, warmup=x),
            "evaluate backend": lambda: mfnet_envs.evaluate(model, policy, worlds=2, backend=x),
            "evaluate model": lambda: mfnet_envs.evaluate(x, policy),
            "evaluate policy": lambda: mfnet_envs.evaluate(model, x),
            "evaluate id": lambda: mfnet_envs.evaluate(key.strip(), "random"),
            "measure worlds": lambda: mfnet_envs.measure(model, {"a": policy}, worlds=x),
            "measure policies": lambda: mfnet_envs.measure(model, x, worlds=2),
            "measure policy": lambda: mfnet_envs.measure(model, {"a": x}, worlds=2),
            "measure certificate": lambda: mfnet_envs.measure(model, {"a": policy}, worlds=2, certificate=x),
            "simulator backend": lambda: mfnet_envs.Simulator(model, x),
            "simulator model": lambda: mfnet_envs.Simulator(x),
            "simulator batch": lambda: simulator.reset(np.random.default_rng(0), x),
            "simulator pi": lambda: simulator.play(counts, spoilt_action(rng, pi), draws),
            "simulator actions": lambda: simulator.transition(counts, spoilt_action(rng, counts), draws),
            "make_model id": lambda: mfnet_envs.make_model(x),
            "parallel_env view": lambda: mfnet_envs.parallel_env(key.strip(), view=x),
            "batch_env worlds": lambda: mfnet_envs.batch_env(key.strip(), num_worlds=x, **PLACES[key]),
            "render steps": lambda: render_to(model, folder / "a.txt", steps=x),
            "render policy": lambda: render_to(model, folder / "a.txt", policy=x, steps=1),
            "render seed": lambda: render_to(model, folder / "a.txt", seed=x, steps=1),
            "render path": lambda: render_to(model, x, steps=1),
        }
        name = pick(rng, list(doors))
        note(folder, f"{name} of {key.strip()}: {odd.shown(x)}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attempt(doors[name], (OSError,) if name == "render path" else ())
        if odd.is_nan(x) and name.split()[1] in ("worlds", "steps", "warmup", "batch", "seed"):
            raise Fault("silent", f"{name}: {odd.shown(x)} is accepted", f"{name}: NaN accepted")


class Configs:
    """Options of the learner: refused when it is built, or one iteration with finite weights."""

    name, share = "config", 1.0
    SMALL = {"num_envs_per_env_runner": 2, "rollout_fragment_length": 4}  # noqa: RUF012
    STEPS = ("rollout_fragment_length", "burn_in", "num_epochs", "critic_steps", "actor_samples")

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        from mfnet_agents import DecNeuralACConfig

        fields = DecNeuralACConfig.fields()
        base = DecNeuralACConfig().environment("MFNet-Grid-v0", env_config=PLACES["MFNet-Grid-v0"])
        base = base.env_runners(**self.SMALL).training(total_env_steps=64)
        base = base.evaluation(evaluation_duration=2)
        if rng.random() < 0.3:
            base = base.training(mode="paper", critic_steps=5, actor_samples=2, critic_width=4, actor_width=4)
        asked = {pick(rng, list(fields)): odd.value(rng) for _ in range(int(rng.choice([1, 1, 2])))}
        asked = {name: _few(given) if name in self.STEPS else given for name, given in asked.items()}
        note(folder, "config: " + ", ".join(f"{n}={odd.shown(v)}" for n, v in asked.items()))

        def build() -> Any:
            for name, given in asked.items():
                group = fields[name].metadata["group"]
                getattr(base, group)(**{name: given})
            return base.build_algo()

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            algorithm = attempt(build)
            for name, given in asked.items():
                if why := questionable(getattr(DecNeuralACConfig(), name), given):
                    raise Fault("silent", f"config takes {name}={odd.shown(given)}", f"config {name}: {why} accepted")
            result = attempt(algorithm.train)
            attempt(algorithm.evaluate)
        _, arrays = algorithm.get_state()
        weights = {name: a for name, a in arrays.items() if a.dtype.kind == "f"}
        if not odd.finite(weights, result):
            wrong = next((name for name, a in weights.items() if not np.isfinite(a).all()), "the result")
            raise Fault(
                "silent", f"{asked}: {wrong} is not finite after an iteration", f"config {', '.join(asked)}: not finite"
            )


class Networks:
    """Road and data networks with extreme but permitted numbers: refused, or played with finite numbers."""

    name, share = "networks", 2.0

    def run(self, rng: np.random.Generator, folder: Path) -> None:
        n = int(rng.integers(2, 5))
        ends = [(a, b) for a in range(n) for b in range(n) if a != b and (abs(a - b) == 1 or rng.random() < 0.4)]
        m = len(ends)

        def column(usual: float, zero: bool) -> np.ndarray[Any, Any]:
            odd_ones = [1e-9, 1e-3, 1e6, 1e12, 1e-300, 1e300, *([0.0] if zero else [])]
            values = usual * rng.uniform(0.5, 2, m)
            if rng.random() < 0.35:
                values[rng.integers(m)] = odd_ones[int(rng.integers(len(odd_ones)))]
            return np.asarray(values)

        demand = rng.integers(0, 20, (n, n)) * (1.0 - np.eye(n))
        if rng.random() < 0.3:
            demand[:, int(rng.integers(n))] = 0
        if rng.random() < 0.2:
            demand *= 10.0 ** rng.integers(-12, 12)
        arrays = {
            "free_flow_time": column(1, True), "capacity": column(20, False), "b": column(0.15, True),
            "power": column(4, True), "length": column(1, True),
        }  # fmt: skip
        options: dict[str, Any] = {"population": int(rng.integers(1, 60)), "network": None}
        id = pick(rng, ["MFNet-Routing-v0", "MFNet-Packet-v0"])
        if rng.random() < 0.3:
            options[pick(rng, ["vehicles", "dt", "gamma"])] = float(10.0 ** rng.integers(-9, 9))
        np.savez(folder / "network.npz", ends=np.array(ends), demand=demand, **arrays)
        note(folder, f"{id}: {options}")

        def build() -> Any:
            tail, head = np.array(ends).T
            network = mfnet_envs.io.NetworkData(
                name="odd", nodes=tuple(map(str, range(n))), tail=tail, head=head, demand=demand, **arrays
            )
            return mfnet_envs.make_model(id, **{**options, "network": network})

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = attempt(build)
            play(model, "model", rng, id, pick(rng, BACKENDS))
            bound = attempt(model.bound)
            if bound is not None and not np.isfinite(bound.value):
                raise Fault("silent", f"{id}: the bound is {bound.value}", "bound not finite")
            heuristics = attempt(model.heuristics)
            name = pick(rng, list(heuristics))
            report = attempt(lambda: mfnet_envs.evaluate(model, heuristics[name], worlds=2, steps=30, warmup=10))
            if not odd.finite(report):
                raise Fault("silent", f"{id}: {name} is measured as {report}", "not finite")
