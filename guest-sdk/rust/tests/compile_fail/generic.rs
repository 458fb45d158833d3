use durawasm::prelude::*;

#[durawasm::activity]
fn echo<T>(_ctx: ActivityContext, value: T) -> Result<T> {
    Ok(value)
}

durawasm::app!(echo);

fn main() {}
