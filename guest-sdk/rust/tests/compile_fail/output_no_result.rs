use durawasm::prelude::*;

#[durawasm::activity]
fn count(_ctx: ActivityContext) -> u32 {
    3
}

#[durawasm::activity]
fn nothing(_ctx: ActivityContext) {}

durawasm::app!(count, nothing);

fn main() {}
