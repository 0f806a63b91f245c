"""What makes jobs run: queue, runner, leases, scheduler, the watch that asks checks, the process supervisor."""
