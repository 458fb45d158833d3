//! Moves of an instance together with those of its sub-orchestrations that have not ended, and theirs.

use durawasm_core::InstanceId;

use super::moves::{MoveError, Moved, Target};
use super::{Engine, Inner};
use crate::store::{HubName, InstanceRecord};

/// Instances that one such move is about at most: their verdicts are found while somebody waits.
const LARGEST: usize = 1_000;
/// Children read at once.
const PAGE: usize = 100;

/// What a move of an instance with its children came to.
#[derive(Clone, Debug)]
pub struct MovedFamily {
    /// The instance itself.
    pub moved: Moved,
    /// The children of the same app, and theirs, parents before children.
    pub children: Vec<(InstanceId, Moved)>,
}

impl Engine {
    /// Moves an instance and those below it that are of its app and have not ended. The version must repeat all of their
    /// histories, or none is moved; then they are moved one after the other, each durably, parents first, so that what
    /// they start meanwhile is on the version as well.
    ///
    /// # Errors
    /// See [`MoveError`]. When a child has gone on meanwhile and cannot be moved any more, those before it stay moved.
    pub async fn move_family(&self, hub: &HubName, id: &str, to: &Target) -> Result<MovedFamily, MoveError> {
        let inner = &self.inner;
        let root = inner.store.instance(hub, id).await?.ok_or(MoveError::Unknown)?;
        // The current version may be another one before all are moved.
        let to = Target::Version(inner.version(&root, to)?.digest.to_string());
        let below = inner.open_below(&root).await?;
        inner.move_one((hub, id), &to, true).await?;
        for child in &below {
            inner.move_child((hub, child), &to, true).await?;
        }
        let moved = inner.move_one((hub, id), &to, false).await?;
        let mut children = Vec::new();
        for child in below {
            let moved = inner.move_child((hub, &child), &to, false).await?;
            children.extend(moved.map(|moved| (child, moved)));
        }
        Ok(MovedFamily { moved, children })
    }
}

impl Inner {
    /// None: it has ended by itself.
    async fn move_child(
        self: &std::sync::Arc<Self>,
        (hub, id): (&HubName, &InstanceId),
        to: &Target,
        dry_run: bool,
    ) -> Result<Option<Moved>, MoveError> {
        match self.move_one((hub, id), to, dry_run).await {
            Ok(moved) => Ok(Some(moved)),
            Err(MoveError::Unknown | MoveError::Ended) => Ok(None),
            Err(error) => Err(MoveError::Child { id: id.clone(), error: Box::new(error) }),
        }
    }

    /// The open children of an instance that are of its app, and theirs, parents before children.
    async fn open_below(&self, root: &InstanceRecord) -> Result<Vec<InstanceId>, MoveError> {
        let mut found: Vec<InstanceRecord> = Vec::new();
        let (mut next, mut parent) = (0, root.clone());
        loop {
            // A child's number is greater than its parent's.
            let mut after = parent.number;
            loop {
                let page = self.store.children(&root.hub, &parent.id, after, PAGE).await?;
                let Some(last) = page.last() else { break };
                after = last.number;
                found.extend(page.into_iter().filter(|child| child.app == root.app && !child.status.is_terminal()));
                if found.len() > LARGEST {
                    return Err(MoveError::TooMany { limit: LARGEST });
                }
            }
            match found.get(next) {
                Some(child) => parent = child.clone(),
                None => return Ok(found.into_iter().map(|child| child.id).collect()),
            }
            next += 1;
        }
    }
}
