"""Signature schemes: how senders prove who they are, one file per scheme. Importing this registers them all."""

from mainstay.edge.schemes import hmac

__all__ = ["hmac"]
