"""The lane without loss: write-ahead log as it is written, base backups, restores to any moment."""
