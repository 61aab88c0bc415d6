"""Searches as jobs of a Ray cluster.

On the machine of the user, `submit.py` packs (`package.py`, `modules.py`, `wheel.py`) and sends over `cluster.py`;
`job.py` is what was sent, `fetch.py` brings its run folder back. On the cluster, `keeper.py` runs the search;
`nodes.py` looks at the nodes, `storage.py` copies its run folder, `send.py` prints one. Nothing is imported here, since
a node may lack what some of them need.
"""
