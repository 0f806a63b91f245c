"""Readiness: how far each automation has come, judged by dated evidence in the journal.

`assess(setup, evidence, now)` gives findings; `gather(tx, now)` reads the evidence; `score` and `ready` sum up.
"""

from mainstay.readiness.assess import assess, ready, score
from mainstay.readiness.evidence import Evidence, gather
from mainstay.readiness.matrix import MATRIX, Row
from mainstay.readiness.setup import Setup

__all__ = ["MATRIX", "Evidence", "Row", "Setup", "assess", "gather", "ready", "score"]
