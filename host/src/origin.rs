//! Origins: `scheme://host[:port]`, as links begin with and as browsers name the site of a page.

use std::fmt;
use std::str::FromStr;

use axum::http::Uri;

/// A valid origin, without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = |why: &str| Err(format!("{why}; write it as http://HOST[:PORT] or https://HOST[:PORT]"));
        let Ok(uri) = text.parse::<Uri>() else { return problem("it is no URL") };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return problem("it has no scheme");
        };
        if !matches!(scheme, "http" | "https") {
            return problem("its scheme is neither http nor https");
        }
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return problem("it names more or less than a host and a port");
        }
        if authority.port().is_none() && authority.as_str() != authority.host() {
            return problem("its port is no number");
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || text.contains('#') {
            return problem("it has a path or a query");
        }
        // Browsers send it in lowercase, and compare what they get back.
        Ok(Self(format!("{scheme}://{}", authority.as_str().to_ascii_lowercase())))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose web pages may use a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pages {
    /// `*`: everybody's.
    All,
    /// Those of one origin.
    Of(Origin),
}

impl FromStr for Pages {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" { Ok(Self::All) } else { text.parse().map(Self::Of) }
    }
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Of(origin) => origin.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_a_scheme_a_host_and_a_port() {
        for (text, origin) in [
            ("http://localhost:7071", "http://localhost:7071"),
            ("https://Durable.Example/", "https://durable.example"),
            ("http://[::1]:7071", "http://[::1]:7071"),
        ] {
            assert_eq!(text.parse::<Origin>().map(|origin| origin.to_string()).as_deref(), Ok(origin));
        }
    }

    #[test]
    fn everything_else_is_refused_with_the_form() {
        for bad in [
            "",
            "localhost:7071",
            "durable.example",
            "ftp://durable.example",
            "https://durable.example/path",
            "https://durable.example?a=b",
            "https://durable.example/#f",
            "https://user:pass@durable.example",
            "https://durable.example:port",
            "https://durable.example:99999",
            "http://",
            "http://a b",
            "*",
        ] {
            let refused = bad.parse::<Origin>();
            assert!(refused.as_ref().is_err_and(|text| text.contains("HOST[:PORT]")), "{bad}: {refused:?}");
        }
        assert_eq!("*".parse(), Ok(Pages::All));
    }
}
