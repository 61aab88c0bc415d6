"""Artefacts of stages on disk, shared by all threads, processes and runs of a user.

    store = Store(folder)
    with store.lease():  # while a trial runs
        vectors = store.get_or_build(key, build, ARRAYS, stage="embed_chunks")

What is where:

- An SQLite database is the index of all artefacts and holds the small ones, since thousands of rankings and answers are
  read and written there in well under the time that as many files take, a batch in one transaction.
- A large artefact is one file, named by its key and checksum, so that its arrays can be mapped into memory and shared
  by the workers of a machine. It is written under another name and then renamed; its row is there before it is and is
  gone after it is, so that no file is ever forgotten.
- Two formats serve everything: JSON, and safetensors for named arrays (`records` makes columns of named tuples). A
  `Codec` turns an artefact into one of them. Nothing is pickled.

What holds:

- One process builds what several ask for: it holds the lock of the key (`locks`), which the kernel releases when it
  dies. The others wait and then read, or build if it failed.
- Each artefact has a SHA-256 over its content, key and format: of small ones it is checked at each reading, of files
  once in a process and after each change. What is damaged is removed and built again. So nothing is flushed to the
  disk by force: a power cut can lose an artefact but not falsify one.
- A damaged index is replaced by one made of the files; small artefacts are then lost.
- On file systems of a network the database keeps a rollback journal, since write-ahead logging does not work there.
- Beyond the limit the least recently used are evicted, but nothing that was used since the oldest living lease began.
  So a process that holds a lease finds again what it used, and no list of what each one uses has to be kept.
- A store that fails in the middle of a run (a full disk) is said once and then done without: an artefact that is not
  kept costs time, a run that is lost costs more.
"""

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
