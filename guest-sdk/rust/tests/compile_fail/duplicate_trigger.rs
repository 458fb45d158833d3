use durawasm::prelude::*;

#[durawasm::timer(name = "Clean", schedule = "0 0 12 * * *")]
fn clean_daily(_ctx: FunctionContext) -> Result<()> {
    Ok(())
}

#[durawasm::manual(name = "Clean")]
fn clean_now(_ctx: FunctionContext) -> Result<()> {
    Ok(())
}

durawasm::app!(clean_daily, clean_now);

fn main() {}
