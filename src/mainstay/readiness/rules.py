"""The rows of the matrix that mainstay can judge by itself: one function each."""

from collections.abc import Callable, Iterable, Mapping

from mainstay.core.amounts import format_duration
from mainstay.readiness.evidence import Evidence
from mainstay.readiness.judgement import Judgement, configured, missing, proven, running
from mainstay.readiness.setup import CheckFacts, Setup
from mainstay.store.certificates import Certificate

Rule = Callable[[Setup, Evidence, float], Judgement | None]
"""Judges a row; None when it does not concern this setup."""

RULES: dict[str, Rule] = {}

LATELY = 31 * 86400.0
"""A month: so long does an alert that arrived, or a fault that was caught, count as proof."""
DAY = 86400.0
LONG_WAIT = 900.0
"""Seconds after which a webhook that is not delivered counts as left lying."""
SLACK = 60.0
"""Seconds that an answer may be late beyond three of its intervals before it counts as old."""

ROUND = 900.0
"""Seconds that may lie between two rounds of a `health_check` by the clock: three times five minutes."""


def rule(row: str) -> Callable[[Rule], Rule]:
    """Register the judge of a row."""

    def register(function: Rule) -> Rule:
        RULES[row] = function
        return function

    return register


@rule("backups")
def backups(setup: Setup, evidence: Evidence, now: float) -> Judgement:
    """Proven when every database has a compared restore that is young enough."""
    if not setup.databases:
        return missing(
            "no database is configured", "databases: {NAME: {dsn: {secret: NAME_dsn}, backup: {}}}"
        )
    bare = [database.name for database in setup.databases if not database.storages]
    if bare:
        return missing(
            f"no backup of {_list(bare)}", f"databases: {{{bare[0]}: {{backup: {{to: STORAGE}}}}}}"
        )
    names = [database.name for database in setup.databases]
    untaken = [name for name in names if evidence.taken(name) is None]
    if untaken:
        return configured(f"no backup of {_list(untaken)} yet", f"mainstay backup now {untaken[0]}")
    return _proofs(names, setup, evidence, now)


def _proofs(names: list[str], setup: Setup, evidence: Evidence, now: float) -> Judgement:
    oldest = min(evidence.taken(name) or 0.0 for name in names)
    broken = [
        name for name in names if evidence.verdicts.get(name, {}).get("verdict") not in (None, "proven")
    ]
    if broken:
        verdict = evidence.verdicts[broken[0]]
        return running(
            f"{broken[0]}: {verdict['summary']}", verdict["at"], f"mainstay backup list {broken[0]}"
        )
    old = [name for name in names if now - evidence.proofs.get(name, 0.0) > setup.proof_age]
    if old:
        limit = format_duration(setup.proof_age)
        return running(f"no proof of {_list(old)} within {limit}", oldest, f"mainstay backup prove {old[0]}")
    rows = sum(int(evidence.verdicts[name]["rows"]) for name in names if name in evidence.verdicts)
    words = sorted({database.rows for database in setup.databases}, key=lambda word: (word != "rows", word))
    compared = f"{rows:,} {' and '.join(words)} restored and compared" if rows else "restored and compared"
    return proven(f"{_backed_up(setup)}: {compared}", min(evidence.proofs[name] for name in names))


def _backed_up(setup: Setup) -> str:
    """Say how many databases there are, and what else is backed up."""
    others = sum(database.kind != "postgres" for database in setup.databases)
    databases = _count(range(len(setup.databases) - others), "database")
    if not others:
        return databases
    more = f"{others} other {'kinds' if others > 1 else 'kind'} of data"
    return more if others == len(setup.databases) else f"{databases} and {more}"


@rule("backups_elsewhere")
def backups_elsewhere(setup: Setup, evidence: Evidence, now: float) -> Judgement:
    """Running when the newest backup of every database lies on a storage that outlives this machine."""
    away = {storage.name for storage in setup.storages if storage.elsewhere}
    stored = [database.name for database in setup.databases if database.storages]
    fix = "storage: {offsite: {s3: {bucket: BUCKET, endpoint: https://...}}}"
    if not stored or not away:
        near = ", ".join(storage.target for storage in setup.storages)
        nothing = "no database is backed up" if setup.storages else "no storage is configured"
        return missing(f"backups lie on this machine only: {near}" if near and stored else nothing, fix)
    near_only = [name for name in stored if not any((name, storage) in evidence.backups for storage in away)]
    configured_away = {database.name for database in setup.databases if away & set(database.storages)}
    if set(near_only) - configured_away:
        return missing(f"no copy elsewhere of {_list(near_only)}", fix)
    if near_only:
        return configured(f"none of {_list(near_only)} there yet", f"mainstay backup now {near_only[0]}")
    at = min(
        max(evidence.backups[name, storage] for storage in away if (name, storage) in evidence.backups)
        for name in stored
    )
    targets = ", ".join(storage.target for storage in setup.storages if storage.elsewhere)
    return running(f"{_count(stored, 'database')} on {targets}", at)


@rule("health_checks")
def health_checks(setup: Setup, evidence: Evidence, now: float) -> Judgement:
    """Running when every service has fresh answers; proven when a fault was caught within the month."""
    if not setup.services:
        return missing(
            "no service is configured", "services: {web: {checks: [{http: https://example.com/}]}}"
        )
    bare = [service.name for service in setup.services if not service.checks]
    if bare:
        return missing(
            f"nobody asks about {_list(bare)}", f"give {bare[0]} a check: checks: [{{http: https://...}}]"
        )
    swept = [evidence.done.get(name, 0.0) for name, kind in setup.jobs.items() if kind == "health_check"]
    slack = now - max(swept, default=0.0) <= ROUND
    return _answered(setup.checks(), evidence, now, _caught(evidence, now), ROUND if slack else SLACK)


def _caught(evidence: Evidence, now: float) -> Judgement | None:
    caught = evidence.caught
    if caught is None or now - caught["opened_at"] > LATELY:
        return None
    took = format_duration(max(0.0, caught["opened_at"] - caught["failed_at"]))
    return proven(f"{caught['title']}: confirmed {took} after the first failed answer", caught["opened_at"])


def _answered(
    checks: Iterable[CheckFacts],
    evidence: Evidence,
    now: float,
    better: Judgement | None = None,
    slack: float = SLACK,
) -> Judgement:
    """Judge checks by whether they are answered: all of them, and lately."""
    checks = tuple(checks)
    silent = [check.id for check in checks if check.id not in evidence.answers]
    if silent:
        return configured(f"no answer of {_list(silent)} yet", "mainstay up")
    stale = [check for check in checks if now - evidence.answers[check.id] > 3 * check.every + slack]
    oldest = min(evidence.answers[check.id] for check in checks)
    if stale:
        return configured(
            f"{_count(stale, 'check')} of {len(checks)} not answered lately", "mainstay up", oldest
        )
    return better or running(f"{_count(checks, 'check')} answered", oldest)


@rule("certificates")
def certificates(setup: Setup, evidence: Evidence, now: float) -> Judgement:
    """Running when a certificate check is answered."""
    return _of_type("certificate", "checks: [{certificate: example.com}]", setup, evidence, now)


@rule("renew_ssl")
def renew_ssl(setup: Setup, evidence: Evidence, now: float) -> Judgement:
    """Proven when every certificate was seen at all of its servers lately; running when it is in place and valid."""
    names = setup.certificates
    if not names:
        fix = "certificates: [{names: [example.com], reload: systemd:nginx}], or say under readiness.covered who does"
        return missing("nothing renews certificates", fix)
    known = [evidence.certificates.get(name, Certificate(name)) for name in names]
    faulty = [each for each in known if each.fault]
    if faulty:
        return configured(f"{faulty[0].name}: {faulty[0].fault}", f"mainstay logs renew:{faulty[0].name}")
    bad = [each.name for each in known if each.not_after is None or each.not_after <= now]
    if bad:
        return configured(f"no valid certificate of {_list(bad)}", f"mainstay certs renew {bad[0]}")
    ends = format_duration(min(each.not_after or now for each in known) - now)
    unseen = [each.name for each in known if each.served_at is None or now - each.served_at > 2 * DAY]
    said = f"{_count(names, 'certificate')}, valid for {ends} at least"
    if unseen:
        at = min(each.looked_at for each in known)
        return running(
            f"{said}; {_list(unseen)} not seen at the servers", at, f"mainstay run renew:{unseen[0]}"
        )
    return proven(f"{said}, served at every address", min(each.served_at or now for each in known))


@rule("disk_space")
def disk_space(setup: Setup, evidence: Evidence, now: float) -> Judgement:
    """Running when a disk check is answered."""
    return _of_type("disk", "checks: [{disk: /}]", setup, evidence, now)


def _of_type(kind: str, snippet: str, setup: Setup, evidence: Evidence, now: float) -> Judgement:
    checks = [check for check in setup.checks() if check.type == kind]
    if not checks:
        return missing(f"no {kind} check", snippet)
    return _answered(checks, evidence, now)


@rule("critical_alerts")
def critical_alerts(setup: Setup, evidence: Evidence, now: float) -> Judgement:
    """Proven when a provider that wakes people accepted a critical message within the month."""
    pagers = [channel.name for channel in setup.channels if channel.when == "critical"]
    names = pagers or [channel.name for channel in setup.channels]
    if not names:
        return missing(
            "nobody is told", "notify: {pagerduty: {routing_key: {secret: pagerduty_key}, when: critical}}"
        )
    if not any(service.critical for service in setup.services):
        return configured("no service is critical, so nothing is loud", "services: {NAME: {critical: true}}")
    return _accepted(names, evidence.accepted_critical, evidence, now)


@rule("alerts")
def alerts(setup: Setup, evidence: Evidence, now: float) -> Judgement:
    """Proven when a provider accepted a message within the month."""
    names = [channel.name for channel in setup.channels if channel.when == "always"]
    if not names:
        return missing("no channel hears of everything", "notify: {slack: {url: {secret: slack_url}}}")
    return _accepted(names, evidence.accepted, evidence, now)


def _accepted(names: list[str], accepted: Mapping[str, float], evidence: Evidence, now: float) -> Judgement:
    times = {name: at for name, at in accepted.items() if name in names}
    test = "mainstay doctor --send"
    stuck = [
        name for name in names if name in evidence.owed and now - evidence.owed[name]["since"] > SLACK * 5
    ]
    if stuck:
        return configured(
            f"messages wait for {_list(stuck)}", "mainstay doctor", evidence.owed[stuck[0]]["since"]
        )
    if not times:
        return configured(f"{_list(names)}: nothing has been sent yet", test)
    name, at = max(times.items(), key=lambda pair: pair[1])
    if now - at > LATELY:
        return running(f"{name} accepted a message", at, test)
    return proven(f"{name} accepted a message", at)


@rule("watcher")
def watcher(setup: Setup, evidence: Evidence, now: float) -> Judgement:
    """Running when agents on two machines share a journal: each takes over from the other."""
    if len(evidence.hosts) > 1:
        return running(f"agents on {_list(evidence.hosts)} share the journal", now)
    address = setup.listen or "the dashboard"
    return missing(
        "one agent, and nobody notices when its machine dies",
        f"let another place ask http://{address}/healthz, and note it under readiness.covered",
    )


@rule("healing")
def healing(setup: Setup, evidence: Evidence, now: float) -> Judgement:
    """Proven when a playbook ended an incident within the month."""
    names = [service.name for service in setup.services if service.heals]
    if not names:
        fix = "services: {NAME: {runs_on: systemd:UNIT, heal: restart}}"
        return missing("no service says how it is healed", fix)
    healed = evidence.healed
    if healed is not None and now - healed["resolved_at"] <= LATELY:
        took = format_duration(max(0.0, healed["resolved_at"] - healed["opened_at"]))
        return proven(f"{healed['title']}: over after {took}", healed["resolved_at"])
    if healed is not None:
        return running(f"{_count(names, 'service')}; it has worked before", healed["resolved_at"])
    return configured(
        f"{_count(names, 'service')}; it has not been needed yet", f"mainstay heal {names[0]} --dry-run"
    )


@rule("process_queued_jobs")
def process_queued_jobs(setup: Setup, evidence: Evidence, now: float) -> Judgement:
    """Proven when webhooks were delivered within the month and none waits long; a job of that name counts, too."""
    row = "process_queued_jobs"
    if not setup.sources:
        return _swept(row, setup, evidence, now)
    late = [name for name in setup.sources if now - evidence.waiting.get(name, now) > LONG_WAIT]
    if late:
        return configured(f"webhooks of {_list(late)} wait", f"mainstay inbox list --source {late[0]}")
    known = {name: evidence.deliveries[name] for name in setup.sources if name in evidence.deliveries}
    times = [one.delivered_at for one in known.values() if one.delivered_at is not None]
    if not times:
        return configured("no webhook was delivered yet", f"mainstay webhook send {setup.sources[0]}")
    delivered = f"{sum(one.delivered for one in known.values()):,} webhooks delivered, none waits"
    if now - max(times) <= LATELY:
        return proven(delivered, max(times))
    return running(delivered, max(times))


def _swept(row: str, setup: Setup, evidence: Evidence, now: float) -> Judgement:
    """Judge by the job that sweeps: proven when its newest run looked at every queue and nothing was stuck."""
    found = by_job(row, setup, evidence, now, "jobs: {process_queued_jobs: {every: 15m}}")
    names = [name for name, kind in setup.jobs.items() if kind == row]
    last = evidence.last.get(names[0]) if names else None
    if found.standing != "running" or last is None or "depths" not in last.outcome:
        return found
    if now - last.at > DAY:
        return configured("it was not done lately", f"mainstay run {names[0]}", last.at)
    return proven(last.summary, last.at)


@rule("webhooks")
def webhooks(setup: Setup, evidence: Evidence, now: float) -> Judgement | None:
    """Proven when a target took, within the month, a webhook that it had not taken before; no row without a source."""
    sources = (*setup.sources, *setup.kept)
    if not sources:
        return None
    times = [evidence.arrived[name] for name in sources if name in evidence.arrived]
    times += [
        one.delivered_at for name, one in evidence.deliveries.items() if name in sources and one.delivered_at
    ]
    if not times:
        return configured("no webhook has come yet", f"mainstay webhook send {sources[0]}")
    dead = [name for name in sources if evidence.dead.get(name)]
    if dead:
        fix = f"mainstay inbox list --source {dead[0]} --state dead"
        return running(f"dead letters of {_list(dead)}", max(times), fix)
    if evidence.saved_at is not None and now - evidence.saved_at <= LATELY:
        return proven("a webhook that was not taken at first was brought later", evidence.saved_at)
    return running(f"{_count(sources, 'source')}; the newest proven webhook", max(times))


@rule("gateway")
def the_gateway(setup: Setup, evidence: Evidence, now: float) -> Judgement | None:
    """Proven when it let requests in and turned others away within the month; no row without a route to an origin."""
    if not setup.routes:
        return None
    at, counts = evidence.gateway_at, evidence.traffic
    if at is None or now - at > 5 * SLACK:
        return configured("nobody has seen it carry requests lately", "mainstay up", at)
    turned = counts.limited + counts.unauthorised
    if not counts.admitted:
        return configured(f"{_count(setup.routes, 'route')}; no request was admitted yet", None, at)
    told = f"{counts.admitted:,} requests admitted, {turned:,} turned away within a month"
    if turned:
        return proven(told, max(counts.admitted_at or 0.0, counts.refused_at or 0.0))
    return running(told, at)


@rule("journal_backup")
def journal_backup(setup: Setup, evidence: Evidence, now: float) -> Judgement:
    """Running when the journal was copied within two days; one in PostgreSQL is backed up like any database."""
    if setup.journal != "sqlite":
        return missing(
            "the journal is kept in PostgreSQL",
            "list its database under databases:, and note it under readiness.covered",
        )
    at = evidence.done.get("journal_backup")
    if at is None:
        return configured("it was not copied yet", "mainstay run journal_backup")
    if now - at > 2 * DAY:
        return configured("the newest copy is old", "mainstay logs journal_backup", at)
    return running("copied", at)


@rule("dashboard_login")
def dashboard_login(setup: Setup, evidence: Evidence, now: float) -> Judgement:
    """Running when there is an account; without one nobody gets in."""
    if evidence.accounts == 0:
        return configured("nobody can log in yet", "mainstay password")
    return running(_count(range(evidence.accounts), "account"), None)


def by_job(row: str, setup: Setup, evidence: Evidence, now: float, fix: str) -> Judgement:
    """Judge a row that is a job of that name or type: running when it was done within eight days."""
    names = [name for name, kind in setup.jobs.items() if row in (name, kind)]
    if not names:
        return missing("mainstay does not do this yet", fix)
    times = [evidence.done[name] for name in names if name in evidence.done]
    if any(name in evidence.failed for name in names) or not times:
        return configured(
            "it has not been done yet" if not times else "its last run failed", f"mainstay logs {names[0]}"
        )
    if now - max(times) > 8 * DAY:
        return configured("it was not done lately", f"mainstay run {names[0]}", max(times))
    return running("done", max(times))


def _list(names: Iterable[str], most: int = 3) -> str:
    names = list(names)
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _count(things: Iterable[object], noun: str) -> str:
    number = len(list(things))
    return f"{number} {noun}" + ("" if number == 1 else "s")
