"""Braess's and Pigou's paradoxes, static and dynamic, and what the equilibrium of infinitely many is worth to N.

    python examples/reproduce/congestion.py

Static: Braess (1968) in Murchland's numbers, 6 trips: each takes 92, and 83 would be possible. The package's solver.

Dynamic: Cabannes et al. (arXiv 2110.11943, 2021). Drivers leave together; who enters a link is told by the share of all
drivers on it how long it takes, free-flow time x (1 + a share), in whole steps; all links but the congestible ones are
constant. The game is a LocalModel below, link x {entered, steps left}, whose kernel reads its own link alone, and it is
played by the package's simulator: infinitely many drivers through ``expected_step``, and N of them through counts.

Braess: B -> C (1 + x) or D (2); C -> D (.25) or E (2); D -> E (1 + x). In equilibrium 3/4 of all are on each
congestible link and need 3.75. Half and half, the bridge C -> D empty, need 3.50, the optimum where all come to D
together. They need not: with p on B -> C and y on the bridge, y comes to D before the others and the mean cost is
4 - 2 p + 2 p^2 + y / 4 + y^2 - p y, least at p = 15/28, y = 1/7: 195/56 = 3.482. Whole steps of .25 round times, and
mixtures profit from that down to 3.395. So 3.50 is met as stated, and is a ceiling.

Pigou: 2, or 1 + 2 x; the equilibrium is 1/2 and 2.000, the best 1/4 and 1.875. Among N drivers who all mix as
infinitely many would, each on the second road with chance 1/2, it takes one of them 1 + 2 (1 + (N - 1) / 2) / N =
2 + 1 / N; half of them take it, so the regret is 1 / (2 N). The paper shows a falling curve for N = 1..9, 10..90, and
no table. Half a minute.
"""

import sys
from dataclasses import dataclass
from itertools import product

import networkx as nx
import numpy as np
from verdict import Aim, told

from mfnet_envs.arrays import like
from mfnet_envs.engines import system_optimum, user_equilibrium
from mfnet_envs.io.network_data import NetworkData
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.network import StateNetwork
from mfnet_envs.simulator import Simulator
from mfnet_envs.simulator.fluid import expected_step

CABANNES = "Cabannes et al. 2110.11943, fig. {}; closed form derived"
MURCHLAND = "Braess 1968, Murchland's numbers"
START, END = "start", "end"


@dataclass(frozen=True)
class Link:
    """From a node to another; free-flow time, and ``a``: its part for each share of all drivers on it."""

    tail: str
    head: str
    free: float
    a: float = 0.0


BRAESS_LINKS = (
    Link("B", "C", 1, 1), Link("B", "D", 2), Link("C", "D", 0.25), Link("C", "E", 2), Link("D", "E", 1, 1),
)  # fmt: skip
PIGOU_LINKS = (Link("B", "E", 2), Link("B", "E", 1, 2))


class DynamicRouting(LocalModel):
    """Drivers leave B together at step 0 and are done at E; each step on the way costs ``dt``.

    States: link x layer. Layer k < W: k steps left before the next link is entered; layer W: just entered, on links
    that fill, told in the next step by the share on the link how long it takes. Two nodes more: B and E.
    """

    def __init__(self, links, dt, population):
        self.links, self.dt, self.names = links, dt, (START, *range(len(links)), END)
        self.longest = max(round(link.free * (1 + link.a) / dt) for link in links)
        self.layers, self.entered = self.longest + 1, self.longest
        self.ways = [[k for k, link in enumerate(links) if link.tail == node] for node in self.heads()]
        actions = max(map(len, self.ways))
        nodes, arrived = len(self.names), len(self.names) - 1
        told = range(2, self.longest + 1)  # steps that a link may be said to take
        tables = np.zeros((len(told), nodes, self.layers, actions), int)
        legal = np.zeros((nodes, self.layers, actions), bool)
        legal[..., 0] = True
        for node, ways in enumerate(self.ways):
            for action in range(actions):
                way = ways[min(action, len(ways) - 1)] if ways else None
                tables[:, node, 0, action] = arrived * self.layers if way is None else self.entry(way)
                legal[node, 0, action] = action < max(1, len(ways))
            for left in range(1, self.layers):
                tables[:, node, left] = node * self.layers + left - 1
            if 0 < node < arrived and links[node - 1].a:
                tables[:, node, self.entered] = (node * self.layers + np.array(told) - 2)[:, None]
        states = nodes * self.layers
        super().__init__(
            network=StateNetwork(self.graph(), self.layers),
            population=population,
            num_actions=actions,
            branches=tuple(Branch.to(table.reshape(states, -1)) for table in tables),
            reward_range=(-dt, 0.0),
            legal=legal.reshape(states, -1),
            initial=np.eye(states)[0],
            gamma=1 - 1e-9,
            evaluation=(4 * self.longest, 0),
            kernel_reads="own",
            groups=np.zeros(self.layers, int),
        )

    def heads(self):
        """The node at which each place ends; nothing leads on from E."""
        return ["B", *(link.head for link in self.links), None]

    def entry(self, way):
        """The state in which a link is entered."""
        link = self.links[way]
        return (way + 1) * self.layers + (self.entered if link.a else round(link.free / self.dt) - 1)

    def graph(self):
        graph = nx.Graph()
        graph.add_nodes_from(range(len(self.names)))
        for node, ways in enumerate(self.ways):
            graph.add_edges_from((node, way + 1) for way in ways)
            if not ways and node < len(self.names) - 1:
                graph.add_edge(node, len(self.names) - 1)
        return graph

    def steps(self, share):
        """How long each link takes at these shares on the links ``(..., L)``, in whole steps."""
        free, a = np.array([(link.free, link.a) for link in self.links]).T
        return np.maximum(np.rint(free * (1 + a * share) / self.dt + 1e-9), 1 + (a > 0)).astype(int)

    def reward(self, mu_hood):
        """``dt`` is lost in every step; B is no link, and E is the end."""
        on_the_way = np.repeat([0.0, *(1.0 for _ in self.links), 0.0], self.layers)[:, None]
        return 0 * mu_hood[:, :1, :1, 0] - like(mu_hood, self.dt * on_the_way * np.ones(self.num_actions))

    def branch_weights(self, mu_hood):
        share = np.asarray(mu_hood)[:, 1:-1, 0, 0]
        told = self.steps(share)
        weights = np.zeros((len(share), len(self.names), self.layers, 1, len(self.branches)))
        weights[..., 0] = 1
        lane, link = np.indices(told.shape)
        fills = np.array([link.a > 0 for link in self.links])
        column = np.where(fills, told - 2, 0)
        weights[lane, link + 1, self.entered] = np.eye(weights.shape[-1])[column][:, :, None]
        return weights.reshape(len(share), -1, 1, weights.shape[-1])

    def table(self, **shares):
        """A policy: at each node the odds of its ways, in the order of the links, the same at all times."""
        by_place = [shares.get(node, [1.0]) for node in self.heads()]
        rows = np.zeros((len(by_place), self.num_actions))
        for row, odds in zip(rows, by_place, strict=True):
            row[: len(odds)] = odds
        full = np.repeat(rows, self.layers, 0)
        return full[self.team_states]


def flow(model, table):
    """Shares on the links at each step ``(T, L)``, and the mean cost: infinitely many drivers."""
    tables, mu = Simulator(model)._tables, model.initial[None]
    seen, cost = [], 0.0
    for _ in range(model.evaluation[0]):
        seen.append(mu.reshape(len(model.names), -1).sum(1)[1:-1])
        mu, paid = expected_step(tables, mu, table)
        cost -= float(paid.sum())
    return np.array(seen), cost


def cost_of_path(model, path, seen):
    """What the links ``path`` cost one driver among those who make the flow ``seen``."""
    t = 1  # at B nothing takes time; the first link is entered at step 1
    for way in path:
        t += int(model.steps(seen[min(t, len(seen) - 1)])[way])
    return (t - 1) * model.dt


def least(model, mixtures):
    """The cheapest of some mixtures: its cost, and which."""
    costs = {mixture: flow(model, model.table(**dict(mixture)))[1] for mixture in mixtures}
    best = min(costs, key=costs.get)
    return costs[best], dict(best)


def mixtures_at(*nodes, parts=10):
    """All policies that mix the two ways at each of the nodes in parts."""
    shares = [(k / parts, 1 - k / parts) for k in range(parts + 1)]
    return [tuple(zip(nodes, found, strict=True)) for found in product(shares, repeat=len(nodes))]


def static_braess():
    fixed, each = np.array([1e-8, 50, 50, 1e-8, 10]), np.array([10, 1, 1, 10, 1])
    trips = np.zeros((4, 4))
    trips[0, 3] = 6
    data = NetworkData(
        name="Braess",
        nodes=("s", "a", "b", "t"),
        tail=np.array([0, 1, 0, 2, 1]),
        head=np.array([1, 3, 2, 3, 2]),
        free_flow_time=fixed,
        capacity=np.ones(5),
        b=each / fixed,
        power=np.ones(5),
        length=np.zeros(5),
        demand=trips,
    )
    selfish, best = user_equilibrium(data), system_optimum(data)
    yield Aim("static Braess: time of a trip in equilibrium", selfish.total_time / 6, 92, 1e-4, MURCHLAND)
    yield Aim("static Braess: time of a trip at best", best.total_time / 6, 83, 1e-4, MURCHLAND)
    yield Aim("static Braess: flow on the bridge in equilibrium", selfish.flow[4], 2, 1e-4, MURCHLAND)


def dynamic_braess():
    source, model = CABANNES.format(1), DynamicRouting(BRAESS_LINKS, dt=0.25, population=40)
    seen, cost = flow(model, model.table(B=[0.75, 0.25], C=[2 / 3, 1 / 3]))
    by_path = [cost_of_path(model, path, seen) for path in ((0, 3), (0, 2, 4), (1, 4))]
    yield Aim("dynamic Braess: cost of the equilibrium's flow", cost, 3.75, 1e-9, source)
    yield Aim("dynamic Braess: cheapest path in it", min(by_path), 3.75, 1e-9, source)
    yield Aim("dynamic Braess: least cost without the bridge", least(model, [
        (("B", odds), ("C", (0.0, 1.0))) for odds in ((0.25, 0.75), (0.5, 0.5), (0.75, 0.25))
    ])[0], 3.5, 1e-9, source)  # fmt: skip
    yield Aim(
        "dynamic Braess: least of 121 mixtures", least(model, mixtures_at("B", "C"))[0], 3.5, 0, source, "at most"
    )
    finer = DynamicRouting(BRAESS_LINKS, dt=0.05, population=40)
    apart = flow(finer, finer.table(B=[15 / 28, 13 / 28], C=[4 / 15, 11 / 15]))[1]
    yield Aim("dynamic Braess: steps of .05, bridge used by 1 in 7", apart, 195 / 56, 0.03, "derived above")


def pigou():
    source, model = CABANNES.format(3), DynamicRouting(PIGOU_LINKS, dt=0.05, population=40)
    seen, cost = flow(model, model.table(B=[0.5, 0.5]))
    best, how = least(model, mixtures_at("B", parts=20))
    yield Aim("Pigou: cost of the equilibrium's flow", cost, 2.0, 1e-9, source)
    yield Aim("Pigou: the other road in it", cost_of_path(model, (1,), seen), 2.0, 1e-9, source)
    yield Aim("Pigou: least cost of 21 mixtures", best, 1.875, 1e-9, source)
    yield Aim("Pigou: share on the second road in it", how["B"][1], 0.25, 1e-9, source)


def regret(population, worlds=20_000):
    """Of N drivers who all toss a coin: what one of them pays more than on the road that is better for him, alone.

    Who enters which road is drawn by the simulator. By symmetry a driver on a road pays in the mean what one pays who
    has made up his mind to take it.
    """
    model = DynamicRouting(PIGOU_LINKS, dt=0.05, population=population)
    simulator, rng = Simulator(model), np.random.default_rng(population)
    entered = simulator.act(simulator.reset(rng, worlds), model.table(B=[0.5, 0.5]), rng)[:, 0]
    paid = entered * model.steps(entered / population) * model.dt
    on_one_road = paid.sum(0) / entered.sum(0)
    return float(paid.sum() / entered.sum() - on_one_road.min())


def regrets():
    sizes = np.array([*range(1, 10), *range(10, 100, 10)])
    found = np.array([regret(int(n)) for n in sizes])
    order = -np.polyfit(np.log(sizes), np.log(found), 1)[0]
    source = CABANNES.format(3)
    for n in (1, 10, 90):
        yield Aim(f"Pigou: regret among {n}", found[sizes == n][0], 1 / (2 * n), 0.15 / (2 * n), source)
    yield Aim("Pigou: regret falls like N to the power -", order, 1.0, 0.1, source + ": falls in N")


def main():
    aims = [*static_braess(), *dynamic_braess(), *pigou(), *regrets()]
    return told("Braess and Pigou, static and dynamic", aims)


if __name__ == "__main__":
    sys.exit(main())
