//! Connections to the outside. A name is looked up once, its addresses are checked, and one of those is connected to:
//! what the name stands for a moment later does not matter.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::rules::{Refusal, Rule, Rules};
use super::tls;
use crate::store::HubName;

/// How long one address of several may take to answer before the next one is tried.
const CONNECT: Duration = Duration::from_secs(10);

/// Where the log says what is connected to.
pub const LOG: &str = "durawasm::egress";

/// Addresses of one name that are looked at.
const ADDRESSES: usize = 32;

/// The way out for all hubs.
pub struct Egress {
    /// Of all hubs.
    rules: Arc<Rules>,
    /// Of hubs with rules of their own: these and those of all.
    of_hubs: RwLock<HashMap<HubName, Arc<Rules>>>,
    tls: TlsConnector,
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether to speak TLS.
    pub tls: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It is not allowed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The name has no address, or nobody could say.
    #[error("the name {host} cannot be looked up: {source}")]
    Lookup {
        /// The name.
        host: String,
        /// What the system says.
        source: io::Error,
    },
    /// Nobody answered at the addresses.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The address that was tried last.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The other side could not be trusted or understood.
    #[error("no TLS with {host}: {source}")]
    Tls {
        /// The host.
        host: String,
        /// What is wrong.
        source: io::Error,
    },
}

/// A connection, plain or with TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Egress {
    /// A way out under these rules. TLS trusts the public authorities (those of browsers), and those in this file of PEM
    /// certificates.
    ///
    /// # Errors
    /// For people: what is wrong with the file.
    pub fn new(rules: Rules, authorities: Option<&Path>) -> Result<Self, String> {
        let config = tls::client(authorities)?;
        Ok(Self { rules: Arc::new(rules), of_hubs: RwLock::default(), tls: TlsConnector::from(Arc::new(config)) })
    }

    /// What a hub may reach: what the server allows to all, and what its own rules allow.
    #[must_use]
    pub fn rules_of(&self, hub: &HubName) -> Arc<Rules> {
        let of_hubs = self.of_hubs.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(of_hubs.get(hub).unwrap_or(&self.rules))
    }

    /// Sets the rules of a hub, in the form of [`Rule`]; they have been checked before. None: it has none of its own.
    pub fn allow(&self, hub: &HubName, rules: &[String]) {
        let parsed: Vec<Rule> = rules.iter().filter_map(|rule| rule.parse().ok()).collect();
        let mut of_hubs = self.of_hubs.write().unwrap_or_else(PoisonError::into_inner);
        if parsed.is_empty() {
            of_hubs.remove(hub);
        } else {
            of_hubs.insert(hub.clone(), Arc::new(self.rules.and(parsed)));
        }
    }

    /// Connects on behalf of a hub.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(&self, hub: &HubName, target: &Target) -> Result<Box<dyn Stream>, ConnectError> {
        let addresses = self.addresses(&self.rules_of(hub), target).await?;
        let stream = open(&addresses).await?;
        report(hub, &target.host, target.port);
        if !target.tls {
            return Ok(Box::new(stream));
        }
        let failed = |source| ConnectError::Tls { host: target.host.clone(), source };
        let name = ServerName::try_from(target.host.clone()).map_err(|error| failed(io::Error::other(error)))?;
        Ok(Box::new(self.tls.connect(name, stream).await.map_err(failed)?))
    }

    /// The addresses of the target that may be connected to.
    async fn addresses(&self, rules: &Rules, target: &Target) -> Result<Vec<SocketAddr>, ConnectError> {
        let (host, port) = (target.host.as_str(), target.port);
        if let Ok(address) = host.parse::<IpAddr>() {
            rules.check_address(None, address, port)?;
            return Ok(vec![SocketAddr::new(address.to_canonical(), port)]);
        }
        rules.check_name(host, port)?;
        let found = look_up(host).await?;
        let (mut allowed, mut refused) = (Vec::new(), None);
        for address in found {
            match rules.check_address(Some(host), address, port) {
                Ok(()) => allowed.push(SocketAddr::new(address, port)),
                Err(refusal) => refused = Some(refusal),
            }
        }
        match refused {
            Some(refusal) if allowed.is_empty() => Err(refusal.into()),
            Some(_) | None => Ok(allowed),
        }
    }
}

/// Says what a hub connects to: of use to whoever is to write rules.
pub(crate) fn report(hub: &HubName, host: &str, port: u16) {
    tracing::debug!(target: LOG, "hub {hub} connects to {host}:{port}");
}

/// The addresses of a name, at least one.
///
/// # Errors
/// The system's.
pub(crate) async fn look_up(host: &str) -> Result<Vec<IpAddr>, ConnectError> {
    let failed = |source| ConnectError::Lookup { host: host.to_owned(), source };
    let found = tokio::net::lookup_host((host, 0)).await.map_err(failed)?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.map(|address| address.ip().to_canonical()) {
        if addresses.len() < ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "it has no address")));
    }
    Ok(addresses)
}

/// Connects to the first that answers.
async fn open(addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
    let mut last = None;
    for address in addresses {
        match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Small requests should not wait for more to send; without it they only do.
                let _slower = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(source)) => last = Some(ConnectError::Connect { address: *address, source }),
            Err(_) => {
                let source = io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {CONNECT:?}"));
                last = Some(ConnectError::Connect { address: *address, source });
            }
        }
    }
    Err(last.unwrap_or_else(|| {
        let source = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        ConnectError::Lookup { host: String::new(), source }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(rules: &[&str]) -> Egress {
        Egress::new(Rules::new(rules.iter().map(|rule| rule.parse().unwrap()).collect()), None).unwrap()
    }

    async fn refusal(rules: &[&str], host: &str) -> Refusal {
        let target = Target { host: host.to_owned(), port: 9, tls: false };
        match egress(rules).connect(&"default".into(), &target).await {
            Err(ConnectError::Refused(refusal)) => refusal,
            Err(other) => panic!("{host}: {other}"),
            Ok(_) => panic!("{host} was connected to"),
        }
    }

    #[tokio::test]
    async fn what_a_name_resolves_to_is_what_is_checked() {
        // The system resolves these itself, and every one of them is this machine.
        for host in ["localhost", "2130706433", "0x7f.1"] {
            let refusal = refusal(&["*"], host).await;
            assert!(!refusal.to_string().is_empty(), "{host}");
        }
        assert!(matches!(refusal(&[], "localhost").await, Refusal::Host { .. }));
        assert!(matches!(refusal(&["*"], "::ffff:127.0.0.1").await, Refusal::Address { .. }));
    }

    #[tokio::test]
    async fn what_is_allowed_is_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let hub = "default".into();
        for (rule, host) in
            [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost"), ("127.0.0.0/8", "::ffff:127.0.0.1")]
        {
            let target = Target { host: host.to_owned(), port, tls: false };
            assert!(egress(&[rule]).connect(&hub, &target).await.is_ok(), "{rule} {host}");
        }
    }

    #[test]
    fn authorities_are_read_from_pem() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        assert!(Egress::new(Rules::default(), Some(&path)).is_err_and(|text| text.contains("ca.pem")));
        std::fs::write(&path, "nothing").unwrap();
        assert!(Egress::new(Rules::default(), Some(&path)).is_err_and(|text| text.contains("it has none")));
    }
}
