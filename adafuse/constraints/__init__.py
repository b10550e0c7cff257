"""What an answer must be: one grammar for all members, held to byte by byte."""
