"""The job `cleanup_temp_files`: rules, the walk that cannot leave its root, Docker, the journal of systemd."""
