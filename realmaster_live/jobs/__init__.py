"""Many workers for one long job: who runs them, and who of them makes what just now."""
