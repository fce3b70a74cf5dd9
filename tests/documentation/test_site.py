"""The HTML site: every page is rendered, and every link leads to a page."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nbconvert")

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    done = subprocess.run([sys.executable, ROOT / ".ci" / "site.py", directory], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return directory


def test_every_source_is_a_page(site: Path) -> None:
    menu = (site / "index.html").read_text()
    for source in (ROOT / "notebooks").iterdir():
        if source.suffix in (".ipynb", ".md"):
            assert f'href="{source.stem}.html"' in menu
            assert (site / f"{source.stem}.html").is_file()


def test_links_lead_to_pages(site: Path) -> None:
    for page in site.glob("*.html"):
        for link in re.findall(r'(?:href|src)="([^"#]+)[^"]*"', page.read_text()):
            if not link.startswith(("http", "data:", "api/")):  # pdoc makes the last
                assert (site / link).exists(), f"{page.name}: {link}"


def test_links_lead_to_anchors(site: Path) -> None:
    ids = {page.name: set(re.findall(r'id="([^"]+)"', page.read_text())) for page in site.glob("*.html")}
    for page in site.glob("*.html"):
        for link, anchor in re.findall(r'href="([^"#:]*)#([^"]+)"', page.read_text()):
            if not link.startswith("api/"):
                assert anchor in ids[link or page.name], f"{page.name}: {link}#{anchor}"


def test_outputs_are_shown(site: Path) -> None:
    assert "<del><code" in (site / "tour.html").read_text()
    assert "data:image/png;base64" in (site / "train_digits.html").read_text()
    assert (site / "costs.svg").is_file()
    assert "prefers-color-scheme: dark" in (site / "style.css").read_text()
