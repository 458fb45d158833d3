//! Functions that call the host at random. Their input is a seed and how many calls to make: `[7, 20]`.

mod client;
mod orchestrator;
mod random;

use durawasm::__private::{Definition, Function};
use durawasm::prelude::*;
use random::Random;

/// The seed and the number of calls.
fn plan(input: Option<&str>) -> (Random, usize) {
    let mut numbers = input.unwrap_or_default().split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    let mut next = || numbers.next().and_then(|part| part.parse().ok()).unwrap_or(0_u64);
    (Random(next()), usize::try_from(next().min(200)).unwrap_or(0))
}

fn orchestrate(input: Option<String>) -> Result<Option<String>> {
    let (random, calls) = plan(input.as_deref());
    Ok(Some(orchestrator::run(random, calls)))
}

fn work(input: Option<String>) -> Result<Option<String>> {
    let (random, calls) = plan(input.as_deref());
    Ok(Some(client::run(random, calls)))
}

macro_rules! functions {
    ($($name:ident: $definition:expr;)*) => {$(
        #[allow(non_camel_case_types, reason = "like the types that the macros declare")]
        struct $name {}

        impl Function for $name {
            const DEFINITION: Definition = $definition;
        }
    )*};
}

functions! {
    wild: Definition::orchestrator("Wild", orchestrate);
    wild_activity: Definition::activity("WildActivity", work);
    wild_function: Definition::manual("WildFunction", work);
}

durawasm::app!(wild, wild_activity, wild_function);
