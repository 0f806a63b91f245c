"""The journal: the only memory. SQLite on one machine, PostgreSQL when there are several."""
