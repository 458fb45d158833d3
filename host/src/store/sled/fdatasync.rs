//! Makes sled's syncs syncs. On Linux sled follows each write of its log with `sync_file_range`, which waits for the
//! bytes alone: it leaves the disk's cache as it is, and the file's length too. sled takes what it has written so for durable,
//! and after a while writes over the place that a moved page had before; after a power cut neither may be there.
//!
//! There is no setting for it. But the call is looked up by its name when the program is linked, and the
//! program's own definitions come first.

/// Whether sled's syncs come here: asked before a store is used. On other systems than Linux sled uses no such call.
#[cfg(target_os = "linux")]
pub(super) fn is_ours() -> bool {
    let (ours, linked) = (sync_file_range as *const (), libc::sync_file_range as *const ());
    ours == linked
}

/// Whether sled's syncs come here: asked before a store is used. On other systems than Linux sled uses no such call.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_ours() -> bool {
    true
}

/// In the place of the C library's: more than was asked for.
#[allow(unsafe_code, reason = "a symbol that replaces another has no other form; its signature is the C library's")]
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
extern "C" fn sync_file_range(
    file: libc::c_int,
    _offset: libc::off64_t,
    _length: libc::off64_t,
    _flags: libc::c_uint,
) -> libc::c_int {
    // SAFETY: it takes a number only, and one that is no open file is an error.
    unsafe { libc::fdatasync(file) }
}
