"""The pieces of what ``raytuner export --python`` writes: each stands in the script as it stands here.

They use LlamaIndex and nothing of raytuner but other pieces. `raytuner.script` puts together those that a pipeline
needs. Constants stand for parameters, which the script sets; names from `glue` are defined by the script.
"""
