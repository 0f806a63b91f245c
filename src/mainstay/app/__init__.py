"""The composition root: the only room that constructs adapters and puts the others together."""

from mainstay.app.compose import App, open_app

__all__ = ["App", "open_app"]
