"""`GET /readiness`: what should be automated, how far it is, and the evidence."""

from starlette.requests import Request
from starlette.responses import Response

from mainstay.core.finding import Standing
from mainstay.web.readiness import PRIORITIES, WORDS, card
from mainstay.web.site import missing, show, site_of


async def scorecard(request: Request) -> Response:
    """The scorecard."""
    found = await card(site_of(request))
    if found is None:
        return await missing(
            request, "There is no scorecard", "It needs the configuration that mainstay up reads."
        )
    groups = [
        (priority, words, [one for one in found.findings if one.priority is priority])
        for priority, words in PRIORITIES.items()
    ]
    context = {
        "card": found,
        "groups": [group for group in groups if group[2]],
        "words": WORDS,
        "counts": {
            standing: sum(one.standing is standing for one in found.findings) for standing in Standing
        },
    }
    return await show(request, "readiness.html", lambda tx: context)
