"""The demonstration: a small company on one machine, watched, backed up, broken and healed before your eyes."""
