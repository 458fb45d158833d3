//! `durawasm dev`: builds the apps under a folder, serves them, and rebuilds them when they change.

mod apps;
mod build;
mod hints;
mod watch;

use std::collections::BTreeSet;

use super::args::DevArgs;
use super::serve::{log, stop_signal};
use super::{CliError, show};
use crate::api::DEFAULT_HUB;
use crate::engine::{Engine, OptionChanges};
use crate::net::egress::LOG;
use crate::server::Server;
use crate::store::{AppVersion, FunctionKind, HubName};

use apps::App;
use hints::Hints;

pub(super) async fn dev(args: DevArgs) -> Result<(), CliError> {
    // What functions reach is allowed here and would have to be named on a server.
    log(&format!("warn,{LOG}=debug"));
    let apps = apps::find(&args.path)?;
    build::ensure_target(&args.path).await?;
    let key = args.serve.admin_key.clone();
    let mut server = Server::start(args.serve.open_options()).await.map_err(CliError::Usage)?;
    let hints = Hints::new(server.address(), key);
    let engine = tokio::select! {
        engine = server.engine() => engine.map_err(CliError::Refused)?,
        () = stop_signal() => return Ok(()),
    };
    let session = Session { apps, hints, engine: engine.clone() };
    tokio::select! {
        result = session.run() => result?,
        () = stop_signal() => {}
    }
    show::line("stopping");
    server.stop(engine).await.map_err(CliError::Refused)
}

struct Session {
    apps: Vec<App>,
    hints: Hints,
    engine: Engine,
}

impl Session {
    /// Builds and deploys everything, then whatever changes. Ends only when watching fails.
    async fn run(&self) -> Result<(), CliError> {
        // Watching begins before the first build, so that nothing edited meanwhile is missed.
        let mut watcher = watch::Watcher::new(&self.apps)?;
        show::line(&format!("durawasm serves {}", self.hints.url()));
        for app in &self.apps {
            self.refresh(app).await;
        }
        show::line("\nWatching for changes. Press Ctrl-C to stop.");
        while let Some(changed) = watcher.changed().await {
            for app in changed.iter().filter_map(|index| self.apps.get(*index)) {
                self.refresh(app).await;
            }
        }
        Err(CliError::Refused("the file watcher stopped".to_owned()))
    }

    /// Builds and deploys an app. What goes wrong is shown, and the server goes on with what it has.
    async fn refresh(&self, app: &App) {
        let before = self.current(app);
        let component = match build::build(app).await {
            Ok(component) => component,
            Err(text) => return show::problem(&format!("{}: {text}", app.name)),
        };
        match self.engine.deploy(&HubName::from(DEFAULT_HUB), &app.name, component, OptionChanges::default()).await {
            Err(error) => show::problem(&format!("{}: {error}", app.name)),
            Ok(deployed) => match (self.current(app), before) {
                (Some(now), Some(before)) if deployed.changed => report_change(app, &before, &now),
                (Some(_), Some(_)) if app.shown() => show::line(&format!("{}: built, nothing changed", app.name)),
                (Some(now), _) => self.hints.show(&app.name, &now),
                (None, _) => {}
            },
        }
        app.set_shown();
    }

    fn current(&self, app: &App) -> Option<AppVersion> {
        let record = self.engine.app(&HubName::from(DEFAULT_HUB), &app.name)?;
        record.versions.into_iter().find(|version| version.digest == record.current)
    }
}

fn report_change(app: &App, before: &AppVersion, now: &AppVersion) {
    let (old, new) = (hints::short(before), hints::short(now));
    show::line(&format!("{}: {old} -> {new}; new instances take it, running ones keep theirs", app.name));
    for text in differences(&before.functions, &now.functions) {
        show::line(&format!("  {text}"));
    }
}

type Functions = [(FunctionKind, String)];

fn differences(before: &Functions, now: &Functions) -> Vec<String> {
    let (before, now): (BTreeSet<_>, BTreeSet<_>) = (before.iter().collect(), now.iter().collect());
    let text = |sign: &str, (kind, name): &(FunctionKind, String)| format!("{sign} {} {name}", hints::kind(*kind));
    let added = now.difference(&before).map(|function| text("+", function));
    let removed = before.difference(&now).map(|function| text("-", function));
    added.chain(removed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named() {
        let function = |name: &str| (FunctionKind::Activity, name.to_owned());
        assert_eq!(
            differences(&[function("A"), function("B")], &[function("B"), function("C")]),
            ["+ activity C", "- activity A"]
        );
    }
}
