"""What the agent sees of the gateway beside it: how its origins are, what it answers, and what is wrong with it."""
