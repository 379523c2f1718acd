"""What a run tells those who operate it: metrics, structured logs, traces."""
