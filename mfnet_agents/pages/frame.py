"""The frame of every page: markup in which whatever is not markup is escaped, the shell, the style.

>>> tag("p", "1 < 2", tag("b", "& more"), title='"quoted"')
'<p title="&quot;quoted&quot;">1 &lt; 2<b>&amp; more</b></p>'
"""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from urllib.parse import quote


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
    """A picture that is only looked at."""
    return tag("figure", tag("div", picture, class_="scroll"), tag("figcaption", caption, class_="caption"))


def csv_link(name: str, rows: Iterable[Sequence[object]]) -> Markup:
    """A table to take away: the file is in the link."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    address = f"data:text/csv;charset=utf-8,{quote(text.getvalue())}"
    return tag("a", f"{name}.csv", href=address, download=f"{name}.csv")


def data(name: str, value: object) -> Markup:
    """Plain values for a script, in an element of this id; nothing in them is read as markup."""
    text = json.dumps(value, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return tag("script", Markup(text), type="application/json", id=name)


def page(title: str, *content: object, style: str = "", script: str = "", connect: str = "'none'") -> str:
    """The whole document; it needs nothing from anywhere, and runs no script but its own: the browser is told to refuse
    every other.

    Args:
        script: runs after :data:`SCRIPT`. connect: what it may ask, as a content security policy says it.
    """
    code = f"/*<![CDATA[*/\n{SCRIPT}{script}/*]]>*/"  # a page is XML, too
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; connect-src {connect}"
    head = join(
        [
            Markup('<meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>'),
            Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}"/>'),
            tag("title", title),
            tag("style", Markup(STYLE + style)),
        ]
    )
    body = tag("body", tag("main", *content), tag("script", Markup(code)))
    return f"<!DOCTYPE html>\n{tag('html', tag('head', head), body, lang='en')}\n"


def shipped(name: str) -> str:
    """The text of a file beside this one."""
    return files(__package__).joinpath(name).read_text("utf-8")


SCRIPT = shipped("page.js")
STYLE = shipped("page.css")
