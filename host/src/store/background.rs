//! Threads that the store does not write on.

use std::cell::Cell;

thread_local! {
    static LEAVES_WRITING: Cell<bool> = const { Cell::new(false) };
}

/// From now on this thread leaves all writing to the store's own. For threads of a lower priority: one that the system
/// takes the processor from in the middle of a write would make everybody wait.
pub fn leave_writing() {
    LEAVES_WRITING.set(true);
}

/// True: this thread must not write.
pub(super) fn leaves_writing() -> bool {
    LEAVES_WRITING.get()
}
