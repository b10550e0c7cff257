"""What the wrappers of every framework share: fields, settings, one call. Imports no framework."""
