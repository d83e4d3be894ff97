"""Running methods on label sets, and measuring what comes out."""
