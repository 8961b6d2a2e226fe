"""The builder: options, their words when they are wrong, what "auto" stands for, and RLlib's verbs and keys."""

import json
from typing import Any

import gymnasium
import numpy as np
import pytest
import toys

import mfnet_envs
from mfnet_agents.config import EVENTS, AlgorithmConfig, ConfigError
from mfnet_agents.dec_neural_ac.algorithm import DecNeuralAC
from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig

SMALL = {"graph": [[0, 1], [1, 2]], "demand": [0.02, 0.02, 1.0], "population": 4}


def config(**training: Any) -> DecNeuralACConfig:
    chosen = DecNeuralACConfig().environment("MFNet-Grid-v0", env_config=SMALL).training(**training)
    return chosen.env_runners(num_envs_per_env_runner=4, rollout_fragment_length=8).evaluation(evaluation_duration=4)


# -- names


@pytest.mark.parametrize(
    ("group", "wrong", "meant"),
    [
        ("training", "credit_hop", "credit_hops"),
        ("training", "lamda", "lambda_"),
        ("env_runners", "num_env_per_env_runner", "num_envs_per_env_runner"),
        ("evaluation", "evaluation_intervall", "evaluation_interval"),
        ("debugging", "sed", "seed"),
        ("callbacks", "on_train_results", "on_train_result"),
    ],
)
def test_misspelt_option(group: str, wrong: str, meant: str) -> None:
    with pytest.raises(TypeError, match=rf"{group}\(\) has no option '{wrong}'; did you mean '{meant}'\?"):
        getattr(DecNeuralACConfig(), group)(**{wrong: 1})


def test_option_of_another_group() -> None:
    """Nothing near: all names that would have been right."""
    with pytest.raises(TypeError, match=r"debugging\(\) has no option 'hops'; known: seed"):
        DecNeuralACConfig().debugging(hops=1)


def test_from_dict_refuses_unknown_names() -> None:
    with pytest.raises(TypeError, match=r"DecNeuralACConfig has no option 'actor_learning_rate'; .*"):
        DecNeuralACConfig.from_dict({"actor_learning_rate": 0.1})


# -- values


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "practicle"}, "mode must be 'paper' or 'practical', not 'practicle'"),
        ({"gamma": 1.0}, "gamma must be strictly between 0 and 1, or None, not 1.0"),
        ({"gamma": "high"}, "gamma must be strictly between 0 and 1"),
        ({"hops": -1}, "hops must be a non-negative integer, not -1"),
        ({"hops": 1.5}, "hops must be a non-negative integer, not 1.5"),
        ({"hops": True}, "hops must be a non-negative integer, not True"),
        ({"credit_hops": -2}, "credit_hops must be 'auto' or a non-negative integer"),
        ({"lambda_": 1.1}, "lambda_ must be between 0 and 1"),
        ({"lambda_": float("nan")}, "lambda_ must be between 0 and 1"),
        ({"policy": "softmax"}, "policy must be 'auto' or 'individual' or 'energy' or 'tilted', not 'softmax'"),
        ({"critic_form": "w"}, "critic_form must be 'auto' or 'q' or 'v' or 'costate', not 'w'"),
        (
            {"critic_form": "costate", "hops": 2},
            "hops is of critics: critic_form='costate' has none; set critic_form='v'",
        ),
        ({"critic_form": "costate", "policy": "energy"}, "critic_form='costate' needs policy='individual'"),
        ({"observe": "neighbours"}, "observe must be 'own' or a non-negative integer, hops, at most 1,000,000, not"),
        ({"observe": 1, "critic_form": "v"}, "observe=1 needs critic_form='costate', whose policies can see more"),
        ({"observe": 1, "hops": 2}, "observe=1 needs critic_form='costate'"),
        ({"clock": True, "policy": "tilted"}, "clock=True needs critic_form='costate'"),
        ({"clock": "yes"}, "clock must be 'auto', True or False, not 'yes'"),
        ({"observe": 1, "crowd_input": "share"}, "observe shows crowds by crowd_input='bounded', not by 'share'"),
        ({"critic_width": 0}, "critic_width must be 'auto' or a positive integer"),
        ({"actor_width": 2.5}, "actor_width must be 'auto' or a positive integer"),
        ({"actor_width": 3}, "the width must be positive, and even with a symmetric start; not 3"),
        ({"temperature": 0}, "temperature must be a positive number"),
        ({"temperature_mode": "hot"}, "temperature_mode must be 'fixed' or 'per_agent'"),
        ({"energy_law": "exact"}, "energy_law must be 'auto' or 'enumerate' or 'candidates' or 'metropolis'"),
        ({"energy_samples": 0}, "energy_samples must be 'auto' or a positive integer, not 0"),
        ({"radius": -1}, "radius must be 'auto', None or a positive number"),
        ({"actor_lr": -0.1}, "actor_lr must be 'auto' or a positive number"),
        ({"critic_lr": "fast"}, "critic_lr must be 'auto' or a positive number"),
        ({"lr_decay": 0}, "lr_decay must be 'auto' or a positive number"),
        ({"total_env_steps": 0}, "total_env_steps must be a positive integer"),
        ({"optimizer": "rmsprop"}, "optimizer must be 'auto' or 'adam' or 'sgd'"),
        ({"num_epochs": 0}, "num_epochs must be a positive integer"),
        ({"minibatch_size": "all"}, "minibatch_size must be a positive integer"),
        ({"crowd_input": "log"}, "crowd_input must be"),
        ({"critic_input": "log"}, "critic_input must be"),
        ({"critic_input": "standardised"}, "takes its statistics from the burn-in; set burn_in >= 1"),
        ({"symmetric_start": "yes"}, "symmetric_start must be 'auto' or True or False, not 'yes'"),
        ({"warm_start": None}, "warm_start must be"),
        ({"baseline": "median"}, "baseline must be"),
        ({"advantage_scale": "node"}, "advantage_scale must be"),
        ({"sampling": "discounted"}, "sampling must be"),
        ({"potential": "network"}, "potential must be"),
        ({"score": "served"}, "score must be"),
        ({"score": "unserved", "policy": "energy"}, "score='unserved' needs policy='individual'"),
        ({"burn_in": -1}, "burn_in must be a non-negative integer"),
        ({"critic_warmup": -1}, "critic_warmup must be a non-negative integer"),
        ({"critic_steps": 1}, "critic_steps must be an integer of at least 2, not 1"),
        ({"critic_batch": 0}, "critic_batch must be a positive integer"),
        ({"actor_samples": 0}, "actor_samples must be a positive integer"),
        ({"minibatch_size": 10**18}, "minibatch_size must be a positive integer, at most 2**53 ="),
        ({"burn_in": 10**400}, "burn_in must be a non-negative integer, at most 2**53 ="),
        ({"actor_lr": 1e300}, "actor_lr must be 'auto' or a positive number, at most 1e+06, not 1e+300"),
        ({"critic_lr": 10**400}, "critic_lr must be 'auto' or a positive number, at most 1e+06, not 1000"),
        ({"radius": 10**400}, "radius must be 'auto', None or a positive number, at most 1e+100, not 1000"),
        ({"mode": "paper", "critic_form": "v"}, "mode='paper' has critic_form='q'; use mode='practical' for 'v'"),
        ({"mode": "paper", "optimizer": "adam"}, "mode='paper' has optimizer='sgd'; use mode='practical' for 'adam'"),
        ({"mode": "paper", "warm_start": True}, "mode='paper' has warm_start=False"),
        ({"mode": "paper", "potential": "table"}, "mode='paper' has potential='none'"),
    ],
)
def test_bad_training_value(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r"(?s)^" + _escaped(words)):
        config(**options).build_algo()


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (DecNeuralACConfig(), "no environment: call .environment('MFNet-Grid-v0') first"),
        (config().debugging(seed=-1), "seed must be a non-negative integer, not -1"),
        (config().debugging(seed="a"), "seed must be a non-negative integer, not 'a'"),
        (config(critic_form="v").env_runners(num_env_runners=2), "num_env_runners must be 0"),
        (
            config().env_runners(num_envs_per_env_runner=0),
            "num_envs_per_env_runner must be 'auto' or a positive integer",
        ),
        (
            config().env_runners(rollout_fragment_length=0),
            "rollout_fragment_length must be 'auto' or a positive integer",
        ),
        (config().evaluation(evaluation_duration=0), "evaluation_duration must be a positive integer"),
        (config().evaluation(evaluation_interval=0), "evaluation_interval must be a positive integer or None"),
        (config().evaluation(evaluation_seed=-5), "evaluation_seed must be a non-negative integer"),
        (config().evaluation(evaluation_bound="no"), "evaluation_bound must be True or False, not 'no'"),
        (
            config().environment(env_config={"graph": toys.StateNetwork.line(3).graph}),
            "env_config must be a dict of JSON values (a graph as a list of edges), to be kept in checkpoints",
        ),
        (config().environment(env_config={0: 0.5}), "env_config must be a dict of options by name, without the id"),
        (config().environment(env_config={"id": "Other-v0"}), "env_config must be a dict of options by name, without"),
    ],
)
def test_bad_value_elsewhere(chosen: DecNeuralACConfig, words: str) -> None:
    with pytest.raises(ValueError, match="^" + _escaped(words)):
        chosen.build_algo()


def _escaped(words: str) -> str:
    """The words as a pattern; those that start in the middle of a sentence may have anything before them."""
    import re

    return ("" if words.split()[1] in ("must", "environment:", "width") else ".*") + re.escape(words)


def test_unknown_environment() -> None:
    with pytest.raises(gymnasium.error.NameNotFound, match=r"did you mean 'MFNet-Grid-v0'"):
        DecNeuralACConfig().environment("MFNet-Gird-v0").build_algo()


# -- what "auto" stands for


def test_which_form() -> None:
    """The costate form unless a critic's option is set, teams draw together, or it is asked for otherwise."""
    forms = {config(**options).form for options in ({}, {"actor_lr": 0.1}, {"policy": "individual"}, {"burn_in": 9})}
    assert forms == {"costate"}
    of_critics = ({"hops": 2}, {"lambda_": 0.5}, {"policy": "energy"}, {"critic_form": "q"}, {"num_parts": 2})
    assert {config(**options).form for options in of_critics} == {"bracket"}
    assert config(mode="paper").form == "paper"
    chosen = DecNeuralACConfig().environment("MFNet-Grid-v0")
    assert chosen.env_steps_per_iteration == 256 == chosen.copy().training(critic_form="v").env_steps_per_iteration


def test_costate_form() -> None:
    """One set of options; samples follow the criterion the scenario is judged by, and policies its clock."""
    model = toys.line(9, 20)
    chosen = DecNeuralACConfig().environment("MFNet-Grid-v0").resolved(model)
    assert (chosen.critic_form, chosen.policy, chosen.crowd_input) == ("costate", "individual", "bounded")
    assert (chosen.num_envs_per_env_runner, chosen.rollout_fragment_length) == (4, 64)
    assert (chosen.actor_lr, chosen.lr_decay, chosen.sampling, chosen.clock) == (0.1, 0.1, "restart", False)
    pigou = mfnet_envs.make_model("MFNet-Pigou-v0")
    averaged = DecNeuralACConfig().environment("MFNet-Pigou-v0").resolved(pigou)
    assert (averaged.sampling, averaged.gamma, averaged.actor_lr) == ("stationary", 0.99, 0.1)
    day = mfnet_envs.make_model("MFNet-RideShareNYC-v0", hour="day", population=80, occupied="markov")
    hourly = DecNeuralACConfig().environment("MFNet-RideShareNYC-v0").resolved(day)
    assert (hourly.clock, hourly.gamma, hourly.actor_lr) == (True, 0.99, 0.1)
    evening = mfnet_envs.make_model("MFNet-RideShareNYC-v0", population=80)
    assert DecNeuralACConfig().environment("MFNet-RideShareNYC-v0").resolved(evening).actor_lr == 0.07


def test_bracket_form() -> None:
    """The recipe with critics: kappa = k + 1 / (1 - lambda), within the diameter."""
    model = toys.line(9, 20)
    chosen = config(critic_form="v", hops=1, lambda_=0.8).resolved(model)
    assert chosen.credit_hops == 1 + 5
    assert config(hops=2, lambda_=0.5).resolved(model).credit_hops == 2 + 2
    assert config(hops=1, lambda_=0.0).resolved(model).credit_hops == 2
    assert config(hops=4, lambda_=0.8).resolved(model).credit_hops == 8  # the diameter
    assert config(lambda_=1).resolved(model).credit_hops == 8
    assert config(credit_hops=3).resolved(model).credit_hops == 3
    assert (chosen.policy, chosen.critic_form, chosen.optimizer, chosen.radius) == ("individual", "v", "adam", None)
    assert (chosen.actor_lr, chosen.critic_lr, chosen.symmetric_start, chosen.warm_start) == (0.03, 3e-3, True, True)
    assert (chosen.critic_width, chosen.actor_width, chosen.sampling) == (64, 32, "restart")
    assert chosen.gamma == model.gamma
    assert config(gamma=0.9).resolved(model).gamma == 0.9


def test_step_sizes_fall_on_long_runs() -> None:
    model = toys.line(3, 4)
    assert config(total_env_steps=30_720, critic_form="v").resolved(model).lr_decay == 1.0
    assert config(total_env_steps=61_440, critic_form="v").resolved(model).lr_decay == 0.1
    assert config(total_env_steps=30_720).resolved(model).lr_decay == 0.1  # the costate form's always do
    assert config(total_env_steps=61_440, lr_decay=0.5).resolved(model).lr_decay == 0.5


def test_paper_mode() -> None:
    """kappa = k, R = tau = 1, eta_critic = min((1 - gamma) / 8, T_c^-1/2), eta_actor = T_a^-1/2, plain steps."""
    model = toys.line(9, 20)
    chosen = config(mode="paper", hops=2).resolved(model)
    assert (chosen.credit_hops, chosen.radius, chosen.temperature) == (2, 1.0, 1.0)
    assert (chosen.policy, chosen.critic_form, chosen.optimizer, chosen.sampling) == (
        "energy",
        "q",
        "sgd",
        "stationary",
    )
    assert (chosen.symmetric_start, chosen.warm_start, chosen.baseline) == (False, False, "none")
    assert (chosen.crowd_input, chosen.critic_input, chosen.advantage_scale) == ("share", "share", "none")
    assert chosen.critic_lr == pytest.approx((1 - 0.95) / 8)
    assert config(mode="paper", gamma=0.2, critic_steps=400).resolved(model).critic_lr == pytest.approx(1 / 20)
    # 101 critic iterates take 100 transitions, 10 walks .5 / .5 each: 110 steps an iteration, 9 iterations
    short = config(mode="paper", gamma=0.5, critic_steps=101, actor_samples=10, total_env_steps=990)
    assert short.resolved(model).actor_lr == pytest.approx(9**-0.5)
    assert config(mode="paper", actor_lr=0.7, critic_lr=0.3).resolved(model).actor_lr == 0.7
    assert config(mode="paper", actor_lr=0.7, critic_lr=0.3).resolved(model).critic_lr == 0.3


@pytest.mark.parametrize("options", [{"mode": "paper"}, {"critic_form": "v"}, {}], ids=("paper", "bracket", "costate"))
def test_nothing_stays_open(options: dict[str, Any]) -> None:
    model = toys.line(4, 5)
    chosen = DecNeuralACConfig().environment("MFNet-Grid-v0").training(**options).resolved(model)
    assert "auto" not in chosen.to_dict().values()
    assert chosen.resolved(model) == chosen


# -- changed in place, as RLlib's


def test_calls_change_the_config_and_return_it() -> None:
    chosen = config()
    calls = {
        "training": {"hops": 2},
        "debugging": {"seed": 7},
        "evaluation": {"evaluation_interval": 3},
        "env_runners": {"rollout_fragment_length": 5},
        "environment": {"env_config": {}},
        "callbacks": {"on_train_result": print},
    }
    for group, options in calls.items():  # each on a line of its own, the result thrown away
        assert getattr(chosen, group)(**options) is chosen
    assert (chosen.hops, chosen.seed, chosen.evaluation_interval, chosen.env_config) == (2, 7, 3, {})
    assert chosen.rollout_fragment_length == 5 and chosen.hooks == {"on_train_result": print}
    assert chosen.env == "MFNet-Grid-v0"
    chosen.hops = 3
    assert chosen.hops == 3


def test_a_wrong_name_changes_nothing() -> None:
    chosen = config()
    with pytest.raises(TypeError, match="no option 'hop'"):
        chosen.training(credit_hops=3, hop=2)
    with pytest.raises(AttributeError, match="DecNeuralACConfig has no option 'hop'; did you mean 'hops'"):
        chosen.hop = 2  # type: ignore[attr-defined]
    assert chosen == config()


def test_a_copy_is_one_of_its_own() -> None:
    base = config().callbacks(on_train_result=print)
    twin = base.copy()
    assert twin == base and twin.hooks == base.hooks
    twin.training(hops=2).callbacks(on_evaluate_end=print)
    twin.env_config["population"] = 9
    assert (base.hops, base.env_config, set(base.hooks)) == (1, SMALL, {"on_train_result"})


def test_building_freezes_a_copy() -> None:
    """The algorithm's options cannot be changed under it; the user's config goes on being theirs."""
    chosen = config()
    algo = chosen.build_algo()
    chosen.training(hops=2)
    assert algo.config.hops == 1 and chosen.hops == 2
    for change in (
        lambda frozen: frozen.training(hops=3),
        lambda frozen: frozen.callbacks(on_train_result=print),
        lambda frozen: setattr(frozen, "hops", 3),
    ):
        with pytest.raises(AttributeError, match=r"this config is frozen, .*; change a \.copy\(\) of it"):
            change(algo.config)
    assert algo.config.copy().training(hops=3).hops == 3 and algo.config.hops == 1


def test_numbers_of_numpy_become_plain_ones() -> None:
    """A sweep over numpy's numbers is saved like any other."""
    chosen = config(hops=np.int64(2), actor_lr=np.float64(0.1))
    assert json.loads(json.dumps(chosen.to_dict()))["hops"] == 2
    assert type(chosen.hops) is int and type(chosen.actor_lr) is float


def test_environment_options_are_copied() -> None:
    options = dict(SMALL)
    chosen = DecNeuralACConfig().environment("MFNet-Grid-v0", env_config=options)
    options["population"] = 9
    assert chosen.env_config["population"] == 4


def test_dict_round_trip() -> None:
    chosen = config(hops=2, policy="tilted", radius=None).debugging(seed=5)
    assert DecNeuralACConfig.from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen


def test_every_option_is_documented() -> None:
    for name, field in DecNeuralACConfig.fields().items():
        assert field.metadata["doc"], name
        assert field.metadata["group"] in ("environment", "env_runners", "evaluation", "debugging", "training")


def test_base_config_builds_nothing() -> None:
    with pytest.raises(NotImplementedError, match="AlgorithmConfig does not say which algorithm"):
        AlgorithmConfig().build_algo()


# -- warnings about what is legal but probably not meant


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hops": 1, "credit_hops": 1}, "credit_hops=1 is below hops"),
        ({"gamma": 0.9}, "gamma 0.9 is not the environment's 0.95: its certificate does not apply"),
        ({"critic_form": "q", "hops": 0}, "no effect in expectation with Q critics"),
    ],
)
def test_warnings(options: dict[str, Any], words: str) -> None:
    with pytest.warns(UserWarning, match=words) as caught:
        config(**options).build_algo()
    assert caught[0].filename == __file__  # the user's own line


# -- RLlib's verbs and keys


def test_verbs_and_keys() -> None:
    algo = config().evaluation(evaluation_interval=2, evaluation_duration=8).build_algo()
    assert isinstance(algo, DecNeuralAC)
    results = [algo.train() for _ in range(4)]
    assert [r["training_iteration"] for r in results] == [1, 2, 3, 4]
    assert [r["num_env_steps_sampled_lifetime"] for r in results] == [32, 64, 96, 128]
    assert all(r["env_runners"]["num_env_steps_sampled"] == 32 for r in results)
    ended = [r["env_runners"] for r in results if r["env_runners"]["num_episodes"]]
    assert ended and all(isinstance(r["discounted_return_mean"], float) for r in ended)
    assert set(results[0]["learners"]) == {"team"}
    assert all(isinstance(x, float) for x in results[0]["learners"]["team"].values())
    assert ["evaluation" in r for r in results] == [False, True, False, True]
    evaluated = algo.evaluate()["env_runners"]
    assert {"episode_return_mean", "discounted_return_mean", "reward_per_step_mean"} <= set(evaluated)
    assert {"episode_return_ci95", "discounted_return_ci95"} <= set(evaluated)
    assert results[3]["evaluation"]["env_runners"] == evaluated  # the same worlds, the same policy
    json.dumps(results)
    algo.stop()


@pytest.mark.parametrize("options", [{"critic_width": 2, "num_epochs": 1}, {}], ids=("bracket", "costate"))
def test_training_and_evaluation_mean_the_same_by_one_name(options: dict[str, Any]) -> None:
    """Of the untrained policy: what episodes pay until a restart is, in the mean, the discounted return."""
    chosen = config(actor_lr=1e-9, **options).evaluation(evaluation_duration=400)
    algo = chosen.env_runners(num_envs_per_env_runner=400, rollout_fragment_length=200).build_algo()
    if algo.config.form == "costate":  # fragments end with probability 1 - gamma^T, their steps fade
        algo = chosen.env_runners(num_envs_per_env_runner=4000, rollout_fragment_length=40).build_algo()
        algo.train()
    algo.train()  # by now the worlds are apart, and the episodes that end are no longer the short ones
    trained, evaluated = algo.train()["env_runners"], algo.evaluate()["env_runners"]
    shared = set(trained) & set(evaluated)
    assert shared == {"discounted_return_mean"}
    # thousands of geometric episodes: their spread is about their mean, so the error of the mean is below 3 %
    assert trained["num_episodes"] > 3_000
    assert trained["discounted_return_mean"] == pytest.approx(evaluated["discounted_return_mean"], rel=0.06)
    assert evaluated["episode_return_mean"] > 3 * evaluated["discounted_return_mean"]  # over the horizon: another thing


def test_evaluation_in_the_unit_of_the_bound() -> None:
    """Manhattan is judged by trips of the whole fleet, not by what a driver earns a step."""
    zones = {"hour": 18, "population": 80}
    algo = DecNeuralACConfig().environment("MFNet-RideShareNYC-v0", env_config=zones).build_algo()
    bound = algo.model.bound()
    assert bound is not None
    found = algo.evaluate(worlds=2)["env_runners"]
    assert found["headline_mean"] == pytest.approx(algo.model.headline.scale * found["reward_per_step_mean"])
    assert found["headline_ci95"] > 0
    assert abs(found["gap_closed"]) < 0.1, "it starts as the random policy"
    assert 0.4 * bound.value < found["headline_mean"] < bound.value


def test_the_bound_is_solved_for_once_and_only_if_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    solved = []
    algo = config().build_algo()
    bound = type(algo.model).bound
    monkeypatch.setattr(type(algo.model), "bound", lambda model: solved.append(1) or bound(model))
    without = config().evaluation(evaluation_bound=False).build_algo()
    assert without.evaluate()["env_runners"]["gap_closed"] is None and solved == []
    gaps = [algo.evaluate(seed=seed)["env_runners"]["gap_closed"] for seed in (1, 2)]
    assert solved == [1] and gaps[0] != gaps[1]


def test_evaluation_has_its_own_seed() -> None:
    """Evaluating in between changes nothing in training, and its worlds depend on its seed only."""
    one, other = (config().debugging(seed=1).build_algo() for _ in range(2))
    for i in range(3):
        assert _same(one.train(), other.train())
        other.evaluate(worlds=16 + i, seed=i)
    assert one.evaluate() == other.evaluate()
    assert one.evaluate(seed=1) != one.evaluate(seed=2)
    assert one.evaluate(worlds=3) != one.evaluate()


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[key] == other[key] for key in ("env_runners", "learners", "num_env_steps_sampled_lifetime"))


def test_compute_actions() -> None:
    algo = config().build_algo()
    single, batch = algo.compute_actions([4, 0, 0]), algo.compute_actions([[4, 0, 0], [1, 2, 1]])
    assert single.shape == (3, 3)
    assert batch.shape == (2, 3, 3)
    assert (batch[0] == single).all()
    assert batch.sum(2) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"counts must have shape \(3,\) or \(worlds, 3\), not \(2,\)"):
        algo.compute_actions([1, 3])


def test_callbacks() -> None:
    """Every event with the algorithm and what it is about, in order; callbacks survive further calls."""
    seen: list[tuple[str, tuple[str, ...]]] = []

    def note(event: str) -> Any:
        return lambda algorithm, **values: seen.append((event, tuple(values)))

    noted = config().callbacks(**{event: note(event) for event in EVENTS})
    algo = noted.build_algo()
    algo.train()
    algo.evaluate()
    algo.restore_from_path(algo.save_to_path())
    assert seen == [
        ("on_algorithm_init", ()),
        ("on_train_result", ("result",)),
        ("on_evaluate_start", ()),
        ("on_evaluate_end", ("evaluation_metrics",)),
        ("on_checkpoint_loaded", ()),
    ]
    assert set(noted.callbacks(on_train_result=note("other")).hooks) == set(EVENTS)
    assert set(noted.training(hops=0).hooks) == set(EVENTS)
    assert config().hooks == {}


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ({"rows": 10**400}, "rows=1000"),
        ({"gamma": 10**400}, "gamma must lie strictly between 0 and 1"),
        ({"population": 2**70}, "population must be at most"),
    ],
)
def test_an_environment_out_of_its_range_is_an_option_out_of_its_range(place: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        config().environment(env_config=place).build_algo()


def test_a_start_that_goes_on_for_ever_is_refused_in_a_sentence() -> None:
    for policy, sentence in (("energy", "needs policy='individual'"), ("individual", "start must be a heuristic")):
        with pytest.raises(ConfigError, match=sentence) as refused:
            config().training(policy=policy, start="x" * 9000).build_algo()
        assert len(str(refused.value)) < 500
