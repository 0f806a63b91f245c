"""What a rule says of its row."""

from dataclasses import dataclass

from mainstay.core.finding import Standing


@dataclass(frozen=True, slots=True)
class Judgement:
    """How far a row has come, why, since when, and what would take it further."""

    standing: Standing
    evidence: str
    at: float | None = None
    fix: str | None = None


def missing(evidence: str, fix: str) -> Judgement:
    """Nothing does it."""
    return Judgement(Standing.MISSING, evidence, None, fix)


def configured(evidence: str, fix: str | None = None, at: float | None = None) -> Judgement:
    """It is set up, but nothing shows that it happens."""
    return Judgement(Standing.CONFIGURED, evidence, at, fix)


def running(evidence: str, at: float | None, fix: str | None = None) -> Judgement:
    """It happens."""
    return Judgement(Standing.RUNNING, evidence, at, fix)


def proven(evidence: str, at: float) -> Judgement:
    """It happened for real, and the result was measured."""
    return Judgement(Standing.PROVEN, evidence, at)
