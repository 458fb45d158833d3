//! The way out: what guests may reach, and how it is reached.
//!
//! [`rules`] says what an operator allows, [`egress`] connects, and only to addresses that it has checked, [`exchange`] speaks
//! HTTP on such a connection, [`metered`] counts and bounds what passes on it, [`tls`] says whom TLS trusts, and [`call`] makes the HTTP calls of orchestrators. Whatever
//! leaves on behalf of a guest goes through here. [`otlp`] goes the same way, to the one place that the operator names for
//! spans.

mod address;
pub mod call;
pub mod egress;
pub mod exchange;
pub mod metered;
pub mod otlp;
pub mod rules;
pub mod tls;
