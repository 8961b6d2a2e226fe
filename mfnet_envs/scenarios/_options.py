"""Options that scenarios share: a graph, numbers per node, the steps of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike

from mfnet_envs.arrays import Bools, Floats, Ints, array_of
from mfnet_envs.engines.congestion import Congestion
from mfnet_envs.engines.roads import Roads
from mfnet_envs.io.network_data import NetworkData
from mfnet_envs.network import StateNetwork
from mfnet_envs.words import COUNTABLE, HUGE, did_you_mean, fits, is_number, is_whole, non_negative, shown, whole

MOVE_BYTES = 128  # of a state's move while the tables are made and checked that say where it leads and what it pays
LARGEST_SCALE = 1e6  # of a demand; programmes tell larger ones from none no more
WORLDS = 256  # whose rewards an evaluation holds, step by step


def network_of(
    rows: int, cols: int, graph: nx.Graph[Any] | Sequence[tuple[int, int]] | None, layers: int = 1
) -> StateNetwork:
    """The ``rows`` x ``cols`` grid, or instead of it a networkx graph or a list of edges.

    Raises:
        ValueError: no such thing, or more states and moves than memory holds.
    """
    whole("rows", rows), whole("cols", cols)  # also where a graph stands instead of the grid
    network = StateNetwork.grid(rows, cols, layers) if graph is None else StateNetwork(as_graph(graph), layers)
    hub = int(network.degrees.argmax())
    widest = int(network.degrees[hub]) + 1
    many = f"{network.num_states:,} states of {network.num_nodes:,} nodes"
    fits(
        f"{many} with up to {widest:,} moves each (node {shown(network.nodes[hub])}),",
        network.num_states,
        widest,
        itemsize=MOVE_BYTES,
    )
    return network


def as_graph(graph: nx.Graph[Any] | Sequence[tuple[int, int]]) -> nx.Graph[Any]:
    """A list of edges as a graph whose nodes stand in the order in which they come; a graph as it is."""
    if isinstance(graph, nx.Graph):
        return graph
    wanted = "graph must be a networkx graph or a list of edges such as [[0, 1], [1, 2]]"
    if not is_list(graph):
        raise ValueError(f"{wanted}, not {shown(graph)}")
    edges: nx.Graph[Any] = nx.Graph()
    for edge in graph:
        ends = [*edge] if is_list(edge) else []
        if len(ends) != 2 or not all(map(_is_label, ends)):
            raise ValueError(f"{wanted}; {shown(edge)} is no pair of nodes, which are whole numbers or names")
        edges.add_edge(*(int(end) if isinstance(end, Integral) else end for end in ends))
    return edges


def is_list(value: Any) -> bool:
    """Whether ``value`` is a list, a tuple or an array of at least one axis."""
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _is_label(node: Any) -> bool:
    return isinstance(node, str) or is_whole(node)


def moves(network: StateNetwork) -> tuple[Ints, Bools]:
    """Action j goes to neighbour slot j: the node it leads to ``(V, D)``, and whether it is legal (padding is not)."""
    legal = network.neighbors >= 0
    return np.where(legal, network.neighbors, network.neighbors[:, :1]), legal


def per_node(name: str, values: ArrayLike | Mapping[Any, float], network: StateNetwork) -> Floats:
    """``values`` as ``(V,)`` finite non-negative numbers.

    Args:
        values: one number for all nodes; a list in the graph's own order of nodes, however the graph was given; or a
            dict with a number for each node's label.

    Raises:
        ValueError: naming the option, and the labels that are unknown or missing.
    """
    if isinstance(values, Mapping):
        values = _by_label(name, values, network)
    wanted = f"{name} must be {network.num_nodes} non-negative numbers, one per node"
    try:
        numbers = array_of(name, values, "iuf").astype(np.float64)
    except ValueError:
        raise ValueError(f"{wanted}, not {shown(values)}") from None
    if numbers.shape not in ((), (network.num_nodes,)):
        raise ValueError(f"{wanted}, not {len(numbers) if numbers.ndim == 1 else f'shape {numbers.shape}'}")
    if not ((numbers >= 0) & (numbers <= HUGE)).all():
        raise ValueError(f"{wanted}, at most {HUGE:g}, not {shown(values)}")
    return np.broadcast_to(numbers, network.num_nodes).copy()


def _by_label(name: str, values: Mapping[Any, Any], network: StateNetwork) -> list[Any]:
    """The numbers of a dict in the order of nodes; JSON makes strings of keys, so a label's text will do too."""
    text = {str(label): label for label in network.nodes}
    known = set(network.nodes)
    given = {key if key in known else text.get(str(key), key): value for key, value in values.items()}
    strangers = [key for key in given if key not in known]
    if strangers:
        near = did_you_mean(strangers[0], text)
        raise ValueError(f"{name} has a number for {shown(strangers[0])}, which is no node of the graph{near}")
    missing = [label for label in network.nodes if label not in given]
    if missing:
        some = ", ".join(map(shown, missing[:3])) + (", ..." if len(missing) > 3 else "")
        raise ValueError(f"{name} has no number for {len(missing):,} of {network.num_nodes:,} nodes: {some}")
    return [given[label] for label in network.nodes]


def order_note(network: StateNetwork, **lists: Any) -> tuple[str, ...]:
    """A sentence where numbers were listed for whole-numbered nodes that do not come in ascending order."""
    named = [name for name, given in lists.items() if is_list(given) and len(given) > 1]
    if not named or not all(map(is_whole, network.nodes)) or list(network.nodes) == sorted(network.nodes):
        return ()
    order = ", ".join(map(str, network.nodes[:4])) + (", ..." if network.num_nodes > 4 else "")
    return (f"{' and '.join(named)}: listed in the order in which the graph names its nodes: {order}",)


def drawable(name: str, value: float, rate: Floats) -> Floats:
    """``rate``, the means of Poisson numbers, if these are whole numbers that can be counted.

    Raises:
        ValueError: naming the option that makes them too large.
    """
    if not rate.sum() < COUNTABLE:
        raise ValueError(
            f"{name}={shown(value)} makes {rate.sum():.3g} arrivals in a step with this population, more than can be "
            f"counted one by one (2**53): ask for a smaller {name} or population"
        )
    return rate


def evaluation(horizon: int, warmup: int) -> tuple[int, int]:
    """The evaluation steps, of which the first ``warmup`` do not count."""
    steps = whole("horizon", horizon)
    fits(f"horizon={shown(horizon)} steps of {WORLDS} worlds' rewards", steps, WORLDS)
    if not is_whole(warmup) or warmup >= steps:
        raise ValueError(f"warmup must be an integer 0 .. {steps - 1}, shorter than the horizon, not {shown(warmup)}")
    return steps, int(warmup)


def ends_of(data: NetworkData, links: Any, option: str) -> list[tuple[str, str]]:
    """The labels where each of ``links`` begins and ends.

    Args:
        links: one link or a list of them; a link is two labels (from, to), or "from to to", as its place is called.

    Raises:
        ValueError: no such link, naming the nearest, or something else.
    """
    ends = {f"{a} to {b}": (a, b) for a, b in _ends(data)}
    wanted = f"{option} must be links, each two labels (from, to) or 'from to to' as the place is called"
    listed = [links] if isinstance(links, str) else links
    if not isinstance(listed, list | tuple) or not listed:
        raise ValueError(f"{wanted}, not {shown(links)}")
    as_pair = len(listed) == 2 and not any(is_list(end) or end in ends for end in listed)
    found = []
    for link in [listed] if as_pair else listed:
        name = link if isinstance(link, str) else " to ".join(map(str, link)) if is_list(link) else None
        if name is None or (is_list(link) and len(link) != 2):
            raise ValueError(f"{wanted}, not {shown(links)}")
        if name not in ends:
            said = shown(link) if isinstance(link, str) else f"from {shown(str(link[0]))} to {shown(str(link[1]))}"
            raise ValueError(f"{option}: {data.name} has no link {said}{did_you_mean(name, ends)}")
        found.append(ends[name])
    return found


def links_of(data: NetworkData, roads: Roads, link: Any) -> Bools:
    """``(L,)``: which links of ``roads`` are that of the name or labels ``link``.

    Raises:
        ValueError: no such link, or one that takes no time and is no place.
    """
    [(a, b)] = ends_of(data, link if isinstance(link, str) else [link], "failures")
    nodes = np.array([str(node) for node in data.nodes])
    found: Bools = (nodes[roads.tail] == str(a)) & (nodes[roads.head] == str(b))
    if not found.any():
        raise ValueError(f"failures: the link '{a} to {b}' takes no time and is no place; name one before or after")
    return found


def tolled(data: NetworkData, toll: Mapping[Any, Any]) -> NetworkData:
    """The network with tolls ``{link: cost}`` in its unit of time; on these links they stand in place of its own.

    Raises:
        ValueError: no such link, one that takes no time (it would become a place), or no cost of 0 or more.
    """
    if not isinstance(toll, Mapping) or not toll:
        raise ValueError(f"toll must be {{'from to to': cost}}, or 'marginal', not {shown(toll)}")
    own = np.zeros(data.num_links) if data.toll is None else data.toll_weight * data.toll
    cost, ends = np.array(own), _ends(data)
    for link, price in toll.items():
        non_negative(**{f"the toll of {shown(link)}": price})
        [pair] = ends_of(data, link if isinstance(link, str) else [link], "toll")
        tolled_links = np.array([both == pair for both in ends])
        if price > 0 and ((data.free_flow_time == 0) & (own == 0))[tolled_links].any():
            raise ValueError(
                f"toll: the link {' to '.join(pair)!r} takes no time and is no place; toll one before or after"
            )
        cost[tolled_links] = price
    said = ", ".join(f"{link} {price:g}" for link, price in list(toll.items())[:3]) + (", ..." if len(toll) > 3 else "")
    return data.noted(f"tolls in units of time: {said}; they change no time", toll=cost, toll_weight=1.0)


def _ends(data: NetworkData) -> list[tuple[str, str]]:
    """``(L,)``: the labels where links begin and end."""
    return [(data.nodes[u], data.nodes[v]) for u, v in zip(data.tail, data.head, strict=True)]


def checked_scale(demand_scale: float) -> None:
    """Refuse what no demand is multiplied by.

    Raises:
        ValueError: with the range.
    """
    if not (is_number(demand_scale) and 1 / LARGEST_SCALE <= demand_scale <= LARGEST_SCALE):
        raise ValueError(
            f"demand_scale must be a positive number, from a millionth to a million, not {shown(demand_scale)}"
        )


def times(data: NetworkData, demand_scale: float) -> NetworkData:
    """The network with ``demand_scale`` times its demand."""
    if demand_scale == 1:
        return data
    said = f"the demand is multiplied by {demand_scale:.6g}, and vehicles by rule are those that it needs"
    return data.noted(said, demand=demand_scale * data.demand)


def call_places(model: Congestion, data: NetworkData) -> None:
    """Name the places and the destinations of a road network as its file does; say what its coordinates are."""
    roads, graph = model.roads, model.network.graph
    links = zip(roads.tail.tolist(), roads.head.tolist(), strict=True)
    names = [*(f"{data.nodes[a]} to {data.nodes[b]}" for a, b in links), *(f"{data.nodes[v]}" for v in model.starts)]
    nx.set_node_attributes(graph, dict(enumerate(names)), "name")
    graph.graph["layers"] = [str(data.nodes[v]) for v in model.trips.destinations]
    graph.graph["crs"] = data.units.get("coordinates", "")
