"""Certificates: issued, renewed in time, put where servers look for them, and believed only when they are served."""
