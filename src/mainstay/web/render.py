"""The templates' environment."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mainstay.web import bars, words
from mainstay.web.static import assets

MACROS = ("icon", "state", "csrf_field", "post", "empty", "streak")


def _query(given: Mapping[str, str]) -> str:
    """Write what is not empty as the query of an address."""
    return urlencode({name: value for name, value in given.items() if value})


def environment() -> Environment:
    """Everything is escaped unless it is markup of our own; an unknown name is an error."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals.update(static=assets().url, draw=bars.draw)
    macros = made.get_template("macros.html").module
    made.globals.update({name: getattr(macros, name) for name in MACROS})
    made.filters.update(
        span=words.span,
        rough=words.rough,
        latency=words.latency,
        persecond=words.per_second,
        count=words.count,
        bytes=words.size,
        share=words.share,
        plural=words.plural,
        listed=words.listed,
        sentence=words.sentence,
        query=_query,
    )
    return made
