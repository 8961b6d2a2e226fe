"""The frame of every page: markup in which whatever is not markup is escaped, the shell, the style.

>>> tag("p", "1 < 2", tag("b", "& more"), title='"quoted"')
'<p title="&quot;quoted&quot;">1 &lt; 2<b>&amp; more</b></p>'
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


class Markup(str):
    """Text that is HTML already. A plain string is not, and is escaped wherever it enters a page."""


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """An element; ``class_`` stands for ``class``, ``aria_x`` for ``aria-x``; an attribute of None is left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>{join(content)}</{name}>")


def join(content: Iterable[object]) -> Markup:
    """One after the other; only :class:`Markup` passes unescaped."""
    return Markup("".join(part if isinstance(part, Markup) else html.escape(str(part)) for part in content))


def each(name: str, items: Iterable[object]) -> Markup:
    """An element for every item: ``each("li", sentences)``."""
    return join(tag(name, item) for item in items)


def section(heading: str, *content: object, **attributes: object) -> Markup:
    return tag("section", tag("h2", heading), *content, **attributes)


def table(head: Sequence[object], rows: Iterable[Markup], **attributes: object) -> Markup:
    """A table that scrolls where it is too wide; ``rows`` are ``<tr>`` elements."""
    titles = join(tag("th", title, scope="col") for title in head)
    body = tag("table", tag("thead", tag("tr", titles)), tag("tbody", *rows), **attributes)
    return tag("div", body, class_="scroll")


def row(head: object, cells: Iterable[object], **attributes: object) -> Markup:
    return tag("tr", tag("th", head, scope="row"), each("td", cells), **attributes)


def facts(pairs: Iterable[tuple[object, object]]) -> Markup:
    """Large numbers with what they mean."""
    cards = [join([tag("b", value), tag("span", meaning)]) for value, meaning in pairs]
    return tag("ul", each("li", cards), class_="facts")


def figure(picture: Markup, caption: str) -> Markup:
    return tag("figure", picture, tag("figcaption", caption, class_="caption"))


def page(title: str, *content: object, style: str = "") -> str:
    """The whole document; it needs nothing from anywhere."""
    head = join(
        [
            Markup('<meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>'),
            tag("title", title),
            tag("style", Markup(STYLE + style)),
        ]
    )
    document = tag("html", tag("head", head), tag("body", tag("main", *content)), lang="en")
    return f"<!DOCTYPE html>\n{document}\n"


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
th:first-child { text-align: left; font-weight: 500; white-space: normal; min-width: 9rem; }
thead th { font-size: .84rem; font-weight: 600; color: #646b76; vertical-align: bottom; white-space: normal; }
th small { display: block; color: #7a818c; font-weight: 400; font-size: .8rem; line-height: 1.3; }
tr.learnt th, tr.learnt td { background: #eaf3fb; }
tr.learnt th:first-child, tr.learnt td:nth-child(2) { color: #0060a8; font-weight: 700; }
tr.bound th, tr.bound td { border-top: 2px dashed #23272e; font-weight: 600; border-bottom: 0; }
figure { margin: 0; overflow-x: auto; }
figure svg { width: 100%; min-width: 33rem; height: auto; display: block; }
figcaption { position: sticky; left: 0; }
.caption { color: #646b76; font-size: .88rem; margin: .9rem 0 0; }
.fine { font-size: .92rem; }
.fine ul { padding-left: 1.2rem; margin: 0; }
pre { background: #f4f5f7; border-radius: 6px; padding: .7rem .9rem; overflow-x: auto; font-size: .85rem; }
.options { overflow-wrap: anywhere; color: #646b76; font-size: .85rem; }
@media print { body { background: #fff; } header, section { border: 0; padding: 0; } }
"""
