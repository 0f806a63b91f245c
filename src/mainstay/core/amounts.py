"""Durations and sizes as they are shown to people."""


def format_duration(seconds: float) -> str:
    """Write seconds the short way: `850ms`, `3.3s`, `2m 5s`, `6h 10m`, `3d 4h`."""
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + "s"
    seconds = max(seconds, 60)
    for unit, size, below, low in (("m", 60, "s", 1), ("h", 3600, "m", 60), ("d", 86400, "h", 3600)):
        if seconds < size * (24 if unit == "h" else 60) or unit == "d":
            big, rest = divmod(int(seconds), size)
            return f"{big}{unit} {rest // low}{below}" if rest // low else f"{big}{unit}"
    raise AssertionError("unreachable")


def format_size(size: float) -> str:
    """Write bytes the short way, in powers of ten: `389 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
