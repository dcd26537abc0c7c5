"""The commands of `porter-ryu`, one module each; `cli` makes a parser of them.

A command module has HELP (one sentence), `add_arguments` and `run`, which returns the exit status.
It imports at its top only what is fast to import, because every command pays for it: rich, Ryu and
the parts of the program are imported where they are used.
"""
