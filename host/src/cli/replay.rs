//! `replay`: a component on an exported history, without a server.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{CliError, show};

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// A history, as `get-history --export` writes it
    #[arg(long, value_name = "FILE")]
    history: PathBuf,
    /// The component
    #[arg(long, value_name = "FILE.wasm")]
    component: PathBuf,
    /// Print the verdict as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn replay(args: ReplayArgs) -> Result<(), CliError> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| CliError::Usage(format!("cannot read {}: {error}", path.display())))
    };
    let (history, component) = (read(&args.history)?, read(&args.component)?);
    let verdict = crate::server::replay(&history, component.into()).await.map_err(CliError::Usage)?;
    let divergence = match verdict {
        Ok(()) => {
            show::line(if args.json {
                r#"{"compatible":true}"#
            } else {
                "compatible: the component repeats the history"
            });
            return Ok(());
        }
        Err(divergence) => divergence,
    };
    if args.json {
        let failure = divergence.failure.as_ref();
        let failure = failure.map(|failure| json!({"errorType": failure.error_type, "message": failure.message}));
        let text = json!({
            "compatible": false,
            "position": divergence.position,
            "expected": divergence.expected,
            "found": divergence.found,
            "failure": failure,
        });
        show::line(&text.to_string());
    } else {
        show::facts(&[
            ("position", divergence.position.to_string()),
            ("expected", divergence.expected.clone()),
            ("found", divergence.found.clone()),
        ]);
    }
    Err(CliError::Refused(format!("the component does not repeat the history: {divergence}")))
}
