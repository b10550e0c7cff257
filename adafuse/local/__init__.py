"""Members in this process: tokens, caches and tensors stay in here."""

from adafuse.local.member import LocalMember

__all__ = ["LocalMember"]
