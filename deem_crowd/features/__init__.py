"""Features of tasks beside their answers: labels and a classifier learned together."""
