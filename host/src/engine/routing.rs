//! Which HTTP function of a hub answers a request: made once for each change of its apps, and read by every request.

use std::cmp::Ordering;

use super::functions::{HttpFunction, HttpMatch};
use super::routes::Route;
use crate::store::{AppRecord, Digest, HttpTrigger, TriggerKind};

/// The HTTP functions of a hub's current versions, those with the most exact routes first.
#[derive(Default)]
pub(super) struct Routing(Vec<Entry>);

struct Entry {
    route: Route,
    digest: Digest,
    name: String,
    http: HttpTrigger,
}

impl Routing {
    /// Of these apps.
    pub(super) fn of<'a>(apps: impl Iterator<Item = &'a AppRecord>) -> Self {
        let mut entries: Vec<Entry> = apps.flat_map(entries_of).collect();
        // The name decides between routes with other methods, so that the order is always the same.
        entries.sort_by(|one, two| match one.route.precedence(&two.route) {
            Ordering::Equal => one.name.cmp(&two.name),
            unequal => unequal,
        });
        Self(entries)
    }

    /// The function that answers a path, of those that match the one with the most exact route. `HEAD` asks for what `GET`
    /// answers, unless a function of the same route knows it.
    pub(super) fn find(&self, method: &str, path: &[String]) -> HttpMatch {
        let (mut others, mut by_get) = (Vec::new(), None::<(&Route, HttpFunction)>);
        for Entry { route, digest, name, http } in &self.0 {
            if let Some((_, function)) = by_get.take_if(|(before, _)| !before.is_same(route)) {
                return HttpMatch::Function(function);
            }
            let Some(params) = route.matches(path) else { continue };
            let (digest, name, level, streams) = (*digest, name.clone(), http.level, http.streams);
            let function = HttpFunction { digest, name, level, streams, as_get: false, params };
            let takes = |method: &str| http.methods.iter().any(|known| known == method);
            if http.methods.is_empty() || takes(method) {
                return HttpMatch::Function(function);
            }
            if method == "HEAD" && takes("GET") {
                by_get = Some((route, HttpFunction { as_get: true, ..function }));
                continue;
            }
            others.push((function, http.methods.clone()));
        }
        match by_get {
            Some((_, function)) => HttpMatch::Function(function),
            None if others.is_empty() => HttpMatch::Nothing,
            None => HttpMatch::OtherMethods(others),
        }
    }
}

fn entries_of(app: &AppRecord) -> impl Iterator<Item = Entry> {
    let triggers = app.current_version().map(|version| version.triggers.as_slice()).unwrap_or_default();
    triggers.iter().filter_map(|trigger| match &trigger.kind {
        TriggerKind::Http(http) => {
            // It was read when it was deployed, too.
            let route = Route::parse(&http.route).ok()?;
            Some(Entry { route, digest: app.current, name: trigger.name.clone(), http: http.clone() })
        }
        TriggerKind::Manual | TriggerKind::Timer(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::{AppOptions, AppVersion, AuthLevel, Trigger};

    fn app(name: &str, routes: &[(&str, &str, &[&str])]) -> AppRecord {
        let digest = Digest([name.len() as u8; 32]);
        let trigger = |(name, route, methods): &(&str, &str, &[&str])| Trigger {
            name: (*name).to_owned(),
            kind: TriggerKind::Http(HttpTrigger {
                route: (*route).to_owned(),
                methods: methods.iter().map(|method| (*method).to_owned()).collect(),
                level: AuthLevel::Function,
                streams: false,
            }),
        };
        let version = AppVersion {
            digest,
            label: None,
            sdk: String::new(),
            deployed: Timestamp::UNIX_EPOCH,
            size: 0,
            functions: Vec::new(),
            imports: Vec::new(),
            triggers: routes.iter().map(trigger).collect(),
        };
        AppRecord {
            hub: "default".into(),
            name: name.to_owned(),
            generation: 1,
            current: digest,
            versions: vec![version],
            options: AppOptions::default(),
        }
    }

    #[test]
    fn the_most_exact_route_with_the_method_answers() {
        let one = app("a", &[("All", "{*rest}", &[]), ("Get", "o/{id}", &["GET"]), ("List", "o", &["GET"])]);
        let two = app("bb", &[("Put", "o/{id}", &["PUT"]), ("Wait", "o/wait", &["GET"])]);
        let routing = Routing::of([&one, &two].into_iter());
        let found = |method: &str, path: &str| {
            let path: Vec<String> = path.split('/').map(str::to_owned).collect();
            match routing.find(method, &path) {
                HttpMatch::Function(function) => (function.name, function.digest.0[0]),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(found("GET", "o/wait"), ("Wait".to_owned(), 2));
        assert_eq!(found("GET", "o/7"), ("Get".to_owned(), 1));
        assert_eq!(found("PUT", "o/7"), ("Put".to_owned(), 2));
        assert_eq!(found("PUT", "o/wait"), ("Put".to_owned(), 2));
        assert_eq!(found("DELETE", "o/wait"), ("All".to_owned(), 1));
        // Nobody else knows `HEAD`; where the most exact route has a `GET`, that is meant.
        let head = app("ccc", &[("Head", "o/{id}", &["HEAD"])]);
        let with_head = Routing::of([&one, &two, &head].into_iter());
        let found = |routing: &Routing, path: &str| {
            let path: Vec<String> = path.split('/').map(str::to_owned).collect();
            match routing.find("HEAD", &path) {
                HttpMatch::Function(function) => (function.name, function.as_get),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(found(&routing, "o/wait"), ("Wait".to_owned(), true));
        assert_eq!(found(&routing, "o/7"), ("Get".to_owned(), true));
        assert_eq!(found(&with_head, "o/wait"), ("Wait".to_owned(), true));
        assert_eq!(found(&with_head, "o/7"), ("Head".to_owned(), false));
        assert_eq!(found(&with_head, "x"), ("All".to_owned(), false));
        let without = Routing::of([&two].into_iter());
        let path = ["o".to_owned(), "wait".to_owned()];
        let HttpMatch::OtherMethods(others) = without.find("POST", &path) else { panic!("nobody takes it") };
        let others: Vec<_> = others.into_iter().map(|(function, methods)| (function.name, methods.join(","))).collect();
        assert_eq!(others, [("Wait".to_owned(), "GET".to_owned()), ("Put".to_owned(), "PUT".to_owned())]);
        assert!(matches!(without.find("POST", &path[..1]), HttpMatch::Nothing));
    }
}
