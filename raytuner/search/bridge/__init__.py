"""Search algorithms whose libraries cannot live in the same environment, each in one of its own.

`environment` makes that from a lock file by `install`. In it `child` runs the `libraries`; `process` talks to it,
`searcher` is what Ray sees, and `systems` has a function for each algorithm.
"""
