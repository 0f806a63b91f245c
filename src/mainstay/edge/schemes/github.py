"""GitHub: repositories, organisations and apps."""

from typing import ClassVar

from mainstay.edge.schemes.shapes import Signed


class GitHub(Signed, type="github"):
    """`X-Hub-Signature-256`: HMAC-SHA256 over the body. Gitea and Forgejo send the same header.

    Neither a time nor the id is signed: who copies a request can give it another id. With `dedup_by: body` a copy is
    known whatever its id. GitHub sends nothing a second time by itself.
    """

    signature_header: ClassVar[str] = "X-Hub-Signature-256"
    prefix: ClassVar[str] = "sha256="
    id_header: ClassVar[str] = "X-GitHub-Delivery"
    type_header: ClassVar[str] = "X-GitHub-Event"
