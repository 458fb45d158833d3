use durawasm::prelude::*;

#[durawasm::activity]
async fn pack(_ctx: ActivityContext, items: Vec<String>) -> Result<usize> {
    Ok(items.len())
}

durawasm::app!(pack);

fn main() {}
