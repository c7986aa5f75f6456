"""Hooks of mkdocs: the pages of methods are made when the site is built."""

from __future__ import annotations

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))

import docstrings  # found by the line above
import methods
import notebooks

from xaionnx import discovery

# Files of the root that are pages of the site too.
ROOT_PAGES = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md", "security.md": "SECURITY.md"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the methods into the navigation, family by family."""
    for entry in config.nav or []:
        if "Methods" in entry:
            entry["Methods"] += [
                {heading: [{name: f"methods/{name}.md"} for name in names]}
                for heading, names in methods.families().items()
            ]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add a page a method, their index, the gallery, the notebooks, and pages of the root."""
    files.append(File.generated(config, "gallery.md", content=methods.gallery()))
    files.append(File.generated(config, "methods/index.md", content=methods.index()))
    for page, source in ROOT_PAGES.items():
        text = (methods.ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    for name in discovery.methods():
        files.append(File.generated(config, f"methods/{name}.md", content=methods.page(name)))
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        place = Path(file.src_uri)
        text, pictures = notebooks.page(notebooks.read(Path(str(file.abs_src_path))), place.stem)
        files.append(File.generated(config, place.with_suffix(".md").as_posix(), content=text))
        for picture, content in pictures.items():
            files.append(File.generated(config, (place.parent / picture).as_posix(), content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Link the name of each method, where it stands as code, to its page."""
    up = "../" * page.file.src_uri.count("/")
    targets = {name: f"{up}methods/{name}.md" for name in discovery.methods()}
    targets.pop(Path(page.file.src_uri).stem, None)
    return docstrings.with_links(markdown, targets)
