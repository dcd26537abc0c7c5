"""The version of this program: the distribution, `--version`, HTTP and metrics read it here."""

VERSION = "0.1.0"
