//! TLS in tests: an authority of their own, and clients that need none.

use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The server's side for `localhost` and `127.0.0.1`, and the certificate (PEM) of the authority that signed it.
///
/// # Panics
/// When certificates cannot be made.
#[must_use]
pub fn acceptor() -> (TlsAcceptor, String) {
    made().unwrap_or_else(|error| panic!("no certificate: {error}"))
}

fn made() -> Result<(TlsAcceptor, String), Box<dyn std::error::Error>> {
    let key = rcgen::KeyPair::generate()?;
    let mut authority = rcgen::CertificateParams::new(Vec::new())?;
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&key)?.pem();
    let issuer = rcgen::Issuer::new(authority, key);
    let own_key = rcgen::KeyPair::generate()?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let own = rcgen::CertificateParams::new(names)?.signed_by(&own_key, &issuer)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], own_key.serialize_der().try_into()?)?;
    Ok((TlsAcceptor::from(Arc::new(config)), certificate))
}

/// Stands in front of a plain server and speaks TLS, as a proxy does: its port, and its authority's certificate (PEM).
///
/// # Panics
/// When there is no port.
pub async fn in_front_of(address: String) -> (u16, String) {
    let (acceptor, certificate) = acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|error| panic!("no port: {error}"));
    let port = listener.local_addr().map_or(0, |address| address.port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, address) = (acceptor.clone(), address.clone());
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut server = TcpStream::connect(address).await?;
                copy_bidirectional(&mut stream, &mut server).await
            });
        }
    });
    (port, certificate)
}

/// A client for plain HTTP. (One made without further ado would look for a provider of cryptography.)
#[must_use]
pub fn http() -> reqwest::Client {
    built(reqwest::Client::builder())
}

/// The same with choices of the test's own.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn built(builder: reqwest::ClientBuilder) -> reqwest::Client {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap_or_else(|error| panic!("{error}"));
    let config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    builder.tls_backend_preconfigured(config).build().unwrap_or_else(|error| panic!("no client: {error}"))
}
