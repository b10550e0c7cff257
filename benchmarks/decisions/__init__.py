"""Next words of reference texts: which rule of fusing decides best, border by border."""
