"""HTML from the templates beside this file: `render(name, ...)`. All that they are given is escaped."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape


def render(name: str, **given: object) -> Markup:
    """The template `name` (a file of this folder), filled in."""
    return Markup(_environment().get_template(name).render(given))


def strong(text: str) -> Markup:
    """Escaped, but for **words** that are to be strong, on one line or several, and line breaks."""
    marked = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", str(escape(text)))
    return Markup(marked.replace("\n", "<br>"))


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,  # A name that a template misspells raises, it does not leave a gap.
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["strong"] = strong
    return environment
