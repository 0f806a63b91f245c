"""The true boundaries: clock, names, objects, hosts, containers, PostgreSQL's own tools."""
