//! Endpoints: each handler joined to its description, so that none is served that the document does not name, and none
//! is named that is not served.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};

use crate::hook::Hook;
use crate::operation::Operation;

/// A role's endpoints, and the webhooks it sends.
#[derive(Debug, Clone)]
pub struct Endpoints<S = ()> {
    router: Router<S>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) hooks: Vec<Hook>,
}

impl<S: Clone + Send + Sync + 'static> Default for Endpoints<S> {
    fn default() -> Endpoints<S> {
        Endpoints { router: Router::new(), operations: Vec::new(), hooks: Vec::new() }
    }
}

impl<S: Clone + Send + Sync + 'static> Endpoints<S> {
    /// None yet.
    #[must_use]
    pub fn new() -> Endpoints<S> {
        Endpoints::default()
    }

    /// Serves what is described.
    ///
    /// # Panics
    /// Where the path is no path of axum's, or is served already.
    #[must_use]
    pub fn serve<H, T>(mut self, operation: Operation, handler: H) -> Endpoints<S>
    where
        H: Handler<T, S>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(operation.method.clone())
            .expect("the builders' methods are known to axum");
        self.router = self.router.route(operation.path, on(filter, handler));
        self.operations.push(operation);
        self
    }

    /// Tells of a webhook that the role sends.
    #[must_use]
    pub fn sends(mut self, hook: Hook) -> Endpoints<S> {
        self.hooks.push(hook);
        self
    }

    /// What the handlers share.
    #[must_use]
    pub fn with_state(self, state: S) -> Endpoints {
        Endpoints { router: self.router.with_state(state), operations: self.operations, hooks: self.hooks }
    }
}

impl Endpoints {
    /// These and others.
    ///
    /// # Panics
    /// Where both serve the same.
    #[must_use]
    pub fn and(mut self, others: Endpoints) -> Endpoints {
        self.router = self.router.merge(others.router);
        self.operations.extend(others.operations);
        self.hooks.extend(others.hooks);
        self
    }

    /// The same operations, each answered by `handler`: which asks somebody else, say.
    #[must_use]
    pub fn answered_by<S, H, T>(self, handler: H, state: S) -> Endpoints
    where
        S: Clone + Send + Sync + 'static,
        H: Handler<T, S>,
        T: 'static,
    {
        let others = self
            .operations
            .into_iter()
            .fold(Endpoints::<S>::new(), |endpoints, operation| endpoints.serve(operation, handler.clone()));
        Endpoints { hooks: self.hooks, ..others.with_state(state) }
    }

    /// The bare router: see [`crate::with_conventions`].
    pub fn into_router(self) -> Router {
        self.router
    }
}
