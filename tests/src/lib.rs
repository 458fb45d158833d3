//! What the end-to-end tests are written in: guests built from source, a host to talk to through its real router, a
//! store that can die at a chosen commit, a clock moved by hand, a world of hosts that follow each other on the same
//! data. Beside them, the benchmarks against the real server.

pub mod bench;
pub mod clock;
pub mod dying;
pub mod guests;
pub mod host;
pub mod outside;
pub mod tls;
pub mod tools;
pub mod wat;
pub mod watched;
pub mod world;

pub use clock::ManualClock;
pub use dying::DyingStore;
pub use host::{Answer, Host};
pub use outside::Outside;
pub use world::World;
