"""`bench perf`: hot paths beside what the machine can do."""
