"""What a comparison leaves for others: tidy tables, marl-eval JSON, and the rankings as Markdown, CSV and LaTeX.

All of it follows from the plan and the results: written again, it is the same bit for bit.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mfnet_agents.comparison import tuning
from mfnet_agents.comparison.plan import write_json
from mfnet_agents.comparison.standings import Board, Entry, Standings
from mfnet_agents.comparison.statistics import Estimate
from mfnet_envs import tables
from mfnet_envs.measure import BOUND, percent
from mfnet_envs.words import optional_package
from mfnet_envs.writing import written

Table = list[list[str]]
TIDY = ("instance", "env", "contender", "kind", "information", "seed", "split", "step", "world", "metric", "value")
MARL_EVAL, BY_CLASS, BY_INSTANCE = "marl_eval.json", "ranking", "instances"


def write_all(standings: Standings, folder: Path) -> list[str]:
    """Every export, into ``folder``; the sentences that say what could not be written, and instead of what."""
    said = write_tidy(standings, folder)
    write_json(folder / MARL_EVAL, marl_eval(standings))
    ranked, each = ranking_tables(standings), instance_tables(standings)
    notes = standings.footnotes()
    if searched := tuning.table(standings.folder, standings.plan):
        _write(folder / "tuning.md", tables.as_markdown(searched) + "\n")
        _write(folder / "tuning.csv", as_csv(searched))
    forms = (
        (BY_CLASS, ranked, "information class", HEAD_OF_CLASS),
        (BY_INSTANCE, each, "instance", HEAD_OF_INSTANCE[:-1]),
    )
    for name, parts, group, head in forms:
        text = "\n\n".join(f"### {title}\n\n{tables.as_markdown(table)}" for title, table in parts.items())
        _write(folder / f"{name}.md", f"{text}\n\n" + "\n".join(f"- {note}" for note in notes) + "\n")
        rows = [[title, *row] for title, table in parts.items() for row in table[1:]]
        _write(folder / f"{name}.csv", as_csv([[group, *head], *rows]))
        _write(folder / f"{name}.tex", "\n\n".join(as_latex(table, title) for title, table in parts.items()) + "\n")
    return said


# -- for readers


def ranking_tables(standings: Standings) -> dict[str, Table]:
    """Information class -> its lines; head first."""
    seeds = standings.plan.seeds
    found = {}
    for information, lines in standings.ranking.items():
        found[information] = [HEAD_OF_CLASS] + [
            [
                line.name, _value(line.to_bound), _ends(line.to_bound, line.runs), _value(line.to_best),
                _value(line.gap), f"{line.lowest:.3f}", f"{line.highest:.3f}", str(line.runs), str(line.crashed),
                "" if line.beats_next is None else f"{line.beats_next.value:.2f}"
                + (f" [{line.beats_next.low:.2f}, {line.beats_next.high:.2f}]" if seeds > 1 else ""),
            ]
            for line in lines
        ]  # fmt: skip
    return found


def as_text(standings: Standings) -> str:
    """All of it for a terminal."""
    parts = [("instance", instance_tables(standings, compute=True)), ("ranking", ranking_tables(standings))]
    found = [f"{what}: {title}\n{tables.as_text(table)}" for what, each in parts for title, table in each.items()]
    searched = tuning.table(standings.folder, standings.plan)
    if searched:
        found.insert(0, f"tuning, the winner starred\n{tables.as_text(searched)}")
    return "\n\n".join([*found, "\n".join(standings.footnotes())])


def as_record(standings: Standings) -> dict[str, Any]:
    """All of it as plain values for JSON."""
    ranking = {information: [asdict(line) for line in lines] for information, lines in standings.ranking.items()}
    instances = {
        board.instance.name: {
            "random": board.random, "bound": board.yardstick.bound, "best_known": board.best_known,
            "contenders": {
                entry.name: {
                    "information": entry.information, "mean": entry.mean, "ci95": entry.interval,
                    "values": entry.values.tolist(), "errors": list(entry.errors),
                }
                for entry in board.entries.values()
            },
        }
        for board in standings.boards
    }  # fmt: skip
    return {"ranking": ranking, "instances": instances, "notes": standings.footnotes()}


HEAD_OF_CLASS = [
    "contender", "IQM to bound", "95 %", "IQM to best known", "optimality gap", "lowest", "highest", "runs", "crashed",
    "P(beats next)",
]  # fmt: skip
HEAD_OF_INSTANCE = [
    "contender",
    "information",
    "value",
    "lowest",
    "highest",
    "to bound",
    "runs",
    "budget used",
    "CPU s",
]


def instance_tables(standings: Standings, *, compute: bool = False) -> dict[str, Table]:
    """Instance -> everybody who played, worst first, then the bound.

    Args:
        compute: with CPU seconds, which no two runs share.
    """
    return {board.instance.name: _instance_table(board, compute) for board in standings.boards}


def _instance_table(board: Board, compute: bool) -> Table:
    width = len(HEAD_OF_INSTANCE) - (not compute)
    head = [*HEAD_OF_INSTANCE[:2], board.yardstick.unit, *HEAD_OF_INSTANCE[3:]]
    rows = [head[:width]]
    for entry in sorted(board.entries.values(), key=lambda entry: (entry.mean == entry.mean, entry.mean)):
        rows.append(_instance_row(board, entry)[:width])
    if board.yardstick.bound is not None:
        rows.append([BOUND, "", board.yardstick.text(board.yardstick.bound), "", "", percent(1.0), "", "", ""][:width])
    return rows


def _instance_row(board: Board, entry: Entry) -> list[str]:
    text = board.yardstick.text
    ended = entry.values[entry.values == entry.values]
    if not len(ended):
        return [entry.name, "", f"crashed: {entry.errors[0]}", "", "", "", "0", "", ""]
    several = len(entry.values) > 1
    used = [int(row["env_steps"]) for row in entry.rows if row.get("env_steps") is not None]
    seconds = [float(row["cpu_s"]) for row in entry.rows if row.get("cpu_s") is not None]
    return [
        entry.name,
        entry.information,
        text(entry.mean, entry.interval),
        text(float(ended.min())) if several else "",
        text(float(ended.max())) if several else "",
        percent(board.yardstick.gap_closed(entry.mean, board.random)),
        str(len(ended)) + (f" of {len(entry.values)}" if len(ended) < len(entry.values) else ""),
        f"{max(used):,}" if used else "",
        f"{sum(seconds) / len(seconds):,.1f}" if seconds else "",
    ]


def _value(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"{estimate.value:.3f}"


def _ends(estimate: Estimate | None, runs: int) -> str:
    return "" if estimate is None or runs < 2 else f"[{estimate.low:.3f}, {estimate.high:.3f}]"


# -- for machines


def tidy(standings: Standings) -> list[list[Any]]:
    """One number a row, :data:`TIDY`: ``split`` "test" or "choice", ``world`` of a single world, "" of the mean.

    ``value`` is the headline; ``env_steps`` what the iterate had taken; ``score`` the share of the way to the bound.
    """
    found = []
    for board in standings.boards:
        for entry in board.entries.values():
            for row in entry.rows:
                if row["error"] is None:
                    same = [board.instance.name, board.instance.env, entry.name, entry.kind, entry.information]
                    found += [[*same, row["seed"], *rest] for rest in _numbers(board, row)]
    return found


def _numbers(board: Board, row: dict[str, Any]) -> list[list[Any]]:
    test = ["test", row.get("chosen_at", "")]
    score = board.yardstick.gap_closed(float(row["value"]), board.random)
    found = [[*test, "", "value", row["value"]]]
    found += [[*test, "", "score", score]] if score is not None else []
    if "last_value" in row:
        found += [["test", row["env_steps"], "", "last_value", row["last_value"]]]
    found += [[*test, world, "value", value] for world, value in enumerate(row["values"])]
    for point in row.get("curve", ()):
        at = ["choice", point["step"]]
        found += [[*at, "", "value", point["value"]], [*at, "", "env_steps", point["env_steps"]]]
        found += [[*at, world, "value", value] for world, value in enumerate(point["values"])]
    return found


def write_tidy(standings: Standings, folder: Path) -> list[str]:
    """``results.parquet``; ``results.csv`` and a sentence where pyarrow is not installed."""
    rows = tidy(standings)
    try:
        pa, parquet = (optional_package(name, "networks", "Parquet") for name in ("pyarrow", "pyarrow.parquet"))
    except ModuleNotFoundError as error:
        _write(folder / "results.csv", as_csv([list(TIDY), *rows]))
        return [f"results.csv instead of results.parquet: {error}"]
    columns = dict(zip(TIDY, zip(*rows, strict=True), strict=True))
    kinds = {"seed": pa.int64(), "step": pa.int64(), "world": pa.int64(), "value": pa.float64()}
    arrays = {
        name: pa.array([None if cell == "" else cell for cell in column], kinds.get(name, pa.string()))
        for name, column in columns.items()
    }
    with written(folder / "results.parquet") as file:
        parquet.write_table(pa.table(arrays), file)
    return []


def marl_eval(standings: Standings) -> dict[str, Any]:
    """marl-eval's nesting: environment, task, algorithm, run, step, metric -> numbers of single worlds.

    Only learners have steps, all runs the same; ``absolute_metrics`` are those of the test worlds.
    """
    found: dict[str, Any] = {}
    for board in standings.boards:
        tasks = found.setdefault(board.instance.env, {})
        for entry in board.entries.values():
            runs = {f"seed_{row['seed']}": _steps(row) for row in entry.rows if row["error"] is None and "curve" in row}
            if runs:
                name = re.sub(r",\s*", " ", entry.name)  # marl-eval wants no commas in names
                tasks.setdefault(board.instance.name, {})[name] = runs
    return {env: tasks for env, tasks in found.items() if tasks}


def _steps(row: dict[str, Any]) -> dict[str, Any]:
    steps = {
        f"step_{k}": {"step_count": point["step"], "return": point["values"]} for k, point in enumerate(row["curve"])
    }
    return {**steps, "absolute_metrics": {"return": row["values"]}}


# -- forms


def as_csv(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "<": r"$<$", ">": r"$>$",
}  # fmt: skip


def as_latex(rows: Table, caption: str) -> str:
    r"""A table of the booktabs package.

    >>> print(as_latex([["contender", "IQM"], ["mean_field", "0.5"]], "own node"))
    \begin{table}
    \caption{own node}
    \begin{tabular}{lr}
    \toprule
    contender & IQM \\
    \midrule
    mean\_field & 0.5 \\
    \bottomrule
    \end{tabular}
    \end{table}
    """
    head, *body = [" & ".join("".join(LATEX.get(c, c) for c in cell) for cell in row) + r" \\" for row in rows]
    columns, above = "l" + "r" * (len(rows[0]) - 1), "".join(LATEX.get(c, c) for c in caption)
    return "\n".join([
        r"\begin{table}", rf"\caption{{{above}}}", rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", r"\end{table}",
    ])  # fmt: skip


def _write(path: Path, text: str) -> None:
    with written(path) as file:
        file.write(text.encode())
