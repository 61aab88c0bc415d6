"""Artefacts of stages on disk."""

from raytuner.store.arrays import ARRAYS as ARRAYS
from raytuner.store.codec import JSON as JSON
from raytuner.store.codec import Adapted as Adapted
from raytuner.store.codec import Codec as Codec
from raytuner.store.disk import empty as empty
from raytuner.store.records import pack_strings as pack_strings
from raytuner.store.records import records as records
from raytuner.store.records import unpack_strings as unpack_strings
from raytuner.store.store import Info as Info
from raytuner.store.store import Store as Store
