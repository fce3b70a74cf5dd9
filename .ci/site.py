"""The HTML site: README, guides, tables and benchmarks, around the API that pdoc has put into the folder `api` there.

    python .ci/site.py [DIR]      into build/docs, or into DIR

Notebooks are rendered as they are committed, with their outputs, which the tests keep right. A link to a file that is
no page is an error.
"""

from __future__ import annotations

import html
import posixpath
import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbconvert.filters import Highlight2HTML, ansi2html, markdown2html
from pygments.formatters import HtmlFormatter

ROOT = Path(__file__).parent.parent
OUT = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "build" / "docs"

#: Source -> (page, title in the menu).
PAGES = {
    "README.md": ("index.html", "Start"),
    "notebooks/tour.ipynb": ("tour.html", "Tour"),
    "notebooks/values_and_rules.ipynb": ("values_and_rules.html", "Values and rules"),
    "notebooks/before_the_first_call.ipynb": ("before_the_first_call.html", "Before the first call"),
    "notebooks/scale.ipynb": ("scale.html", "Scale"),
    "notebooks/types_and_editors.ipynb": ("types_and_editors.html", "Types and editors"),
    "notebooks/signatures.ipynb": ("signatures.html", "What kernels show"),
    "notebooks/frameworks.ipynb": ("frameworks.html", "Frameworks"),
    "notebooks/train_digits.ipynb": ("train_digits.html", "Training on digits"),
    "notebooks/coming_from.ipynb": ("coming_from.html", "Coming from"),
    "notebooks/questions.ipynb": ("questions.html", "Questions and answers"),
    "notebooks/parity.md": ("parity.html", "Parity table"),
    "notebooks/types.md": ("types.html", "Table of types"),
    "notebooks/versions.md": ("versions.html", "Versions"),
    "benchmarks/README.md": ("benchmarks.html", "What it costs"),
    "lazify/README.md": ("api.html", "API"),
    ".github/CHANGELOG.md": ("changelog.html", "Changes"),
    ".github/CONTRIBUTING.md": ("contributing.html", "Contributing"),
}
#: What pdoc renders: page -> title, as links on the page of the API.
MODULES = ("lazify", "lazify.errors", "lazify.layers", "lazify.nn")

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --link: light-dark(#0b57d0, #8ab4f8);
  --text: light-dark(#1b1b1b, #e3e3e3); --back: light-dark(#fff, #17181a); }
* { box-sizing: border-box }
body { margin: 0; font: 16px/1.55 system-ui, sans-serif; color: var(--text); background: var(--back);
  display: grid; grid-template-columns: 15rem minmax(0, 1fr) }
nav { border-right: 1px solid var(--line); padding: 1.5rem; position: sticky; top: 0; height: 100vh; overflow: auto }
nav a { display: block; padding: .2rem 0; text-decoration: none; color: inherit }
nav a[aria-current] { font-weight: 600; color: var(--link) }
main { padding: 1.5rem 2.5rem 4rem; max-width: 62rem; min-width: 0 }
a { color: var(--link) }
code, pre { font: 13.5px/1.5 ui-monospace, monospace }
p code, li code, td code { background: var(--soft); padding: .1em .3em; border-radius: 3px }
pre { background: var(--soft); padding: .8rem 1rem; overflow-x: auto; border-radius: 4px; margin: .7rem 0 }
.output pre { background: none; border-left: 3px solid var(--line); border-radius: 0 }
.output table code { background: none }
.scroll { overflow-x: auto }
main > .scroll table, .text table { border-collapse: collapse; font-size: 14.5px }
main > .scroll th, main > .scroll td { border-bottom: 1px solid var(--line); padding: .3rem .9rem .3rem 0;
  text-align: left; vertical-align: top }
.anchor-link { visibility: hidden; text-decoration: none; margin-left: .3em }
:hover > .anchor-link { visibility: visible }
.highlight .err { border: 0 }
img { max-width: 100% }
@media (max-width: 52rem) { body { display: block } nav { position: static; height: auto; border: 0 }
  nav a { display: inline-block; margin-right: 1rem } main { padding: 0 1.2rem 3rem } }
"""


def main() -> int:
    OUT.mkdir(parents=True, exist_ok=True)
    colours = HtmlFormatter(style="friendly").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    style = f"{STYLE}{colours}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n.highlight {{ background: none }}"
    (OUT / "style.css").write_text(style, encoding="utf-8")
    wrong = []
    for source in PAGES:
        content, missing = _linked(_rendered(source), source)
        wrong += [f"{source}: no page for the link to {link}" for link in missing]
        page, title = PAGES[source]
        (OUT / page).write_text(_page(title, page, content), encoding="utf-8")
    sys.stderr.writelines(f"{each}\n" for each in wrong)
    print(OUT / "index.html")
    return bool(wrong)


def _rendered(source: str) -> str:
    """The HTML of a Markdown file or of a notebook."""
    if source.endswith(".ipynb"):
        return "\n".join(map(_cell, nbformat.read(ROOT / source, as_version=4).cells))
    content = _markdown((ROOT / source).read_text(encoding="utf-8"))
    if source == "lazify/README.md":
        paths = {name: f"api/{name.replace('.', '/')}.html" for name in MODULES}
        links = "".join(f'<li><a href="{path}"><code>{name}</code></a></li>' for name, path in paths.items())
        lower = re.sub(r"(</?)h1", r"\1h2", content, count=2)
        content = f"<h1>The API</h1>\n<ul>{links}</ul>\n{lower}"
    return content


def _markdown(text: str) -> str:
    rendered = markdown2html(re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL))
    # the anchors of headings in lower case, as the sources' links have them for other renderers of Markdown
    rendered = re.sub(r'(?:id="|href="#)[^"]*"', lambda anchor: anchor[0].lower(), rendered)
    return re.sub(r"<table>.*?</table>", r'<div class="scroll">\g<0></div>', rendered, flags=re.DOTALL)


def _cell(cell: nbformat.NotebookNode) -> str:
    if cell.cell_type == "markdown":
        return _markdown(cell.source)
    code = Highlight2HTML()(cell.source, language="python")
    return f'<div class="cell">{code}{"".join(map(_output, cell.outputs))}</div>'


def _output(output: nbformat.NotebookNode) -> str:
    data = output.get("data", {})
    if "text/html" in data:
        shown = f'<div class="scroll">{data["text/html"]}</div>'
    elif "image/png" in data:
        shown = f'<img alt="plot" src="data:image/png;base64,{data["image/png"].strip()}">'
    else:
        shown = f"<pre>{ansi2html(output.get('text') or data['text/plain'])}</pre>"
    return f'<div class="output">{shown}</div>'


def _linked(content: str, source: str) -> tuple[str, list[str]]:
    """The HTML with links between pages for those between sources, and the links that lead nowhere; copies images."""
    missing = []

    def replaced(found: re.Match[str]) -> str:
        attribute, link = found.groups()
        path, hash_, anchor = html.unescape(link).partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if "://" in link or link.startswith(("#", "data:", "mailto:")) or path.startswith("api/"):
            return found[0]
        if target in PAGES:
            return f'{attribute}="{PAGES[target][0]}{hash_}{anchor}"'
        if target.endswith(".svg"):
            shutil.copy(ROOT / target, OUT)
            return f'{attribute}="{posixpath.basename(target)}"'
        missing.append(link)
        return found[0]

    return re.sub(r'(href|src)="([^"]*)"', replaced, content), missing


def _page(title: str, page: str, content: str) -> str:
    menu = "".join(
        f'<a href="{each}"{" aria-current=page" if each == page else ""}>{name}</a>' for each, name in PAGES.values()
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><link rel="stylesheet" href="style.css">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)} - lazify</title></head>\n"
        f"<body><nav>{menu}</nav><main>\n{content}\n</main></body></html>\n"
    )


if __name__ == "__main__":
    sys.exit(main())
