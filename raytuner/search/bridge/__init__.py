"""Search algorithms whose libraries cannot live in the same environment, each in one of its own.

`environment` makes that from a lock file, `child` runs in it, `process` talks to it, `searcher` is what Ray sees and
`systems` has a function for each algorithm.
"""
