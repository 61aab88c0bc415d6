"""What happens in a search, told to trackers: MLflow, Weights & Biases, TensorBoard, Aim, and a study of Optuna.

The log of a run stays the record; a tracker gets a copy of what is in it, and what it has already is never written
twice. A tracker that fails never fails a search, nor holds it up: each works in a thread of its own, which is handed
the newest state of each trial. Texts (prompts, and whatever is long) are withheld unless they are asked for.
"""
