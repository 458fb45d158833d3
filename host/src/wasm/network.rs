//! The network of activities and client functions, under the hub's rules: `wasi:http` outgoing requests, TCP connections
//! to allowed hosts, and the names of allowed hosts. Listening and UDP are refused. Orchestrators have no network:
//! what they do is replayed.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec;

use durawasm_core::{Cause, Failure};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{self, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, IpAddressFamily, Network};
use wasmtime_wasi::p2::bindings::sockets::{tcp, tcp_create_socket, udp, udp_create_socket};
use wasmtime_wasi::p2::{DynPollable, Pollable, SocketError, SocketResult, subscribe};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsView as _};

use super::guest::{Guest, Role, fail};
use super::limits::{CAUSES, FAILURE_TEXT, HOST_NAME, NAMES, REQUESTS, SOCKETS};
use super::stdio::{GuestLog, Level, cut};
use crate::engine::QuotaExceeded;
use crate::engine::executor::{Pulse, Share};
use crate::engine::http::Traffic;
use crate::net::egress::{Egress, look_up, report};
use crate::net::rules::{Refusal, Rules};
use crate::store::HubName;

/// What one guest may reach, and what it has asked for.
pub(super) struct Reach {
    pub(super) egress: Arc<Egress>,
    pub(super) hub: HubName,
    /// A place for each `wasi:http` request that is under way or whose response is being read.
    pub(super) places: Arc<Semaphore>,
    share: Arc<Share>,
    /// Of an activity.
    pulse: Option<Arc<Pulse>>,
    log: Arc<GuestLog>,
    /// It was told that what it sends and receives has to wait.
    told: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The names that this guest was told an address for: they say whether it may be connected to.
    named: HashMap<IpAddr, Vec<String>>,
    names: usize,
    /// What was refused last: as what, and why.
    refused: Option<(&'static str, String)>,
}

impl Reach {
    /// Of a guest in this role; none: it has no network.
    pub(super) fn of(role: &Role, egress: &Arc<Egress>, log: &Arc<GuestLog>) -> Option<Arc<Self>> {
        let (hub, share, pulse) = match role {
            Role::Activity(run) => (run.hub.clone(), Arc::clone(&run.share), Some(Arc::clone(&run.pulse))),
            Role::Function(run) => (run.client.hub().clone(), Arc::clone(&run.share), None),
            Role::Orchestrator(..) | Role::Describe => return None,
        };
        let (egress, log) = (Arc::clone(egress), Arc::clone(log));
        let places = Arc::new(Semaphore::new(REQUESTS));
        let (told, state) = (AtomicBool::default(), Mutex::default());
        Some(Arc::new(Self { egress, hub, places, share, pulse, log, told, state }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is one insertion.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the guest may be seen.
    pub(super) async fn may_be_seen(&self) {
        if let Some(pulse) = &self.pulse {
            pulse.scheduled().await;
        }
    }

    fn rules(&self) -> Arc<Rules> {
        self.egress.rules_of(&self.hub)
    }

    /// Guests see a bare code: people find the reason in the log, and beside the failure it led to.
    pub(super) fn refuse(&self, refusal: &Refusal) {
        self.note("EgressRefused", &refusal.to_string());
    }

    fn note(&self, error_type: &'static str, why: &str) {
        let text = cut(why, FAILURE_TEXT).to_owned();
        self.log.line(Level::Warn, &text);
        self.lock().refused = Some((error_type, text));
    }

    /// A connection is about to be made. False: the hub has made too many of late.
    pub(super) fn take_connection(&self) -> bool {
        self.share.connect().inspect_err(|exceeded| self.note("QuotaExceeded", &exceeded.to_string())).is_ok()
    }

    /// A line in the guest's log.
    pub(super) fn say(&self, level: Level, text: &str) {
        self.log.line(level, text);
    }

    /// A failure with what was refused last as a cause of it.
    pub(super) fn explain(&self, mut failure: Failure) -> Failure {
        if let Some((error_type, message)) = self.lock().refused.take()
            && failure.causes.len() < CAUSES
        {
            failure.causes.push(Cause { error_type: error_type.to_owned(), message, stack_trace: None });
        }
        failure
    }

    /// Whether a TCP socket may connect there: under one of the names that the address was looked up by, or its own.
    fn may_connect(&self, to: SocketAddr) -> bool {
        let (address, port, rules) = (to.ip().to_canonical(), to.port(), self.rules());
        let names = self.lock().named.get(&address).cloned().unwrap_or_default();
        let named =
            |name: &String| rules.check_name(name, port).and_then(|()| rules.check_address(Some(name), address, port));
        let mut refusal = match rules.check_address(None, address, port) {
            Ok(()) => {
                report(&self.hub, &address.to_string(), port);
                return true;
            }
            Err(refusal) => refusal,
        };
        for name in &names {
            match named(name) {
                Ok(()) => {
                    report(&self.hub, name, port);
                    return true;
                }
                Err(of_name) => refusal = of_name,
            }
        }
        self.refuse(&refusal);
        false
    }

    /// The addresses of an allowed name. Which of them may be connected to is said when the port is known.
    async fn look_up(self: Arc<Self>, name: String) -> Result<Vec<IpAddr>, ErrorCode> {
        if name.len() > HOST_NAME {
            return Err(ErrorCode::InvalidArgument);
        }
        let host = match url::Host::parse(&name) {
            Ok(url::Host::Domain(host)) => host,
            Ok(url::Host::Ipv4(address)) => return Ok(vec![address.into()]),
            Ok(url::Host::Ipv6(address)) => return Ok(vec![address.into()]),
            Err(_) => return name.parse().map(|address| vec![address]).map_err(|_| ErrorCode::InvalidArgument),
        };
        if let Err(refusal) = self.rules().check_lookup(&host) {
            self.refuse(&refusal);
            return Err(ErrorCode::AccessDenied);
        }
        {
            let mut state = self.lock();
            state.names += 1;
            if state.names > NAMES {
                drop(state);
                self.log.line(Level::Warn, &format!("too many names looked up in one run; the limit is {NAMES}"));
                return Err(ErrorCode::AccessDenied);
            }
        }
        self.may_be_seen().await;
        let found = look_up(&host).await.map_err(|error| {
            self.log.line(Level::Debug, &error.to_string());
            ErrorCode::NameUnresolvable
        })?;
        let mut state = self.lock();
        for address in &found {
            let names = state.named.entry(*address).or_default();
            if !names.contains(&host) {
                names.push(host.clone());
            }
        }
        Ok(found)
    }

    /// Opens the TCP side of a guest's WASI.
    pub(super) fn open(self: &Arc<Self>, builder: &mut WasiCtxBuilder) {
        let reach = Arc::clone(self);
        builder.allow_tcp(true).socket_addr_check(move |address, what| {
            let allowed = match what {
                SocketAddrUse::TcpConnect => reach.may_connect(address) && reach.take_connection(),
                // Where a connection begins at this side; the system chooses.
                SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
                SocketAddrUse::TcpListen
                | SocketAddrUse::TcpAccept
                | SocketAddrUse::UdpBind
                | SocketAddrUse::UdpSend
                | SocketAddrUse::UdpReceive => false,
            };
            let reach = Arc::clone(&reach);
            Box::pin(async move {
                reach.may_be_seen().await;
                allowed
            })
        });
    }
}

impl Traffic for Reach {
    fn passed(&self, bytes: u64) {
        self.share.passed(bytes);
    }

    fn room(&self) -> Result<(), QuotaExceeded> {
        self.share.room().inspect_err(|exceeded| {
            // Who has to wait is told once.
            if !self.told.swap(true, Ordering::Relaxed) {
                self.note("QuotaExceeded", &format!("{exceeded} Until it has less, what is sent and received waits."));
            }
        })
    }
}

/// Selects a guest's network in a linker.
pub(super) struct Networked;

impl HasData for Networked {
    type Data<'a> = NetworkView<'a>;
}

/// A guest seen by its network.
pub(super) struct NetworkView<'a>(pub(super) &'a mut Guest);

/// Addresses on their way.
struct Lookup {
    asking: JoinSet<Result<Vec<IpAddr>, ErrorCode>>,
    found: Option<Result<vec::IntoIter<IpAddr>, ErrorCode>>,
}

impl Lookup {
    fn keep(&mut self, ended: Option<Result<Result<Vec<IpAddr>, ErrorCode>, tokio::task::JoinError>>) {
        self.found = Some(match ended {
            Some(Ok(found)) => found.map(Vec::into_iter),
            Some(Err(_)) | None => Err(ErrorCode::PermanentResolverFailure),
        });
    }
}

#[wasmtime_wasi_io::async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        if self.found.is_none() {
            let ended = self.asking.join_next().await;
            self.keep(ended);
        }
    }
}

/// The table holds a [`Lookup`] where the bindings name a type that only their crate can make.
fn own(stream: &Resource<ResolveAddressStream>) -> Resource<Lookup> {
    Resource::new_borrow(stream.rep())
}

impl network::Host for NetworkView<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.0.sockets(), error)
    }
}

impl network::HostNetwork for NetworkView<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.0.sockets(), network)
    }
}

impl ip_name_lookup::Host for NetworkView<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        // The handle is the permission to ask.
        self.0.table.get(&network)?;
        let Some(reach) = self.0.reach.clone() else {
            return Err(SocketError::trap(self.refused("wasi:sockets/ip-name-lookup.resolve-addresses")));
        };
        let mut asking = JoinSet::new();
        asking.spawn(reach.look_up(name));
        let lookup = self.0.table.push(Lookup { asking, found: None })?;
        Ok(Resource::new_own(lookup.rep()))
    }
}

impl ip_name_lookup::HostResolveAddressStream for NetworkView<'_> {
    fn resolve_next_address(&mut self, stream: Resource<ResolveAddressStream>) -> SocketResult<Option<IpAddress>> {
        let lookup = self.0.table.get_mut(&own(&stream))?;
        if lookup.found.is_none() {
            match lookup.asking.try_join_next() {
                Some(ended) => lookup.keep(Some(ended)),
                None if lookup.asking.is_empty() => lookup.keep(None),
                None => return Err(ErrorCode::WouldBlock.into()),
            }
        }
        match &mut lookup.found {
            Some(Ok(addresses)) => Ok(addresses.next().map(IpAddress::from)),
            Some(Err(code)) => Err((*code).into()),
            None => Err(ErrorCode::WouldBlock.into()),
        }
    }

    fn subscribe(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.0.table, own(&stream))
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.0.table.delete(Resource::<Lookup>::new_own(stream.rep()))?;
        Ok(())
    }
}

impl NetworkView<'_> {
    fn refused(&self, function: &str) -> wasmtime::Error {
        let (role, instead) = match &self.0.role {
            Role::Orchestrator(..) => (
                "an orchestrator",
                "let the host make the request with orchestration.call-http (call_http of the SDKs), or do it in an activity",
            ),
            Role::Describe => ("describe", "describe only says what the app holds"),
            Role::Activity(_) | Role::Function(_) => ("a function", "the host refuses it"),
        };
        let message = format!("{function} works in activities and client functions, and {role} called it: {instead}");
        fail("NotAllowed", message)
    }
}

impl tcp_create_socket::Host for NetworkView<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<tcp::TcpSocket>> {
        let Some(reach) = &self.0.reach else {
            return Err(SocketError::trap(self.refused("wasi:sockets/tcp-create-socket.create-tcp-socket")));
        };
        // Whatever the guest has closed is no longer in its table.
        let open = self.0.table.iter_mut().filter(|entry| entry.is::<tcp::TcpSocket>()).count();
        if open >= SOCKETS {
            reach.say(Level::Warn, &format!("too many TCP sockets at once; the limit is {SOCKETS}"));
            return Err(ErrorCode::NewSocketLimit.into());
        }
        tcp_create_socket::Host::create_tcp_socket(&mut self.0.sockets(), family)
    }
}

// What the bindings of guests without a network lead to. Importing is not calling: every component may import it.

impl udp_create_socket::Host for NetworkView<'_> {
    async fn create_udp_socket(&mut self, _family: IpAddressFamily) -> SocketResult<Resource<udp::UdpSocket>> {
        Err(SocketError::trap(self.refused("wasi:sockets/udp-create-socket.create-udp-socket")))
    }
}

/// `wasi:http/outgoing-handler`, as the library calls it.
const OUTGOING_HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";

/// Refuses the requests of guests without a network. The library's own trait for this would have to be implemented with
/// all of `wasi:http/types`.
pub(super) fn refuse_requests(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.instance(OUTGOING_HANDLER)?.func_new("handle", |mut store, _, _, _| {
        Err(NetworkView(store.data_mut()).refused("wasi:http/outgoing-handler.handle"))
    })
}
