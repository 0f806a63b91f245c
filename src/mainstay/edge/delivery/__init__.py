"""Delivery: what was taken in is brought to its target, once as far as the target can tell, however long that takes."""
