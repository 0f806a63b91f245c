"""Notifiers tell: one file per type of channel. Importing this registers them all."""

from mainstay.notifiers import email, pagerduty, slack, webhook

__all__ = ["email", "pagerduty", "slack", "webhook"]
