"""From hub ids, folders and GGUF files to models on their devices."""
