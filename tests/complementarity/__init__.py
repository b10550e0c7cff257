"""The complementarity test: two small members, each of which knows half of the answers."""
