//! `durawasm dev`: builds the apps under a folder, serves them, and rebuilds them when they change.

mod hints;
mod watch;

use std::collections::BTreeSet;

use super::args::DevArgs;
use super::build::{self, App};
use super::serve::{log, stop_signal};
use super::{CliError, show};
use crate::api::DEFAULT_HUB;
use crate::engine::{Engine, OptionChanges};
use crate::net::egress::LOG;
use crate::server::Server;
use crate::store::{AppVersion, HubName};

use hints::Hints;

pub(super) async fn dev(args: DevArgs) -> Result<(), CliError> {
    // What functions reach is allowed here and would have to be named on a server.
    log(&args.serve, &format!("warn,{LOG}=debug"));
    let apps = build::find(&args.path)?;
    build::prepare(&apps, &args.path).await?;
    let key = args.serve.admin_key.clone();
    let mut server = Server::start(args.serve.open_options()).await.map_err(CliError::Usage)?;
    let engine = tokio::select! {
        engine = server.engine() => engine.map_err(CliError::Refused)?,
        () = stop_signal() => return Ok(()),
    };
    let hub = engine.hub(DEFAULT_HUB).ok_or_else(|| CliError::Refused("the default hub is missing".to_owned()))?;
    let hints = Hints::new(server.address(), key, (server.surface().clone(), hub));
    let session = Session { apps, hints, engine: engine.clone() };
    tokio::select! {
        result = session.run() => result?,
        () = stop_signal() => {}
    }
    show::line("stopping");
    server.stop(engine).await.map_err(CliError::Refused)
}

/// Bytes of a component that takes seconds to compile.
const LARGE: usize = 4 << 20;

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
            Err(text) => {
                show::problem(&format!("{}: {text}", app.name));
                return show::note("it is built again when you save");
            }
        };
        if component.len() > LARGE {
            show::note(&format!("deploying {} ({} MB), which compiles it ...", app.name, component.len() >> 20));
        }
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
    for text in differences(&hints::functions(before), &hints::functions(now)) {
        show::line(&format!("  {text}"));
    }
}

fn differences(before: &[(&str, &str)], now: &[(&str, &str)]) -> Vec<String> {
    let (before, now): (BTreeSet<_>, BTreeSet<_>) = (before.iter().collect(), now.iter().collect());
    let text = |sign: &str, (kind, name): &(&str, &str)| format!("{sign} {kind} {name}");
    let added = now.difference(&before).map(|function| text("+", function));
    let removed = before.difference(&now).map(|function| text("-", function));
    added.chain(removed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named() {
        let (before, now) = ([("activity", "A"), ("http", "B")], [("http", "B"), ("timer", "A")]);
        assert_eq!(differences(&before, &now), ["+ timer A", "- activity A"]);
    }
}
