"""Limits that are never exceeded: the generic cell rate algorithm (GCRA) over three kinds of stores."""

from mainstay.edge.gateway.limits.gcra import Limiter, Rule, Taken, Want
from mainstay.edge.gateway.limits.leases import Leases
from mainstay.edge.gateway.limits.memory import MemoryLimiter
from mainstay.edge.gateway.limits.shared import SharedLimiter

__all__ = ["Leases", "Limiter", "MemoryLimiter", "Rule", "SharedLimiter", "Taken", "Want"]
