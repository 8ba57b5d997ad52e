"""Sphinx: `make docs` builds docs/_build/html; a warning is an error."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from doconv_core import __version__  # noqa: E402

project = "doconv"
author = "The doconv authors"
copyright = author
release = version = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build"]

# Notebooks are run by every build; what a page shows is what this code said.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# Docstrings: Google style, with sections of our own.
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [
    ("Shape", "notes_style"),
    ("Numerics", "notes_style"),
    ("Source", "notes_style"),
]
# As in tests and in an editor: what a layer takes is its host's signature and then ours.
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = "doconv"
html_static_path = ["_static"]
html_css_files = ["doconv.css"]
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

ELSEWHERE = {
    "../CONTRIBUTING.md": "contributing.md",
    "../benchmarks/README.md": "benchmarks.md",
    "../examples/README.md": "examples.md",
}
"""Pages that the site includes from outside this folder; in the repository links go to files."""


def _links(app: Sphinx, name: str, content: list[str]) -> None:
    for file, page in ELSEWHERE.items():
        content[0] = content[0].replace(f"]({file})", f"]({page})")


MARKUP = re.compile(r"(``.*?``|:\w+:`[^`]*`|^\s*\* |\*\*\S(?:[^*]*\S)?\*\*)")
"""Literals, references, bullets, bold: everything else in a docstring is meant as it stands."""


def _as_text(app: Sphinx, kind: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """A lone star, bar or final underscore, as in ``(O, I/g, *kernel_size)``, is no markup."""
    dialogue = False
    for number, line in enumerate(lines):
        dialogue = bool(line.strip()) and (dialogue or line.lstrip().startswith(">>>"))
        if not dialogue:
            parts = MARKUP.split(line)
            parts[::2] = [re.sub(r"([*|]|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]]
            lines[number] = "".join(parts)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _as_text, priority=400)  # before napoleon, at 500
    app.connect("source-read", _links)
