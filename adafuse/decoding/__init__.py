"""The loop and what it decides: draft, pool, score, commit. Knows no token and no tensor."""
