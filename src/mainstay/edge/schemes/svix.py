"""Svix, and the many who send through it."""

from typing import ClassVar

from mainstay.edge.schemes.standard_webhooks import StandardWebhooks


class Svix(StandardWebhooks, type="svix"):
    """Standard Webhooks with Svix's own header names, such as `svix-signature`: Clerk, Resend and others send so."""

    headers: ClassVar[tuple[str, str, str]] = ("svix-id", "svix-timestamp", "svix-signature")
    id_header: ClassVar[str] = "svix-id"
