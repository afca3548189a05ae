//! The frontend: a page that shows what is stored, and a form that stores more. It keeps nothing itself; everything
//! goes through the backend.
//!
//! ```text
//! http (warp) --> site (what a request means) --> backend (HTTP client) --> list, page (handlebars)
//! ```

mod backend;
mod list;
mod page;
mod place;
mod refusal;
mod sent;
mod site;

use lifecycle::http::Options;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use backend::{Backend, Options as BackendOptions};

/// Serves the site on `listener` until `stop` is cancelled.
///
/// # Errors
///
/// The page's template, which is compiled in, does not parse.
pub async fn serve(
    listener: TcpListener,
    options: &Options,
    backend: Backend,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let site = std::sync::Arc::new(site::Site::new(options.replica(), backend)?);
    lifecycle::http::serve(listener, options, stop, move |call| {
        let site = std::sync::Arc::clone(&site);
        async move { site.answer(call).await }
    })
    .await
}
