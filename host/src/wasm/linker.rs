//! What guests are linked with. The role decides, not the component: the same component runs its orchestrators on
//! virtual WASI and its activities on the real one.

use wasmtime::Engine;
use wasmtime::component::Linker;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::bindings::sockets::{ip_name_lookup, tcp_create_socket, udp_create_socket};
use wasmtime_wasi_io::bindings::wasi::io::poll;

use super::bindings::durable::functions::{activity_context, client, function_context, orchestration, types};
use super::fuel::{define_durable_waits, define_virtual_waits};
use super::guest::Guest;
use super::network::{NetworkView, Networked, refuse_requests};
use super::orchestration::{Durable, DurableView};
use super::sockets::meter_connections;
use super::virtual_wasi::{VirtualView, VirtualWasi};

/// The version of the contract that this host speaks.
pub(super) const CONTRACT: &str = "0.1.0";
/// The contract's interfaces that guests may import.
pub(super) const DURABLE: [&str; 5] = [
    "durable:functions/types",
    "durable:functions/orchestration",
    "durable:functions/activity-context",
    "durable:functions/function-context",
    "durable:functions/client",
];
/// What guests may import of WASI 0.2, in any of its patch versions.
pub(super) const WASI: [&str; 29] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    // There for the standard libraries that import them: TCP to what the hub's rules allow, and no UDP.
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// The linkers of the two kinds of WASI.
pub(super) struct Linkers {
    /// For orchestrators and `describe`.
    pub(super) repeatable: Linker<Guest>,
    /// For activities and client functions.
    pub(super) real: Linker<Guest>,
}

impl Linkers {
    pub(super) fn new(engine: &Engine) -> wasmtime::Result<Self> {
        Ok(Self { repeatable: repeatable(engine)?, real: real(engine)? })
    }
}

fn real(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    linker.allow_shadowing(true);
    ip_name_lookup::add_to_linker::<Guest, Networked>(&mut linker, network_view)?;
    tcp_create_socket::add_to_linker::<Guest, Networked>(&mut linker, network_view)?;
    linker.allow_shadowing(false);
    types::add_to_linker::<Guest, Durable>(&mut linker, durable_view)?;
    orchestration::add_to_linker::<Guest, Durable>(&mut linker, durable_view)?;
    activity_context::add_to_linker::<Guest, Durable>(&mut linker, durable_view)?;
    function_context::add_to_linker::<Guest, Durable>(&mut linker, durable_view)?;
    client::add_to_linker::<Guest, Durable>(&mut linker, durable_view)?;
    linker.allow_shadowing(true);
    define_durable_waits(&mut linker)?;
    meter_connections(&mut linker)?;
    linker.allow_shadowing(false);
    Ok(linker)
}

fn repeatable(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = real(engine)?;
    linker.allow_shadowing(true);
    let l = &mut linker;
    wall_clock::add_to_linker::<Guest, VirtualWasi>(l, virtual_view)?;
    monotonic_clock::add_to_linker::<Guest, VirtualWasi>(l, virtual_view)?;
    random::add_to_linker::<Guest, VirtualWasi>(l, virtual_view)?;
    insecure::add_to_linker::<Guest, VirtualWasi>(l, virtual_view)?;
    insecure_seed::add_to_linker::<Guest, VirtualWasi>(l, virtual_view)?;
    poll::add_to_linker::<Guest, VirtualWasi>(l, virtual_view)?;
    define_virtual_waits(l)?;
    udp_create_socket::add_to_linker::<Guest, Networked>(l, network_view)?;
    refuse_requests(l)?;
    linker.allow_shadowing(false);
    Ok(linker)
}

fn durable_view(guest: &mut Guest) -> DurableView<'_> {
    DurableView(guest)
}

fn network_view(guest: &mut Guest) -> NetworkView<'_> {
    NetworkView(guest)
}

fn virtual_view(guest: &mut Guest) -> VirtualView<'_> {
    VirtualView(guest)
}
