"""Who waits for whom: admission of answers, threads of members, async iterators."""
