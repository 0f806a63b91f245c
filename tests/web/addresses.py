"""The address of every page of a seeded dashboard."""

from __future__ import annotations

from mainstay.store import inbox_delivery, views
from tests.web.booted import Booted


async def addresses(site: Booted) -> dict[str, str]:
    """Every page by its name."""
    live = await site.store.read(views.open_incidents)
    past = await site.store.read(lambda tx: views.incidents(tx, state="resolved", service="api"))
    running = await site.store.read(lambda tx: views.runs(tx, state="running", job="backup:odoo_prod"))
    failed = await site.store.read(lambda tx: views.runs(tx, state="failed", job="cleanup_temp_files"))
    (waits,) = await site.store.read(lambda tx: inbox_delivery.find(tx, state="queued", part=b"INV-2336"))
    (kept, *_) = await site.store.read(lambda tx: inbox_delivery.find(tx, state="kept"))
    (dead, *_) = await site.store.read(lambda tx: inbox_delivery.find(tx, state="dead"))
    return {
        "overview": "/",
        "search": "/?q=postgres",
        "nothing-found": "/?q=zzz",
        "service": "/services/api",
        "service-warning": "/services/db1?range=7d",
        "incidents": "/incidents",
        "incident": f"/incidents/{live[0]['id']}",
        "incident-past": f"/incidents/{past[0]['id']}",
        "jobs": "/jobs",
        "job": "/jobs/backup:superset",
        "run": f"/runs/{running[0]['id']}",
        "run-failed": f"/runs/{failed[0]['id']}",
        "backups": "/backups",
        "backup": "/backups/hr",
        "certificates": "/certificates",
        "channels": "/channels",
        "inbox": "/inbox",
        "inbox-dead": "/inbox?state=dead&source=bank",
        "inbox-kept": "/inbox?state=kept",
        "event-kept": f"/inbox/{kept.id}",
        "gateway": "/gateway",
        "gateway-route": "/gateway?route=ocr&range=7d",
        "event": f"/inbox/{waits.id}",
        "event-dead": f"/inbox/{dead.id}",
        "readiness": "/readiness",
        "help": "/help",
    }
