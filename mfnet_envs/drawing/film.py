"""An episode as a film: agents as dots that flow along edges, teams as bars, congestion as colour.

:func:`shoot` plays a policy and remembers the way of some agents; :func:`frames` draws them with numpy alone, a few
pictures per step. :mod:`mfnet_envs.drawing.film_page` writes the same as a page for the browser.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Bools, Floats, Ints
from mfnet_envs.drawing import paint, render
from mfnet_envs.drawing.scene import Scene, node_counts, title
from mfnet_envs.drawing.stage import MARGIN, stage_of, state_places
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy
from mfnet_envs.simulator import Simulator
from mfnet_envs.words import fits, shown, whole

DOTS = 240  # agents followed, at most
BARS = 48  # teams shown, at most
STRIP = 96  # height of the bars, pixels; whole blocks of a video
BETWEEN = 6  # pictures per step
MOST_STEPS = 100_000  # of a film: it is kept whole, and drawn step by step
FILM_SIDE = 600  # longer side of a map, pixels
DIGITS = 8.0  # pixels; smaller digits are left out, they would lie under the dots
FREE, BUSY = paint.INK, (255, 255, 255)  # dots of those who have a choice, and of the others


class Film(NamedTuple):
    """What happened, step by step.

    Attributes:
        title: what is shown, for example "MFNet-Grid-v0 · greedy".
        counts: ``(T + 1, S)`` agents in each state.
        actions: T tables ``(S, A)``: agents that chose each action.
        rewards: ``(T,)`` mean reward of an agent.
        dots: ``(T + 1, D)`` states of D agents drawn at random and followed.
    """

    title: str
    counts: Ints
    actions: list[Ints]
    rewards: Floats
    dots: Ints

    @property
    def steps(self) -> int:
        """How many steps it shows."""
        return len(self.rewards)

    def scene(self, t: int) -> Scene:
        """The moment after ``t`` steps."""
        if t == 0:
            return Scene(self.counts[0])
        return Scene(self.counts[t], self.counts[t - 1], self.actions[t - 1], t, float(self.rewards[t - 1]))


def shoot(model: LocalModel, policy: Policy, steps: int, seed: int = 0, title: str = "mfnet") -> Film:
    """Play ``policy`` for ``steps`` steps with identities kept; same seed, same film.

    Teams draw how many of their agents do what (``policy.sample``); which of them, is drawn uniformly.

    Args:
        policy: any :class:`~mfnet_envs.policy.Policy` of the model: a heuristic, a planner's, what was learnt.

    Raises:
        ValueError: a negative number of steps, or more than a film is made of; a seed that is no whole number.
    """
    steps, rng = whole("steps", steps, 0), np.random.default_rng(whole("seed", seed, 0))
    if steps > MOST_STEPS:
        raise ValueError(f"a film has at most {MOST_STEPS:,} steps, not {shown(steps)}")
    s, a = model.legal.shape
    fits(f"crowds and actions of steps={steps}", steps + 1, s * (a + 1) + DOTS)
    simulator = Simulator(model)
    counts = [simulator.reset(rng, 1)[0]]
    states = rng.permutation(np.repeat(np.arange(s), counts[0]))
    dots, actions, rewards = [states[:DOTS]], [], np.zeros(steps)
    for t in range(steps):
        chosen = by_state(model, counts[-1], policy.sample(counts[-1][None], t, rng)[0])
        result = simulator.at(t).transition_agents(states[None], _dealt(states, chosen, rng)[None], rng)
        states, rewards[t] = result.next_states[0], result.rewards.mean()
        actions.append(chosen)
        counts.append(np.bincount(states, minlength=s))
        dots.append(states[:DOTS])
    return Film(title, np.array(counts), actions, rewards, np.array(dots))


def by_state(model: LocalModel, counts: Ints, actions: Ints) -> Ints:
    """Actions of all states ``(S, A)`` from those of the states that have a choice, ``(T, A)`` or ``(S, A)``."""
    if len(actions) == len(counts):
        return actions
    every: Ints = np.zeros(model.legal.shape, np.int64)
    every[np.arange(len(counts)), model.first_legal] = counts
    every[model.team_states] = actions
    return every


def _dealt(states: Ints, actions: Ints, rng: np.random.Generator) -> Ints:
    """``(N,)``: the states' action counts ``(S, A)`` dealt to their agents ``states (N,)`` at random."""
    shuffled = rng.permutation(len(states))
    in_order = shuffled[np.argsort(states[shuffled], kind="stable")]
    chosen: Ints = np.empty(len(states), np.int64)
    chosen[in_order] = np.repeat(np.tile(np.arange(actions.shape[1]), len(actions)), actions.reshape(-1))
    return chosen


# -- what is shown, for pictures and pages alike ----------------------------------------------------------------------


def crowds(model: LocalModel, film: Film) -> Ints:
    """``(T + 1, V)`` agents at each node that have a choice."""
    return np.stack([node_counts(model, counts) for counts in film.counts])


def with_choice(model: LocalModel) -> Bools:
    """``(S,)``: the states whose agents are counted."""
    one_each = np.eye(model.network.layers, dtype=np.int64)
    shown = [node_counts(model, np.tile(row, model.network.num_nodes))[0] > 0 for row in one_each]
    return np.tile(shown, model.network.num_nodes)


def bars(shown: Ints) -> Ints:
    """The nodes that get a bar: all in their order, or the fullest over the film, fullest first."""
    if shown.shape[1] <= BARS:
        return np.arange(shown.shape[1])
    return np.argsort(-shown.sum(0), kind="stable")[:BARS]


def full(shown: Ints) -> int:
    """The count that bars and colours reach up to: a quarter above a usual step's fullest node, or the fullest of all.

    One crowded moment, such as everybody at one node at the start, must not flatten the rest of the film.
    """
    fullest = shown.max(1)
    return max(1, min(int(fullest.max()), int(np.ceil(1.25 * np.median(fullest)))))


def offsets(dots: int) -> Floats:
    """``(D, 2)`` in the unit disc: where around its place a dot is drawn, so that dots do not hide each other."""
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(dots)
    radius = np.sqrt(0.45 + 0.55 * (np.arange(dots) * 0.618 % 1))
    spread: Floats = (radius * np.stack([np.cos(angle), np.sin(angle)])).T
    return spread


# -- pictures -------------------------------------------------------------------------------------------------------


def still(model: LocalModel, film: Film) -> paint.Image:
    """The last moment: counts, the arrows of the last step, and the bars."""
    image = render.rgb_array(model, film.scene(film.steps), film.title)
    shown = crowds(model, film)
    return np.concatenate([image, _bars(shown, film.steps, image.shape[1], int(shown[-1].max()))])


def frames(model: LocalModel, film: Film, between: int = BETWEEN) -> Iterator[paint.Image]:
    """``between`` pictures for every step, and one of the end; colours and bars change with the step, dots flow."""
    stage, shown = stage_of(model, FILM_SIDE), crowds(model, film)
    top, free = full(shown), with_choice(model)
    places = stage.on_canvas(state_places(model))
    around = offsets(film.dots.shape[1]) * stage.room
    for t in range(film.steps + 1):
        colour = paint.heat(np.minimum(shown[t], top), top)
        canvas = render.filled(stage, colour)
        if stage.digits >= DIGITS:
            render.numbers(canvas, stage, shown[t], colour)
        render.headline(canvas, title(model, film.scene(t), film.title))
        strip = _bars(shown, t, canvas.shape[1], top)
        now = places[film.dots[t]]
        following = places[film.dots[min(t + 1, film.steps)]]
        for part in range(between if t < film.steps else 1):
            share = part / between
            eased = share * share * (3 - 2 * share)
            picture = canvas.copy()
            _draw_dots(picture, (1 - eased) * now + eased * following + around, free[film.dots[t]], stage.room)
            yield np.concatenate([paint.as_image(picture), strip])


def palette() -> Floats:
    """``(48, 3)`` colours that suffice for every frame."""
    share = np.linspace(0, 1, 12)[:, None]
    greys = share * np.array(paint.INK) + (1 - share) * np.array(paint.PAPER)
    return np.concatenate([paint.colours(np.linspace(0, 1, 34)), greys, [paint.FAINT, BUSY]])


def _draw_dots(canvas: paint.Canvas, centres: Floats, free: NDArray[np.bool_], room: float) -> None:
    radius = float(np.clip(0.13 * room, 1.9, 3.2))
    for (x, y), has_choice in zip(centres, free, strict=True):
        rim, inner = (BUSY, FREE) if has_choice else (FREE, BUSY)
        paint.blend(canvas, *paint.square(x, y, radius + 1, radius + 1), rim)
        paint.blend(canvas, *paint.square(x, y, radius, radius), inner)


def _bars(shown: Ints, t: int, width: int, top: int) -> paint.Image:
    """The teams as bars, in the colours of the picture above; the line is at ``top`` agents, what is more is cut."""
    canvas = paint.sheet(STRIP, width)
    nodes = bars(shown)
    label, left, right = 9.0, MARGIN, width - MARGIN
    words = "agents per node" if len(nodes) == shown.shape[1] else f"the {len(nodes)} fullest of {shown.shape[1]} nodes"
    paint.write(canvas, f"{words} · line at {top:,}", left, 4, label, paint.INK)
    floor, room = STRIP - 12, STRIP - 12 - 24
    canvas[floor - room - 1, left:right] = paint.FAINT
    canvas[floor, left:right] = paint.FAINT
    pitch = (right - left) / len(nodes)
    thick = max(1, min(28, int(0.8 * pitch)))
    heights = np.minimum(shown[t, nodes], top)
    for k, (n, colour) in enumerate(zip(heights, paint.heat(heights, top), strict=True)):
        x = round(left + (k + 0.5) * pitch - thick / 2)
        height = round(room * n / max(1, top))
        canvas[floor - height : floor, x : x + thick] = colour
        if height > 1:  # pale bars need an outline
            canvas[floor - height, x : x + thick] = paint.INK
    return paint.as_image(canvas)
