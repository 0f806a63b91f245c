"""Tokens (JWT) and the keys that they are signed with."""
