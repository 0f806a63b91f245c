"""What need not be written: where backups go when there is only one storage."""

from typing import Any

from mainstay.backup.data.base import Dataset


def data_sent_to(storage: str, dataset: Any) -> Any:
    """Give what stands below `data: NAME:` in the file, with the storage filled in where it says none."""
    if not isinstance(dataset, dict) or len(dataset) != 1:
        return dataset
    ((kind, options),) = dataset.items()
    known = Dataset.registry.get(kind) if isinstance(kind, str) else None
    if known is None:
        return dataset
    shorthand = known.shorthand
    if shorthand and (not isinstance(options, dict) or set(options) == {"secret"}):
        options = {shorthand: options}
    if not isinstance(options, dict):
        return dataset
    rules = {} if options.get("backup") is None else options["backup"]
    return {kind: {**options, "backup": {"to": storage, **rules}}} if isinstance(rules, dict) else dataset
