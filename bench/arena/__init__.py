"""What the bench of the edge is fought in: contestants on one core, load from another."""
