//! A backup of everything: the store's rows, then the components that were admitted by the time the rows end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use durawasm_core::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use super::{Engine, Inner};
use crate::store::backup::{BackupError, BackupRows, Encoder, Head, Piece, RECORD_BYTES};
use crate::store::{Digest, StoreError};

/// Pieces of the file that may wait for whoever takes them.
const AHEAD: usize = 4;
/// How long nobody may take any. Until it ends, a backup keeps a place and space on the disk.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a backup ended early.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    /// Nobody takes it any more.
    #[error("nobody takes it any more")]
    Abandoned,
    /// The store's rows.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rows did not come to an end.
    #[error("the store gave no more rows")]
    Rows,
    /// The executor's components.
    #[error("the components cannot be read: {0}")]
    Components(String),
}

impl Engine {
    /// Begins a backup: the bytes of a file, see [`crate::store::backup`]. One that cannot be finished ends with the reason
    /// in place of its last record. Dropping the receiver ends it.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub async fn backup(&self) -> Result<mpsc::Receiver<Bytes>, BackupError> {
        // Before the rows: a component that they name is not removed until it is in the file.
        let kept = Arc::clone(&self.inner.apps.backups).read_owned().await;
        let rows = self.inner.store.backup()?;
        let (sender, file) = mpsc::channel(AHEAD);
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            run(&inner, rows, sender).await;
            drop(kept);
            inner.forget_strays().await;
        });
        Ok(file)
    }
}

async fn run(inner: &Inner, rows: BackupRows, file: mpsc::Sender<Bytes>) {
    match write(inner, rows, &file).await {
        Ok(()) => tracing::info!("a backup was made"),
        Err(Interrupted::Abandoned) => tracing::warn!("a backup was abandoned by whoever asked for it"),
        Err(error) => {
            tracing::error!(%error, "a backup cannot be finished");
            drop(send(&file, Encoder::given_up(&error.to_string())).await);
        }
    }
}

async fn write(inner: &Inner, mut rows: BackupRows, file: &mpsc::Sender<Bytes>) -> Result<(), Interrupted> {
    let mut encoder = Encoder::default();
    let head = Head {
        layout: rows.layout.to_owned(),
        begun: Timestamp::now().as_microsecond(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
    };
    send(file, encoder.head(&head)).await?;
    while let Piece::Rows(content) = rows.pieces.recv().await.ok_or(Interrupted::Rows)?? {
        send(file, encoder.rows(&content)).await?;
    }
    // After the rows: a component is kept before any row names it.
    let components = inner.executor.components().await.map_err(|fault| Interrupted::Components(fault.to_string()))?;
    for (digest, path) in components {
        component((digest, &path), &mut encoder, file).await?;
    }
    send(file, encoder.end()).await
}

async fn component(
    (digest, path): (Digest, &Path),
    encoder: &mut Encoder,
    file: &mpsc::Sender<Bytes>,
) -> Result<(), Interrupted> {
    let failed = |error: std::io::Error| Interrupted::Components(format!("{}: {error}", path.display()));
    let mut component = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut hash = Sha256::new();
    send(file, encoder.component(digest)).await?;
    let mut bytes = vec![0; RECORD_BYTES];
    loop {
        let read = component.read(&mut bytes).await.map_err(failed)?;
        if read == 0 {
            break;
        }
        let part = bytes.get(..read).unwrap_or_default();
        hash.update(part);
        send(file, encoder.part(part)).await?;
    }
    // Said here, where it can be mended, and not when the backup is needed.
    if digest.0 != <[u8; 32]>::from(hash.finalize()) {
        return Err(Interrupted::Components(format!("{} is damaged; deploy that version again", path.display())));
    }
    Ok(())
}

async fn send(file: &mpsc::Sender<Bytes>, bytes: Vec<u8>) -> Result<(), Interrupted> {
    match tokio::time::timeout(PATIENCE, file.send(bytes.into())).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Interrupted::Abandoned),
    }
}
