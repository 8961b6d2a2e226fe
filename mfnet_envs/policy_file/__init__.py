"""Policies as files: what a team does by its size and by the clock, as tables that play without whoever learnt them.

A file is one ``.npz`` without pickles: the environment's id and options, the names of the places, and the shares
pi ``(turns, K, P)`` at K team sizes of the P pairs of a team and one of its legal actions. A digest covers all of it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.io.files import arrays_of, reading
from mfnet_envs.io.reading import NetworkFileError
from mfnet_envs.model import LocalModel
from mfnet_envs.policy import Policy
from mfnet_envs.policy_file.tables import between, names, tabulated
from mfnet_envs.registration import make_model, scenarios
from mfnet_envs.words import LONGEST_SENTENCE, brief, checked_path, did_you_mean, shown, whole
from mfnet_envs.writing import written

FORMAT = 1
ROUNDED = 1e-9  # shares of a file add up to 1 within
WORDS = {
    "format": int, "env": str | None, "options": dict | None, "population": int, "actions": int, "cyclic": bool,
    "error": float, "places": list, "to": list, "notes": list,
}  # fmt: skip
ARRAYS = ("sizes", "owner", "action", "shares")
Arrays = Mapping[str, NDArray[Any]]


class PolicyFileError(ValueError):
    """A policy file that cannot be used, in one sentence on one line."""

    def __init__(self, sentence: str) -> None:
        super().__init__(brief(sentence, LONGEST_SENTENCE))


class FilePolicy(Policy):
    """A policy from a file; see :func:`load_policy`.

    Attributes:
        env, options: what it was learnt in; None where the file does not say.
        population: N there. sizes: ``(K,)`` team sizes of the table; shares: ``(turns, K, P)``.
        owner, action: ``(P,)`` the team, and one of its legal actions.
        places: T names of the teams; to: P names of where the action leads, or "action 2".
        cyclic: whether the turns come again and again; else the last one stays in force.
        error: largest difference that thinning made to a share; 0 where nothing was thinned.
        notes: what was thinned, cut or changed, and by how much.
    """

    def __init__(self, words: Mapping[str, Any], arrays: Arrays, model: LocalModel | None = None) -> None:
        self.env: str | None = words["env"]
        self.options: dict[str, Any] | None = words["options"]
        self.population, self.num_actions = int(words["population"]), int(words["actions"])
        self.places, self.to = tuple(map(str, words["places"])), tuple(map(str, words["to"]))
        self.cyclic, self.error = bool(words["cyclic"]), float(words["error"])
        self.notes = tuple(map(str, words["notes"]))
        self.sizes, self.owner, self.action = (np.asarray(arrays[name]) for name in ARRAYS[:3])
        self.shares: Floats = np.asarray(arrays["shares"])
        if model is not None:
            self.model = self._fitting(model)

    @cached_property
    def model(self) -> LocalModel:  # type: ignore[override]
        """The environment's model, built when it is first asked for.

        Raises:
            PolicyFileError: the file names none that is registered here, or not one that it fits.
        """
        if self.env not in scenarios() or self.options is None:
            unknown = "an object among its options" if self.env in scenarios() else f"the environment {self.env!r}"
            known = "" if self.env is None or self.env in scenarios() else did_you_mean(self.env, scenarios())
            raise PolicyFileError(
                f"this policy is of {unknown}, which a file cannot bring along{known}; say "
                "load_policy(path, model=...) with a model of it"
            )
        return self._fitting(make_model(self.env, **self.options))

    def _fitting(self, model: LocalModel) -> LocalModel:
        """``model``, if its teams have these choices."""
        owner, action = np.nonzero(model.legal[model.team_states])
        alike = len(model.team_states) == len(self.places) and model.num_actions == self.num_actions
        if not (alike and np.array_equal(owner, self.owner) and np.array_equal(action, self.action)):
            raise PolicyFileError(
                f"the policy chooses for {len(self.places):,} teams among {len(self.owner):,} actions in all, and that "
                f"model has {len(model.team_states):,} teams with {len(owner):,}: give the model that it was saved from"
            )
        called = tuple(names(model)[0])
        if other := [pair for pair in zip(self.places, called, strict=True) if pair[0] != pair[1]]:
            self.notes += (
                f"{len(other):,} of {len(called):,} places have other names in the file, such as {other[0][0]!r} for "
                f"{other[0][1]!r}: they were taken in their order",
            )
        if model.population > self.population:
            self.notes += (
                f"teams of more than {self.population:,} agents, of which the file says nothing, act as those of "
                f"{self.population:,}",
            )
        return model

    def teams(self, counts: Ints, t: int = 0) -> Floats:
        model = self.model
        pi = np.zeros((len(counts), len(self.places), self.num_actions))
        pi[:, self.owner, self.action] = self._at(counts[:, model.team_states], self._turn(t))
        return pi

    def at(self, place: str, n: int, t: int = 0) -> dict[str, float]:
        """What the agents at a place do, where to -> share, largest first; needs no model.

        Args:
            place: one of ``places``. n: agents there; t: the step.

        Raises:
            ValueError: no such place, or no number of agents or step.
        """
        if place not in self.places:
            known = f"{did_you_mean(place, self.places)} There are {len(self.places):,}, such as {self.places[0]!r}."
            raise ValueError(f"there is no place {shown(place)}{known}")
        size, turn = whole("n", n, 0), self._turn(whole("t", t, 0))
        mine = np.flatnonzero(self.owner == self.places.index(place))
        shares = self._at(np.full((1, len(self.places)), size), turn)[0, mine]
        found: dict[str, float] = {}
        for k in np.argsort(-shares, kind="stable").tolist():
            found[self.to[mine[k]]] = found.get(self.to[mine[k]], 0.0) + float(shares[k])
        return found

    def by_pair(self, n: int | Ints, turn: int) -> Floats:
        """Shares ``(P,)`` where every team is ``n``, or its own of ``n (T,)``."""
        found: Floats = self._at(np.broadcast_to(n, (1, len(self.places))), turn)[0]
        return found

    def _turn(self, t: int) -> int:
        turns = len(self.shares)
        return t % turns if self.cyclic else min(t, turns - 1)

    def _at(self, n: Ints, turn: int) -> Floats:
        """Shares ``(B, P)`` of teams of sizes ``n (B, T)``: straight lines between the sizes of the table."""
        return between(self.sizes, self.shares[turn], n, self.owner)


# -- writing


def save_policy(policy: Policy, path: str | os.PathLike[str]) -> Path:
    """Write a policy of its own team's size, and of the clock, to one file; it appears complete or not at all.

    Every size from 0 to N has a row where that makes at most 8 MB; else as many sizes as that allows, set where the
    shares bend, and the largest error is said in the policy's ``notes``.

    Raises:
        ValueError: a policy that is no such table: one that looks at other crowds, or whose teams draw together.
        TypeError: no policy, or no path. OSError: it cannot be written.
    """
    if not isinstance(policy, Policy):
        raise TypeError(f"a policy is saved, such as algo.policy or model.heuristics()['random'], not {shown(policy)}")
    target = checked_path(path)
    found, model = tabulated(policy), policy.model
    id, options = model.origin or (None, None)
    places, to = names(model)
    words = {
        "format": FORMAT, "env": id, "options": _as_json(options), "population": model.population,
        "actions": model.num_actions, "cyclic": found.cyclic, "error": found.error, "places": places, "to": to,
        "notes": found.notes,
    }  # fmt: skip
    arrays = {name: getattr(found, name) for name in ARRAYS}
    text = np.frombuffer(json.dumps({**words, "digest": _digest(words, arrays)}).encode(), np.uint8)
    with written(target) as file:
        np.savez_compressed(file, words=text, **arrays)
    return target


def _as_json(options: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The options as a file can hold them; None where one is an object that it cannot."""
    try:
        text = json.dumps(options, default=os.fspath)
    except (TypeError, ValueError):
        return None
    found: dict[str, Any] | None = json.loads(text)
    return found


def _digest(words: Mapping[str, Any], arrays: Arrays) -> str:
    found = hashlib.sha256(json.dumps(words, sort_keys=True).encode())
    for name in ARRAYS:
        table = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {table.dtype.str} {table.shape}".encode())
        found.update(table.tobytes())
    return found.hexdigest()


# -- reading


def load_policy(path: str | os.PathLike[str], model: LocalModel | None = None) -> FilePolicy:
    """A policy that :func:`save_policy` wrote; nothing of the file is executed.

    Args:
        model: what to play it on; default: the environment that the file names, if it is registered here, built when
            it is first asked for. The policy answers :meth:`FilePolicy.at` without.

    Raises:
        FileNotFoundError: there is no such file. PolicyFileError: it is none, of another version, changed since it was
            written, or of another model. TypeError: ``model`` is none.
    """
    if model is not None and not isinstance(model, LocalModel):
        raise TypeError(f"model must be a LocalModel, such as mfnet_envs.make_model gives it, not {shown(model)}")
    try:
        with reading(checked_path(path), "policy written by save_policy") as place:
            try:
                arrays = arrays_of(place)
                words = json.loads(arrays.pop("words").tobytes())
            except (NetworkFileError, OSError, MemoryError):
                raise
            except Exception as error:  # whatever damage makes the parsers raise
                place.fail(f"this is no policy written by save_policy, or it is damaged ({brief(error)})")
            _check(words, arrays, place.fail)
    except NetworkFileError as error:
        raise PolicyFileError(str(error)) from None
    return FilePolicy(words, arrays, model)


def _check(words: Any, arrays: dict[str, NDArray[Any]], fail: Callable[[str], Any]) -> None:
    """Refuse what :func:`save_policy` would not have written."""
    if not isinstance(words, dict) or words.get("format") != FORMAT:
        found = words.get("format") if isinstance(words, dict) else None
        fail(f"this is a policy file of format {shown(found)}, and this version reads {FORMAT}: save it again")
    signed = words.pop("digest", None)
    kinds = all(isinstance(words.get(name), kind) for name, kind in WORDS.items())
    if not kinds or words.keys() != WORDS.keys() or set(arrays) != set(ARRAYS):
        fail("this is no policy file, or it is damaged: its parts are not those of one")
    if signed != _digest(words, arrays):
        fail("this policy file has been changed or damaged since it was written: its digest is another")
    sizes, owner, action, shares = (arrays[name] for name in ARRAYS)
    pairs, teams = len(words["to"]), len(words["places"])
    right = (
        sizes.dtype == owner.dtype == action.dtype == np.int64 and shares.dtype == np.float64
        and sizes.ndim == 1 and len(sizes) and sizes[0] == 0 and (np.diff(sizes) > 0).all()
        and owner.shape == action.shape == (pairs,) and shares.ndim == 3 and len(shares)
        and shares.shape[1:] == (len(sizes), pairs)
        and np.array_equal(np.unique(owner), np.arange(teams)) and (np.diff(owner) >= 0).all()
        and (0 <= action).all() and (action < words["actions"]).all() and words["population"] > 0
        and (shares >= 0).all() and (pairs == 0 or (np.abs(_sums(shares, owner) - 1) < ROUNDED).all())
    )  # fmt: skip
    if not right:
        fail("this is no policy file: its tables do not fit together, or hold no shares")


def _sums(shares: Floats, owner: Ints) -> Floats:
    """``(turns, K, T)``: what the shares of each team add up to."""
    found: Floats = np.add.reduceat(shares, np.flatnonzero(np.diff(owner, prepend=-1)), axis=2)
    return found
