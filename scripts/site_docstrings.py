"""Docstrings are written in the little reStructuredText that ``help()`` shows well; the site shows Markdown."""

from __future__ import annotations

from typing import Any

import griffe
from build_pages import as_markdown


class AsMarkdown(griffe.Extension):
    """Turns every docstring as the environments' pages are turned."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        self.on_object(obj=pkg)  # a package itself is announced here only
