"""The dashboard, the JSON API, `/metrics` and `/healthz`: pages over the journal, and a few buttons."""
