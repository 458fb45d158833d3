//! Sharing what is scarce between hubs: places that are given to hubs in turn, in the order of arrival within a hub.
//! Who uses most of the processors is heavy; the engine has threads of lower priority for those.
//!
//! Taking and giving back a place is one atomic operation each while nobody waits.

mod charge;
mod gate;
mod share;
mod slices;
mod turns;

pub(crate) use charge::{charge, charged, payer};
pub(crate) use gate::{Gate, Lane, Permit};
pub(crate) use share::{LOOK, Share, Shares};
pub(crate) use slices::Slices;
pub(crate) use turns::Turns;
