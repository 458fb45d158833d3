//! What passes on the TCP connections of activities and client functions is counted, and waits while there was too much.

use std::mem::replace;
use std::sync::Arc;

use bytes::Bytes;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::tcp::{HostTcpSocket as _, TcpSocket};
use wasmtime_wasi::p2::pipe::{ClosedInputStream, ClosedOutputStream};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, SocketError, StreamResult,
};
use wasmtime_wasi::sockets::WasiSocketsView as _;

use super::guest::Guest;
use super::network::Reach;
use crate::engine::http::Traffic as _;
use crate::net::metered::room;

/// `wasi:sockets/tcp`, as the library calls it.
const TCP: &str = "wasi:sockets/tcp@0.2.12";

/// The streams of a connection that has been made.
type Streams = (Resource<DynInputStream>, Resource<DynOutputStream>);

/// Meters the streams that a guest gets for a connection. The library has no hook for that, and its trait would have to be
/// implemented with all of `wasi:sockets/tcp`.
pub(super) fn meter_connections(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.instance(TCP)?.func_wrap(
        "[method]tcp-socket.finish-connect",
        |mut store: StoreContextMut<'_, Guest>, (socket,): (Resource<TcpSocket>,)| {
            let made = finish_connect(store.data_mut(), socket);
            Ok((made.map(Ok).or_else(|error| error.downcast().map(Err))?,))
        },
    )
}

fn finish_connect(guest: &mut Guest, socket: Resource<TcpSocket>) -> Result<Streams, SocketError> {
    let (input, output) = guest.sockets().finish_connect(socket)?;
    if let Some(reach) = guest.reach.clone() {
        let stream = guest.table.get_mut(&input)?;
        let inner = replace(stream, Box::new(ClosedInputStream));
        *stream = Box::new(Input { inner, reach: Arc::clone(&reach) });
        let stream = guest.table.get_mut(&output)?;
        let inner = replace(stream, Box::new(ClosedOutputStream));
        *stream = Box::new(Output { inner, reach });
    }
    Ok((input, output))
}

fn passed(reach: &Reach, bytes: usize) {
    if bytes > 0 {
        reach.passed(bytes as u64);
    }
}

struct Input {
    inner: DynInputStream,
    reach: Arc<Reach>,
}

#[wasmtime_wasi_io::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        room(&*self.reach).await;
        self.inner.ready().await;
    }
}

#[wasmtime_wasi_io::async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.reach.room().is_err() {
            // Nothing has come yet.
            return Ok(Bytes::new());
        }
        let bytes = self.inner.read(size)?;
        passed(&self.reach, bytes.len());
        Ok(bytes)
    }

    // Not by trying `read` a few times: there may be no room for long.
    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        room(&*self.reach).await;
        let bytes = self.inner.blocking_read(size).await?;
        passed(&self.reach, bytes.len());
        Ok(bytes)
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

struct Output {
    inner: DynOutputStream,
    reach: Arc<Reach>,
}

#[wasmtime_wasi_io::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        room(&*self.reach).await;
        self.inner.ready().await;
    }
}

#[wasmtime_wasi_io::async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let size = bytes.len();
        self.inner.write(bytes)?;
        passed(&self.reach, size);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        if self.reach.room().is_err() { Ok(0) } else { self.inner.check_write() }
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        room(&*self.reach).await;
        let size = bytes.len();
        self.inner.blocking_write_and_flush(bytes).await?;
        passed(&self.reach, size);
        Ok(())
    }

    // Not by trying `check_write` a few times, as above.
    async fn write_ready(&mut self) -> StreamResult<usize> {
        room(&*self.reach).await;
        self.inner.write_ready().await
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}
