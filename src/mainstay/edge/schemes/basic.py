"""Any sender that can log in with a name and a password, but cannot sign."""

import base64

from mainstay.edge.schemes.shapes import Token


class Basic(Token, type="basic", shorthand="username"):
    """`Authorization: Basic`, with a name and the secret as the password; nothing is signed."""

    username: str
    """The name that the sender logs in with."""

    def token_header(self) -> str:
        """Name the header."""
        return "Authorization"

    def token(self, secret: str) -> bytes:
        """Give the header's value for a secret."""
        return b"Basic " + base64.b64encode(f"{self.username}:{secret}".encode())
