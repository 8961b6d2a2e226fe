"""The costate form over several processes: each plays some of the worlds and pulls costates back through them.

The worlds fall into shares, whatever the number of processes. A share is played by itself, with numbers drawn by its
place, (iteration, share), and what there is to learn from it is summed in the order of shares: so the result has the
same bits for any number of processes. These hold nothing that would be missed. Each iteration they are told the policy,
the terminal critic and where their worlds stand: whoever is lost is replaced and the iteration played again, to the
same end.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfnet_agents import recorded
from mfnet_agents.config import SHARES
from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig
from mfnet_agents.dec_neural_ac.costate import Costate, Iterated, Played, spread_of
from mfnet_agents.dec_neural_ac.sampling import Sampler
from mfnet_agents.nets import TwoLayer
from mfnet_agents.policies.individual import IndividualPolicy
from mfnet_envs import targets
from mfnet_envs.arrays import Floats, Ints

if TYPE_CHECKING:
    from mfnet_agents.dec_neural_ac.terminal import Moments

CHANCES = 3  # how often an iteration is begun in which a process is lost
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
WORKER = "MFNET_RUNNER"  # set in the processes that run worlds
START = [sys.executable, "-P", "-W", "ignore", "-c", f"from {__name__} import main; main()"]


class RunnerError(ChildProcessError):
    """Processes that play worlds cannot be had, in one sentence."""


class LostError(Exception):
    """A process has ended that was asked, or was to be."""


class Share(NamedTuple):
    """Some worlds: which, where they stand, ``counts (B, S)``, and returns of their ``running (B,)`` episodes."""

    number: int
    counts: Ints
    running: Floats


class Task(NamedTuple):
    """What a process is told.

    Attributes:
        theta, signs: of the policy; weights, level: of the terminal critic; key: of this iteration; clock: steps
            played so far.
    """

    theta: Floats
    signs: Floats
    weights: Floats
    level: Floats
    key: int
    clock: int
    shares: list[Share]


class Told(NamedTuple):
    """What it answers, of one share.

    Attributes:
        share: where it stands now; summed, moments, reward, episodes: as in ``Advantages`` and :class:`Played`.
    """

    share: Share
    summed: Floats
    moments: list[Moments]
    reward: float
    episodes: Floats


class Player:
    """Plays shares of worlds, one after the other, by a learner of its own."""

    def __init__(self, trained: Costate, policy: IndividualPolicy) -> None:
        self.trained, self.policy = trained, policy
        self.under_way: list[Played] = []

    def play(self, task: Task) -> list[Told]:
        """One fragment of each share."""
        self.policy.net = TwoLayer(torch.from_numpy(task.signs), self.policy.net.start)
        self.policy.update(torch.from_numpy(task.theta))
        critic = self.trained.pullback.critic
        critic.weights, critic.level = task.weights, task.level
        self.under_way, told = [], []
        for share in task.shares:
            sampler = self.trained.sampler
            sampler.rng, sampler.worlds = np.random.default_rng([task.key, share.number]), len(share.counts)
            sampler.set_state({"counts": share.counts, "running": share.running, "clock": task.clock})
            played = self.trained.played(self.policy)
            self.under_way.append(played)
            stands = Share(share.number, sampler.counts, sampler.running)
            told.append(Told(stands, played.ahead.summed, played.moments, played.reward, played.episodes))
        return told

    def score(self, scale: Floats) -> list[Floats]:
        """The policy gradients ``(T', d, M)`` of the shares just played, worths divided by ``scale (T',)``."""
        gradients = (self.trained.gradient(self.policy, each.fragment, each.ahead, scale) for each in self.under_way)
        return [gradient.numpy() for gradient in gradients]


class Runners(Costate):
    """The costate form whose worlds are played by other processes, begun when the first iteration is."""

    def __init__(
        self, settings: DecNeuralACConfig, sampler: Sampler, policy: IndividualPolicy, config: DecNeuralACConfig
    ) -> None:
        """``config``: as it was asked for, from which processes build their own."""
        super().__init__(settings, sampler, policy)
        self.config = config
        self.processes: list[Process] = []
        self._end = weakref.finalize(self, end, self.processes)

    def iterated(self, policy: IndividualPolicy) -> Iterated:
        """Raises:
        RunnerError: processes are lost again and again.
        """
        key = int(self.sampler.rng.integers(2**63))
        for _ in range(CHANCES):
            try:
                return self._iterated(policy, key)
            except LostError:
                code = self.stop()
            except BaseException:  # also Ctrl-C: answers that nobody has read would be taken for the next ones
                self.stop()
                raise
        raise RunnerError(
            f"a process of num_env_runners={self.settings.num_env_runners} ended with {code}, {CHANCES} times in a row "
            "(what it has printed stands above; for lack of memory ask for fewer); the last checkpoint is as it was"
        )

    def _iterated(self, policy: IndividualPolicy, key: int) -> Iterated:
        told = self._told(policy, key)
        scale = self.scale_of(reduce(add, [each.summed for each in told]))
        gradients = self._asked("score", [scale] * len(self.processes))
        # from here on nobody is asked any more, and nothing that was lost has to be played again
        self.pullback.learn([moments for each in told for moments in each.moments])
        sampler, steps = self.sampler, int(self.settings.rollout_fragment_length)
        counts, running = (np.concatenate([each.share[i] for each in told]) for i in (1, 2))
        sampler.set_state({"counts": counts, "running": running, "clock": sampler.clock + steps})
        parts = [len(each.share.counts) / sampler.worlds for each in told]
        gradient: Tensor = torch.from_numpy(reduce(add, [part * x for part, x in zip(parts, gradients, strict=True)]))
        reward = sum(part * each.reward for part, each in zip(parts, told, strict=True))
        episodes = np.concatenate([each.episodes for each in told])
        return Iterated(gradient, spread_of(scale), reward, episodes, steps * sampler.worlds)

    def _told(self, policy: IndividualPolicy, key: int) -> list[Told]:
        """One fragment of every world, in the order of shares."""
        if not self.processes:
            self._start()
        sampler, critic = self.sampler, self.pullback.critic
        worlds = np.array_split(np.arange(sampler.worlds), min(SHARES, sampler.worlds))
        shares = [Share(i, sampler.counts[some], sampler.running[some]) for i, some in enumerate(worlds)]
        net = policy.theta.numpy(), policy.net.signs.numpy()
        tasks = [
            Task(*net, critic.weights, critic.level, key, sampler.clock, [shares[i] for i in some])
            for some in np.array_split(np.arange(len(shares)), len(self.processes))
        ]
        return self._asked("play", tasks)

    def _asked(self, verb: str, tasks: Sequence[Any]) -> list[Any]:
        """What all processes answer, one after the other."""
        for process, task in zip(self.processes, tasks, strict=True):
            process.send(verb, task)
        answers: list[Any] = []
        for process in self.processes:
            answers += process.answer()
        return answers

    def _start(self) -> None:
        """Raises:
        RunnerError: this is such a process itself.
        """
        if os.environ.get(WORKER):
            raise RunnerError(
                "a process that plays worlds would train: put what the script does below if __name__ == '__main__'"
            )
        alone = replace(self.config, num_env_runners=0, num_envs_per_env_runner=1, start=None, burn_in=0)
        for _ in range(int(self.settings.num_env_runners)):
            self.processes.append(Process())
            self.processes[-1].send("begin", (recorded.origins(self.config), alone.to_dict()))

    def stop(self) -> str:
        """End the processes; the next iteration begins others. Returns how one of them had ended by itself."""
        return end(self.processes)


class Process:
    """One that plays worlds, in a session of its own: Ctrl-C is for who waits for it. It ends with its input."""

    def __init__(self) -> None:
        look_in = os.pathsep.join(path for path in sys.path if path)
        surroundings = os.environ | dict.fromkeys(THREADS, "1") | {"PYTHONPATH": look_in, WORKER: "1"}
        self.popen = subprocess.Popen(
            START, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=surroundings, start_new_session=True
        )

    def send(self, verb: str, what: Any) -> None:
        """Raises:
        LostError: it has ended.
        """
        assert self.popen.stdin is not None
        try:
            pickle.dump((verb, what), self.popen.stdin, pickle.HIGHEST_PROTOCOL)
            self.popen.stdin.flush()
        except OSError as error:
            self.popen.wait()
            raise LostError from error

    def answer(self) -> list[Any]:
        """Raises:
        LostError: it has ended. Others: as it was raised there.
        """
        assert self.popen.stdout is not None
        try:
            found: list[Any] | Exception = pickle.load(self.popen.stdout)  # of a process of our own
        except (EOFError, OSError) as error:
            self.popen.wait()
            raise LostError from error
        except pickle.UnpicklingError as error:  # ended in the middle of it
            raise LostError from error
        if isinstance(found, Exception):
            raise found
        return found

    def end(self) -> int | None:
        """End it at once; the code with which it had ended by itself."""
        code = self.popen.poll()
        self.popen.kill()
        with suppress(OSError), self.popen:  # which closes the pipes and waits; what it has not read is lost
            pass
        return code


def end(processes: list[Process]) -> str:
    """End processes and forget them; how one of them had ended by itself."""
    codes = [code for process in processes if (code := process.end()) is not None]
    processes.clear()
    code = next(iter(codes), None)
    if code is None:
        return "half an answer"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


# -- in the other process


def main() -> None:
    """Answer until the input ends."""
    told = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a model prints is no answer
    torch.set_num_threads(1)
    asked: queue.Queue[tuple[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, asked), daemon=True).start()
    player: Player | Exception | None = None
    while True:
        verb, what = asked.get()
        if verb == "begin":
            player = _begun(*what)
            continue
        pickle.dump(_answered(player, verb, what), told, pickle.HIGHEST_PROTOCOL)
        told.flush()


def _listen(given: BinaryIO, asked: queue.Queue[tuple[str, Any]]) -> None:
    """Who has started this process may be killed: nobody would read its answers then."""
    try:
        while True:
            asked.put(pickle.load(given))
    finally:
        os._exit(1)


def _begun(origins: dict[str, str], options: dict[str, Any]) -> Player | Exception:
    try:
        targets.import_place(origins["env_source"])
        config = targets.load(origins["algorithm_source"]).from_dict(options)
        learner = config.build_algo()
        return Player(learner.trained, learner.learned)
    except Exception as error:
        return error


def _answered(player: Any, verb: str, what: Any) -> Any:
    """An answer, or what was raised instead, if that can be sent."""
    try:
        if isinstance(player, Exception):
            raise player
        return getattr(player, verb)(what)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return RuntimeError(f"{type(error).__name__}: {error}")
        return error
