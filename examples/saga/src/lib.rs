//! Several steps that belong together: what was done is undone when a later step cannot be; what is merely broken is
//! repaired and goes on.

use durawasm::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Trip {
    traveller: String,
    /// The hotel has no room: a step that cannot be.
    #[serde(default)]
    hotel_is_full: bool,
    /// Payments are broken until then, in seconds since 1970: a step that fails, but may succeed later.
    #[serde(default)]
    payments_broken_until: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Booked(Vec<String>),
    /// With what had been booked by then and was undone, the last first.
    Cancelled(Vec<String>),
}

#[durawasm::orchestrator(name = "E6_Trip")]
async fn trip(ctx: OrchestrationContext, trip: Trip) -> Result<Outcome> {
    let mut booked: Vec<String> = vec![];
    for (what, is_full) in [("flight", false), ("hotel", trip.hotel_is_full)] {
        // A child of its own for each booking: its history is its own, and a rewind reaches it.
        match ctx.call_sub_orchestration("E6_Book", (what, is_full, &trip.traveller)).await {
            Ok(booking) => booked.push(booking),
            Err(error) if error.error_type == "SoldOut" => {
                durawasm::warn!(ctx, "{error}: undoing {booked:?}");
                let mut cancelled = vec![];
                while let Some(booking) = booked.pop() {
                    cancelled.push(ctx.call_activity("E6_Cancel", booking).await?);
                }
                return Ok(Outcome::Cancelled(cancelled));
            }
            Err(error) => return Err(error),
        }
    }
    // Not undone when it fails: somebody repairs the payments and rewinds this instance, which goes on from here.
    ctx.call_activity::<()>("E6_Pay", trip.payments_broken_until).await?;
    Ok(Outcome::Booked(booked))
}

#[durawasm::orchestrator(name = "E6_Book")]
async fn book(ctx: OrchestrationContext, (what, is_full, traveller): (String, bool, String)) -> Result<String> {
    let policy = RetryPolicy::new(3, Duration::from_secs(5)).backoff(2.0);
    ctx.activity("E6_Reserve").input((what, is_full, traveller)).retry(policy).call().await
}

#[durawasm::activity(name = "E6_Reserve")]
fn reserve(_ctx: ActivityContext, (what, is_full, traveller): (String, bool, String)) -> Result<String> {
    if is_full {
        // No other attempt would find a room.
        return Err(Error::new("SoldOut", format_args!("there is no {what} left")).non_retriable());
    }
    Ok(format!("{what} for {traveller}"))
}

#[durawasm::activity(name = "E6_Cancel")]
fn cancel(_ctx: ActivityContext, booking: String) -> Result<String> {
    Ok(booking)
}

#[durawasm::activity(name = "E6_Pay")]
fn pay(_ctx: ActivityContext, broken_until: u64) -> Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    if now < broken_until {
        return Err(Error::new("PaymentsBroken", "the payment service does not answer"));
    }
    Ok(())
}

durawasm::app!(trip, book, reserve, cancel, pay);
