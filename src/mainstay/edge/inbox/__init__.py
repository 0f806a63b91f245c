"""The inbox: webhooks are proven, put on disk, and only then acknowledged."""
