//! End to end: real components through the real router; the real program where a process matters.

mod bad_input;
mod crash;
mod hello;
mod hostile;
mod layers;
mod program;
mod replay;
