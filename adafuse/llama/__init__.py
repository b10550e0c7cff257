"""Models in llama.cpp: a runner beside that of transformers, for GGUF files as they are."""
