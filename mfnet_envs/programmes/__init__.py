"""Programmes: the linear programmes behind the scenarios' bounds and their policies.

=============== =====================================================================================================
transport_lp    repositioning over a horizon, a variable for every step: ``Transport`` -> ``Solution``
stationary_lp   a fleet in its steady state, with trips that take time: ``Fleet`` -> ``Flows``
day_lp          a fleet through a day whose hours differ: ``Day`` and ``Hour`` -> ``Flows``
courier_lp      couriers with bags in their steady state: ``Couriers`` -> ``Flows``
pieces          what they share: tangents of E min(n, D), arcs of a network, flows as a policy
=============== =====================================================================================================

Each module has one ``solve``. Means of any policy, central and history dependent included, are feasible, so the value
bounds every policy; the optimal flows are a policy themselves. All are solved by scipy's HiGHS, imported when needed.

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
