"""The time machine: tapes in files, the store of runs, replay, and the views that replay gives."""
