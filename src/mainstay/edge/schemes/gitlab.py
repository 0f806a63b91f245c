"""GitLab, with its secret token."""

from typing import ClassVar

from mainstay.edge.schemes.shapes import Token


class GitLab(Token, type="gitlab"):
    """`X-Gitlab-Token` holds the secret token; nothing is signed. With a signing token choose `standard_webhooks`."""

    id_header: ClassVar[str] = "Idempotency-Key"
    type_header: ClassVar[str] = "X-Gitlab-Event"

    def token_header(self) -> str:
        """Name the header."""
        return "X-Gitlab-Token"
