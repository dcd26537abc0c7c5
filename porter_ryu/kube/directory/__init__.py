"""The directory of manifests, piece by piece: files, their parsing, the folder of status."""
