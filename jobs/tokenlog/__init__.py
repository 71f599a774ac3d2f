"""The token log: what a running reply has said so far, replayed and followed with one cursor.

The worker appends pieces to a Redis Stream per generation; the entry ids are `<fence>-<sequence>`, so the cursor is the
sequence number itself, and `<fence + 1>-0` is the end. Readers start from the row's snapshot or from the log, then
follow: what is added to any log is also told on one channel, which one task per event loop hears. Whatever Redis loses,
the row's snapshots (every second, and the final text) carry the readers across. It does not know sockets, nor who may
read what.
"""

from jobs.tokenlog.events import Done, Event, Piece, Snapshot, key_of
from jobs.tokenlog.reader import batches, follow
from jobs.tokenlog.writer import TokenLog

__all__ = ["Done", "Event", "Piece", "Snapshot", "TokenLog", "batches", "follow", "key_of"]
