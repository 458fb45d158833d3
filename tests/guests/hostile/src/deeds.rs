//! What both roles do.

use std::hint::black_box;

/// Computes for ever.
pub(crate) fn loop_forever() -> ! {
    let mut rounds = 0u64;
    loop {
        rounds = black_box(rounds.wrapping_add(1));
    }
}

/// Takes and touches memory, one MiB after the other, until there is no more.
pub(crate) fn grow_memory() -> ! {
    loop {
        black_box(vec![1u8; 1 << 20]).leak();
    }
}

/// Calls itself until the stack is full.
#[allow(unconditional_recursion, reason = "this is the deed")]
pub(crate) fn stack_overflow(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    black_box(stack_overflow(depth + 1)) ^ frame[63]
}

/// 100 MiB of text.
pub(crate) fn huge_text() -> String {
    "x".repeat(100 << 20)
}

/// Writes lines of 64 KiB to the standard output for ever.
pub(crate) fn print_forever() -> ! {
    let line = "y".repeat(64 << 10);
    loop {
        println!("{line}");
    }
}
