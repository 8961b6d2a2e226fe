"""What a reader ignored, guessed, filled in or dropped: one sentence for each kind, with how often and where first.

Loud are sentences about what the file says and is not done: unreadable, contradictory, ignored or dropped. They make
one ``UserWarning`` per network. The rest, documented defaults for what a file does not say, stands in the notes only.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from mfnet_envs.io.reading import Place
from mfnet_envs.words import shown

OURS = ("mfnet_envs", "mfnet_agents", "mfnet_theory")


class Notes:
    """Sentences in the order in which they were first needed."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}
        self._first: dict[str, str] = {}
        self._loud: set[str] = set()

    def say(self, sentence: str, *, loud: bool = False) -> None:
        """A sentence about the whole network."""
        self._count.setdefault(sentence, 1)
        if loud:
            self._loud.add(sentence)

    def count(self, sentence: str, place: Place, value: object = None, *, loud: bool = False) -> None:
        """One more case of a kind: ``sentence`` holds ``{where}``, which becomes the number of cases and the first."""
        self.say(sentence, loud=loud)
        if sentence in self._first:
            self._count[sentence] += 1
            return
        at = Path(place.file).name + (f", {place.spot}" if place.spot else "")
        self._first[sentence] = at if value is None else f"{shown(value)} in {at}"

    def sentences(self, *, loud: bool = False) -> tuple[str, ...]:
        """All of them, or the loud ones."""
        return tuple(self._spelt(sentence) for sentence in self._count if not loud or sentence in self._loud)

    def _spelt(self, sentence: str) -> str:
        number = self._count[sentence]
        times = "once" if number == 1 else f"{number:,} times, first"
        return sentence.replace("{where}", f"{times}: {self._first.get(sentence, '')}")

    def warn(self, place: Place) -> None:
        """One warning with all that is loud, shown at the first line outside this project."""
        if loud := self.sentences(loud=True):
            warnings.warn(f"{place}: {'; '.join(loud)}", stacklevel=_outside())


def _outside() -> int:
    """The ``stacklevel`` for :meth:`Notes.warn` that names the caller's line."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).split(".")[0] in OURS:
        level, frame = level + 1, frame.f_back
    return level
