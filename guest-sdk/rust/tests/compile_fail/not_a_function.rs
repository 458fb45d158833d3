use durawasm::prelude::*;

#[durawasm::activity]
struct Pack;

fn main() {
    let _: Result<Pack> = Ok(Pack);
}
