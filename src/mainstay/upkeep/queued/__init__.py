"""What waits: the inbox, runs, messages. One sweep by the clock beside the work that goes on all the time."""
