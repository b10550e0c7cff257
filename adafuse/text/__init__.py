"""Exact text: tokenizers, words, stop strings. Knows no model, no member and no prompt."""
