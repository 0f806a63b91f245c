"""The configuration: every room's settings, composed, checked and explained."""
