//! The allocator's one setting.
//!
//! A training step frees and takes the same gigabyte again and again. The allocator would give pages back to the kernel in
//! between, which then has to clear them for the next step: a quarter of the time of a step of a small decoder.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long};

/// `mi_option_purge_delay` in mimalloc's `mimalloc.h`; −1 is never.
const PURGE_DELAY: c_int = 15;

/// Keeps freed pages for as long as the process lives. `MIMALLOC_PURGE_DELAY` in the environment still wins.
pub(crate) fn keep_freed_pages() {
    // SAFETY: it stores one number, under a lock or before other threads exist, and refuses options that it does not know.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, c_long::from(-1i8)) }
}
