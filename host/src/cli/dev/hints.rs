//! What to try: commands that work as they are printed.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::api::{ApiState, encode};
use crate::cli::show;
use crate::store::{AppVersion, FunctionKind, HubRecord, Trigger, TriggerKind};

/// How to reach the server from another terminal.
pub(super) struct Hints {
    url: String,
    key: Option<String>,
    /// The command that runs this program.
    program: String,
    /// Flags that a verb needs to find the server.
    flags: String,
    surface: ApiState,
    hub: Arc<HubRecord>,
}

impl Hints {
    /// `surface`: what is served, and the hub that apps are deployed to.
    pub(super) fn new(address: SocketAddr, key: Option<String>, (surface, hub): (ApiState, Arc<HubRecord>)) -> Self {
        // An address like 0.0.0.0 is for listening, not for calling.
        let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { host_of(address) };
        let url = format!("http://{host}:{}", address.port());
        let mut flags = String::new();
        if url != "http://127.0.0.1:7071" {
            flags.push_str(&format!(" --url {url}"));
        }
        if let Some(key) = &key {
            flags.push_str(&format!(" --key {}", quote(key)));
        }
        Self { url, key, program: program(), flags, surface, hub }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Shows an app and what to try with it.
    pub(super) fn show(&self, app: &str, version: &AppVersion) {
        show::line(&format!("\napp '{app}', version {}", short(version)));
        let row = |(kind, name): (&str, &str)| vec![format!("  {kind}"), name.to_owned(), String::new()];
        let called = version.functions.iter().map(|(kind, name)| row((kind_name(*kind), name)));
        show::table(&called.chain(version.triggers.iter().map(|trigger| self.trigger(trigger))).collect::<Vec<_>>());
        for (kind, name) in &version.functions {
            match kind {
                FunctionKind::Orchestrator => self.commands(name).iter().for_each(|text| show::line(text)),
                FunctionKind::Activity => {}
            }
        }
    }

    /// A function that something sets off, and what does.
    fn trigger(&self, trigger: &Trigger) -> Vec<String> {
        let name = trigger.name.as_str();
        let how = match &trigger.kind {
            TriggerKind::Http(http) => {
                let methods = if http.methods.is_empty() { "any method".to_owned() } else { http.methods.join(", ") };
                format!("{methods} {}", self.surface.invoke_url(&self.url, &self.hub, (name, http)))
            }
            TriggerKind::Manual => format!("POST {}/admin/functions/{}", self.url, encode(name)),
            TriggerKind::Timer(timer) => timer.schedule.clone(),
        };
        vec![format!("  {}", trigger_name(&trigger.kind)), name.to_owned(), how]
    }

    fn commands(&self, orchestrator: &str) -> Vec<String> {
        let Self { url, program, flags, .. } = self;
        let id = quote(&instance_id(orchestrator));
        let start = format!("{url}/runtime/webhooks/durabletask/orchestrators/{}", encode(orchestrator));
        let header = self.key.as_ref().map(|key| format!(" -H {}", quote(&format!("x-functions-key: {key}"))));
        let header = header.unwrap_or_default();
        let wait = quote(&format!("{start}?timeout=30&pollingInterval=1"));
        vec![
            format!("\n  # run {orchestrator} and wait for its output"),
            format!("  curl -X POST{header} {wait}"),
            "  # start it, then look at it".to_owned(),
            format!("  {program} start-new {}{flags} --id {id}", quote(orchestrator)),
            format!("  {program} get-runtime-status{flags} --id {id} --show-output"),
            format!("  {program} get-history{flags} --id {id}"),
        ]
    }
}

/// The first characters of a version's digest: enough to tell versions apart.
pub(super) fn short(version: &AppVersion) -> String {
    version.digest.to_string().chars().take(12).collect()
}

/// Kinds and names of all that a version holds.
pub(super) fn functions(version: &AppVersion) -> Vec<(&str, &str)> {
    let called = version.functions.iter().map(|(kind, name)| (kind_name(*kind), name.as_str()));
    called.chain(version.triggers.iter().map(|trigger| (trigger_name(&trigger.kind), trigger.name.as_str()))).collect()
}

fn kind_name(kind: FunctionKind) -> &'static str {
    match kind {
        FunctionKind::Orchestrator => "orchestrator",
        FunctionKind::Activity => "activity",
    }
}

fn trigger_name(kind: &TriggerKind) -> &'static str {
    match kind {
        TriggerKind::Http(_) => "http",
        TriggerKind::Manual => "manual",
        TriggerKind::Timer(_) => "timer",
    }
}

fn host_of(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

/// An id that is valid whatever the function is called.
fn instance_id(orchestrator: &str) -> String {
    let plain: String =
        orchestrator.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    format!("try-{plain}")
}

/// A word of a POSIX shell.
fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// `durawasm` when the shell finds this very program under that name, else its path: printed commands must work.
fn program() -> String {
    let Ok(own) = std::env::current_exe() else { return "durawasm".to_owned() };
    let same = |folder: &Path| folder.join("durawasm").canonicalize().is_ok_and(|found| found == own);
    let found = std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| same(&folder)));
    if found { "durawasm".to_owned() } else { quote(&own.to_string_lossy()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::DEFAULT_HUB;
    use crate::api::{ApiSettings, EngineSlot};
    use crate::store::{AuthLevel, HttpTrigger};

    fn surface() -> (ApiState, Arc<HubRecord>) {
        let hub = HubRecord::new(DEFAULT_HUB.into(), None, [0; 16]);
        (ApiState::new(EngineSlot::new(), ApiSettings::new("http://localhost")), Arc::new(hub))
    }

    #[test]
    fn functions_say_what_sets_them_off() {
        let hints = Hints::new("127.0.0.1:7071".parse().unwrap(), None, surface());
        let row = |kind| hints.trigger(&Trigger { name: "My F".to_owned(), kind }).join("|");
        let http = |methods: &[&str]| HttpTrigger {
            route: "orders/{id}".to_owned(),
            methods: methods.iter().map(|method| (*method).to_owned()).collect(),
            level: AuthLevel::Function,
            streams: false,
        };
        assert_eq!(
            row(TriggerKind::Http(http(&["GET", "POST"]))),
            "  http|My F|GET, POST http://127.0.0.1:7071/api/orders/{id}"
        );
        assert!(row(TriggerKind::Http(http(&[]))).contains("|any method http"));
        assert_eq!(row(TriggerKind::Manual), "  manual|My F|POST http://127.0.0.1:7071/admin/functions/My%20F");
    }

    #[test]
    fn commands_name_what_they_need() {
        let hints = Hints::new("0.0.0.0:9000".parse().unwrap(), Some("it's".to_owned()), surface());
        let text = hints.commands("Hello Cities").join("\n");
        assert!(text.contains(
            r"curl -X POST -H 'x-functions-key: it'\''s' 'http://127.0.0.1:9000/runtime/webhooks/durabletask/orchestrators/Hello%20Cities?timeout=30&pollingInterval=1'"
        ));
        assert!(
            text.contains(
                r"start-new 'Hello Cities' --url http://127.0.0.1:9000 --key 'it'\''s' --id try-hello-cities"
            )
        );
    }

    #[test]
    fn the_usual_server_needs_no_flags() {
        let hints = Hints::new("127.0.0.1:7071".parse().unwrap(), None, surface());
        assert_eq!(hints.flags, "");
        assert!(hints.commands("Hello").iter().any(|line| line.ends_with("get-history --id try-hello")));
    }
}
