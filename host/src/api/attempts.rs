//! Wrong keys: how many a peer may try. A peer that has used up its attempts is not answered whether a key is right, so
//! guessing is slow whoever guesses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::request::Parts;

/// Wrong keys in a row that nobody minds.
const BURST: u32 = 20;
/// After those, one in this time.
const PACE: Duration = Duration::from_secs(2);
/// Peers that are remembered; beyond it those who have waited longest are forgotten.
const PEERS: usize = 10_000;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// When each peer has all its attempts again.
#[derive(Default)]
pub(super) struct Attempts(Mutex<HashMap<IpAddr, Instant>>);

impl Attempts {
    /// How long this peer must wait before a key of it is looked at; none: it need not.
    pub(super) fn wait(&self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let full_at = *self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&peer)?;
        let owed = full_at.saturating_duration_since(now);
        owed.checked_sub(PACE * (BURST - 1)).filter(|wait| !wait.is_zero())
    }

    /// A key was wrong.
    pub(super) fn failed(&self, peer: IpAddr, now: Instant) {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= PEERS && !peers.contains_key(&peer) {
            peers.retain(|_, full_at| *full_at > now);
            // All of them still owe: the one that owes least.
            let least = peers.iter().min_by_key(|(_, full_at)| **full_at).map(|(peer, _)| *peer);
            if let Some(least) = least.filter(|_| peers.len() >= PEERS) {
                peers.remove(&least);
            }
        }
        let full_at = peers.entry(peer).or_insert(now);
        *full_at = (*full_at).max(now) + PACE;
    }
}

/// Who asks: the peer of the connection, or whom a trusted proxy names. The last entry is the proxy's own; those before
/// it anybody can write.
pub(super) fn peer(parts: &Parts, trust_proxy: bool) -> IpAddr {
    let forwarded = || {
        let all = parts.headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
        all.rsplit(',').next()?.trim().parse().ok()
    };
    let named = if trust_proxy { forwarded() } else { None };
    let direct = || parts.extensions.get::<Peer>().map(|peer| peer.0);
    network(named.or_else(direct).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
}

/// Whoever has an address of IPv6 has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(number))
    }

    #[test]
    fn a_peer_has_some_attempts_and_gets_them_back() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..BURST {
            assert_eq!(attempts.wait(address(1), now), None);
            attempts.failed(address(1), now);
        }
        assert_eq!(attempts.wait(address(1), now), Some(PACE));
        assert_eq!(attempts.wait(address(2), now), None, "others are none the worse");
        assert_eq!(attempts.wait(address(1), now + PACE), None);
        attempts.failed(address(1), now + PACE);
        assert_eq!(attempts.wait(address(1), now + PACE), Some(PACE));
        assert_eq!(attempts.wait(address(1), now + PACE * BURST * 2), None);
    }

    #[test]
    fn the_table_is_bounded() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..BURST {
            attempts.failed(address(7), now);
        }
        for number in 100..100 + 2 * u32::try_from(PEERS).unwrap() {
            attempts.failed(address(number), now);
        }
        assert_eq!(attempts.0.lock().unwrap().len(), PEERS);
        assert!(attempts.wait(address(7), now).is_some(), "the worst are remembered");
    }

    #[test]
    fn who_asks() {
        let parts = |headers: &[(&str, &str)], direct: &str| {
            let mut request = Request::builder().extension(Peer(direct.parse().unwrap()));
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            request.body(()).unwrap().into_parts().0
        };
        let forwarded = parts(&[("x-forwarded-for", "1.1.1.1, 2.2.2.2")], "10.0.0.1");
        assert_eq!(peer(&forwarded, false).to_string(), "10.0.0.1");
        assert_eq!(peer(&forwarded, true).to_string(), "2.2.2.2");
        assert_eq!(peer(&parts(&[], "2001:db8:1:2:3::4"), true).to_string(), "2001:db8:1:2::");
        assert_eq!(peer(&parts(&[], "::ffff:1.2.3.4"), false).to_string(), "1.2.3.4");
    }
}
