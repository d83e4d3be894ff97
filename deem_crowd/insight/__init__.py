"""Tables on fitted objects, agreement of a panel, warnings and the report of a user's own answers."""
