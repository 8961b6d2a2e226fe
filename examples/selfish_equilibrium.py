"""A hundred selfish drivers, and a charge that makes them behave: equilibria found by OpenSpiel.

MFNet-TwoByTwo-v0: a driver alone does best at the dear cell, so all go there and take 500 of 598 in fares. The platform
may keep alpha (1 - orders / drivers) of the fare where drivers are too many. For each alpha, OpenSpiel's online mirror
descent solves the mean-field game of drivers who keep the rest; printed are the share that goes to the dear cell, what
a driver could still gain by deviating (exploitability), and the fares per day of 100 drivers who play that equilibrium,
beside random drivers, the split that is best for all, and the bound on every policy.
"""

from open_spiel.python.mfg.algorithms.mirror_descent import MirrorDescent
from open_spiel.python.mfg.algorithms.nash_conv import NashConv

from mfnet_envs import evaluate, make_model
from mfnet_envs.adapters.open_spiel import mean_field_game, to_policy

fares = make_model("MFNet-TwoByTwo-v0", days=1)  # what the platform takes, whoever gets it


def fares_per_day(policy):
    result = evaluate(fares, policy, worlds=1000, seed=0)
    return f"{fares.full_scale * result['reward_per_step_mean']:.1f} fares per day"


for name in ("random", "social"):
    print(f"{name}: {fares_per_day(fares.heuristics()[name])}")
print(f"bound: {fares.bound().value:.1f} fares per day")

for alpha in (0, 0.1, 0.5, 1):
    game = mean_field_game("MFNet-TwoByTwo-v0", paid="net", alpha=alpha, days=1)
    solver = MirrorDescent(game, lr=0.2)
    for _ in range(300):
        solver.iteration()
    gain = NashConv(game, solver.get_policy()).nash_conv()
    selfish = to_policy(game, solver.get_policy())
    dear = selfish.table[0, 0, 2]
    print(f"selfish at charge {alpha}: {dear:.1%} to the dear cell (to gain: {gain:.4f}), {fares_per_day(selfish)}")
