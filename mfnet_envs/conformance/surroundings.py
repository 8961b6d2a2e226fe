"""The contract of a PettingZoo parallel environment: pickles, pictures, and PettingZoo's own tests."""

from __future__ import annotations

import contextlib
import io
import pickle
import warnings
from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np

from mfnet_envs.conformance.episodes import same_episode
from mfnet_envs.conformance.subject import NotOffered, Subject, brief, in_fresh_process, require


def check_pickling(subject: Subject) -> None:
    """A copy made by pickle gives the same episodes."""
    with subject.made() as env:
        try:
            data = pickle.dumps(env)
        except Exception as error:
            require(not _claims_pickling(env), f"the environment says it can be pickled and cannot: {brief(error)}")
            raise NotOffered("it does not pickle, and does not say it does") from None
        try:
            twin = pickle.loads(data)
        except Exception as error:
            raise AssertionError(f"a pickled environment cannot be read back: {brief(error)}") from error
        same_episode(subject.record(env, subject.seed), subject.record(twin, subject.seed), "in a pickled copy")
        twin.close()


def _claims_pickling(env: Any) -> bool:
    classes = type(env.unwrapped).__mro__
    own = any({"__getstate__", "__reduce__", "__reduce_ex__"} & vars(c).keys() for c in classes if c is not object)
    return own or any(c.__name__ == "EzPickle" for c in classes)


def check_rendering(subject: Subject) -> None:
    """Every render mode but "human" works where there is no display, and returns what its name says."""
    with subject.made() as env:
        modes = [m for m in (getattr(env, "metadata", None) or {}).get("render_modes") or [] if m != "human"]
    if not modes:
        raise NotOffered('metadata["render_modes"] names no mode but "human"')
    problem = in_fresh_process(_draw_all, (subject, modes), no_display=True)
    if problem == NO_OPTION:
        raise NotOffered(NO_OPTION)
    require(not problem, str(problem))


NO_OPTION = "it takes no render_mode"


def _draw_all(subject: Subject, modes: Iterable[str]) -> str:
    """What is wrong with the first picture that is wrong; empty if all are right."""
    for mode in modes:
        try:
            env = subject.make(render_mode=mode)
        except TypeError:
            return NO_OPTION
        try:
            for _ in islice(subject.episode(env, subject.seed), 3):
                if why := _wrong_picture(mode, env.render()):
                    return f"render_mode={mode!r} returns {why}"
        except Exception as error:
            return f"render_mode={mode!r} without a display raises {brief(error)}"
        finally:
            env.close()
    return ""


def _wrong_picture(mode: str, picture: Any) -> str:
    if mode == "ansi":
        return "" if isinstance(picture, str) else f"{type(picture).__name__}, not a string"
    if mode == "rgb_array":
        if not isinstance(picture, np.ndarray):
            return f"{type(picture).__name__}, not an array"
        right = picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3 and picture.size > 0
        return "" if right else f"{picture.dtype} of shape {picture.shape}, not uint8 of shape (height, width, 3)"
    return ""


def check_pettingzoo(subject: Subject) -> None:
    """PettingZoo's own tests of the interface and of the seed pass."""
    try:
        from pettingzoo.test import parallel_api_test, parallel_seed_test  # type: ignore[import-untyped]
    except ImportError as error:
        raise NotOffered("pettingzoo.test cannot be imported") from error
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for test, subjects in ((parallel_api_test, subject.make()), (parallel_seed_test, subject.make)):
            try:
                test(subjects, num_cycles=subject.steps)
            except Exception as error:
                raise AssertionError(f"PettingZoo's {test.__name__} fails: {brief(error)}") from error
