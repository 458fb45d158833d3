use durawasm::prelude::*;

#[durawasm::orchestrator]
async fn order() -> Result<()> {
    Ok(())
}

#[durawasm::activity]
fn pack(items: Vec<String>) -> Result<usize> {
    Ok(items.len())
}

durawasm::app!(order, pack);

fn main() {}
