"""File formats of scans and label maps."""
