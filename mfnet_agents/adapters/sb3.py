"""Algorithms of Stable-Baselines3 and sb3-contrib as guests of ``mfnet compare``: ``sb3:PPO``, ``sb3:SAC:lr=1e-3``.

One network plays all lanes (:mod:`mfnet_envs.adapters.sb3`). What is not named here is SB3's own default, but for the
discount, which is the environment's, and for what depends on how many lanes there are: a step of the gradient is made
of :data:`BATCH` joint transitions, whatever the view; SAC and its like make one for every joint transition.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mfnet_agents.algorithm import information_of
from mfnet_agents.comparison.guests import Iterate
from mfnet_agents.comparison.suites import INFORMATION
from mfnet_envs.adapters import missing
from mfnet_envs.adapters.sb3 import NetworkVecEnv, as_policy, make_vec_env
from mfnet_envs.registration import make_model
from mfnet_envs.words import did_you_mean, one_of, positive, shown, whole

try:
    import sb3_contrib
    import stable_baselines3
    import torch
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.logger import Logger
    from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
except ModuleNotFoundError as error:
    raise missing(error, "sb3") from error

BATCH = 64  # joint transitions
KEPT = 50_000  # of them in a replay buffer, at most
SPARE = ("env", "policy", "seed", "gamma", "learning_rate", "device", "verbose", "tensorboard_log", "_init_setup_model")
RECURRENT = ("RecurrentPPO",)  # what remembers is no policy of the present crowds


def train(
    env: str,
    env_config: dict[str, Any],
    budget: int,
    seed: int,
    *,
    algorithm: str = "PPO",
    view: str = "central",
    observe: int = 0,
    worlds: int = 8,
    steps: int = 32,
    lr: float = 3e-4,
    **options: Any,
) -> Iterator[Iterate]:
    """Train one algorithm, an iterate after every ``worlds * steps`` joint transitions.

    Args:
        algorithm: PPO, A2C, SAC, TD3, DDPG, DQN, or MaskablePPO, TRPO, TQC ... of sb3-contrib.
        view: "central", one planner; "teams"; "agents", who all share one network. observe: hops that teams and agents
            see besides their own node. lr: SB3's learning_rate. options: further arguments of the algorithm.

    Raises:
        ValueError, TypeError: an argument out of its range, or of another kind of view.
    """
    kind = _algorithm(algorithm)
    whole("worlds", worlds), whole("steps", steps), whole("observe", observe, 0)
    positive(lr=lr)
    one_of("view", view, ("central", "teams", "agents"))
    for name in options:
        if name in SPARE:
            raise ValueError(f"{shown(name)} is no option here: the comparison sets it (learning_rate is called lr)")
    seen: dict[str, Any] = {} if view == "central" else {"observe": observe, "state_encoding": None}
    lanes = make_vec_env(env, view, worlds, **env_config, **seen)
    actors = lanes.num_envs // worlds
    usual: dict[str, Any] = {"batch_size": BATCH * actors, "n_steps": steps}
    if issubclass(kind, OffPolicyAlgorithm):
        kept = min(budget, KEPT) * actors
        usual = {"batch_size": 256, "train_freq": 1, "gradient_steps": worlds, "buffer_size": kept}
    elif kind is stable_baselines3.A2C:
        del usual["batch_size"]
    gamma, torch_threads = make_model(env, **env_config).gamma, 1
    torch.set_num_threads(torch_threads)
    learner = kind("MlpPolicy", lanes, seed=seed, gamma=gamma, learning_rate=lr, device="cpu", **{**usual, **options})
    learner.set_logger(Logger(None, []))  # else every call of learn makes a folder
    information = _information(lanes, view, observe)
    taken, each = 0, worlds * steps
    yield Iterate(taken, as_policy(learner), information)
    while taken + each <= budget:
        learner.learn(each * actors, reset_num_timesteps=False)
        taken = learner.num_timesteps // actors
        yield Iterate(taken, as_policy(learner), information)


def _algorithm(name: str) -> type[BaseAlgorithm]:
    every = {**vars(sb3_contrib), **vars(stable_baselines3)}
    known = {key: kind for key, kind in every.items() if isinstance(kind, type) and issubclass(kind, BaseAlgorithm)}
    if name in RECURRENT or name not in known:
        names = sorted(known.keys() - set(RECURRENT))
        raise ValueError(
            f"Stable-Baselines3 has no {name!r} to be played here{did_you_mean(name, names)} Known: {', '.join(names)}"
        )
    return known[name]


def _information(lanes: Any, view: str, observe: int) -> str:
    """A planner sees all crowds; the others their own and those within ``observe`` hops."""
    inner: NetworkVecEnv = lanes.unwrapped
    return INFORMATION[3] if view == "central" else information_of(observe, inner.model.period is not None)
