//! Rules: what guests may reach.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

use super::address;

/// Characters of a host name at most.
const NAME: usize = 253;

/// Something that may be reached.
///
/// Written `HOST[:PORT]`; without a port any. A host is a name (`api.example.com`), all names below one
/// (`*.example.com`), an address or a network (`10.0.0.5`, `[fd00::1]:443`, `10.0.0.0/8`), or `*`: everything public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Any,
    Name(String),
    /// With the dot it begins with.
    Suffix(String),
    Net(IpNet),
}

/// A rule that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is no egress rule: {why}. Write HOST or HOST:PORT, as in api.example.com, *.example.com:443, 10.0.0.0/8, [fd00::1]:5432 or *"
)]
pub struct RuleError {
    text: String,
    why: &'static str,
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let wrong = |why| RuleError { text: text.to_owned(), why };
        if text.contains("://") {
            return Err(wrong("a rule has no scheme"));
        }
        let (host, port) = split(text).ok_or_else(|| wrong("the brackets do not match"))?;
        let port = match port {
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => return Err(wrong("the port is no number from 1 to 65535")),
                Ok(port) => Some(port),
            },
            None => None,
        };
        let net = host.parse::<IpNet>().or_else(|_| host.parse::<IpAddr>().map(IpNet::from));
        let host = if let Ok(net) = net {
            Host::Net(canonical(net))
        } else if host == "*" {
            Host::Any
        } else if let Some(suffix) = host.strip_prefix("*.") {
            Host::Suffix(format!(".{}", name(suffix).map_err(wrong)?))
        } else {
            Host::Name(name(host).map_err(wrong)?)
        };
        Ok(Self { host, port })
    }
}

/// Host and port of a rule. More than one colon without brackets is an IPv6 address.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => Some((host, Some(port))),
        Some(_) | None => Some((text, None)),
    }
}

/// A network of IPv4 addresses that is written in IPv6.
fn canonical(net: IpNet) -> IpNet {
    match net.addr() {
        IpAddr::V6(address) if net.prefix_len() >= 96 => match Ipv6Addr::to_canonical(&address) {
            IpAddr::V4(address) => IpNet::new(address.into(), net.prefix_len() - 96).unwrap_or(net),
            IpAddr::V6(_) => net,
        },
        IpAddr::V4(_) | IpAddr::V6(_) => net,
    }
}

fn name(host: &str) -> Result<String, &'static str> {
    let host = folded(host);
    let is_label =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if host.is_empty() || host.len() > NAME || !host.split('.').all(is_label) {
        return Err("that is no host name (names in other letters are written in their xn-- form)");
    }
    Ok(host)
}

/// A host name as names are compared.
pub(super) fn folded(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.port) {
            (Host::Any, _) => f.write_str("*")?,
            (Host::Name(name), _) => f.write_str(name)?,
            (Host::Suffix(suffix), _) => write!(f, "*{suffix}")?,
            (Host::Net(net @ IpNet::V6(_)), Some(_)) => write!(f, "[{net}]")?,
            (Host::Net(net), _) => write!(f, "{net}")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Why something may not be reached. The text says what would allow it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No rule names the host.
    #[error("egress to {} is refused: no rule allows this host. The operator of the server allows it with --egress {}", at(.host, *.port), at(.host, *.port))]
    Host {
        /// A name or an address.
        host: String,
        /// Where on it.
        port: u16,
    },
    /// No rule names a host that a guest asks the addresses of.
    #[error(
        "looking up {host} is refused: no rule allows this host. The operator of the server allows it with --egress {host}"
    )]
    Lookup {
        /// A name.
        host: String,
    },
    /// The host is not public, and no rule names its address.
    #[error("egress to {} is refused: {} is {what}, which a rule must name. The operator of the server allows it with --egress {}", at(.host, *.port), .address, at(&.address.to_string(), *.port))]
    Address {
        /// A name or an address.
        host: String,
        /// Where on it.
        port: u16,
        /// What the name stands for.
        address: IpAddr,
        /// What kind of address that is.
        what: &'static str,
    },
}

fn at(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// All that a hub may reach. Empty: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// These rules.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    /// The rule `*` and these: everything public, and what is named.
    #[must_use]
    pub fn everything_public_and(mut rules: Vec<Rule>) -> Self {
        rules.push(Rule { host: Host::Any, port: None });
        Self(rules)
    }

    /// These rules and others.
    #[must_use]
    pub fn and(&self, others: Vec<Rule>) -> Self {
        Self(self.0.iter().cloned().chain(others).collect())
    }

    /// Whether this host may be asked for by its name.
    ///
    /// # Errors
    /// Why not.
    pub fn check_name(&self, host: &str, port: u16) -> Result<(), Refusal> {
        let host = folded(host);
        let on_port = |rule: &&Rule| rule.port.is_none_or(|allowed| allowed == port);
        if self.0.iter().filter(on_port).any(|rule| rule.names(&host)) {
            return Ok(());
        }
        Err(Refusal::Host { host, port })
    }

    /// Whether the addresses of this host may be looked up, whatever the port will be.
    ///
    /// # Errors
    /// Why not.
    pub fn check_lookup(&self, host: &str) -> Result<(), Refusal> {
        let host = folded(host);
        if self.0.iter().any(|rule| rule.names(&host)) { Ok(()) } else { Err(Refusal::Lookup { host }) }
    }

    /// Whether this address may be connected to. `named`: the allowed name that it stands for; none: the address
    /// itself was asked for.
    ///
    /// # Errors
    /// Why not.
    pub fn check_address(&self, named: Option<&str>, address: IpAddr, port: u16) -> Result<(), Refusal> {
        let address = address::canonical(address);
        let on_port = |rule: &&Rule| rule.port.is_none_or(|allowed| allowed == port);
        if self.0.iter().filter(on_port).any(|rule| rule.covers(address)) {
            return Ok(());
        }
        let host = named.map_or_else(|| address.to_string(), folded);
        match address::special(address) {
            // A rule for this very name says all there is to say.
            Some(_) if host == LOCALHOST && address.is_loopback() => {
                let names_it = |rule: &Rule| rule.host == Host::Name(LOCALHOST.to_owned());
                let named = self.0.iter().filter(on_port).any(names_it);
                if named { Ok(()) } else { Err(Refusal::Host { host, port }) }
            }
            Some(what) => Err(Refusal::Address { host, port, address, what }),
            None if named.is_some() => Ok(()),
            None if self.0.iter().filter(on_port).any(|rule| rule.host == Host::Any) => Ok(()),
            None => Err(Refusal::Host { host, port }),
        }
    }
}

const LOCALHOST: &str = "localhost";

impl Rule {
    fn names(&self, host: &str) -> bool {
        match &self.host {
            Host::Any => true,
            Host::Name(name) => name == host,
            Host::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            Host::Net(_) => false,
        }
    }

    fn covers(&self, address: IpAddr) -> bool {
        match &self.host {
            Host::Net(net) => net.contains(&address),
            Host::Any | Host::Name(_) | Host::Suffix(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Rules {
        Rules::new(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn rules_are_read_and_written() {
        for text in [
            "api.example.com",
            "api.example.com:443",
            "*.example.com",
            "*.example.com:8443",
            "*",
            "*:443",
            "localhost:8080",
            "10.0.0.0/8",
            "10.0.0.0/8:5432",
            "[fd00::/8]:443",
            "fd00::/8",
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        for (text, same) in [
            ("API.Example.com.", "api.example.com"),
            ("127.0.0.1:80", "127.0.0.1/32:80"),
            ("[::1]:80", "[::1/128]:80"),
            ("::1", "::1/128"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), same);
        }
        for bad in
            ["", "https://a.b", "a.b:0", "a.b:x", "a.b:99999", "[::1", "[::1]x", "a b", "*.", "a..b", "*x", "a/b"]
        {
            assert!(bad.parse::<Rule>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_needs_a_rule() {
        let rules = rules(&["api.example.com", "*.example.org:443"]);
        assert!(rules.check_name("API.example.com.", 1).is_ok());
        assert!(rules.check_name("a.b.example.org", 443).is_ok());
        for (host, port) in [
            ("example.com", 80),
            ("evilapi.example.com", 80),
            ("example.org", 443),
            ("evilexample.org", 443),
            ("a.example.org", 80),
            ("api.example.com.evil.net", 80),
        ] {
            let refusal = rules.check_name(host, port).unwrap_err();
            assert!(refusal.to_string().contains(&format!("--egress {host}:{port}")), "{refusal}");
        }
        assert!(rules.check_lookup("a.example.org").is_ok());
        assert!(rules.check_lookup("localhost").is_err());
    }

    #[test]
    fn an_address_that_is_not_public_needs_a_rule_of_its_own() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let some = rules(&["db.example.com", "10.0.0.0/8:5432"]);
        assert!(some.check_address(Some("db.example.com"), address("93.184.216.34"), 5432).is_ok());
        assert!(some.check_address(Some("db.example.com"), address("10.1.1.1"), 5432).is_ok());
        assert!(some.check_address(None, address("::ffff:10.1.1.1"), 5432).is_ok());
        for (named, ip, port) in [
            (Some("db.example.com"), "10.1.1.1", 80),
            (Some("db.example.com"), "127.0.0.1", 5432),
            (Some("db.example.com"), "169.254.169.254", 80),
            (Some("db.example.com"), "::ffff:169.254.169.254", 80),
            (None, "93.184.216.34", 5432),
            (None, "127.0.0.1", 5432),
        ] {
            assert!(some.check_address(named, address(ip), port).is_err(), "{named:?} {ip}");
        }
        let all = Rules::everything_public_and(vec![]);
        assert!(all.check_address(None, address("93.184.216.34"), 80).is_ok());
        for ip in ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "fd00:ec2::254"] {
            let refusal = all.check_address(None, address(ip), 80).unwrap_err().to_string();
            assert!(refusal.contains(ip) && refusal.contains("--egress"), "{refusal}");
        }
    }

    #[test]
    fn localhost_is_allowed_by_its_name() {
        let local = rules(&["localhost:8080"]);
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        assert!(local.check_address(Some("localhost"), loopback, 8080).is_ok());
        assert!(local.check_address(Some("LOCALHOST."), loopback, 8080).is_ok());
        assert!(local.check_address(Some("localhost"), loopback, 80).is_err());
        assert!(local.check_address(Some("localhost"), "10.0.0.1".parse().unwrap(), 8080).is_err());
        assert!(local.check_address(Some("evil.example.com"), loopback, 8080).is_err());
        assert!(Rules::everything_public_and(vec![]).check_address(Some("localhost"), loopback, 80).is_err());
    }
}
