"""The directory of manifests: scans, reads and parses its files, and stores their objects."""
