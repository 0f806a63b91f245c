"""How a fetched document is written as a body."""

import json
from typing import Any


def compact(document: Any) -> bytes:
    """Write JSON without spaces, as GitHub and Shopify do."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def spaced(document: Any) -> bytes:
    """Write JSON in lines, as Stripe does."""
    return json.dumps(document, ensure_ascii=False, indent=2).encode()
