"""How a run tells what it is doing: a bar on a terminal, a few plain lines in a pipe, JSON lines for machines."""

from __future__ import annotations

import json
import math
import sys
import time
from typing import Any, TextIO

from mfnet_envs.yardstick import Yardstick


class Progress:
    """Says nothing. The others override what they show."""

    def say(self, sentence: str) -> None:
        """One sentence for the reader."""

    def start(self, yardstick: Yardstick, total: int, done: int, until: float = math.inf) -> None:
        """Training begins at ``done`` of ``total`` environment steps; ``until``: ``time.perf_counter()`` at which it
        ends all the same."""

    def stepped(self, row: dict[str, Any]) -> None:
        """An iteration ended; ``row`` is its line of progress.csv."""

    def evaluated(self, steps: int, value: float, ci95: float, gap: float | None) -> None:
        """The policy was evaluated: the headline, half its interval, the share of the gap closed."""

    def stop(self) -> None:
        """Training is over."""


class Lines(Progress):
    """A line for each evaluation."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout

    def say(self, sentence: str) -> None:
        print(sentence, file=self.out, flush=True)

    def start(self, yardstick: Yardstick, total: int, done: int, until: float = math.inf) -> None:
        self.yardstick, self.total, self.done, self.until = yardstick, total, done, until
        self.began, self.first = time.perf_counter(), done
        bound = "no bound" if yardstick.bound is None else f"bound {yardstick.text(yardstick.bound)}"
        left = f"training for {total - done:,} environment steps" if total > done else "nothing is left to train"
        if total > done and math.isfinite(until):
            left += f", {clock(until - self.began)} at most"
        self.say(f"{left}; {yardstick.unit}, {bound}")

    def stepped(self, row: dict[str, Any]) -> None:
        self.done = int(row["num_env_steps_sampled_lifetime"])

    def evaluated(self, steps: int, value: float, ci95: float, gap: float | None) -> None:
        closed = "" if gap is None else f"  gap closed {gap:6.1%}"
        speed, left = self.pace()
        eta = f"  {speed:,.0f} steps/s  ETA {clock(left)}" if speed else ""
        text = self.yardstick.text
        self.say(f"{steps:>11,} steps  {text(value, ci95)}{closed}{eta}")

    def pace(self) -> tuple[float, float]:
        """Environment steps a second, and the seconds that are left, by the steps or by the clock."""
        now = time.perf_counter()
        speed = (self.done - self.first) / max(now - self.began, 1e-9)
        return speed, min((self.total - self.done) / speed if speed else math.inf, self.until - now)


class Bar(Lines):
    """One bar that is redrawn: steps, speed, ETA, the latest evaluation and the bound."""

    def start(self, yardstick: Yardstick, total: int, done: int, until: float = math.inf) -> None:
        from tqdm import tqdm

        super().start(yardstick, total, done, until)
        form = "{percentage:3.0f}%|{bar:24}| {n_fmt} of {total_fmt} steps, {rate_fmt}, {desc}{postfix}"
        self.bar = tqdm(
            desc="ETA ?", total=total, initial=done, unit="steps", unit_scale=True, bar_format=form, file=self.out,
            dynamic_ncols=True,
        )  # fmt: skip

    def say(self, sentence: str) -> None:
        if hasattr(self, "bar"):
            self.bar.write(sentence, file=self.out)
        else:
            super().say(sentence)

    def stepped(self, row: dict[str, Any]) -> None:
        super().stepped(row)
        self.bar.set_description_str(f"ETA {clock(self.pace()[1])}", refresh=False)
        self.bar.update(self.done - self.bar.n)

    def evaluated(self, steps: int, value: float, ci95: float, gap: float | None) -> None:
        text, bound = self.yardstick.text, self.yardstick.bound
        closed = "" if gap is None else f" ({gap:.0%} of the gap)"
        limit = "" if bound is None else f", bound {text(bound)}"
        self.bar.set_postfix_str(f"{text(value)}{closed}{limit}")

    def stop(self) -> None:
        if hasattr(self, "bar"):
            self.bar.close()
            del self.bar


class JsonLines(Progress):
    """Every event as one JSON object on a line of its own; sentences go to the error stream."""

    def say(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)

    def start(self, yardstick: Yardstick, total: int, done: int, until: float = math.inf) -> None:
        write_json({"event": "start", "total_env_steps": total, "env_steps": done, "yardstick": yardstick.to_dict()})

    def stepped(self, row: dict[str, Any]) -> None:
        write_json({"event": "iteration", **{name: value for name, value in row.items() if value != ""}})

    def evaluated(self, steps: int, value: float, ci95: float, gap: float | None) -> None:
        write_json({"event": "evaluation", "env_steps": steps, "value": value, "ci95": ci95, "gap_closed": gap})


def write_json(record: dict[str, Any]) -> None:
    """One line of JSON; an infinite interval (a single world) becomes null, as JSON has no infinity."""
    print(json.dumps(finite(record)), flush=True)


def finite(value: Any) -> Any:
    """``value`` with every NaN and infinity in it replaced by None."""
    if isinstance(value, dict):
        return {name: finite(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def clock(seconds: float) -> str:
    """``m:ss`` or ``h:mm:ss``; nothing is ever left below zero."""
    minutes, s = divmod(round(max(0.0, seconds)), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


def choose(*, machine: bool) -> Progress:
    """What suits the output: JSON where asked for, a bar on a terminal, lines elsewhere."""
    if machine:
        return JsonLines()
    return Bar() if sys.stdout is not None and sys.stdout.isatty() else Lines()
