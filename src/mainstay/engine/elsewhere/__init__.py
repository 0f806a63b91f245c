"""Schedules for those who want them elsewhere: in a crontab, or as timers of systemd.

Whoever wakes mainstay up need not know the rules: `mainstay run --due JOB` looks at the same journal as the agent, does
what is due by the job's own rule, and nothing when nothing is. So a line may fire too often, and never does harm.
"""
