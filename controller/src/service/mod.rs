//! The part that waits, listens and writes files.
