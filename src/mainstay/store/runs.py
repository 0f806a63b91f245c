"""Runs, their finished steps and their log. A write of an owner is refused once another one has followed it."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mainstay.core.run import Run, RunState
from mainstay.store.base import Row, Tx

LONGEST_PAUSE = 900.0
"""Seconds between two tries of a run, at most."""


def get(tx: Tx, run_id: str) -> Run | None:
    """Give a run by its id."""
    return _run(tx.one("runs.get", id=run_id))


def require(tx: Tx, run_id: str) -> Run:
    """Give a run that is known to exist. Raises `LookupError` if it was pruned meanwhile."""
    run = get(tx, run_id)
    if run is None:
        raise LookupError(f"there is no run {run_id}")
    return run


def by_key(tx: Tx, key: str) -> Run | None:
    """Give a run by its key."""
    return _run(tx.one("runs.by_key", key=key))


def latest(tx: Tx, job: str, limit: int = 20) -> list[Run]:
    """Give the newest runs of a job, newest first."""
    return [_made(row) for row in tx.all("runs.latest", job=job, limit=limit)]


def insert(tx: Tx, run: Run) -> Run:
    """Queue a run; give the run that has its key, which may be an older one."""
    tx.run(
        "runs.insert",
        id=run.id,
        job=run.job,
        key=run.key,
        why=run.why,
        due_at=run.due_at,
        args=json.dumps(run.args),
        missed=run.missed,
        owner=run.owner,
        now=run.created_at,
        next_try_at=run.next_try_at,
    )
    return _made(tx.all("runs.by_key", key=run.key)[0])


def next_at(tx: Tx, node: str, jobs: Iterable[str], now: float) -> float | None:
    """Say when the next of these jobs' runs may start (0: at once), or None when nothing waits."""
    row = tx.one("runs.next_at", node=node, jobs=json.dumps(sorted(jobs)), now=now, longest=LONGEST_PAUSE)
    return None if row is None or row["at"] is None else float(row["at"])


def claim(tx: Tx, node: str, jobs: Iterable[str], now: float, limit: int) -> list[Run]:
    """Take up to `limit` runs that may start, one per job; the node owns them from here on."""
    names = json.dumps(sorted(jobs))
    taken: list[Run] = []
    refused: set[str] = set()
    while len(taken) < limit:
        ready = tx.all("runs.ready", node=node, jobs=names, now=now, longest=LONGEST_PAUSE, limit=20)
        row = next((row for row in ready if row["job"] not in refused), None)
        if row is None:
            break
        run = take(tx, row["id"], row["job"], node, now)
        if run is None:
            refused.add(row["job"])
        else:
            taken.append(run)
    return taken


def take(tx: Tx, run_id: str, job: str, node: str, now: float) -> Run | None:
    """Take one queued run; None when its job is busy or somebody else is just taking it."""
    lock = tx.one("runs.lock_job", job=job)
    if lock is None or not lock["got"]:
        return None
    if not tx.run("runs.take", id=run_id, node=node, now=now):
        return None
    return get(tx, run_id)


def deaths(tx: Tx, run_id: str) -> int:
    """Say how many owners died while they had the run."""
    row = tx.one("runs.deaths", id=run_id)
    return int(row["deaths"]) if row else 0


def left_out(tx: Tx, jobs: Iterable[str], now: float) -> list[tuple[str, str]]:
    """Give (run, busy run) for first tries that are due while their job is busy."""
    rows = tx.all("runs.left_out", jobs=json.dumps(sorted(jobs)), now=now)
    return [(row["id"], row["busy"]) for row in rows]


def strangers(tx: Tx, jobs: Iterable[str], before: float) -> list[Run]:
    """Give the runs that wait since before a time and whose job is not among `jobs`."""
    rows = tx.all("runs.strangers", jobs=json.dumps(sorted(jobs)), before=before)
    return [_made(row) for row in rows]


def plan(tx: Tx, run_id: str, steps: Iterable[str]) -> None:
    """Keep the names of a run's steps."""
    tx.run("runs.plan", id=run_id, plan=json.dumps(list(steps)))


def hold(tx: Tx, run: Run) -> bool:
    """Say whether `run.owner` still owns the run under `run.fence`; if so it stays so until the unit ends."""
    return tx.run("runs.hold", id=run.id, owner=run.owner, fence=run.fence) == 1


def owns(tx: Tx, run: Run) -> bool:
    """Say whether `run.owner` owns the run under `run.fence` at this moment."""
    return tx.one("runs.owns", id=run.id, owner=run.owner, fence=run.fence) is not None


def owned(tx: Tx, node: str) -> set[tuple[str, int]]:
    """Give (run, fence) of everything that a node owns."""
    return {(row["id"], row["fence"]) for row in tx.all("runs.owned", owner=node)}


def steps(tx: Tx, run_id: str) -> dict[str, Any]:
    """Give the results of the finished steps by name."""
    return {row["name"]: json.loads(row["result"]) for row in tx.all("runs.steps", run=run_id)}


def keep_step(tx: Tx, run: Run, name: str, started_at: float, finished_at: float, result: str) -> bool:
    """Keep a finished step; False when the run has another owner."""
    if not hold(tx, run):
        return False
    tx.run(
        "runs.keep_step",
        run=run.id,
        name=name,
        fence=run.fence,
        started_at=started_at,
        finished_at=finished_at,
        result=result,
    )
    return True


def add_lines(tx: Tx, run_id: str, lines: Iterable[tuple[float, str]]) -> None:
    """Add (time, line) pairs to the log; the caller holds the run."""
    lines = list(lines)
    if not lines:
        return
    row = tx.one("runs.last_line", run=run_id)
    seq = int(row["seq"]) if row else 0
    numbered = [
        {"run": run_id, "seq": seq + offset, "at": at, "line": line}
        for offset, (at, line) in enumerate(lines, 1)
    ]
    tx.many("runs.add_line", numbered)


def lines(tx: Tx, run_id: str, after: int = 0, limit: int = 1000) -> list[tuple[int, float, str]]:
    """Give (number, time, line) of the log after a line number."""
    rows = tx.all("runs.lines", run=run_id, after=after, limit=limit)
    return [(row["seq"], row["at"], row["line"]) for row in rows]


def put_progress(tx: Tx, run: Run, progress: Mapping[str, Any]) -> bool:
    """Publish how far a run is; False when it has another owner."""
    text = json.dumps(progress)
    return tx.run("runs.progress", id=run.id, owner=run.owner, fence=run.fence, progress=text) == 1


def progress(tx: Tx, run_id: str) -> dict[str, Any] | None:
    """Give what a running run said last of how far it is: label, done, total, unit, at."""
    row = tx.one("runs.get", id=run_id)
    return json.loads(row["progress"]) if row and row["progress"] else None


def settle(
    tx: Tx,
    run: Run,
    state: RunState,
    now: float,
    *,
    summary: str = "",
    outcome: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> Run | None:
    """End or park a run; gives it as it is now, or None when it has another owner."""
    done = tx.run(
        "runs.settle",
        id=run.id,
        owner=run.owner,
        fence=run.fence,
        state=state.value,
        summary=summary,
        outcome=json.dumps(outcome or {}),
        error=error,
        finished_at=now if state.ended else None,
    )
    return get(tx, run.id) if done else None


def later(tx: Tx, run: Run, at: float, error: str, reserved: str | None = None) -> bool:
    """Queue a failed try again, for `reserved` or anybody; False when it has another owner."""
    guard = {"id": run.id, "owner": run.owner, "fence": run.fence}
    return tx.run("runs.later", **guard, next_try_at=at, error=error, reserved=reserved) == 1


def release(tx: Tx, run: Run) -> bool:
    """Give a run back unfinished, so that any node goes on with it; False when it has another owner."""
    return tx.run("runs.release", id=run.id, owner=run.owner, fence=run.fence) == 1


def free_orphans(tx: Tx) -> int:
    """Free whatever belongs to nodes that are no more; gives how many runs."""
    return sum(tx.run("runs.free", id=row["id"]) for row in tx.all("runs.orphans"))


def close(
    tx: Tx, run_id: str, state: RunState, now: float, *, summary: str = "", error: str | None = None
) -> bool:
    """End or park a run that has not ended; its owner, if any, finds its next write refused."""
    ended = now if state.ended else None
    return tx.run("runs.close", id=run_id, state=state.value, now=ended, summary=summary, error=error) == 1


def prune(tx: Tx, before: float) -> int:
    """Forget runs that ended before a moment, with their steps and logs; gives how many. Call it until it gives 0."""
    return tx.run("runs.prune", before=before)


def reopen(tx: Tx, run_id: str, *, anew: bool) -> bool:
    """Queue an ended or parked run again; `anew` forgets its finished steps."""
    if not tx.run("runs.reopen", id=run_id, anew=int(anew)):
        return False
    if anew:
        tx.run("runs.forget_steps", run=run_id)
    return True


def _run(row: Row | None) -> Run | None:
    return None if row is None else _made(row)


def _made(row: Row) -> Run:
    return Run(
        id=row["id"],
        job=row["job"],
        key=row["key"],
        state=RunState(row["state"]),
        due_at=row["due_at"],
        args=json.loads(row["args"]),
        why=row["why"],
        attempt=row["attempt"],
        missed=row["missed"],
        owner=row["owner"],
        fence=row["fence"],
        plan=tuple(json.loads(row["plan"])),
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        next_try_at=row["next_try_at"],
        summary=row["summary"],
        outcome=json.loads(row["outcome"]),
        error=row["error"],
    )
