"""Carries what the gateway's policy admits to origins and back."""
