use durawasm::prelude::*;

#[durawasm::timer]
fn never(_ctx: FunctionContext) -> Result<()> {
    Ok(())
}

#[durawasm::timer(schedule = "*/5 * * * *")]
fn five_fields(_ctx: FunctionContext) -> Result<()> {
    Ok(())
}

#[durawasm::timer("0 */5 * * * *")]
fn bare(_ctx: FunctionContext) -> Result<()> {
    Ok(())
}

#[durawasm::manual(schedule = "0 */5 * * * *")]
fn by_hand(_ctx: FunctionContext) -> Result<()> {
    Ok(())
}

durawasm::app!(never, five_fields, bare, by_hand);

fn main() {}
