"""The templates' environment."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mainstay.web import bars, words
from mainstay.web.static import assets

MACROS = ("icon", "state", "csrf_field", "post", "empty", "streak")


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
        count=words.count,
        bytes=words.size,
        share=words.share,
        plural=words.plural,
        listed=words.listed,
        sentence=words.sentence,
    )
    return made
