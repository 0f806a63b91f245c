"""Rows about jobs that say what they did: judged by the outcome of the newest run that was done."""

from mainstay.core.amounts import format_duration
from mainstay.readiness.evidence import Evidence
from mainstay.readiness.judgement import Judgement, configured, missing, proven, running
from mainstay.readiness.rules import Rule, by_job
from mainstay.readiness.setup import Setup


def cleanup_temp_files(setup: Setup, evidence: Evidence, now: float) -> Judgement:
    """Proven when a run deleted what was old within eight days and measured it; a rehearsal deletes nothing."""
    row = "cleanup_temp_files"
    fix = "jobs: {cleanup_temp_files: {paths: [{path: /var/tmp}], docker: {}}}"
    names = [name for name, kind in setup.jobs.items() if kind == row]
    if not names:
        found = by_job(row, setup, evidence, now, fix)
        return missing("no job cleans up", fix) if row not in setup.jobs else found
    found = by_job(row, setup, evidence, now, fix)
    last = evidence.last.get(names[0])
    if found.standing != "running" or last is None:
        return found
    if last.outcome.get("rehearsal"):
        return configured(last.summary, f"mainstay run {names[0]}", last.at)
    if not last.outcome.get("in_time", True):
        return running(last.summary, last.at, f"give jobs.{names[0]} a larger budget")
    return proven(last.summary, last.at)


def security_patches(setup: Setup, evidence: Evidence, now: float) -> Judgement:
    """Proven when a run within three days could look at everything and found nothing open, or closed it."""
    row = "security_patches"
    fix = "jobs: {security_patches: {apply: security}}"
    names = [name for name, kind in setup.jobs.items() if kind == row]
    found = by_job(row, setup, evidence, now, fix)
    if not names:
        return missing("nothing looks for security updates", fix) if row not in setup.jobs else found
    last = evidence.last.get(names[0])
    if found.standing != "running" or last is None:
        return found
    if now - last.at > RECENT:
        return configured("it was not done lately", f"mainstay run {names[0]}", last.at)
    if not last.outcome.get("clean"):
        return running(last.summary, last.at, f"mainstay logs {names[0]}")
    return proven(last.summary, last.at)


def any_moment(setup: Setup, evidence: Evidence, now: float) -> Judgement | None:
    """Proven when a moment of every server whose log is kept was restored and compared, and is young enough."""
    names = [database.name for database in setup.databases if database.log_storage]
    if not names:
        return None
    untaken = [name for name in names if f"base_backup:{name}" not in evidence.done]
    if untaken:
        return configured(f"no base backup of {untaken[0]} yet", f"mainstay run base_backup:{untaken[0]}")
    taken = min(evidence.done[f"base_backup:{name}"] for name in names)
    for name in names:
        job = f"prove_log:{name}"
        failed, last = evidence.failed.get(job), evidence.last.get(job)
        if failed is not None:
            return running(f"{name}: {failed['error']}", failed["at"], f"mainstay logs {job}")
        if last is None or now - last.at > setup.proof_age:
            return running(f"no moment of {name} was restored lately", taken, f"mainstay run {job}")
        if not last.outcome.get("proven"):
            return running(last.summary, last.at, f"mainstay run {job}")
    proofs = [evidence.last[f"prove_log:{name}"] for name in names]
    return proven("; ".join(proof.summary for proof in proofs), min(proof.at for proof in proofs))


def optimize_database(setup: Setup, evidence: Evidence, now: float) -> Judgement:
    """Proven when a run within eight days looked into every database, came to its end, and found nothing critical."""
    row = "optimize_database"
    fix = "jobs: {optimize_database: {}}"
    names = [name for name, kind in setup.jobs.items() if kind == row]
    found = by_job(row, setup, evidence, now, fix)
    if not names:
        return missing("nothing keeps databases in shape", fix) if row not in setup.jobs else found
    last = evidence.last.get(names[0])
    if found.standing != "running" or last is None:
        return found
    if not last.outcome.get("in_time"):
        return running(last.summary, last.at, f"give jobs.{names[0]} a larger budget")
    if last.outcome.get("critical"):
        return running(last.summary, last.at, f"mainstay logs {names[0]}")
    return proven(last.summary, last.at)


RECENT = 3 * 86400.0
"""Seconds for which a look at security updates counts."""


def machine_time(setup: Setup, evidence: Evidence, now: float) -> Judgement:
    """Proven when the jobs of a week stayed within their budget; running when they did not."""
    if not evidence.worked:
        return configured("no job has run within a week", "mainstay up")
    total = sum(evidence.worked.values())
    name, most = max(evidence.worked.items(), key=lambda pair: pair[1])
    told = f"{format_duration(round(total))} of {format_duration(setup.machine_time)} a week"
    if total <= setup.machine_time:
        return proven(told, now)
    fix = f"run {name} less often, which took {format_duration(round(most))}, or raise readiness.machine_time"
    return running(told, now, fix)


UPKEEP: dict[str, Rule] = {
    "machine_time": machine_time,
    "cleanup_temp_files": cleanup_temp_files,
    "security_patches": security_patches,
    "any_moment": any_moment,
    "optimize_database": optimize_database,
}
