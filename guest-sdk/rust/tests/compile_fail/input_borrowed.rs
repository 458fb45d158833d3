use durawasm::prelude::*;

#[durawasm::activity]
fn greet(_ctx: ActivityContext, name: &str) -> Result<String> {
    Ok(format!("Hello {name}!"))
}

durawasm::app!(greet);

fn main() {}
