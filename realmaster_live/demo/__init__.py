"""The whole chain on one machine: demo, benchmark, report."""
