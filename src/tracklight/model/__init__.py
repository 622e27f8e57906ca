"""Plain frozen data that every layer speaks."""
