"""Readiness: how far each automation has come, judged by dated evidence in the journal.

`evidence.gather(tx, now)` reads the journal, `assess.assess(setup, evidence, now)` gives findings, `assess.score` and
`assess.ready` sum them up. Nothing is imported here: `mainstay status` needs `setup` alone.
"""
