"""Findings: what a readiness rule found about one automation."""

from dataclasses import dataclass
from enum import StrEnum


class Priority(StrEnum):
    """How much it matters: P0 data loss, breach or downtime; P1 painful by hand; P2 quality; P3 later."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"


class Standing(StrEnum):
    """How far an automation has come. PROVEN needs dated evidence: a compared restore, an alert that arrived."""

    MISSING = "missing"
    CONFIGURED = "configured"
    RUNNING = "running"
    PROVEN = "proven"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the scorecard. `at` is when the evidence was measured, seconds since 1970."""

    rule: str
    priority: Priority
    title: str
    standing: Standing
    evidence: str
    at: float | None = None
    fix: str | None = None
