"""The job of a certificate: look whether it is due, order, put in place, reload, and see that it is served."""

from typing import Any, ClassVar

from mainstay.certs.ports import CertPorts
from mainstay.certs.renewal import Renewal
from mainstay.core.job import Job, Outcome, RunContext
from mainstay.core.units import Duration


class RenewSsl(Job, type="renew_ssl"):
    """Renews one certificate when it is due, makes servers take it, and looks whether they serve it.

    With the argument `force` it is renewed although it is not due; with `version` that version of its files, which is
    on disk already, is put in place.
    """

    steps: ClassVar[tuple[str, ...]] = ("look", "order", "install", "reload", "served")

    certificate: str
    """The certificate, by its name in `certificates:`."""
    retries: int = 0
    """How often a failed run is tried again at once. Authorities count failures, so the next try is hours later."""
    timeout: Duration = 1800.0
    """A run that takes longer is stopped and counts as failed."""

    async def run(self, run: RunContext) -> Outcome:
        work = Renewal(run, run.get(CertPorts), self.certificate)
        found: dict[str, Any] = await run.step("look", work.look)
        if found["action"] == "keep":
            return await work.keep(found)
        ready: dict[str, Any] = await run.step("order", lambda: work.order(found))
        await run.step("install", lambda: work.install(ready))
        await run.step("reload", lambda: work.reload(ready))
        served: str = await run.step("served", lambda: work.served(ready))
        return work.outcome(ready, served)
