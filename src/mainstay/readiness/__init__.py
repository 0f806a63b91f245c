"""Readiness: how far each automation has come, judged by dated evidence in the journal."""
