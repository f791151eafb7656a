"""The experiment runner. As a command it imports its own code, whatever lies in the current folder."""

from runner.system.place import own_code_first, started_by_module

if started_by_module():
    own_code_first()
