"""PostgreSQL's own programs and how to reach a server with them."""
