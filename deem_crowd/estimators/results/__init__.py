"""What fitted objects show: labels of tasks, tables, findings, and what to do next."""
