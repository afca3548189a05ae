//! The backend: keys and values over HTTP, kept in one Redis hash.
//!
//! ```text
//! http (warp) --> api (what a request means) --> input (what may be stored) --> store (bb8-redis)
//! ```
//!
//! A request that cannot be served gets a JSON error that says what is wrong and what to do. While Redis is away that
//! is 503 with `Retry-After`; the backend itself stays up, and serves again as soon as Redis does.

mod api;
mod input;
mod listing;
mod problem;
pub mod store;
mod window;

use lifecycle::http::Options;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use store::Store;

/// Serves `store` on `listener` until `stop` is cancelled.
///
/// # Errors
///
/// None so far.
pub async fn serve(
    listener: TcpListener,
    options: &Options,
    store: Store,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    lifecycle::http::serve(listener, options, stop, move |call| {
        let store = store.clone();
        async move { api::answer(call, &store).await }
    })
    .await
}
