"""mainstay keeps a small company's servers checked, backed up, proven, alerted and healed."""

# A literal, not importlib.metadata: looking the version up in the installed package costs 20 ms of start-up.
__version__ = "0.1.0"
