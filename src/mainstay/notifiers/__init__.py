"""Notifiers tell: one file per type of channel. Importing this registers them all."""

from mainstay.notifiers import pagerduty, slack

__all__ = ["pagerduty", "slack"]
