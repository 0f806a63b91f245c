"""The configuration: every room's settings, composed, checked and explained.

`load(path)` gives a `Config`; `outline(path)` gives the few facts that commands need which only look, and fast.
"""

from mainstay.config.load import find, load

__all__ = ["find", "load"]
