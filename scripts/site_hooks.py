"""What MkDocs asks while it builds the site: pages that the code writes, and links that leave docs/.

A page in docs/ is read in two places. In the repository its links lead to files beside docs/, such as an example; on
the site such a file becomes a page of its own, ``repository/examples/own_city.py.md``, and the link leads there. Links
inside README and the like, which stand outside docs/, are turned the same way.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import build_reference
import tutorials
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = "repository/"  # where files that are not of docs/ stand on the site
LINK = re.compile(r'(\]\(|href="|src=")(?!\w+:|#|/)([^)"#\s]+)(#[^)"\s]*)?(?=[)"])')
FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)
CODE_IN_ROW = re.compile(r"(?<=\| )`[^`\n]+`(?= \|)")
MADE = re.compile(r"`([\w-]+\.md)`")  # a page of the reference where it is named only, since a repository has none
LANGUAGES = {".py": "python", ".toml": "toml", ".json": "json", ".cfg": "ini", ".sh": "bash"}


def on_config(config: Any) -> Any:
    """Put a page for every module of the reference into the navigation."""
    reference = next(part["Reference"] for part in config.nav if "Reference" in part)
    names = [path for path in build_reference.pages() if path.startswith("reference/api/")]
    reference.append({"Names": [{Path(path).stem: path} for path in names]})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the reference, the notebooks, and a page for every file of the repository that some page links to."""
    for path, text in build_reference.pages().items():
        files.append(File.generated(config, path, content=text))
    for page in tutorials.pages():
        name = f"tutorials/{page.stem}.ipynb"
        files.append(File.generated(config, name, content=tutorials.notebook(page)))
    waiting = [file.src_uri for file in files.documentation_pages()]
    while waiting:
        page = waiting.pop()
        for outside in linked(_text(files, page), origin(page)):
            if files.get_file_from_path(outside) is None:
                files.append(File.generated(config, outside, content=as_page(outside)))
                waiting.append(outside)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn the links of a page."""
    here = page.file.src_uri

    def turned(link: re.Match[str]) -> str:
        mark, path, anchor = link[1], link[2], link[3] or ""
        target = place_of(posixpath.normpath(posixpath.join(origin(here), path)))
        if target is None:
            return link[0]
        written = posixpath.relpath(target, posixpath.dirname(here) or ".")
        if mark == 'href="':  # MkDocs leaves HTML as it is
            written = re.sub(r"\.md$", ".html", re.sub(r"(^|/)README\.md$", r"\1index.html", written))
        return f"{mark}{written}{anchor}"

    if here == "reference/index.md":
        markdown = MADE.sub(_link_to_made, markdown) + f"\n{build_reference.list_of_names()}\n"
    text = "".join(part if part.startswith("```") else _bars(LINK.sub(turned, part)) for part in FENCE.split(markdown))
    return (
        text if not here.startswith("tutorials/") or here.endswith("index.md") else tutorials.with_download(text, here)
    )


def _link_to_made(name: re.Match[str]) -> str:
    title = build_reference.pages()[f"reference/{name[1]}"].partition("\n")[0].lstrip("# ")
    return f"[{title}]({name[1]})"


def _bars(markdown: str) -> str:
    """A bar in code in a table must be escaped for GitHub, and must not be for Python-Markdown."""
    return CODE_IN_ROW.sub(lambda code: code[0].replace("\\|", "|"), markdown)


def origin(page: str) -> str:
    """The folder of the repository in which a page's links begin."""
    name = page.removeprefix(OUTSIDE).removesuffix(".md") if page.startswith(OUTSIDE) else f"docs/{page}"
    return posixpath.dirname(name)


def place_of(path: str) -> str | None:
    """Where a file of the repository stands on the site; None where there is no such file."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"{OUTSIDE}{path}.md" if (ROOT / path).is_file() and not path.startswith("..") else None


def linked(markdown: str, folder: str) -> set[str]:
    """The pages of files outside docs/ that a text links to."""
    text = "".join(part for part in FENCE.split(markdown) if not part.startswith("```"))
    found = (place_of(posixpath.normpath(posixpath.join(folder, link[2]))) for link in LINK.finditer(text))
    return {page for page in found if page and page.startswith(OUTSIDE)}


def as_page(outside: str) -> str:
    """A file of the repository as a page: Markdown as it is, all else as code."""
    name = outside.removeprefix(OUTSIDE).removesuffix(".md")
    text = (ROOT / name).read_text("utf-8")
    if name.endswith(".md"):
        return text
    language = LANGUAGES.get(Path(name).suffix, "text")
    return f"# {name}\n\n````{language}\n{text.rstrip()}\n````\n"


def _text(files: Files, page: str) -> str:
    file = files.get_file_from_path(page)
    assert file is not None
    return file.content_string
