"""Members in this process: tokens, caches and tensors stay in here."""
