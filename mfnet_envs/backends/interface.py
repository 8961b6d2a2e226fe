"""What a simulator asks of a library of arrays: the seam between the law of a step and its draws."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

from numpy.typing import NDArray


class BranchTable(NamedTuple):
    """A branch of a model as a backend is shown it: tables ``(R, A or 1, J)`` of the active states.

    Rows of ``probabilities`` sum to 1; a place of probability 0 holds a likely state, so that no rounding remainder of
    a draw ends where nobody may go.
    """

    successors: Any
    probabilities: Any


class Arrays(Protocol):
    """A library of arrays.

    Attributes:
        xp: its namespace, as array_api_compat gives it.
    """

    @property
    def xp(self) -> Any: ...

    def asarray(self, values: Any) -> Any:
        """Numbers of any library as an array of this one, on its device."""

    def holds(self, condition: Any) -> bool:
        """Whether a check passed: ``bool(condition)``, where that does not mean to wait for a device."""


@runtime_checkable
class Backend(Arrays, Protocol):
    """Arrays and draws; ``rng`` is whatever :meth:`generator` gives. Counts are int64, probabilities float64.

    Attributes:
        name: for sentences about it.
    """

    name: str

    def generator(self, seed: int | None) -> Any:
        """A stream of random numbers."""

    def asnumpy(self, array: Any) -> NDArray[Any]:
        """The way back."""

    def multinomial(self, rng: Any, n: Any, p: Any) -> Any:
        """Counts ``(*n.shape, J)`` that sum to ``n``, for ``p (..., J)``, broadcast, whose rows sum to 1."""

    def poisson(self, rng: Any, rate: Any, shape: tuple[int, ...]) -> Any:
        """Counts of ``shape``, to which ``rate`` is broadcast."""

    def without_replacement(self, rng: Any, colours: Any, drawn: Any) -> Any:
        """``drawn (B, R)`` of ``colours (B, R, A)`` agents: multivariate hypergeometric."""

    def prepared(self, table: BranchTable) -> Any:
        """A branch as :meth:`scatter` wants it, with what it computes once."""

    def scatter(self, rng: Any, branch: Any, flow: Any, following: Any) -> Any:
        """Each of ``flow (B, R, A)`` agents moves to a random successor: ``following (B, S)`` with them added to it.

        ``branch`` is what :meth:`prepared` gave. ``following`` may be changed and returned, or left alone.
        """
