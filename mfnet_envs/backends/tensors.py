"""The torch backend: crowds, laws and draws on a device, for many worlds at once. ``pip install mfnet[agents]``.

A step asks the device nothing: no number is read back, shapes do not depend on draws, and constant tables are carried
over once. What a check finds is therefore noted on the device and raised where numbers are read next
(:meth:`TorchBackend.asnumpy`); on the processor it is raised at once. Counts are int64 and drawn in float64, which is
exact up to 2^53 agents. Paths are not those of numpy, the law is.
"""

from __future__ import annotations

from typing import Any

import array_api_compat.torch
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from mfnet_envs.backends import draws
from mfnet_envs.backends.interface import BranchTable
from mfnet_envs.words import shown

PROPOSALS, ROUNDS = 8, 5  # of a hypergeometric draw: .3^40 is the chance that none of them is taken
HIGHEST_RATE = 2.0**31  # of places on a GPU: cuRAND's Poisson numbers have 32 bits


class SplitBranch:
    """A branch ``(R, A or 1, J)`` with the shares by which its agents are halved, again and again."""

    def __init__(self, table: BranchTable) -> None:
        self.successors: Tensor = table.successors
        self.halves = halves(table.probabilities) if table.successors.shape[2] > 1 else []


class TorchBackend:
    """See :class:`~mfnet_envs.backends.Backend`. Also takes numpy's generators, a number of which seeds each draw.

    Args:
        device: as torch names it: "cpu", "cuda", "cuda:1"; "meta" computes shapes only.

    Attributes:
        waits: whether a check is answered at once; False where that would be to wait for the device.

    Raises:
        ValueError: torch knows no such device, or it is not there.
    """

    xp: Any = array_api_compat.torch

    def __init__(self, device: str | torch.device = "cpu") -> None:
        try:
            self.device = torch.device(device)
            self._failed = torch.zeros((), dtype=torch.bool, device=self.device)
        except (RuntimeError, AssertionError, TypeError) as error:  # torch built without it raises any of these
            reason = str(error).split("\n")[0]
            raise ValueError(f"torch has no device {shown(device)} here ({reason}); 'cpu' is always there") from None
        self.waits = self.device.type == "cpu"
        self.name = "torch" if self.device.type == "cpu" else f"torch:{self.device}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self.device),)

    def generator(self, seed: int | None) -> Generator:
        """A stream of this device."""
        made = Generator("cpu" if self.device.type == "meta" else self.device)
        made.manual_seed(int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]) >> 1)
        return made

    def stream(self, rng: Any) -> Generator | None:
        """A stream as it is; one that is seeded by the next number of numpy's generator. None is torch's own, the only
        one that ``torch.compile`` follows.

        Raises:
            TypeError: none of these.
        """
        if rng is None or isinstance(rng, Generator):
            return None if self.device.type == "meta" else rng
        if isinstance(rng, np.random.Generator):
            return self.generator(int(rng.integers(2**63)))
        raise TypeError(f"rng must be Simulator.generator(seed) or a numpy Generator, not {shown(rng)}")

    def asarray(self, values: Any) -> Tensor:
        """On this device: what is there already as it is, numpy's arrays copied."""
        if isinstance(values, Tensor):
            return values.to(self.device)
        return torch.tensor(np.asarray(values), device=self.device)

    def asnumpy(self, array: Tensor | NDArray[Any]) -> NDArray[Any]:
        """On the processor, waiting for what has been asked of the device.

        Raises:
            ValueError: a check of a step since the last time failed.
        """
        if isinstance(array, np.ndarray):
            return array
        numbers: NDArray[Any] = array.detach().cpu().numpy()
        if self._failed.item():
            self._failed.zero_()
            raise ValueError(
                f"a step on {self.device} met what it must not: pi or rewards that are NaN, negative or too large, "
                "branch weights that do not sum to 1, actions that do not sum to the counts, or a quota of more than "
                f"{HIGHEST_RATE:,.0f} places a step; the same step on "
                "Simulator(model) says which, check_model(model) where"
            )
        return numbers

    def holds(self, condition: Tensor) -> bool:
        """The answer; where it would have to be waited for, True, and ``asnumpy`` raises if it was no."""
        if self.waits or not isinstance(condition, Tensor):
            return bool(condition)
        self._failed.logical_or_(~condition)
        return True

    # -- draws

    def multinomial(self, rng: Any, n: Tensor, p: Tensor) -> Tensor:
        return self._split(self.stream(rng), n, halves(p))[..., : p.shape[-1]]

    def poisson(self, rng: Any, rate: Tensor, shape: tuple[int, ...]) -> Tensor:
        if self.device.type == "cuda":
            self.holds((rate <= HIGHEST_RATE).all())
        return torch.poisson(rate.double().expand(shape), generator=self.stream(rng)).long()

    def without_replacement(self, rng: Any, colours: Tensor, drawn: Tensor) -> Tensor:
        rng, others, taken = self.stream(rng), colours.sum(2), []
        for a in range(colours.shape[2] - 1):
            others = others - colours[:, :, a]
            taken.append(self._hypergeometric(rng, colours[:, :, a], others, drawn))
            drawn = drawn - taken[-1]
        return torch.stack((*taken, drawn), 2)

    def prepared(self, table: BranchTable) -> SplitBranch:
        return SplitBranch(table)

    def scatter(self, rng: Any, branch: SplitBranch, flow: Tensor, following: Tensor) -> Tensor:
        successors = branch.successors
        flow = flow if successors.shape[1] == flow.shape[2] else flow.sum(2, keepdim=True)
        drawn = flow[..., None]
        if branch.halves:
            drawn = self._split(self.stream(rng), flow, branch.halves)[..., : successors.shape[2]]
        base = torch.arange(len(flow), device=self.device) * following.shape[1]
        target = base[:, None, None, None] + successors
        return following.reshape(-1).index_add(0, target.reshape(-1), drawn.reshape(-1)).reshape(following.shape)

    def _split(self, rng: Generator | None, n: Tensor, shares: list[Tensor]) -> Tensor:
        """Each of ``n`` crowds, split in two by each of ``shares`` in turn: twice as many parts each time."""
        parts = n.double()[..., None]
        for share in shares:
            left = self._binomial(rng, parts, share.expand(parts.shape))
            parts = torch.stack((left, parts - left), -1).flatten(-2)
        return parts.long()

    def _binomial(self, rng: Generator | None, n: Tensor, p: Tensor) -> Tensor:
        if n.device.type == "meta":  # torch has binomial numbers for devices that draw
            return torch.empty_like(n)
        return torch.binomial(n, p, generator=rng)

    def _uniform(self, rng: Generator | None, shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape, generator=rng, dtype=torch.float64, device=self.device)

    def _hypergeometric(self, rng: Generator | None, good: Tensor, bad: Tensor, drawn: Tensor) -> Tensor:
        """How many of ``drawn`` agents, out of ``good`` and ``bad``, are good; all of one shape.

        Both ways are gone everywhere, since to ask which would be to wait: by the law's sums where the smaller of the
        two groups has few agents, else by ratio of uniforms.
        """
        good, bad, drawn = good.double(), bad.double(), drawn.double()
        everybody = good + bad
        kind, sample = torch.minimum(good, bad), torch.minimum(drawn, everybody - drawn)  # by symmetry
        most = torch.minimum(kind, sample)
        few = self._by_sums(rng, kind, everybody, sample)
        found = torch.where(most < draws.FEW, few, self._by_ratio(rng, kind, everybody, sample))
        found = torch.where(good > bad, sample - found, found)
        return torch.where(sample < drawn, good - found, found).long()

    def _by_sums(self, rng: Generator | None, kind: Tensor, everybody: Tensor, sample: Tensor) -> Tensor:
        """The law of fewer than FEW, written out and summed."""
        k = torch.arange(draws.FEW, dtype=torch.float64, device=self.device).reshape(-1, *[1] * kind.ndim)
        most = torch.minimum(kind, sample)
        nobody = most == 0
        kind, sample, everybody = (torch.where(nobody, safe, x) for safe, x in ((1, kind), (1, sample), (2, everybody)))
        possible = k <= most
        log = draws.log_chance(torch.where(possible, k, 0.0), kind, everybody, sample)
        sums = torch.where(possible, log, -torch.inf).softmax(0).cumsum(0)
        u = self._uniform(rng, tuple(kind.shape)) * sums[-1]
        return torch.minimum((sums <= u).sum(0).double(), most)

    def _by_ratio(self, rng: Generator | None, kind: Tensor, everybody: Tensor, sample: Tensor) -> Tensor:
        """The first proposal under the square root of the law; see ``draws.hypergeometric``."""
        small = torch.minimum(kind, sample) < draws.FEW
        kind, sample = (torch.where(small, draws.FEW, x) for x in (kind, sample))
        everybody = torch.where(small, 4 * draws.FEW, everybody)
        centre, width, mode = draws.hat_of(kind, everybody, sample)
        top, found = draws.log_chance(mode, kind, everybody, sample), torch.full_like(kind, -1.0)
        for _ in range(ROUNDS):
            shape = (PROPOSALS, *kind.shape)
            x = 1 - self._uniform(rng, shape)
            at = torch.floor(centre + width * (self._uniform(rng, shape) - 0.5) / x)
            inside = (at >= 0) & (at <= torch.minimum(kind, sample))
            height = draws.log_chance(torch.where(inside, at, mode), kind, everybody, sample)
            kept = inside & (2 * torch.log(x) <= height - top)
            first = kept.to(torch.uint8).argmax(0, keepdim=True)
            found = torch.where((found < 0) & kept.any(0), at.gather(0, first)[0], found)
        return torch.where(found < 0, mode, found)


def halves(p: Tensor) -> list[Tensor]:
    """How to halve a crowd until its parts follow ``p (..., J)``: tables ``(..., 1)``, ``(..., 2)``, ``(..., 4)``, ...

    Entry i is the share of part i that belongs to its left half. J is filled up with places where nobody goes.
    """
    missing = (1 << (p.shape[-1] - 1).bit_length()) - p.shape[-1]
    tables: list[Tensor] = []
    sums = torch.nn.functional.pad(p.double(), (0, missing))
    while sums.shape[-1] > 1:
        pairs = sums.reshape(*sums.shape[:-1], -1, 2)
        sums = pairs.sum(-1)
        tables.append(torch.where(sums > 0, pairs[..., 0] / sums, 1.0).clamp(0, 1))
    return tables[::-1]
