"""What a caller asks, and how each member reads it: messages, templates, prompts."""
