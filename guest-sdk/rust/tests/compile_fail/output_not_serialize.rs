use durawasm::prelude::*;

struct Parcel;

#[durawasm::orchestrator]
async fn order(_ctx: OrchestrationContext) -> Result<Parcel> {
    Ok(Parcel)
}

durawasm::app!(order);

fn main() {}
