//! Which addresses events may be posted to. Who makes a subscription chooses a URL, and must not
//! have us ask what only we can reach: a database, a cloud's metadata, our own machine. So each
//! address that a name resolves to is looked at before it is connected to, and a URL that names
//! one itself before it is asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use crate::config::Networks;

/// Names that are looked up at once. Each takes one of the threads (512) that calls of the providers
/// need for the same, for as long as a name server that says nothing is waited for.
const LOOK_UPS: usize = 128;

/// Who says which addresses are allowed.
#[derive(Debug, Clone)]
pub struct Guard {
    allow: Arc<Networks>,
    look_ups: Arc<Semaphore>,
}

/// It leads to an address that nothing is posted to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} leads to an address that is not public, and the operator's `forward.allow` does not name it"
)]
pub struct NotAllowed(String);

impl Guard {
    /// Public addresses, and those in these networks.
    pub fn new(allow: Networks) -> Self {
        Self {
            allow: Arc::new(allow),
            look_ups: Arc::new(Semaphore::new(LOOK_UPS)),
        }
    }

    /// Whether this address may be connected to.
    pub fn allows(&self, address: IpAddr) -> bool {
        let plain = address.to_canonical();
        is_public(plain) || self.allow.contain(address) || self.allow.contain(plain)
    }

    /// Whether a URL that names an address may be asked. One that has a name is looked at when
    /// the name is resolved.
    pub fn check(&self, url: &Url) -> Result<(), NotAllowed> {
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        match literal.parse::<IpAddr>() {
            Ok(address) if !self.allows(address) => Err(NotAllowed(host.to_owned())),
            _ => Ok(()),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let turn = Arc::clone(&guard.look_ups).acquire_owned().await?;
            let asked = name.as_str().to_owned();
            // Whoever waits may give up: the thread does not.
            let found = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                (asked, 0).to_socket_addrs()
            });
            let found = found.await??;
            let allowed: Vec<SocketAddr> = found.filter(|to| guard.allows(to.ip())).collect();
            if allowed.is_empty() {
                return Err(NotAllowed(name.as_str().to_owned()).into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// By IANA's registry of special addresses.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        // This network, private, loopback.
        (0 | 10 | 127, ..)
            // Shared by a carrier's customers.
            | (100, 64..=127, _)
            // Link-local: the metadata of clouds is here.
            | (169, 254, _)
            // Where a cloud's host answers its machines, though the address is public.
            | (168, 63, 129)
            | (172, 16..=31, _)
            // Protocol assignments, documentation, 6to4 relays, private.
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            // Benchmarks, documentation.
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            // Multicast, reserved, broadcast.
            | (224..=255, ..)
    )
}

/// What is not global unicast is not public, and of that not what carries another address in it,
/// or is for documentation.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    // NAT64: the last 32 bits are an address of version 4, in the well-known prefix (RFC 6052).
    if [a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0] {
        let [[w, x], [y, z]] = [g, h].map(u16::to_be_bytes);
        return is_public_v4(Ipv4Addr::new(w, x, y, z));
    }
    let special = matches!(
        (a, b),
        // Protocol assignments (Teredo, ORCHID), documentation, 6to4.
        (0x2001, 0..=0x1ff) | (0x2001, 0xdb8) | (0x2002, _) | (0x3fff, 0..=0xfff)
    );
    (0x2000..=0x3fff).contains(&a) && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow: &str) -> Guard {
        Guard::new(allow.parse().unwrap())
    }

    #[test]
    fn only_public_addresses_are_connected_to() {
        let guard = guard("");
        for public in [
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(guard.allows(public.parse().unwrap()), "{public}");
        }
        for special in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "168.63.129.16",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:7f00:1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!guard.allows(special.parse().unwrap()), "{special}");
        }
    }

    #[test]
    fn what_the_settings_name_is_allowed_however_it_is_written() {
        let guard = guard("127.0.0.0/8, fd00::/8");
        for allowed in ["127.0.0.1", "::ffff:127.0.0.1", "fd00::1"] {
            assert!(guard.allows(allowed.parse().unwrap()), "{allowed}");
        }
        for other in ["10.0.0.1", "::1", "fe80::1"] {
            assert!(!guard.allows(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn an_address_in_a_url_is_found_in_every_spelling() {
        let guard = guard("");
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1/",
            "http://2130706433/",
            "http://[::1]:8080/",
            "http://[::ffff:127.0.0.1]/",
            "http://[64:ff9b::a00:1]/",
            "http://169.254.169.254/latest/meta-data",
            "http://user@10.0.0.1/",
            "http://①②⑦.0.0.1/",
        ] {
            let url: Url = url.parse().unwrap();
            assert!(guard.check(&url).is_err(), "{url}");
        }
        assert_eq!(guard.check(&"https://8.8.8.8/".parse().unwrap()), Ok(()));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_what_is_not_allowed_is_not_connected_to() {
        let name = || "localhost".parse::<Name>().unwrap();
        let resolved = guard("").resolve(name()).await;
        let error = resolved.err().unwrap();
        assert!(error.is::<NotAllowed>(), "{error}");
        let allowed = guard("127.0.0.0/8, ::1").resolve(name()).await;
        assert!(allowed.unwrap().count() > 0);
    }
}
