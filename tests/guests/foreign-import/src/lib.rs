//! An app in order but for one import.

use durawasm::prelude::*;

wit_bindgen::generate!({
    inline: "
        package acme:missing;

        interface thing {
            poke: func() -> u32;
        }

        world foreign {
            import thing;
        }
    ",
});

#[durawasm::activity(name = "UseThing")]
fn use_thing(_ctx: ActivityContext) -> Result<u32> {
    Ok(acme::missing::thing::poke())
}

durawasm::app!(use_thing);
