"""How the library behaves in a process: threads, progress, warnings, whole files, packages that may be missing."""
