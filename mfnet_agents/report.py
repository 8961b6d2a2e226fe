"""One self-contained page about a run: what was learnt, how good that is, and what it rests on."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import mfnet_envs
from mfnet_agents import report_charts as charts
from mfnet_agents import report_numbers as tables
from mfnet_agents.algorithm import Algorithm
from mfnet_agents.progress import Progress
from mfnet_agents.report_numbers import LEARNT, NAMES, NEEDS
from mfnet_agents.runs import RunError, RunFolder
from mfnet_agents.yardstick import Yardstick
from mfnet_envs.model import Floats, LocalModel
from mfnet_envs.policy import uniform

MAP_WORLDS = 32


@dataclass(frozen=True)
class Numbers:
    """What a report shows, read from the files of a run.

    Attributes:
        record: config.json; result: result.json; rows: progress.csv; staircase: staircase.json, empty without one.
        policies: name -> measured, heuristics and learnt ones.
    """

    record: dict[str, Any]
    result: dict[str, Any]
    rows: list[dict[str, str]]
    staircase: dict[str, Any]
    policies: dict[str, Any]
    yardstick: Yardstick


def build(path: Path, progress: Progress | None = None) -> Path:
    """Write ``report.html`` and the pictures into a run folder; returns the page's path.

    The scenario's heuristics are measured on the run's evaluation worlds first, unless the folder has their numbers.

    Raises:
        RunError: there is no run, or it has no result yet.
    """
    folder, progress = RunFolder.open(path), progress or Progress()
    result = folder.read("result.json")
    if "best" not in result:
        raise RunError(
            f"the run in {path} is not finished; `mfnet train {folder.config().env} --out {path} --resume` ends it"
        )
    config, common = folder.config(), result["evaluation"]
    assert config.env is not None
    model = mfnet_envs.make_model(config.env, **config.env_config)
    if folder.read("heuristics.json").get("worlds") != common["worlds"]:
        progress.say("measuring the heuristics ...")
        tables.save_heuristics(folder, model, folder.yardstick(), common["worlds"], common["seed"], progress)
    numbers = load(path)
    pictures = _pictures(folder, model, numbers)
    for name, (figure, _, _) in pictures.items():
        charts.save_png(figure, path / f"{name}.png")
    page = path / "report.html"
    page.write_text(_page(numbers, model, pictures), "utf-8")
    return page


def load(path: Path) -> Numbers:
    """The numbers of a run folder; heuristics only where they have been measured."""
    folder = RunFolder.open(path)
    result = folder.read("result.json")
    policies = {"random": result["random"], **folder.read("heuristics.json").get("policies", {})}
    policies |= {LEARNT[0]: result["best"], LEARNT[1]: result["last"]}
    record, rows, steps = folder.read("config.json"), folder.rows(), folder.read("staircase.json")
    return Numbers(record, result, rows, steps, policies, folder.yardstick())


# -- pictures


Picture = tuple[Any, str, str]  # figure, heading, caption


def _pictures(folder: RunFolder, model: LocalModel, numbers: Numbers) -> dict[str, Picture]:
    """Name -> picture, in the order of the page."""
    found = {"learning_curve": _curve(numbers)}
    polygons = [data.get("polygon") for _, data in model.network.graph.nodes(data=True)]
    if all(polygon is not None for polygon in polygons) and model.reference_counts is not None:
        found["map"] = _map(folder, model, polygons)
    if numbers.staircase:
        found["staircase"] = _staircase(numbers)
    return found


def _levels(numbers: Numbers) -> list[charts.Line]:
    return [(NAMES.get(n, n), entry["value"]) for n, entry in numbers.policies.items() if n not in LEARNT]


def _curve(numbers: Numbers) -> Picture:
    yardstick = numbers.yardstick
    rows = [row for row in numbers.rows if row[f"evaluation/{yardstick.key}_mean"]]
    steps, mean, ci95 = (
        np.array([float(row[name] or "nan") for row in rows])
        for name in (
            "num_env_steps_sampled_lifetime",
            f"evaluation/{yardstick.key}_mean",
            f"evaluation/{yardstick.key}_ci95",
        )
    )
    figure = charts.curve(steps, yardstick.scale * mean, yardstick.scale * ci95, _levels(numbers), yardstick)
    options = numbers.record["config"]
    caption = (
        f"Evaluations during training, {options['evaluation_duration']} worlds each, with their 95 % band. Thin lines: "
        "the scenario's heuristics (those below the random policy are in the table only). Dashed: the bound, which no "
        "policy exceeds."
    )
    return figure, "Learning curve", caption


def _map(folder: RunFolder, model: LocalModel, polygons: list[Any]) -> Picture:
    weight = float(getattr(model, "weight", 1.0))
    assert model.reference_counts is not None
    demand = model.reference_counts.reshape(model.network.num_nodes, -1).sum(1) * weight
    before, after = (weight * np.array(amount) for amount in _waiting(folder, model))
    panels = [
        ("trips asked for", "per km² in 5 minutes", demand),
        ("free taxis before learning", "free taxis per km²", before),
        ("free taxis after learning", "free taxis per km²", after),
    ]
    caption = (
        "Manhattan, turned so that its avenues point up. Left: mean demand. Middle: where free taxis are, on average "
        "over the evaluated steps, if each stays or drives on at random, as before learning. Right: "
        "under the best learnt policy."
    )
    return charts.city([np.asarray(p) for p in polygons], panels), "Where taxis wait", caption


def _waiting(folder: RunFolder, model: LocalModel) -> tuple[Floats, Floats]:
    """Mean idle agents by node under the random and the best policy."""
    best = Algorithm.from_checkpoint(folder.best)
    seed = folder.read("result.json")["evaluation"]["seed"]
    worlds = min(MAP_WORLDS, folder.read("result.json")["evaluation"]["worlds"])
    return tables.waiting(model, uniform(model), worlds, seed), tables.waiting(model, best.policy, worlds, seed)


def _staircase(numbers: Numbers) -> Picture:
    runs = numbers.staircase["runs"]
    values, ci95 = (np.array([entry[key] or 0.0 for entry in runs.values()]) for key in ("value", "ci95"))
    names = ("stay", "random", "proportional", "lp")
    levels = [(NAMES[name], numbers.policies[name]["value"]) for name in names if name in numbers.policies]
    figure = charts.staircase([int(radius) for radius in runs], values, ci95, levels, numbers.yardstick)
    options = ", ".join(f"{name}={value}" for name, value in numbers.staircase["options"].items())
    caption = (
        f"{len(runs)} short runs of {numbers.staircase['steps']:,} environment steps, one training seed each. They "
        "differ in nothing but the radius over which a zone sums the critics' advantages (otherwise the main run's "
        f"options but for {options}). A move pays later and elsewhere: with too small a radius that part of its value "
        "never reaches the zone it left."
    )
    return figure, "How far credit must travel", caption


# -- the page


def _page(numbers: Numbers, model: LocalModel, pictures: dict[str, Picture]) -> str:
    env = numbers.result["env"]
    sections = [_section(name, *picture) for name, picture in pictures.items()]
    body = "\n".join([_header(numbers, model), _table(numbers), *sections, _fine_print(numbers)])
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{_text(env)}: what was learnt</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _header(numbers: Numbers, model: LocalModel) -> str:
    result, yardstick = numbers.result, numbers.yardstick
    learnt = numbers.policies[LEARNT[0]]
    facts = [(yardstick.text(learnt["value"]), yardstick.unit)]
    gap = yardstick.gap_closed(learnt["value"], numbers.policies["random"]["value"])
    if gap is not None:
        facts.append((f"{100 * gap:.0f} %", "of the gap between random and the bound"))
    facts.append(
        (
            f"{result['num_env_steps_sampled_lifetime'] / 1000:,.0f}k",
            f"environment steps, {result['time_total_s']:,.0f} s of training",
        )
    )
    cards = "".join(f"<li><b>{_text(value)}</b><span>{_text(meaning)}</span></li>" for value, meaning in facts)
    sentences = [*tables.sentences(numbers.policies, yardstick), *tables.executions(numbers.policies, yardstick)]
    said = "".join(f"<p>{_text(sentence)}</p>" for sentence in sentences)
    place = f"{model.network.num_nodes} nodes, {model.population:,} agents"
    return f"""<header>
<h1>{_text(result["env"])}</h1>
<p class="sub">{_text(result["algorithm"])}, seed {result["seed"]} · {place}</p>
<ul class="facts">{cards}</ul>
{said}
</header>"""


def _table(numbers: Numbers) -> str:
    head, *rows = tables.table(numbers.policies, numbers.yardstick)
    by_label = {NAMES.get(name, name): name for name in numbers.policies}
    lines = []
    for row in rows:
        name = by_label.get(row[0], row[0])
        kind = "learnt" if name in LEARNT else "bound" if name == "bound" else ""
        needs = NEEDS.get(name, "no policy exceeds it" if name == "bound" else "")
        cells = "".join(f"<td>{_text(cell)}</td>" for cell in row[1:])
        lines.append(
            f'<tr class="{kind}"><th scope="row">{_text(row[0])}<small>{_text(needs)}</small></th>{cells}</tr>'
        )
    titles = "".join(f'<th scope="col">{_text(title)}</th>' for title in head)
    common = numbers.result["evaluation"]
    return f"""<section>
<h2>Policies side by side</h2>
<div class="scroll"><table>
<thead><tr>{titles}</tr></thead>
<tbody>{"".join(lines)}</tbody>
</table></div>
<p class="caption">Means over the same {common["worlds"]} worlds (seed {common["seed"]}) with 95 % intervals over
worlds; neither the training nor the choice of the best iterate saw them. Gap closed: share of the way from the random
policy to the bound.</p>
</section>"""


def _section(name: str, figure: Any, heading: str, caption: str) -> str:
    return f"""<section>
<h2>{_text(heading)}</h2>
<figure>{charts.svg(figure, name, _text(heading))}<figcaption class="caption">{_text(caption)}</figcaption></figure>
</section>"""


def _fine_print(numbers: Numbers) -> str:
    config, record = numbers.record["config"], numbers.record
    scenario, options = (
        config["env"],
        ", ".join(f"{k}={v}" for k, v in config.items()),
    )
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    steps, warmup = mfnet_envs.make_model(scenario, **config["env_config"]).evaluation
    notes = [
        f"Evaluation: {steps} steps from the initial law"
        + (f", of which the first {warmup} are warm-up." if warmup else "."),
        "The bound comes from a relaxation in which more is known and less is random than any policy can have; how "
        "much of the remaining gap is its slack is not known. It holds for the headline criterion only.",
        "One training seed. The intervals are over evaluation worlds, not over training seeds.",
        *_preset_notes(scenario),
    ]
    return f"""<section class="fine">
<h2>What this rests on</h2>
<ul>{_items(notes)}</ul>
<h3>Again, from the command line</h3>
<pre>{_text(record["command"] or "mfnet train " + scenario)}
mfnet evaluate RUN
mfnet report RUN</pre>
<details><summary>All options</summary><p class="options">{_text(options)}</p></details>
<p class="caption">{_text(versions)}</p>
</section>"""


def _preset_notes(scenario: str) -> list[str]:
    from mfnet_agents.runs import preset_notes

    return preset_notes(scenario)


def _items(sentences: Iterable[str]) -> str:
    return "".join(f"<li>{_text(sentence)}</li>" for sentence in sentences)


def _text(value: object) -> str:
    return html.escape(str(value))


STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f5f7; color: #23272e; }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 58rem; margin: 0 auto; padding: 2.2rem 1rem 4rem; }
header, section { background: #fff; border: 1px solid #e3e5e9; border-radius: 10px; }
header, section { padding: 1.5rem 1.8rem; margin-bottom: 1.1rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.15rem; margin: 0 0 .9rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
.sub { margin: .2rem 0 0; color: #646b76; }
.facts { display: flex; flex-wrap: wrap; gap: .8rem 2.6rem; list-style: none; padding: 0; margin: 1.3rem 0; }
.facts li { flex: 0 1 auto; max-width: 16rem; }
.facts b { display: block; font-size: 2rem; line-height: 1.15; color: #0060a8; font-variant-numeric: tabular-nums; }
.facts span { color: #646b76; font-size: .88rem; }
header p:not(.sub) { margin: .35rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; vertical-align: top; white-space: nowrap; }
th, td { padding: .42rem .55rem; border-bottom: 1px solid #eceef1; }
th:first-child { text-align: left; font-weight: 500; white-space: normal; }
thead th { font-size: .84rem; font-weight: 600; color: #646b76; vertical-align: bottom; white-space: normal; }
th small { display: block; color: #7a818c; font-weight: 400; font-size: .8rem; line-height: 1.3; }
tr.learnt th, tr.learnt td { background: #eaf3fb; }
tr.learnt th:first-child, tr.learnt td:nth-child(2) { color: #0060a8; font-weight: 700; }
tr.bound th, tr.bound td { border-top: 2px dashed #23272e; font-weight: 600; border-bottom: 0; }
figure { margin: 0; }
figure svg { width: 100%; height: auto; display: block; }
.caption { color: #646b76; font-size: .88rem; margin: .9rem 0 0; }
.fine { font-size: .92rem; }
.fine ul { padding-left: 1.2rem; margin: 0; }
pre { background: #f4f5f7; border-radius: 6px; padding: .7rem .9rem; overflow-x: auto; font-size: .85rem; }
.options { overflow-wrap: anywhere; color: #646b76; font-size: .85rem; }
@media print { body { background: #fff; } header, section { border: 0; padding: 0; } }
"""
