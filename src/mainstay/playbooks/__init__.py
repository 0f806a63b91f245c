"""Playbooks: incident → guarded action → confirming check → people. Importing this registers the job type."""

from mainstay.playbooks import heal

__all__ = ["heal"]
