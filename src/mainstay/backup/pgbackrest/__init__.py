"""Where pgBackRest keeps a server's log: its backups are asked for, its restores proven, what is wrong is told."""
