"""Programmes: the linear programmes behind the scenarios' bounds and their policies, and planners that know the model.

=============== =====================================================================================================
transport_lp    repositioning over a horizon, a variable for every step: ``Transport`` -> ``Solution``
scatter_lp      the same for some hundred agents, a smaller bound: who is set down scatters
stationary_lp   a fleet in its steady state, with trips that take time: ``Fleet`` -> ``Flows``
day_lp          a fleet through a day whose hours differ: ``Day`` and ``Hour`` -> ``Flows``
fleet_lp        a fleet in a city, by the clock: ``Step`` of each -> ``Flows``
charge_lp       the same for an electric fleet
courier_lp      couriers with bags in their steady state: ``Couriers`` -> ``Flows``
horizon_lp      any of these, and whatever a model says of its crowds, over the next steps from a crowd as it is
pieces          what they share: tangents of E min(n, D), refined, arcs of a network, flows as a policy
=============== =====================================================================================================

Each of the first seven modules has one ``solve``. Means of any policy, central and history dependent included, are
feasible, so the value bounds every policy; the optimal flows, where they are given, are a policy themselves. All are
solved by scipy's HiGHS, imported when needed.

Planners are policies: ``Replan`` solves ``horizon_lp`` again at every step, ``GradientReplan`` climbs the gradient
where there is no programme, and ``class_reference`` looks for the best policy of its own state's crowd.
``planners(model)`` has those of a model, by name; docs/planners.md says what each of them knows.

Eight taxis between two places: all riders want to go from 0 to 1, a ride takes three steps, the way back costs .1. Who
follows the programme earns .9 every four steps.

>>> import numpy as np
>>> from mfnet_envs.programmes import stationary_lp
>>> fleet = stationary_lp.Fleet(
...     population=8, rate=np.array([5.0, 0.0]), destination=np.array([[0.0, 1.0], [0.0, 1.0]]),
...     duration=np.array([3.0, 1.0]), neighbors=np.array([[0, 1], [1, 0]]), fare=np.ones(2),
...     cost=np.array([[0.0, 0.1], [0.0, 0.1]]),
... )
>>> flows = stationary_lp.solve(fleet, None)
>>> round(flows.value, 6), flows.policy()[1].tolist()
(1.8, [0.0, 1.0])
"""

from collections.abc import Callable
from functools import partial

from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy
from mfnet_envs.programmes.class_reference import class_reference
from mfnet_envs.programmes.gradient_replan import GradientReplan
from mfnet_envs.programmes.replan import Replan, Together

__all__ = ["GradientReplan", "Replan", "Together", "class_reference", "planners"]


def planners(model: LocalModel) -> dict[str, Callable[..., Policy]]:
    """The planners of a model, to be called with their options: "replan" sees all counts, "class_reference" plans with
    them and answers with a policy that does not.

    >>> import mfnet_envs, numpy as np
    >>> model = mfnet_envs.make_model("MFNet-Grid-v0", population=8, rows=1, cols=3)
    >>> planner = planners(model)["replan"](horizon=4)
    >>> planner.teams(np.array([[8, 0, 0]]), 0).shape
    (1, 3, 5)
    """
    replan = GradientReplan if model.at(0).crowding() is None else Replan
    return {"replan": partial(replan, model), "class_reference": partial(class_reference, model)}
