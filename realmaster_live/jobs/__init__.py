"""Long jobs for many workers: leases, executors, one worker and one supervisor."""
