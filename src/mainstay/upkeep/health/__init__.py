"""Every check asked once, for schedulers that want an exit code."""
