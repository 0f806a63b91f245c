"""Taking other data than PostgreSQL's: the type stores its pieces, the manifest goes last."""

from pathlib import Path

import mainstay
from mainstay.backup.data.base import Taking
from mainstay.backup.label import Kept, publish
from mainstay.backup.manifest import DataManifest
from mainstay.backup.ports import BackupPorts
from mainstay.core.crash import point
from mainstay.core.job import RunContext
from mainstay.core.units import format_size


def cache_of(ports: BackupPorts) -> Path:
    """Give the directory for what makes the next backup faster."""
    return ports.scratch.root.with_name("cache")


async def take_data(
    run: RunContext, ports: BackupPorts, name: str, storage: str, place: str
) -> tuple[DataManifest, Kept]:
    """Back one thing below `data:` up into a folder of a storage. Raises `MainstayError`."""
    dataset, to = ports.data[name], ports.storage(storage)
    await to.sweep(ports.clock.now(), place, age=0)  # nobody else writes there
    begun = ports.clock.monotonic()
    run.log(f"{dataset.type_name} {dataset.target()}")
    with ports.scratch.workspace() as space:
        taking = Taking(run, ports.clock, to, place, dataset.backup, space.path, name, cache_of(ports))
        taken = await dataset.take(taking)
    point("backup.uploaded")
    manifest = DataManifest(
        id=run.id,
        database=name,
        storage=storage,
        name=dataset.target(),
        taken_at=taken.at,
        seconds=round(ports.clock.monotonic() - begun, 3),
        mainstay=mainstay.__version__,
        kind=dataset.type_name,
        program=taken.program,
        said=taken.said,
        pieces=taking.pieces,
        counted=taken.counted,
        unproven=taken.unproven,
        facts=taken.facts,
        besides=taken.besides,
    )
    run.log(f"{taken.said}, stored {format_size(manifest.bytes)} in {to.target()}")
    for what, why in list(taken.unproven.items())[:20]:
        run.log(f"not certain: {what}: {why}")
    kept = await publish(to, place, manifest, taking.weights)
    point("backup.manifest")
    return manifest, kept
